// Derived datatypes in communication: sent as one type and received as another of the same
// signature, at sizes of every protocol; partial receives; collectives; datatypes that are freed
// while they are in use (MPI-5.0 sections 3.3, 5.1.11 and 6).
#include "buffer.h"
#include "check.h"
#include "typetree.h"

using typetree::Forest;
using typetree::Memory;
using typetree::Typed;

namespace {

// Bytes in a message: eager, in fragments, rendezvous.
const std::vector<int> kSizes = {1, 40, 300, 5000, 20000, 70000, 300000, 2000000};

bool usable(const Typed& type) { return type.size() > 0 && !typetree::has_overlap(type, 3); }

// A random type whose elements can lie one after the other without overlapping.
Typed receivable(Forest& forest, check::Random& random) {
  while (true) {
    Typed type = forest.tree(random.between(1, 3));
    MPI_Aint reach = type.true_ub() - type.true_lb();
    if (usable(type) && std::abs(type.extent()) < 4096 && std::abs(type.extent()) >= reach) {
      return type;
    }
    type.free();
  }
}

int count_for(const Typed& type, int bytes) {
  return std::max(1, std::min(bytes / type.size(), 4000000 / (type.size() * 4)));
}

// Each pair of neighbours in the ring, random types: packed bytes on one side, the type on the
// other, in both directions.
void one_type_and_its_bytes() {
  if (typetree::others_fail()) return;
  check::Random random(1);  // The same on every rank.
  Forest forest(random, 60);
  int to = (check::rank + 1) % check::size, from = (check::rank + check::size - 1) % check::size;
  for (int bytes : kSizes) {
    for (int round = 0; round < (check::size <= 2 ? 5 : 2); ++round) {
      Typed type = receivable(forest, random);
      int count = count_for(type, bytes), size = count * type.size();
      Memory source(type, count, check::rank), target(type, count, 77), wanted(type, count, 77);
      Memory theirs(type, count, from);
      std::vector<unsigned char> expected = typetree::gather(type, count, theirs);
      typetree::scatter(type, count, wanted, expected);
      std::vector<unsigned char> packed(size), mine = typetree::gather(type, count, source);
      MPI_Request requests[2];
      MPI_Status status;
      // Typed to bytes.
      EXPECT_OK(MPI_Irecv(packed.data(), size, MPI_PACKED, from, 1, MPI_COMM_WORLD, requests));
      EXPECT_OK(
          MPI_Isend(source.origin(), count, type.handle, to, 1, MPI_COMM_WORLD, requests + 1));
      EXPECT_OK(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE));
      EXPECT_MSG(packed == expected, "%d bytes, round %d: sent wrong", size, round);
      // Bytes to typed.
      EXPECT_OK(MPI_Isend(mine.data(), size, MPI_PACKED, to, 2, MPI_COMM_WORLD, requests));
      EXPECT_OK(MPI_Recv(target.origin(), count, type.handle, from, 2, MPI_COMM_WORLD, &status));
      EXPECT_OK(MPI_Wait(requests, MPI_STATUS_IGNORE));
      EXPECT_MSG(target.bytes == wanted.bytes, "%d bytes, round %d: received wrong", size, round);
      int got = -1;
      EXPECT_OK(MPI_Get_count(&status, type.handle, &got));
      EXPECT_EQ(got, count);
      // Typed to typed, freed while in flight.
      Memory again(type, count, 77);
      EXPECT_OK(MPI_Irecv(again.origin(), count, type.handle, from, 3, MPI_COMM_WORLD, requests));
      EXPECT_OK(
          MPI_Issend(source.origin(), count, type.handle, to, 3, MPI_COMM_WORLD, requests + 1));
      type.free();
      EXPECT_OK(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE));
      EXPECT_MSG(again.bytes == wanted.bytes, "%d bytes, round %d: exchanged wrong", size, round);
    }
  }
}

