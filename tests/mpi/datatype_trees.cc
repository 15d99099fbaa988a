// Random derived datatypes against their expanded type maps: sizes and bounds, packing, statuses of
// partial elements, and decoding (MPI-5.0 chapter 5 and section 3.2.5).
#include "check.h"
#include "typetree.h"

using typetree::Entry;
using typetree::Forest;
using typetree::Memory;
using typetree::others_fail;
using typetree::Typed;

namespace {

constexpr int kRounds = 250;

void expect_queries(const Typed& type, MPI_Datatype handle, const char* what) {
  int size = -1;
  MPI_Aint lb = -1, extent = -1, true_lb = -1, true_extent = -1;
  EXPECT_OK(MPI_Type_size(handle, &size));
  EXPECT_OK(MPI_Type_get_extent(handle, &lb, &extent));
  EXPECT_OK(MPI_Type_get_true_extent(handle, &true_lb, &true_extent));
  EXPECT_MSG(size == type.size(), "%s: size %d, expected %d", what, size, type.size());
  EXPECT_MSG(lb == type.lb && extent == type.extent(), "%s: bounds %ld + %ld, expected %ld + %ld",
             what, long(lb), long(extent), long(type.lb), long(type.extent()));
  MPI_Aint expected_extent = type.true_ub() - type.true_lb();
  EXPECT_MSG(true_extent == expected_extent && (type.map.empty() || true_lb == type.true_lb()),
             "%s: true bounds %ld + %ld, expected %ld + %ld", what, long(true_lb),
             long(true_extent), long(type.true_lb()), long(expected_extent));
  MPI_Count count = -1, other = -1;
  EXPECT_OK(MPI_Type_size_x(handle, &count));
  EXPECT_EQ(count, type.size());
  EXPECT_OK(MPI_Type_get_extent_x(handle, &other, &count));
  EXPECT_EQ(count, type.extent());
  EXPECT_OK(MPI_Type_get_true_extent_x(handle, &other, &count));
  EXPECT_EQ(count, expected_extent);
#if MPI_AT_LEAST(4, 0)
  EXPECT_OK(MPI_Type_size_c(handle, &count));
  EXPECT_EQ(count, type.size());
  EXPECT_OK(MPI_Type_get_extent_c(handle, &other, &count));
  EXPECT_EQ(other, type.lb);
  EXPECT_EQ(count, type.extent());
#endif
}

void sizes_and_bounds() {
  check::Random random(1, check::rank);
  Forest forest(random);
  for (int round = 0; round < kRounds; ++round) {
    Typed type = forest.tree(others_fail() ? 1 : random.between(1, 4), random.chance(50));
    if (type.lb != 0 && others_fail()) {
      type.free();
      continue;
    }
    expect_queries(type, type.handle, "tree");
    type.free();
    EXPECT_EQ(type.handle == MPI_DATATYPE_NULL, true);
  }
}

// Packs in two calls and unpacks in one, then the other way round.
void packing() {
  if (others_fail()) return;
  check::Random random(2, check::rank);
  Forest forest(random);
  for (int round = 0; round < kRounds; ++round) {
    Typed type = forest.tree(random.between(1, 4));
    int first = random.below(3), second = random.below(3), count = first + second;
    Memory memory(type, count, round);
    std::vector<unsigned char> expected = typetree::gather(type, count, memory);
    int size = -1;
    EXPECT_OK(MPI_Pack_size(count, type.handle, MPI_COMM_WORLD, &size));
    EXPECT_EQ(size >= int(expected.size()), true);
    std::vector<unsigned char> packed(size + 16, 0xee);
    int position = 5;
    EXPECT_OK(MPI_Pack(memory.origin(), first, type.handle, packed.data(), size + 5, &position,
                       MPI_COMM_WORLD));
    EXPECT_OK(MPI_Pack(memory.origin() + first * type.extent(), second, type.handle, packed.data(),
                       size + 5, &position, MPI_COMM_WORLD));
    EXPECT_EQ(position, 5 + int(expected.size()));
    EXPECT_MSG(std::equal(expected.begin(), expected.end(), packed.begin() + 5),
               "packed bytes differ");
    EXPECT_EQ(int(packed[4]), 0xee);
    EXPECT_EQ(int(packed[position]), 0xee);

    if (!typetree::has_overlap(type, count)) {
      Memory target(type, count, round + 1000), wanted(type, count, round + 1000);
      typetree::scatter(type, count, wanted, expected);
      position = 5;
      EXPECT_OK(MPI_Unpack(packed.data(), size + 5, &position, target.origin(), count, type.handle,
                           MPI_COMM_WORLD));
      EXPECT_EQ(position, 5 + int(expected.size()));
      EXPECT_MSG(target.bytes == wanted.bytes, "unpacked memory differs");
    }
    type.free();
  }
}

// Receives any number of bytes that ends between basic elements, and counts them.
void partial_elements() {
  if (check::library_is("MPICH")) return;  // 4.0 divides by zero.
  check::Random random(3, check::rank);
  Forest forest(random, 60);
  for (int round = 0; round < kRounds; ++round) {
    Typed type = forest.tree(random.between(1, 3));
    int entries = int(type.map.size());
    if (entries > 0) {
      int number = random.below(3 * entries + 1);
      long bytes = 0;
      for (int i = 0; i < number; ++i) bytes += type.map[i % entries].size();
      MPI_Status status;
      EXPECT_OK(MPI_Status_set_elements(&status, MPI_BYTE, int(bytes)));
      int elements = -1, count = -1;
      EXPECT_OK(MPI_Get_elements(&status, type.handle, &elements));
      EXPECT_EQ(elements, number);
      EXPECT_OK(MPI_Get_count(&status, type.handle, &count));
      EXPECT_EQ(count, number % entries == 0 ? number / entries : MPI_UNDEFINED);
      MPI_Count large = -1;
      EXPECT_OK(MPI_Get_elements_x(&status, type.handle, &large));
      EXPECT_EQ(large, number);
      if (!others_fail()) {  // They know whole datatypes only.
        EXPECT_OK(MPI_Status_set_elements_x(&status, type.handle, number));
        EXPECT_OK(MPI_Get_count(&status, MPI_BYTE, &count));
        EXPECT_EQ(long(count), bytes);
      }
      // In the middle of an element: no count can tell it.
      int last = type.map[number % entries].size();
      if (last > 1 && check::library_is_tern()) {
        EXPECT_OK(MPI_Status_set_elements(&status, MPI_BYTE, int(bytes) + 1));
        EXPECT_OK(MPI_Get_elements(&status, type.handle, &elements));
        EXPECT_EQ(elements, MPI_UNDEFINED);
      }
    }
    type.free();
  }
}

struct Contents {
  int combiner = 0;
  std::vector<int> integers;
  std::vector<MPI_Aint> addresses;
  std::vector<long long> counts;
  std::vector<MPI_Datatype> types;
};

bool is_large(MPI_Datatype handle) {
#if MPI_AT_LEAST(4, 0)
  MPI_Count integers = 0, addresses = 0, counts = 0, types = 0;
  int combiner = 0;
  MPI_Type_get_envelope_c(handle, &integers, &addresses, &counts, &types, &combiner);
  return counts > 0;
#else
  (void)handle;
  return false;
#endif
}

Contents decode(MPI_Datatype handle) {
  Contents result;
#if MPI_AT_LEAST(4, 0)
  MPI_Count integers = 0, addresses = 0, counts = 0, types = 0;
  EXPECT_OK(
      MPI_Type_get_envelope_c(handle, &integers, &addresses, &counts, &types, &result.combiner));
  std::vector<MPI_Count> wide(counts);
  result.integers.resize(integers);
  result.addresses.resize(addresses);
  result.types.resize(types);
  if (result.combiner == MPI_COMBINER_NAMED) return result;
  EXPECT_OK(MPI_Type_get_contents_c(handle, integers, addresses, counts, types,
                                    result.integers.data(), result.addresses.data(), wide.data(),
                                    result.types.data()));
  result.counts.assign(wide.begin(), wide.end());
#else
  int integers = 0, addresses = 0, types = 0;
  EXPECT_OK(MPI_Type_get_envelope(handle, &integers, &addresses, &types, &result.combiner));
  result.integers.resize(integers);
  result.addresses.resize(addresses);
  result.types.resize(types);
  if (result.combiner == MPI_COMBINER_NAMED) return result;
  EXPECT_OK(MPI_Type_get_contents(handle, integers, addresses, types, result.integers.data(),
                                  result.addresses.data(), result.types.data()));
#endif
  return result;
}

// The arguments in the order of the constructors, whichever variant was called.
std::vector<long long> arguments(const Contents& contents) {
  std::vector<long long> all(contents.counts);
  all.insert(all.end(), contents.integers.begin(), contents.integers.end());
  all.insert(all.end(), contents.addresses.begin(), contents.addresses.end());
  return all;
}

MPI_Datatype rebuild(MPI_Datatype handle);

MPI_Datatype rebuild_array(const Contents& contents, MPI_Datatype old) {
  MPI_Datatype made = MPI_DATATYPE_NULL;
  std::size_t n = contents.integers[0];
  std::vector<int> lists;
  if (contents.counts.empty()) {
    lists.assign(contents.integers.begin() + 1, contents.integers.end());
  } else {
    lists.assign(contents.counts.begin(), contents.counts.end());
  }
  EXPECT_OK(MPI_Type_create_subarray(int(n), lists.data(), lists.data() + n, lists.data() + 2 * n,
                                     contents.integers.back(), old, &made));
  return made;
}

MPI_Datatype rebuild_list(const Contents& contents, const std::vector<MPI_Datatype>& old) {
  std::vector<long long> all = arguments(contents);
  std::size_t count = all[0];
  bool one_length = contents.combiner == MPI_COMBINER_INDEXED_BLOCK ||
                    contents.combiner == MPI_COMBINER_HINDEXED_BLOCK;
  std::vector<int> lengths;
  std::vector<MPI_Aint> places;
  std::vector<int> positions;
  std::vector<MPI_Datatype> types(old);
  for (std::size_t i = 0; i < count; ++i) {
    lengths.push_back(int(all[one_length ? 1 : 1 + i]));
    long long place = all[(one_length ? 2 : 1 + count) + i];
    places.push_back(place);
    positions.push_back(int(place));
  }
  MPI_Datatype made = MPI_DATATYPE_NULL;
  if (contents.combiner == MPI_COMBINER_STRUCT) {
    EXPECT_OK(
        MPI_Type_create_struct(int(count), lengths.data(), places.data(), types.data(), &made));
  } else if (contents.combiner == MPI_COMBINER_INDEXED ||
             contents.combiner == MPI_COMBINER_INDEXED_BLOCK) {
    EXPECT_OK(MPI_Type_indexed(int(count), lengths.data(), positions.data(), types[0], &made));
  } else {
    EXPECT_OK(MPI_Type_create_hindexed(int(count), lengths.data(), places.data(), types[0], &made));
  }
  return made;
}

MPI_Datatype rebuild_regular(const Contents& contents, MPI_Datatype old) {
  std::vector<long long> all = arguments(contents);
  MPI_Datatype made = MPI_DATATYPE_NULL;
  switch (contents.combiner) {
    case MPI_COMBINER_DUP:
      EXPECT_OK(MPI_Type_dup(old, &made));
      break;
    case MPI_COMBINER_CONTIGUOUS:
      EXPECT_OK(MPI_Type_contiguous(int(all[0]), old, &made));
      break;
    case MPI_COMBINER_VECTOR:
      EXPECT_OK(MPI_Type_vector(int(all[0]), int(all[1]), int(all[2]), old, &made));
      break;
    case MPI_COMBINER_HVECTOR:
      EXPECT_OK(MPI_Type_create_hvector(int(all[0]), int(all[1]), all[2], old, &made));
      break;
    case MPI_COMBINER_RESIZED:
      EXPECT_OK(MPI_Type_create_resized(old, all[0], all[1], &made));
      break;
    default:
      EXPECT_MSG(false, "unexpected combiner %d", contents.combiner);
  }
  return made;
}

bool is_named(MPI_Datatype handle) {
  int integers = 0, addresses = 0, types = 0, combiner = 0;
  if (is_large(handle)) return false;
  EXPECT_OK(MPI_Type_get_envelope(handle, &integers, &addresses, &types, &combiner));
  return combiner == MPI_COMBINER_NAMED;
}

// A datatype made by the constructors that MPI_Type_get_contents tells of.
MPI_Datatype rebuild(MPI_Datatype handle) {
  if (is_named(handle)) return handle;
  Contents contents = decode(handle);
  std::vector<MPI_Datatype> old;
  for (MPI_Datatype& type : contents.types) {
    old.push_back(rebuild(type));
    if (!is_named(type)) EXPECT_OK(MPI_Type_free(&type));
  }
  MPI_Datatype made = contents.combiner == MPI_COMBINER_SUBARRAY ? rebuild_array(contents, old[0])
                      : contents.combiner == MPI_COMBINER_STRUCT ||
                              contents.combiner == MPI_COMBINER_INDEXED ||
                              contents.combiner == MPI_COMBINER_HINDEXED ||
                              contents.combiner == MPI_COMBINER_INDEXED_BLOCK ||
                              contents.combiner == MPI_COMBINER_HINDEXED_BLOCK
                          ? rebuild_list(contents, old)
                          : rebuild_regular(contents, old[0]);
  for (MPI_Datatype& type : old) {
    if (!is_named(type)) EXPECT_OK(MPI_Type_free(&type));
  }
  return made;
}

void decoding() {
  if (others_fail()) return;
  check::Random random(4, check::rank);
  Forest forest(random);
  for (int round = 0; round < kRounds; ++round) {
    Typed type = forest.tree(random.between(1, 4));
    MPI_Datatype again = rebuild(type.handle);
    expect_queries(type, again, "rebuilt");
    EXPECT_OK(MPI_Type_commit(&again));
    int size = type.size();
    Memory memory(type, 1, round);
    std::vector<unsigned char> expected = typetree::gather(type, 1, memory), packed(size + 1);
    int position = 0;
    EXPECT_OK(MPI_Pack(memory.origin(), 1, again, packed.data(), size, &position, MPI_COMM_WORLD));
    packed.resize(size);
    EXPECT_MSG(packed == expected, "the rebuilt datatype packs something else");
    EXPECT_OK(MPI_Type_free(&again));
    type.free();
  }
}

// What each constructor's arguments are called back, exactly.
void contents_tables() {
  MPI_Datatype made;
  MPI_Aint places[] = {16, -8};
  int lengths[] = {2, 3};
  MPI_Datatype types[] = {MPI_DOUBLE, MPI_INT};
  EXPECT_OK(MPI_Type_create_struct(2, lengths, places, types, &made));
  int integers = -1, addresses = -1, datatypes = -1, combiner = -1;
  EXPECT_OK(MPI_Type_get_envelope(made, &integers, &addresses, &datatypes, &combiner));
  EXPECT_EQ(combiner, int(MPI_COMBINER_STRUCT));
  EXPECT_EQ(integers, 3);
  EXPECT_EQ(addresses, 2);
  EXPECT_EQ(datatypes, 2);
  int i[3];
  MPI_Aint a[2];
  MPI_Datatype d[2];
  EXPECT_OK(MPI_Type_get_contents(made, 3, 2, 2, i, a, d));
  EXPECT(i[0] == 2 && i[1] == 2 && i[2] == 3);
  EXPECT(a[0] == 16 && a[1] == -8);
  EXPECT(d[0] == MPI_DOUBLE && d[1] == MPI_INT);
  EXPECT_OK(MPI_Type_free(&made));

  int gsizes[] = {10, 12}, distribs[] = {MPI_DISTRIBUTE_BLOCK, MPI_DISTRIBUTE_CYCLIC};
  int dargs[] = {MPI_DISTRIBUTE_DFLT_DARG, 2}, psizes[] = {2, 3};
  EXPECT_OK(MPI_Type_create_darray(6, 4, 2, gsizes, distribs, dargs, psizes, MPI_ORDER_FORTRAN,
                                   MPI_INT, &made));
  EXPECT_OK(MPI_Type_get_envelope(made, &integers, &addresses, &datatypes, &combiner));
  EXPECT_EQ(combiner, int(MPI_COMBINER_DARRAY));
  EXPECT_EQ(integers, 12);
  std::vector<int> all(12);
  EXPECT_OK(MPI_Type_get_contents(made, 12, 0, 1, all.data(), nullptr, d));
  std::vector<int> expected = {6,
                               4,
                               2,
                               10,
                               12,
                               MPI_DISTRIBUTE_BLOCK,
                               MPI_DISTRIBUTE_CYCLIC,
                               MPI_DISTRIBUTE_DFLT_DARG,
                               2,
                               2,
                               3,
                               MPI_ORDER_FORTRAN};
  EXPECT_MSG(all == expected, "the contents of a darray differ");
  EXPECT_OK(MPI_Type_free(&made));

  EXPECT_OK(MPI_Type_get_envelope(MPI_DOUBLE, &integers, &addresses, &datatypes, &combiner));
  EXPECT_EQ(combiner, int(MPI_COMBINER_NAMED));
#if MPI_AT_LEAST(4, 0)
  if (check::library_is("MPICH")) return;
  MPI_Count whole[] = {6}, part[] = {5}, start[] = {1};
  EXPECT_OK(MPI_Type_create_subarray_c(1, whole, part, start, MPI_ORDER_C, MPI_INT, &made));
  MPI_Count ni = -1, na = -1, nc = -1, nd = -1;
  EXPECT_OK(MPI_Type_get_envelope_c(made, &ni, &na, &nc, &nd, &combiner));
  EXPECT(ni == 2 && na == 0 && nc == 3 && nd == 1);
  MPI_Count c[3];
  EXPECT_OK(MPI_Type_get_contents_c(made, 2, 0, 3, 1, i, nullptr, c, d));
  EXPECT(i[0] == 1 && i[1] == MPI_ORDER_C && c[0] == 6 && c[1] == 5 && c[2] == 1);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  EXPECT_CLASS(MPI_Type_get_envelope(made, &integers, &addresses, &datatypes, &combiner),
               MPI_ERR_TYPE);
  EXPECT_CLASS(MPI_Type_get_contents(made, 2, 0, 1, i, a, d), MPI_ERR_TYPE);
  EXPECT_OK(MPI_Type_free(&made));
#endif
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv,
                     {{"sizes_and_bounds", sizes_and_bounds},
                      {"packing", packing},
                      {"partial_elements", partial_elements},
                      {"decoding", decoding},
                      {"contents_tables", contents_tables}});
}
