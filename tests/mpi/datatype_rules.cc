// Single rules about datatypes: bounds that were set, distributed arrays, counts without memory,
// external32, datatypes found by kind or size, attributes, names, lifetimes (MPI-5.0 chapter 5,
// sections 7.7, 7.8, 14.5.2 and 19.1.9).
#include <cmath>
#include <cwchar>

#include "check.h"

namespace {

MPI_Datatype committed(MPI_Datatype type) {
  EXPECT_OK(MPI_Type_commit(&type));
  return type;
}

// Errors of datatypes go to MPI_COMM_SELF's handler; before MPI 4.0 to MPI_COMM_WORLD's.
void return_errors() {
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
}

void expect_bounds(MPI_Datatype type, MPI_Aint lb, MPI_Aint extent, const char* what) {
  MPI_Aint got_lb = -1, got_extent = -1;
  EXPECT_OK(MPI_Type_get_extent(type, &got_lb, &got_extent));
  EXPECT_MSG(got_lb == lb && got_extent == extent, "%s: %ld + %ld, expected %ld + %ld", what,
             long(got_lb), long(got_extent), long(lb), long(extent));
}

void bounds() {
  MPI_Datatype narrow, made, again;
  EXPECT_OK(MPI_Type_create_resized(MPI_INT, -3, 9, &narrow));
  expect_bounds(narrow, -3, 9, "resized");
  int lengths[] = {1, 1};
  MPI_Aint places[] = {0, 100};
  MPI_Datatype types[] = {narrow, MPI_INT};
  EXPECT_OK(MPI_Type_create_struct(2, lengths, places, types, &made));
  // Bounds that were set hide all others (MPICH 4.0 unites them).
  if (!check::library_is("MPICH")) expect_bounds(made, -3, 9, "struct with a resized part");
  EXPECT_OK(MPI_Type_create_resized(made, 2, 5, &again));
  expect_bounds(again, 2, 5, "resized again");
  EXPECT_OK(MPI_Type_free(&made));
  EXPECT_OK(MPI_Type_free(&again));
  EXPECT_OK(MPI_Type_free(&narrow));

  // A struct ends where the compiler would end it.
  struct Sample {
    double value;
    char tag;
  };
  MPI_Aint where[] = {offsetof(Sample, value), offsetof(Sample, tag)};
  MPI_Datatype members[] = {MPI_DOUBLE, MPI_CHAR};
  EXPECT_OK(MPI_Type_create_struct(2, lengths, where, members, &made));
  expect_bounds(made, 0, sizeof(Sample), "struct of double and char");
  EXPECT_OK(MPI_Type_free(&made));

  // Nothing has no bounds, wherever it would be.
  EXPECT_OK(MPI_Type_contiguous(0, MPI_DOUBLE, &made));
  expect_bounds(made, 0, 0, "nothing");
  lengths[0] = 0;
  places[0] = -50;
  types[0] = MPI_INT;
  EXPECT_OK(MPI_Type_create_struct(2, lengths, places, types, &again));
  expect_bounds(again, 100, 4, "struct with an empty block");
  EXPECT_OK(MPI_Type_free(&made));
  EXPECT_OK(MPI_Type_free(&again));
}

// The elements of a dimension that belong to one coordinate, in ascending order.
std::vector<int> owned(int length, int distribution, int argument, int places, int place) {
  int block = distribution == MPI_DISTRIBUTE_NONE     ? length
              : argument != MPI_DISTRIBUTE_DFLT_DARG  ? argument
              : distribution == MPI_DISTRIBUTE_CYCLIC ? 1
                                                      : (length + places - 1) / places;
  std::vector<int> result;
  for (int i = 0; i < length; ++i) {
    if (i / block % places == place) result.push_back(i);
  }
  return result;
}

// Which global elements a darray selects, found by packing an array of their own numbers.
void distributed_arrays() {
  check::Random random(1, check::rank);
  for (int round = 0; round < 150; ++round) {
    int dimensions = random.between(1, 3);
    int order = random.chance(50) ? MPI_ORDER_C : MPI_ORDER_FORTRAN;
    std::vector<int> lengths(dimensions), kinds(dimensions), blocks(dimensions), grid(dimensions);
    int size = 1, total = 1;
    for (int i = 0; i < dimensions; ++i) {
      lengths[i] = random.between(1, 9);
      kinds[i] = random.pick(
          std::vector<int>{MPI_DISTRIBUTE_NONE, MPI_DISTRIBUTE_BLOCK, MPI_DISTRIBUTE_CYCLIC});
      grid[i] = kinds[i] == MPI_DISTRIBUTE_NONE ? 1 : random.between(1, 3);
      blocks[i] = MPI_DISTRIBUTE_DFLT_DARG;
      if (kinds[i] != MPI_DISTRIBUTE_NONE && random.chance(50)) {
        int least = kinds[i] == MPI_DISTRIBUTE_BLOCK ? (lengths[i] + grid[i] - 1) / grid[i] : 1;
        blocks[i] = random.between(least, least + 2);
      }
      size *= grid[i];
      total *= lengths[i];
    }
    int rank = random.below(size), rest = rank;
    std::vector<std::vector<int>> mine(dimensions);
    for (int i = dimensions - 1; i >= 0; --i) {  // The grid is in row-major order.
      mine[i] = owned(lengths[i], kinds[i], blocks[i], grid[i], rest % grid[i]);
      rest /= grid[i];
    }
    std::vector<int> expected;
    int parts = 1;
    for (const auto& list : mine) parts *= int(list.size());
    for (int number = 0; number < parts; ++number) {
      int left = number, at = 0, step = 1;
      for (int j = 0; j < dimensions; ++j) {
        int i = order == MPI_ORDER_C ? dimensions - 1 - j : j;
        at += mine[i][left % mine[i].size()] * step;
        left /= int(mine[i].size());
        step *= lengths[i];
      }
      expected.push_back(at);
    }
    if (parts == 0 && !check::library_is_tern()) continue;
    MPI_Datatype type;
    EXPECT_OK(MPI_Type_create_darray(size, rank, dimensions, lengths.data(), kinds.data(),
                                     blocks.data(), grid.data(), order, MPI_INT, &type));
    EXPECT_OK(MPI_Type_commit(&type));
    expect_bounds(type, 0, total * MPI_Aint(sizeof(int)), "darray");
    std::vector<int> numbers(total), packed(parts + 1, -1);
    for (int i = 0; i < total; ++i) numbers[i] = i;
    int position = 0;
    EXPECT_OK(MPI_Pack(numbers.data(), 1, type, packed.data(), parts * int(sizeof(int)), &position,
                       MPI_COMM_WORLD));
    packed.resize(parts);
    EXPECT_MSG(packed == expected, "round %d: the darray selects other elements", round);
    EXPECT_OK(MPI_Type_free(&type));
  }
}

// Datatypes of more data than any machine has cost nothing until they are used.
void counts_without_memory() {
  constexpr int kMany = 2147483647;
  MPI_Datatype column, block, huge;
  EXPECT_OK(MPI_Type_vector(kMany, 1, 3, MPI_DOUBLE, &column));
  int size = 0;
  MPI_Count wide = 0, lb = 0;
  EXPECT_OK(MPI_Type_size(column, &size));
  EXPECT_EQ(size, MPI_UNDEFINED);
  EXPECT_OK(MPI_Type_size_x(column, &wide));
  EXPECT_EQ(wide, MPI_Count(kMany) * 8);
  EXPECT_OK(MPI_Type_get_extent_x(column, &lb, &wide));
  EXPECT_EQ(wide, (MPI_Count(kMany) - 1) * 24 + 8);
  EXPECT_OK(MPI_Type_contiguous(1000, column, &block));
  EXPECT_OK(MPI_Type_create_hvector(2, 1, -4096, block, &huge));
  EXPECT_OK(MPI_Type_commit(&huge));
  EXPECT_OK(MPI_Type_size_x(huge, &wide));
  EXPECT_EQ(wide, MPI_Count(kMany) * 16000);
  MPI_Status status;
  EXPECT_OK(MPI_Status_set_elements_x(&status, MPI_BYTE, MPI_Count(kMany) * 16000 - 8));
  EXPECT_OK(MPI_Get_elements_x(&status, huge, &wide));
  bool others = check::library_is("Open MPI");  // Gives up on the last part.
  EXPECT(wide == MPI_Count(kMany) * 2000 - 1 || others);
  EXPECT_OK(MPI_Get_elements(&status, huge, &size));
  EXPECT_EQ(size, MPI_UNDEFINED);
#if MPI_AT_LEAST(4, 0)
  if (!check::library_is("MPICH")) {
    MPI_Datatype larger;
    MPI_Count blocks = MPI_Count(1) << 33;
    EXPECT_OK(MPI_Type_vector_c(blocks, 3, 5, MPI_INT, &larger));
    EXPECT_OK(MPI_Type_size_c(larger, &wide));
    EXPECT_EQ(wide, blocks * 12);
    MPI_Count integers, addresses, counts, types;
    int combiner;
    EXPECT_OK(MPI_Type_get_envelope_c(larger, &integers, &addresses, &counts, &types, &combiner));
    EXPECT_EQ(counts, 3);
    EXPECT_OK(MPI_Type_free(&larger));
  }
#endif
  EXPECT_OK(MPI_Type_free(&huge));
  EXPECT_OK(MPI_Type_free(&block));
  EXPECT_OK(MPI_Type_free(&column));
}

// --- external32 ---

void expect_external(const void* value, MPI_Datatype type, int count,
                     const std::vector<unsigned char>& golden, const char* what) {
  MPI_Aint size = -1;
  EXPECT_OK(MPI_Pack_external_size("external32", count, type, &size));
  EXPECT_MSG(size == MPI_Aint(golden.size()), "%s: %ld bytes, expected %ld", what, long(size),
             long(golden.size()));
  if (size != MPI_Aint(golden.size())) return;
  std::vector<unsigned char> bytes(golden.size());
  MPI_Aint position = 0;
  EXPECT_OK(MPI_Pack_external("external32", value, count, type, bytes.data(), size, &position));
  EXPECT_EQ(long(position), long(size));
  EXPECT_MSG(bytes == golden, "%s: other bytes", what);
  // And back.
  int native = 0;
  MPI_Aint lb = 0, extent = 0;
  EXPECT_OK(MPI_Type_size(type, &native));
  EXPECT_OK(MPI_Type_get_extent(type, &lb, &extent));
  std::vector<unsigned char> back(extent * count + 16, 0xaa);
  position = 0;
  EXPECT_OK(
      MPI_Unpack_external("external32", golden.data(), size, &position, back.data(), count, type));
  int first = 0, second = 0;
  std::vector<unsigned char> one(native * count + 1), two(native * count + 1);
  EXPECT_OK(MPI_Pack(value, count, type, one.data(), native * count, &first, MPI_COMM_WORLD));
  EXPECT_OK(
      MPI_Pack(back.data(), count, type, two.data(), native * count, &second, MPI_COMM_WORLD));
  EXPECT_MSG(one == two || type == MPI_LONG_DOUBLE, "%s: does not come back", what);
}

void external32() {
  short s[] = {0x0102, -2};
  expect_external(s, MPI_SHORT, 2, {1, 2, 0xff, 0xfe}, "short");
  int i = 0x01020304;
  expect_external(&i, MPI_INT, 1, {1, 2, 3, 4}, "int");
  long long ll = 0x0102030405060708;
  expect_external(&ll, MPI_LONG_LONG, 1, {1, 2, 3, 4, 5, 6, 7, 8}, "long long");
  expect_external(&ll, MPI_INT64_T, 1, {1, 2, 3, 4, 5, 6, 7, 8}, "int64_t");
  MPI_Aint address = -2;
  expect_external(&address, MPI_AINT, 1, {255, 255, 255, 255, 255, 255, 255, 254}, "MPI_Aint");
  float f = 1.5f;
  expect_external(&f, MPI_FLOAT, 1, {0x3f, 0xc0, 0, 0}, "float");
  double d = -2.0;
  expect_external(&d, MPI_DOUBLE, 1, {0xc0, 0, 0, 0, 0, 0, 0, 0}, "double");
  float c[] = {1.5f, -2.0f};
  expect_external(c, MPI_C_FLOAT_COMPLEX, 1, {0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0}, "float complex");
  char text[] = "abc";
  expect_external(text, MPI_CHAR, 3, {'a', 'b', 'c'}, "char");
  bool truth[] = {true, false};
  expect_external(truth, MPI_C_BOOL, 2, {1, 0}, "bool");
  if (check::library_is_tern()) {  // The standard's sizes; others use their own, or convert
                                   // wrongly.
    long l[] = {1, -2};
    expect_external(l, MPI_LONG, 2, {0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe}, "long");
    unsigned long ul = 0xfffffffe;
    expect_external(&ul, MPI_UNSIGNED_LONG, 1, {0xff, 0xff, 0xff, 0xfe}, "unsigned long");
    wchar_t w = L'\x20ac';
    expect_external(&w, MPI_WCHAR, 1, {0x20, 0xac}, "wchar_t");
    // -1.5 as IEEE binary128.
    long double ld = -1.5L;
    expect_external(&ld, MPI_LONG_DOUBLE, 1,
                    {0xbf, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "long double");
    long double back = 0;
    MPI_Aint position = 0;
    unsigned char third[16];
    ld = 1.0L / 3;
    EXPECT_OK(MPI_Pack_external("external32", &ld, 1, MPI_LONG_DOUBLE, third, 16, &position));
    position = 0;
    EXPECT_OK(MPI_Unpack_external("external32", third, 16, &position, &back, 1, MPI_LONG_DOUBLE));
    EXPECT(back == ld);
    // A long that four bytes cannot hold.
    return_errors();
    l[0] = 1L << 40;
    position = 0;
    EXPECT_CLASS(MPI_Pack_external("external32", l, 1, MPI_LONG, third, 16, &position),
                 MPI_ERR_CONVERSION);
    EXPECT_EQ(long(position), 0L);
    struct {
      double value;
      int index;
    } pair = {1.0, 7};
    expect_external(&pair, MPI_DOUBLE_INT, 1, {0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}, "pair");
  }
  // A derived datatype converts element by element, with gaps and in its own order.
  struct Mixed {
    int number;
    char tag;
    double value;
  } mixed[] = {{1, 'x', 1.0}, {2, 'y', -1.0}};
  int lengths[] = {1, 1, 1};
  MPI_Aint places[] = {offsetof(Mixed, value), offsetof(Mixed, number), offsetof(Mixed, tag)};
  MPI_Datatype types[] = {MPI_DOUBLE, MPI_INT, MPI_CHAR}, made;
  EXPECT_OK(MPI_Type_create_struct(3, lengths, places, types, &made));
  made = committed(made);
  if (!check::library_is("MPICH") && !check::library_is("Open MPI")) {
    expect_external(mixed, made, 2, {0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'x',
                                     0xbf, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 'y'},
                    "struct");
  }
  EXPECT_OK(MPI_Type_free(&made));
}

// --- Datatypes by kind and size ---

void by_kind_and_size() {
  return_errors();
  MPI_Datatype type, same;
  int size = 0;
  struct Case {
    int typeclass, size;
  };
  for (Case wanted : {Case{MPI_TYPECLASS_INTEGER, 4}, Case{MPI_TYPECLASS_INTEGER, 8},
                      Case{MPI_TYPECLASS_REAL, 4}, Case{MPI_TYPECLASS_REAL, 8},
                      Case{MPI_TYPECLASS_COMPLEX, 8}, Case{MPI_TYPECLASS_COMPLEX, 16}}) {
    if (EXPECT_OK(MPI_Type_match_size(wanted.typeclass, wanted.size, &type))) {
      EXPECT_OK(MPI_Type_size(type, &size));
      EXPECT_EQ(size, wanted.size);
    }
  }
  EXPECT_CLASS(MPI_Type_match_size(MPI_TYPECLASS_REAL, 5, &type), MPI_ERR_ARG);
  if (!check::library_is_tern())
    return;  // Others know the kinds of the Fortran they were built with.
  EXPECT_CLASS(MPI_Type_match_size(77, 4, &type), MPI_ERR_ARG);
  for (Case wanted : {Case{2, 1}, Case{4, 2}, Case{9, 4}, Case{18, 8}, Case{38, 16}}) {
    EXPECT_OK(MPI_Type_create_f90_integer(wanted.typeclass, &type));
    EXPECT_OK(MPI_Type_size(type, &size));
    EXPECT_EQ(size, wanted.size);
  }
  EXPECT_CLASS(MPI_Type_create_f90_integer(39, &type), MPI_ERR_ARG);
  EXPECT_OK(MPI_Type_create_f90_real(15, MPI_UNDEFINED, &type));
  EXPECT_OK(MPI_Type_size(type, &size));
  EXPECT_EQ(size, 8);
  EXPECT_OK(MPI_Type_create_f90_real(15, MPI_UNDEFINED, &same));
  EXPECT(type == same);
  EXPECT_OK(MPI_Type_create_f90_complex(6, 30, &same));
  EXPECT_OK(MPI_Type_size(same, &size));
  EXPECT_EQ(size, 8);
  EXPECT_CLASS(MPI_Type_create_f90_real(MPI_UNDEFINED, MPI_UNDEFINED, &same), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Type_create_f90_real(40, 10, &same), MPI_ERR_ARG);
  int integers, addresses, types, combiner, arguments[2];
  EXPECT_OK(MPI_Type_get_envelope(type, &integers, &addresses, &types, &combiner));
  EXPECT(combiner == MPI_COMBINER_F90_REAL && integers == 2 && addresses == 0 && types == 0);
  EXPECT_OK(MPI_Type_get_contents(type, 2, 0, 0, arguments, nullptr, nullptr));
  EXPECT(arguments[0] == 15 && arguments[1] == MPI_UNDEFINED);
  // It is predefined: committed, computed with, converted, and never freed.
  double numbers[] = {1, 2}, sums[] = {0, 0};
  EXPECT_OK(MPI_Allreduce(numbers, sums, 2, type, MPI_SUM, MPI_COMM_SELF));
  EXPECT(sums[0] == 1 && sums[1] == 2);
  MPI_Aint external = 0;
  EXPECT_OK(MPI_Pack_external_size("external32", 3, type, &external));
  EXPECT_EQ(long(external), 24L);
  EXPECT_CLASS(MPI_Type_free(&type), MPI_ERR_TYPE);
#if MPI_AT_LEAST(4, 1)
  EXPECT_OK(MPI_Type_get_value_index(MPI_DOUBLE, MPI_INT, &type));
  EXPECT(type == MPI_DOUBLE_INT);
  EXPECT_OK(MPI_Type_get_value_index(MPI_INTEGER, MPI_INTEGER, &type));
  EXPECT(type == MPI_2INTEGER);
  EXPECT_OK(MPI_Type_get_value_index(MPI_CHAR, MPI_DOUBLE, &type));
  EXPECT(type == MPI_DATATYPE_NULL);
#endif
}

// --- Names, attributes, lifetimes ---

void names() {
  char name[MPI_MAX_OBJECT_NAME];
  int length = -1;
  EXPECT_OK(MPI_Type_get_name(MPI_DOUBLE, name, &length));
  EXPECT_EQ(std::string(name), std::string("MPI_DOUBLE"));
  MPI_Datatype type;
  EXPECT_OK(MPI_Type_contiguous(3, MPI_INT, &type));
  EXPECT_OK(MPI_Type_get_name(type, name, &length));
  EXPECT_EQ(length, 0);
  EXPECT_OK(MPI_Type_set_name(type, "triple"));
  EXPECT_OK(MPI_Type_get_name(type, name, &length));
  EXPECT_EQ(std::string(name), std::string("triple"));
  EXPECT_EQ(length, 6);
  EXPECT_OK(MPI_Type_free(&type));
}

int deleted = 0, copied = 0;

int copy_attribute(MPI_Datatype, int, void* extra, void* value, void* result, int* flag) {
  ++copied;
  *static_cast<void**>(result) = static_cast<char*>(value) + 1;
  *flag = 1;
  return extra == nullptr ? MPI_SUCCESS : MPI_ERR_OTHER;
}

int delete_attribute(MPI_Datatype, int, void*, void*) {
  ++deleted;
  return MPI_SUCCESS;
}

void attributes() {
  return_errors();
  deleted = copied = 0;
  int key = 0, shared = 0, flag = -1;
  EXPECT_OK(MPI_Type_create_keyval(copy_attribute, delete_attribute, &key, nullptr));
  EXPECT_OK(MPI_Type_create_keyval(MPI_TYPE_DUP_FN, MPI_TYPE_NULL_DELETE_FN, &shared, nullptr));
  MPI_Datatype type, twin;
  EXPECT_OK(MPI_Type_contiguous(2, MPI_INT, &type));
  char place[4];
  void* value = nullptr;
  EXPECT_OK(MPI_Type_get_attr(type, key, &value, &flag));
  EXPECT_EQ(flag, 0);
  EXPECT_OK(MPI_Type_set_attr(type, key, place));
  EXPECT_OK(MPI_Type_set_attr(type, shared, place + 2));
  EXPECT_OK(MPI_Type_dup(type, &twin));
  EXPECT_EQ(copied, 1);
  EXPECT_OK(MPI_Type_get_attr(twin, key, &value, &flag));
  EXPECT(flag != 0 && value == place + 1);
  EXPECT_OK(MPI_Type_get_attr(twin, shared, &value, &flag));
  EXPECT(flag != 0 && value == place + 2);
  EXPECT_OK(MPI_Type_delete_attr(twin, key));
  EXPECT_EQ(deleted, 1);
  EXPECT_OK(MPI_Type_free(&twin));
  EXPECT_EQ(deleted, 1);
  EXPECT_OK(MPI_Type_free(&type));
  EXPECT_EQ(deleted, 2);
  int comm_key = 0;
  EXPECT_OK(
      MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, MPI_COMM_NULL_DELETE_FN, &comm_key, nullptr));
  if (!check::library_is("MPICH")) {
    EXPECT_CLASS(MPI_Type_set_attr(MPI_INT, comm_key, place), MPI_ERR_KEYVAL, MPI_ERR_OTHER);
  }
  EXPECT_OK(MPI_Comm_free_keyval(&comm_key));
  EXPECT_OK(MPI_Type_free_keyval(&key));
  EXPECT_EQ(key, int(MPI_KEYVAL_INVALID));
  EXPECT_OK(MPI_Type_free_keyval(&shared));
}

// Datatypes keep what they are made of; what was decoded is freed on its own.
void lifetimes() {
  MPI_Datatype inner, outer, got;
  EXPECT_OK(MPI_Type_vector(2, 1, 2, MPI_INT, &inner));
  MPI_Datatype first = inner;
  EXPECT_OK(MPI_Type_contiguous(2, inner, &outer));
  EXPECT_OK(MPI_Type_free(&inner));
  int count = 0;
  EXPECT_OK(MPI_Type_get_contents(outer, 1, 0, 1, &count, nullptr, &got));
  expect_bounds(got, 0, 12, "decoded");
  EXPECT_OK(MPI_Type_free(&got));
  outer = committed(outer);
  int numbers[] = {1, 2, 3, 4, 5, 6}, packed[4] = {0}, position = 0;
  EXPECT_OK(MPI_Pack(numbers, 1, outer, packed, sizeof packed, &position, MPI_COMM_WORLD));
  EXPECT(packed[0] == 1 && packed[1] == 3 && packed[2] == 4 && packed[3] == 6);
  EXPECT_OK(MPI_Type_free(&outer));
  (void)first;
  // A long chain, each link freed at once.
  MPI_Datatype chain;
  EXPECT_OK(MPI_Type_contiguous(1, MPI_INT, &chain));
  for (int i = 0; i < 500; ++i) {
    MPI_Datatype next;
    EXPECT_OK(MPI_Type_contiguous(1, chain, &next));
    EXPECT_OK(MPI_Type_free(&chain));
    chain = next;
  }
  expect_bounds(chain, 0, 4, "chain");
  EXPECT_OK(MPI_Type_free(&chain));
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv,
                     {{"bounds", bounds},
                      {"distributed_arrays", distributed_arrays},
                      {"counts_without_memory", counts_without_memory},
                      {"external32", external32},
                      {"by_kind_and_size", by_kind_and_size},
                      {"names", names},
                      {"attributes", attributes},
                      {"lifetimes", lifetimes}});
}