// A matrix column goes out and arrives as a row, and as every second element of a list.
void same_signature() {
  constexpr int kRows = 700, kColumns = 9;
  MPI_Datatype column, spread, indexed;
  EXPECT_OK(MPI_Type_vector(kRows, 1, kColumns, MPI_DOUBLE, &column));
  EXPECT_OK(MPI_Type_create_resized(MPI_DOUBLE, 0, 24, &spread));
  std::vector<int> places(kRows);
  for (int i = 0; i < kRows; ++i) places[i] = 2 * i + i % 2;
  EXPECT_OK(MPI_Type_create_indexed_block(kRows, 1, places.data(), MPI_DOUBLE, &indexed));
  for (MPI_Datatype* type : {&column, &spread, &indexed}) EXPECT_OK(MPI_Type_commit(type));
  std::vector<double> matrix(kRows * kColumns), row(kRows), wide(3 * kRows), list(2 * kRows + 2);
  for (std::size_t i = 0; i < matrix.size(); ++i) matrix[i] = check::rank * 1e6 + double(i);
  int to = (check::rank + 1) % check::size, from = (check::rank + check::size - 1) % check::size;
  for (int which = 0; which < 3; ++which) {
    void* memory = which == 0 ? row.data() : which == 1 ? wide.data() : list.data();
    MPI_Datatype type = which == 0 ? MPI_DOUBLE : which == 1 ? spread : indexed;
    int count = which == 2 ? 1 : kRows;
    EXPECT_OK(MPI_Sendrecv(matrix.data() + 4, 1, column, to, 0, memory, count, type, from, 0,
                           MPI_COMM_WORLD, MPI_STATUS_IGNORE));
    for (int i = 0; i < kRows; ++i) {
      double value = which == 0 ? row[i] : which == 1 ? wide[3 * i] : list[places[i]];
      EXPECT_EQ(value, from * 1e6 + i * kColumns + 4);
    }
  }
  for (MPI_Datatype* type : {&column, &spread, &indexed}) EXPECT_OK(MPI_Type_free(type));
}

// A message that is shorter than the receive, or longer.
void unequal_lengths() {
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  int lengths[] = {1, 2};
  MPI_Aint places[] = {0, 8};
  MPI_Datatype types[] = {MPI_DOUBLE, MPI_INT}, pair;
  EXPECT_OK(MPI_Type_create_struct(2, lengths, places, types, &pair));
  EXPECT_OK(MPI_Type_commit(&pair));
  int to = (check::rank + 1) % check::size, from = (check::rank + check::size - 1) % check::size;
  for (int elements : {3, 3000, 200000}) {
    std::vector<unsigned char> out(elements * 16), in(elements * 16, 0xcc);
    check::fill(out.data(), out.size(), 5);
    MPI_Request request;
    MPI_Status status;
    int whole = elements - 1, count = -1;
    // All but the last int of `whole` elements.
    EXPECT_OK(MPI_Isend(out.data(), whole * 16 - 4, MPI_BYTE, to, 0, MPI_COMM_WORLD, &request));
    EXPECT_OK(MPI_Recv(in.data(), elements, pair, from, 0, MPI_COMM_WORLD, &status));
    EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    EXPECT_OK(MPI_Get_count(&status, pair, &count));
    EXPECT_EQ(count, MPI_UNDEFINED);
    EXPECT_OK(MPI_Get_elements(&status, pair, &count));
    EXPECT_EQ(count, whole * 3 - 1);
    EXPECT(std::equal(out.begin(), out.begin() + whole * 16 - 4, in.begin()));
    EXPECT_EQ(int(in[whole * 16 - 4]), 0xcc);
    // One element too many.
    EXPECT_OK(MPI_Isend(out.data(), elements, pair, to, 1, MPI_COMM_WORLD, &request));
    EXPECT_CLASS(MPI_Recv(in.data(), whole, pair, from, 1, MPI_COMM_WORLD, &status),
                 MPI_ERR_TRUNCATE);
    EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    // What did fit is there; the standard does not say so.
    EXPECT(!check::library_is_tern() ||
           std::equal(out.begin(), out.begin() + whole * 16, in.begin()));
  }
  EXPECT_OK(MPI_Type_free(&pair));
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
}

