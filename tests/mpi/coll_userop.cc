// tests/mpi/coll_userop.cc - user-defined reduction operations, and several collectives in flight.
//
// Non-commutative operations must be evaluated in rank order (composition of affine maps).
// Nonblocking collectives are started on many communicators, mixed with messages, and completed in
// random order.
#include "buffer.h"
#include "comm_sample.h"
#include "reduction.h"

namespace {

using check::CommSample;
using check::Random;

// Affine maps under composition: associative, not commutative, and one element each, since a
// library may call the operation on any part of a vector.
struct Affine {
  std::uint32_t scale, offset;  // x -> scale * x + offset (mod 2^32), composed left to right.
};
static_assert(sizeof(Affine) == 8, "travels as one MPI_UINT64_T");

void compose(void* in, void* inout, int* length, MPI_Datatype* type) {
  EXPECT(*type == MPI_UINT64_T);
  auto* left = static_cast<Affine*>(in);
  auto* right = static_cast<Affine*>(inout);
  for (int i = 0; i < *length; ++i) {
    right[i] = {left[i].scale * right[i].scale, left[i].offset * right[i].scale + right[i].offset};
  }
}

// Commutative, but not one of the predefined ones: addition modulo a prime.
constexpr std::uint64_t kPrime = 1000000007;
void add_modulo(void* in, void* inout, int* length, MPI_Datatype*) {
  auto *a = static_cast<std::uint64_t*>(in), *b = static_cast<std::uint64_t*>(inout);
  for (int i = 0; i < *length; ++i) b[i] = (a[i] + b[i]) % kPrime;
}

using Words = std::vector<std::uint64_t>;

struct UserOperation {
  MPI_User_function* function;
  MPI_Op handle;
  Words contribution(int id, int count, int rank) const {
    Random random(70, id, rank);
    Words words(count + 1, 0xEEEE);
    for (int i = 0; i < count; ++i) words[i] = random.next() | 1;
    if (function == add_modulo) {
      for (int i = 0; i < count; ++i) words[i] %= kPrime;
    }
    return words;
  }
  Words reference(int id, int count, const std::vector<int>& ranks) const {
    Words result = contribution(id, count, ranks[0]);
    MPI_Datatype type = MPI_UINT64_T;
    for (std::size_t r = 1; r < ranks.size(); ++r) {  // Strictly left to right.
      Words next = contribution(id, count, ranks[r]);
      function(result.data(), next.data(), &count, &type);
      result = next;
    }
    return result;
  }
};

bool same(const Words& actual, const Words& expected, int first, int count) {
  return std::equal(actual.begin(), actual.begin() + count, expected.begin() + first);
}

void one_reduction(const UserOperation& op, int id, CommSample& comm, int kind, int count) {
  Words in = op.contribution(id, count, check::rank), out(count + 1, 0xEEEE);
  MPI_Datatype type = MPI_UINT64_T;
  Words all = op.reference(id, count, comm.members);
  std::vector<int> before(comm.members.begin(), comm.members.begin() + comm.rank);
  int root = Random(71, id).below(1000) % comm.size();
  if (kind == 0) {
    EXPECT_OK(MPI_Allreduce(in.data(), out.data(), count, type, op.handle, comm.handle));
    EXPECT_MSG(same(out, all, 0, count), "allreduce of %d on %d ranks", count, comm.size());
  } else if (kind == 1) {
    EXPECT_OK(MPI_Reduce(in.data(), out.data(), count, type, op.handle, root, comm.handle));
    if (comm.rank == root) {
      EXPECT_MSG(same(out, all, 0, count), "reduce of %d on %d ranks to %d", count, comm.size(),
                 root);
    }
  } else if (kind == 2) {
    EXPECT_OK(MPI_Exscan(in.data(), out.data(), count, type, op.handle, comm.handle));
    if (!before.empty()) EXPECT_MSG(same(out, op.reference(id, count, before), 0, count), "exscan");
  } else if (kind == 3) {
    EXPECT_OK(MPI_Scan(in.data(), out.data(), count, type, op.handle, comm.handle));
    before.push_back(check::rank);
    EXPECT_MSG(same(out, op.reference(id, count, before), 0, count), "scan");
  } else if (kind == 4) {
    std::vector<int> counts(comm.size(), 0);
    int left = count, first = 0;
    for (int r = 0; r < comm.size(); ++r) {
      counts[r] = r + 1 == comm.size() ? left : Random(72, id, r).below(left + 1);
      left -= counts[r];
      if (r < comm.rank) first += counts[r];
    }
    EXPECT_OK(
        MPI_Reduce_scatter(in.data(), out.data(), counts.data(), type, op.handle, comm.handle));
    EXPECT_MSG(same(out, all, first, counts[comm.rank]), "reduce_scatter");
  } else {
    int each = count / comm.size();
    EXPECT_OK(MPI_Reduce_scatter_block(in.data(), out.data(), each, type, op.handle, comm.handle));
    Words blocks = op.reference(id, each * comm.size(), comm.members);
    EXPECT_MSG(same(out, blocks, each * comm.rank, each), "reduce_scatter_block");
  }
  EXPECT_EQ(out[count], std::uint64_t{0xEEEE});
}

void reduce_with(MPI_User_function* function, int commutative, int salt) {
  UserOperation op = {function, MPI_OP_NULL};
  EXPECT_OK(MPI_Op_create(function, commutative, &op.handle));
  int flag = -1;
  EXPECT_OK(MPI_Op_commutative(op.handle, &flag));
  EXPECT_EQ(flag, commutative);
  check::CommSamples comms(3);
  for (int id = salt; id < salt + 100; ++id) {
    Random random(73, id);
    CommSample& comm = comms.pick(random);
    int kind = random.below(6), count = random.chance(80) ? random.below(50) : random.below(6000);
    if (comm.handle != MPI_COMM_NULL) one_reduction(op, id, comm, kind, count);
  }
  EXPECT_OK(MPI_Op_free(&op.handle));
  EXPECT(op.handle == MPI_OP_NULL);
}
void non_commutative_operations_keep_rank_order() { reduce_with(compose, 0, 0); }
void commutative_user_operations() { reduce_with(add_modulo, 1, 1000); }

void operation_may_be_freed_while_in_use() {
  UserOperation op = {compose, MPI_OP_NULL};
  MPI_Op_create(compose, 0, &op.handle);
  Words in = op.contribution(5000, 100, check::rank), out(101);
  std::vector<int> everyone(check::size);
  for (int i = 0; i < check::size; ++i) everyone[i] = i;
  MPI_Request request;
  EXPECT_OK(MPI_Iallreduce(in.data(), out.data(), 100, MPI_UINT64_T, op.handle, MPI_COMM_WORLD,
                           &request));
  MPI_Op handle = op.handle;
  EXPECT_OK(MPI_Op_free(&handle));
  EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
  EXPECT(same(out, op.reference(5000, 100, everyone), 0, 100));
}

void predefined_operations_commute() {
  for (int i = 0; i < check::kOperations; ++i) {
    int flag = 0;
    EXPECT_OK(MPI_Op_commutative(check::operation(i).handle, &flag));
    EXPECT_EQ(flag, 1);
  }
}

// Nonblocking collectives: all ranks start the same ones on a communicator in the same order, and
// complete them in an order of their own, with messages travelling meanwhile.
struct InFlight {
  CommSample* comm;
  int kind, id;
  std::vector<int> in, out;
};

void start(InFlight& f, MPI_Request* request) {
  MPI_Comm comm = f.comm->handle;
  int count = 20 + f.id % 300, size = f.comm->size(), me = f.comm->rank;
  f.in.assign(std::size_t(count) * size, 0);
  f.out.assign(std::size_t(count) * size, -1);
  for (std::size_t i = 0; i < f.in.size(); ++i)
    f.in[i] = f.id * 1000 + me * 7 + static_cast<int>(i);
  int root = f.id % size;
  switch (f.kind) {
    case 0:
      EXPECT_OK(MPI_Iallreduce(f.in.data(), f.out.data(), count, MPI_INT, MPI_SUM, comm, request));
      break;
    case 1:
      EXPECT_OK(
          MPI_Iallgather(f.in.data(), count, MPI_INT, f.out.data(), count, MPI_INT, comm, request));
      break;
    case 2:
      EXPECT_OK(
          MPI_Ialltoall(f.in.data(), count, MPI_INT, f.out.data(), count, MPI_INT, comm, request));
      break;
    case 3:
      if (me == root) f.out = f.in;
      EXPECT_OK(MPI_Ibcast(f.out.data(), count, MPI_INT, root, comm, request));
      break;
    case 4:
      EXPECT_OK(MPI_Iscan(f.in.data(), f.out.data(), count, MPI_INT, MPI_MAX, comm, request));
      break;
    default:
      EXPECT_OK(MPI_Ibarrier(comm, request));
  }
}

void expect_result(const InFlight& f) {
  int count = 20 + f.id % 300, size = f.comm->size(), me = f.comm->rank, root = f.id % size;
  auto value = [&](int rank, int i) { return f.id * 1000 + rank * 7 + i; };
  for (int i = 0; i < count; ++i) {
    if (f.kind == 0) {
      int sum = 0;
      for (int r = 0; r < size; ++r) sum += value(r, i);
      if (!EXPECT_EQ(f.out[i], sum)) return;
    } else if (f.kind == 1 || f.kind == 2) {
      for (int r = 0; r < size; ++r) {
        int expected = f.kind == 1 ? value(r, i) : value(r, me * count + i);
        if (!EXPECT_EQ(f.out[r * count + i], expected)) return;
      }
    } else if (f.kind == 3) {
      if (!EXPECT_EQ(f.out[i], value(root, i))) return;
    } else if (f.kind == 4) {
      if (!EXPECT_EQ(f.out[i], value(me, i))) return;
    }
  }
}

void many_collectives_in_flight() {
  check::CommSamples comms(3);
  for (int round = 0; round < 6; ++round) {
    std::vector<InFlight> flights;
    Random common(74, round), mine(75, round, check::rank);
    for (int i = 0; i < 40; ++i) {
      CommSample& comm = comms.pick(common);
      int kind = common.below(6);
      if (comm.handle != MPI_COMM_NULL) flights.push_back({&comm, kind, round * 100 + i, {}, {}});
    }
    std::vector<MPI_Request> requests(flights.size());
    int to = (check::rank + 1) % check::size, from = (check::rank + check::size - 1) % check::size;
    for (std::size_t i = 0; i < flights.size(); ++i) {
      start(flights[i], &requests[i]);
    }
    for (int i = 0; i < 5; ++i) {
      int out = check::rank * 10 + i, in = -1;
      EXPECT_OK(MPI_Sendrecv(&out, 1, MPI_INT, to, i, &in, 1, MPI_INT, from, i, MPI_COMM_WORLD,
                             MPI_STATUS_IGNORE));
      EXPECT_EQ(in, from * 10 + i);
    }
    std::vector<int> order(flights.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
    mine.shuffle(order);
    for (int i : order) {
      if (mine.chance(50)) {
        EXPECT_OK(MPI_Wait(&requests[i], MPI_STATUS_IGNORE));
      } else {
        for (int done = 0; !done;) EXPECT_OK(MPI_Test(&requests[i], &done, MPI_STATUS_IGNORE));
      }
      expect_result(flights[i]);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(
      argc, argv,
      {{"non_commutative_operations_keep_rank_order", non_commutative_operations_keep_rank_order},
       {"commutative_user_operations", commutative_user_operations},
       {"operation_may_be_freed_while_in_use", operation_may_be_freed_while_in_use},
       {"predefined_operations_commute", predefined_operations_commute},
       {"many_collectives_in_flight", many_collectives_in_flight}});
}