// Addresses instead of a buffer: the data of two variables as one message.
void absolute_addresses() {
  struct {
    double numbers[3];
  } first = {{1, 2, 3}};
  int second[2] = {4, 5};
  MPI_Aint places[2];
  EXPECT_OK(MPI_Get_address(&first, &places[0]));
  EXPECT_OK(MPI_Get_address(second, &places[1]));
  int lengths[] = {3, 2};
  MPI_Datatype types[] = {MPI_DOUBLE, MPI_INT}, both;
  EXPECT_OK(MPI_Type_create_struct(2, lengths, places, types, &both));
  EXPECT_OK(MPI_Type_commit(&both));
  MPI_Request request;
  EXPECT_OK(MPI_Isend(MPI_BOTTOM, 1, both, check::rank, 9, MPI_COMM_WORLD, &request));
  unsigned char bytes[32];
  EXPECT_OK(MPI_Recv(bytes, 32, MPI_BYTE, check::rank, 9, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
  EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
  EXPECT(std::memcmp(bytes, &first, 24) == 0 && std::memcmp(bytes + 24, second, 8) == 0);
  EXPECT_OK(MPI_Type_free(&both));
}

// --- Collectives ---

// A 2 x 2 integer matrix, of which the type has the diagonal and one corner only.
void multiply(void* in, void* inout, int* length, MPI_Datatype* type) {
  MPI_Aint lb, extent;
  MPI_Type_get_extent(*type, &lb, &extent);
  for (int i = 0; i < *length; ++i) {
    auto* a = reinterpret_cast<long long*>(static_cast<char*>(in) + i * extent);
    auto* b = reinterpret_cast<long long*>(static_cast<char*>(inout) + i * extent);
    long long corner = a[0] * b[1] + a[1] * b[3];  // Upper triangular matrices.
    b[0] *= a[0];
    b[3] *= a[3];
    b[1] = corner;
  }
}

void collectives() {
  long long unused = -9;
  int lengths[] = {2, 1};
  MPI_Aint places[] = {0, 24};
  MPI_Datatype types[] = {MPI_LONG_LONG, MPI_LONG_LONG}, matrix;
  EXPECT_OK(MPI_Type_create_struct(2, lengths, places, types, &matrix));
  EXPECT_OK(MPI_Type_commit(&matrix));
  MPI_Op product;
  EXPECT_OK(MPI_Op_create(multiply, 0, &product));
  for (int count : {1, 60, 5000}) {
    std::vector<long long> in(4 * count), out(4 * count, unused);
    for (int i = 0; i < count; ++i) {
      in[4 * i] = 1;
      in[4 * i + 1] = check::rank + i;
      in[4 * i + 2] = unused;
      in[4 * i + 3] = 1 + check::rank % 2;
    }
    EXPECT_OK(MPI_Allreduce(in.data(), out.data(), count, matrix, product, MPI_COMM_WORLD));
    for (int i = 0; i < count; ++i) {
      long long corner = i, last = 1;  // Of the product of ranks 0, 1, 2, ...
      for (int r = 1; r < check::size; ++r) {
        corner = (r + i) + corner * (1 + r % 2);
        last *= 1 + r % 2;
      }
      EXPECT(out[4 * i] == 1 && out[4 * i + 1] == corner && out[4 * i + 3] == last);
      EXPECT_EQ(out[4 * i + 2], unused);
    }
    // The datatype is freed while it is in use.
    MPI_Datatype twin;
    EXPECT_OK(MPI_Type_dup(matrix, &twin));
    std::vector<long long> spread(4 * count, unused);
    if (check::rank == 0) spread = in;
    MPI_Request request;
    EXPECT_OK(MPI_Ibcast(spread.data(), count, twin, 0, MPI_COMM_WORLD, &request));
    EXPECT_OK(MPI_Type_free(&twin));
    EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    for (int i = 0; i < count; ++i) {
      EXPECT(spread[4 * i + 1] == i && spread[4 * i + 2] == unused && spread[4 * i + 3] == 1);
    }
  }
  EXPECT_OK(MPI_Op_free(&product));
  EXPECT_OK(MPI_Type_free(&matrix));
}

// A distributed matrix is transposed: columns leave, rows arrive.
void transposition() {
  constexpr int kRows = 6;  // Of this rank.
  int n = kRows * check::size;
  MPI_Datatype column, columns;
  EXPECT_OK(MPI_Type_vector(kRows, 1, n, MPI_INT, &column));
  EXPECT_OK(MPI_Type_create_resized(column, 0, sizeof(int), &columns));
  EXPECT_OK(MPI_Type_commit(&columns));
  EXPECT_OK(MPI_Type_free(&column));
  MPI_Datatype block, blocks;
  EXPECT_OK(MPI_Type_vector(kRows, kRows, n, MPI_INT, &block));
  EXPECT_OK(MPI_Type_create_resized(block, 0, kRows * sizeof(int), &blocks));
  EXPECT_OK(MPI_Type_commit(&blocks));
  EXPECT_OK(MPI_Type_free(&block));
  std::vector<int> matrix(kRows * n), turned(kRows * n, -1);
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < n; ++j) matrix[i * n + j] = (check::rank * kRows + i) * n + j;
  }
  EXPECT_OK(MPI_Alltoall(matrix.data(), kRows, columns, turned.data(), 1, blocks, MPI_COMM_WORLD));
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < n; ++j) EXPECT_EQ(turned[i * n + j], j * n + check::rank * kRows + i);
  }
  EXPECT_OK(MPI_Type_free(&columns));
  EXPECT_OK(MPI_Type_free(&blocks));
}

// Random types in gather, scatter, allgather and bcast, against their packed bytes.
void collectives_of_trees() {
  if (typetree::others_fail()) return;
  check::Random random(5);
  Forest forest(random, 40);
  for (int round = 0; round < 25; ++round) {
    Typed type = receivable(forest, random);
    int count = random.between(1, 1 + 8000 / type.size()), root = random.below(check::size);
    int size = count * type.size();
    Memory mine(type, count, 100 + check::rank);
    std::vector<unsigned char> all(std::size_t(size) * check::size), sent;
    EXPECT_OK(MPI_Allgather(mine.origin(), count, type.handle, all.data(), size, MPI_BYTE,
                            MPI_COMM_WORLD));
    for (int rank = 0; rank < check::size; ++rank) {
      Memory theirs(type, count, 100 + rank);
      std::vector<unsigned char> expected = typetree::gather(type, count, theirs);
      EXPECT(std::equal(expected.begin(), expected.end(), all.begin() + std::size_t(rank) * size));
    }
    Memory part(type, count, 7), wanted(type, count, 7);
    EXPECT_OK(MPI_Scatter(all.data(), size, MPI_BYTE, part.origin(), count, type.handle, root,
                          MPI_COMM_WORLD));
    Memory original(type, count, 100 + check::rank);
    typetree::scatter(type, count, wanted, typetree::gather(type, count, original));
    EXPECT_MSG(part.bytes == wanted.bytes, "round %d: scattered wrong", round);
    Memory copy(type, count, check::rank == root ? 100 + root : 7), told(type, count, 7);
    EXPECT_OK(MPI_Bcast(copy.origin(), count, type.handle, root, MPI_COMM_WORLD));
    Memory roots(type, count, 100 + root);
    typetree::scatter(type, count, told, typetree::gather(type, count, roots));
    EXPECT_MSG(check::rank == root || copy.bytes == told.bytes, "round %d: bcast wrong", round);
    type.free();
  }
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv,
                     {{"one_type_and_its_bytes", one_type_and_its_bytes},
                      {"same_signature", same_signature},
                      {"unequal_lengths", unequal_lengths},
                      {"absolute_addresses", absolute_addresses},
                      {"collectives", collectives},
                      {"transposition", transposition},
                      {"collectives_of_trees", collectives_of_trees}});
}
