// tests/mpi/p2p_status.cc - what a status says: counts for all predefined types, setters, getters.
//
// Messages of every predefined datatype travel between ring neighbours; MPI_Get_count and
// MPI_Get_elements are compared with what was sent, including partly filled pair types.
#include <cstddef>
#include <cwchar>

#include "buffer.h"

namespace {

using check::Random;

int to() { return (check::rank + 1) % check::size; }
int from() { return (check::rank + check::size - 1) % check::size; }

// A predefined type: bytes on the wire (MPI_Type_size), bytes in memory, basic elements inside.
struct Type {
  const char* name;
  MPI_Datatype handle;
  int size;
  int extent;
  int elements;
  int first = size;  // Bytes of the first part of a pair,
  int offset = 0;    // and where its second part starts.
};

template <typename A, typename B>
struct Pair {
  A value;
  B index;
};

template <typename A, typename B>
int offsetof_index() {
  return static_cast<int>(offsetof(decltype(Pair<A, B>()), index));
}

#define SIMPLE(mpi, c) \
  { #mpi, mpi, sizeof(c), sizeof(c), 1 }
#define PAIR(mpi, a, b) \
  { #mpi, mpi, sizeof(a) + sizeof(b), sizeof(Pair <a, b>), 2, sizeof(a), offsetof_index < a, b>() }
const std::vector<Type>& types() {
  static const std::vector<Type> list = {SIMPLE(MPI_CHAR, char),
                                         SIMPLE(MPI_SIGNED_CHAR, char),
                                         SIMPLE(MPI_UNSIGNED_CHAR, char),
                                         SIMPLE(MPI_BYTE, char),
                                         SIMPLE(MPI_WCHAR, wchar_t),
                                         SIMPLE(MPI_SHORT, short),
                                         SIMPLE(MPI_UNSIGNED_SHORT, short),
                                         SIMPLE(MPI_INT, int),
                                         SIMPLE(MPI_UNSIGNED, int),
                                         SIMPLE(MPI_LONG, long),
                                         SIMPLE(MPI_UNSIGNED_LONG, long),
                                         SIMPLE(MPI_LONG_LONG, long long),
                                         SIMPLE(MPI_LONG_LONG_INT, long long),
                                         SIMPLE(MPI_UNSIGNED_LONG_LONG, long long),
                                         SIMPLE(MPI_FLOAT, float),
                                         SIMPLE(MPI_DOUBLE, double),
                                         SIMPLE(MPI_LONG_DOUBLE, long double),
                                         SIMPLE(MPI_C_BOOL, bool),
                                         SIMPLE(MPI_CXX_BOOL, bool),
                                         SIMPLE(MPI_INT8_T, char),
                                         SIMPLE(MPI_INT16_T, short),
                                         SIMPLE(MPI_INT32_T, int),
                                         SIMPLE(MPI_INT64_T, long),
                                         SIMPLE(MPI_UINT8_T, char),
                                         SIMPLE(MPI_UINT16_T, short),
                                         SIMPLE(MPI_UINT32_T, int),
                                         SIMPLE(MPI_UINT64_T, long),
                                         SIMPLE(MPI_AINT, MPI_Aint),
                                         SIMPLE(MPI_COUNT, MPI_Count),
                                         SIMPLE(MPI_OFFSET, MPI_Offset),
                                         SIMPLE(MPI_C_COMPLEX, float[2]),
                                         SIMPLE(MPI_C_FLOAT_COMPLEX, float[2]),
                                         SIMPLE(MPI_C_DOUBLE_COMPLEX, double[2]),
                                         SIMPLE(MPI_C_LONG_DOUBLE_COMPLEX, long double[2]),
                                         SIMPLE(MPI_CXX_FLOAT_COMPLEX, float[2]),
                                         SIMPLE(MPI_CXX_DOUBLE_COMPLEX, double[2]),
                                         SIMPLE(MPI_CXX_LONG_DOUBLE_COMPLEX, long double[2]),
                                         SIMPLE(MPI_INTEGER, int),
                                         SIMPLE(MPI_REAL, float),
                                         SIMPLE(MPI_DOUBLE_PRECISION, double),
                                         SIMPLE(MPI_COMPLEX, float[2]),
                                         SIMPLE(MPI_DOUBLE_COMPLEX, double[2]),
                                         SIMPLE(MPI_LOGICAL, int),
                                         SIMPLE(MPI_CHARACTER, char),
                                         SIMPLE(MPI_INTEGER1, char),
                                         SIMPLE(MPI_INTEGER2, short),
                                         SIMPLE(MPI_INTEGER4, int),
                                         SIMPLE(MPI_INTEGER8, long),
                                         SIMPLE(MPI_REAL4, float),
                                         SIMPLE(MPI_REAL8, double),
                                         SIMPLE(MPI_COMPLEX8, float[2]),
                                         SIMPLE(MPI_COMPLEX16, double[2]),
                                         PAIR(MPI_FLOAT_INT, float, int),
                                         PAIR(MPI_DOUBLE_INT, double, int),
                                         PAIR(MPI_LONG_INT, long, int),
                                         PAIR(MPI_2INT, int, int),
                                         PAIR(MPI_SHORT_INT, short, int),
                                         PAIR(MPI_LONG_DOUBLE_INT, long double, int),
                                         PAIR(MPI_2INTEGER, int, int),
                                         PAIR(MPI_2REAL, float, float),
                                         PAIR(MPI_2DOUBLE_PRECISION, double, double)};
  return list;
}

void sizes_of_predefined_types() {
  for (const Type& type : types()) {
    int size = -1;
    EXPECT_OK(MPI_Type_size(type.handle, &size));
    EXPECT_MSG(size == type.size, "%s has size %d, expected %d", type.name, size, type.size);
  }
}

// Pair types have two basic elements (the standard defines them as structs of two). MPICH 4.0
// crashes when asked about an empty message of them, Open MPI 4.1 counts one, and both set one.
bool counts_elements_of_pairs() {
  return !check::library_is("MPICH") && !check::library_is("Open MPI");
}

void expect_counts(const MPI_Status& status, const Type& type, int count, int elements) {
  int got_count = -7, got_elements = -7;
  EXPECT_OK(MPI_Get_count(&status, type.handle, &got_count));
  EXPECT_MSG(got_count == count, "%s: count %d, expected %d", type.name, got_count, count);
  if (type.elements > 1 && !counts_elements_of_pairs()) return;
  EXPECT_OK(MPI_Get_elements(&status, type.handle, &got_elements));
  EXPECT_MSG(got_elements == elements, "%s: elements %d, expected %d", type.name, got_elements,
             elements);
  MPI_Count wide = -7;
  EXPECT_OK(MPI_Get_elements_x(&status, type.handle, &wide));
  EXPECT_MSG(wide == elements, "%s: MPI_Get_elements_x %lld", type.name, (long long)wide);
}

// Random counts of every type; bytes that belong to a pair's padding may differ, so pairs are
// compared by their parts.
bool same_values(const Type& type, const unsigned char* a, const unsigned char* b, int count) {
  for (int i = 0; i < count; ++i) {
    const unsigned char *x = a + std::size_t(i) * type.extent,
                        *y = b + std::size_t(i) * type.extent;
    if (std::memcmp(x, y, type.first)) return false;
    int second = type.size - type.first;
    if (second && std::memcmp(x + type.offset, y + type.offset, second)) return false;
  }
  return true;
}

void messages_of_every_type() {
  for (const Type& type : types()) {
    for (int round = 0; round < 4; ++round) {
      Random mine(1, check::rank, round, type.size), theirs(1, from(), round, type.size);
      int out_count = round ? mine.below(3000) : 0, in_count = round ? theirs.below(3000) : 0;
      std::vector<unsigned char> out(std::size_t(out_count + 1) * type.extent);
      std::vector<unsigned char> in(std::size_t(in_count + 5) * type.extent, 0xEE),
          expected(in.size());
      check::fill(out.data(), out.size(), check::rank + 100 * round);
      check::fill(expected.data(), std::size_t(in_count + 1) * type.extent, from() + 100 * round);
      MPI_Status status;
      EXPECT_OK(MPI_Sendrecv(out.data(), out_count, type.handle, to(), 1, in.data(), in_count + 4,
                             type.handle, from(), 1, MPI_COMM_WORLD, &status));
      expect_counts(status, type, in_count, in_count * type.elements);
      EXPECT_MSG(same_values(type, in.data(), expected.data(), in_count), "%s: wrong values",
                 type.name);
      bool clean = true;
      for (std::size_t i = std::size_t(in_count) * type.extent; i < in.size(); ++i)
        clean &= in[i] == 0xEE;
      EXPECT_MSG(clean, "%s: wrote behind the last element", type.name);
    }
  }
}

// An odd number of ints fills a pair type only partly: no whole count, but the elements are known.
void partly_received_pairs() {
  if (!counts_elements_of_pairs()) return;
  for (int count : {0, 1, 2, 3, 7, 2001}) {
    std::vector<int> out(count), in(count + 3, -1);
    for (int i = 0; i < count; ++i) out[i] = check::rank * 1000 + i;
    MPI_Status status;
    EXPECT_OK(MPI_Sendrecv(out.data(), count, MPI_INT, to(), 1, in.data(), (count + 3) / 2,
                           MPI_2INT, from(), 1, MPI_COMM_WORLD, &status));
    Type pair = {"MPI_2INT", MPI_2INT, 8, 8, 2};
    expect_counts(status, pair, count % 2 ? MPI_UNDEFINED : count / 2, count);
    for (int i = 0; i < count; ++i) EXPECT_EQ(in[i], from() * 1000 + i);
    for (int i = count; i < count + 3; ++i) EXPECT_EQ(in[i], -1);
  }
}

void counts_in_a_type_that_does_not_fit() {
  char out[7] = {}, in[7];
  MPI_Status status;
  MPI_Sendrecv(out, 7, MPI_BYTE, to(), 1, in, 7, MPI_BYTE, from(), 1, MPI_COMM_WORLD, &status);
  int count = 0;
  EXPECT_OK(MPI_Get_count(&status, MPI_INT, &count));
  EXPECT_EQ(count, MPI_UNDEFINED);
  EXPECT_OK(MPI_Get_count(&status, MPI_BYTE, &count));
  EXPECT_EQ(count, 7);
}

void status_setters() {
  Random random(2, check::rank);
  for (const Type& type : types()) {
    if (type.elements > 1 && !counts_elements_of_pairs()) continue;
    MPI_Status status = {};
    int elements = random.below(1000);
    EXPECT_OK(MPI_Status_set_elements(&status, type.handle, elements));
    bool whole = elements % type.elements == 0;
    expect_counts(status, type, whole ? elements / type.elements : MPI_UNDEFINED, elements);
    EXPECT_OK(MPI_Status_set_elements_x(&status, type.handle, elements + 1));
    whole = (elements + 1) % type.elements == 0;
    expect_counts(status, type, whole ? (elements + 1) / type.elements : MPI_UNDEFINED,
                  elements + 1);
  }
  MPI_Status status = {};
  int flag = -1;
  status.MPI_SOURCE = 5;
  status.MPI_TAG = 6;
  EXPECT_OK(MPI_Status_set_elements(&status, MPI_INT, 12));
  for (int cancelled : {1, 0}) {  // The cancelled mark and the count do not disturb each other.
    EXPECT_OK(MPI_Status_set_cancelled(&status, cancelled));
    EXPECT_OK(MPI_Test_cancelled(&status, &flag));
    EXPECT_EQ(flag, cancelled);
    EXPECT_OK(MPI_Status_set_elements(&status, MPI_INT, 13));
    EXPECT_OK(MPI_Test_cancelled(&status, &flag));
    EXPECT_EQ(flag, cancelled);
    MPI_Get_count(&status, MPI_INT, &flag);
    EXPECT_EQ(flag, 13);
  }
  EXPECT_EQ(status.MPI_SOURCE, 5);
  EXPECT_EQ(status.MPI_TAG, 6);
}

// Counts beyond an int: exact through MPI_Count, MPI_UNDEFINED through int.
void huge_counts() {
  MPI_Status status = {};
  int narrow = 0;
  MPI_Count wide = 0, huge = 5000000000;
  EXPECT_OK(MPI_Status_set_elements_x(&status, MPI_BYTE, huge));
  EXPECT_OK(MPI_Get_elements(&status, MPI_BYTE, &narrow));
  EXPECT_EQ(narrow, MPI_UNDEFINED);
  EXPECT_OK(MPI_Get_count(&status, MPI_BYTE, &narrow));
  EXPECT_EQ(narrow, MPI_UNDEFINED);
  EXPECT_OK(MPI_Get_elements_x(&status, MPI_BYTE, &wide));
  EXPECT_EQ(wide, huge);
  EXPECT_OK(MPI_Get_count(&status, MPI_DOUBLE, &narrow));
  EXPECT_EQ(narrow, 625000000);
#if MPI_AT_LEAST(4, 0)
  EXPECT_OK(MPI_Get_count_c(&status, MPI_BYTE, &wide));
  EXPECT_EQ(wide, huge);
  wide = 0;
  EXPECT_OK(MPI_Get_elements_c(&status, MPI_BYTE, &wide));
  EXPECT_EQ(wide, huge);
#endif
#if MPI_AT_LEAST(4, 1)
  EXPECT_OK(MPI_Status_set_elements_c(&status, MPI_BYTE, huge + 1));
  EXPECT_OK(MPI_Get_count_c(&status, MPI_BYTE, &wide));
  EXPECT_EQ(wide, huge + 1);
#endif
}

#if MPI_AT_LEAST(4, 1)
void status_fields_by_function() {
  MPI_Status status = {};
  int value = 0;
  EXPECT_OK(MPI_Status_set_source(&status, 3));
  EXPECT_OK(MPI_Status_set_tag(&status, 4));
  EXPECT_OK(MPI_Status_set_error(&status, MPI_ERR_TAG));
  EXPECT_EQ(status.MPI_SOURCE, 3);
  EXPECT_EQ(status.MPI_TAG, 4);
  EXPECT_EQ(status.MPI_ERROR, MPI_ERR_TAG);
  status.MPI_SOURCE = 30;
  status.MPI_TAG = 40;
  status.MPI_ERROR = MPI_ERR_RANK;
  EXPECT_OK(MPI_Status_get_source(&status, &value));
  EXPECT_EQ(value, 30);
  EXPECT_OK(MPI_Status_get_tag(&status, &value));
  EXPECT_EQ(value, 40);
  EXPECT_OK(MPI_Status_get_error(&status, &value));
  EXPECT_EQ(value, MPI_ERR_RANK);
  int mine = check::rank, got = -1;
  MPI_Sendrecv(&mine, 1, MPI_INT, to(), 9, &got, 1, MPI_INT, from(), 9, MPI_COMM_WORLD, &status);
  EXPECT_OK(MPI_Status_get_source(&status, &value));
  EXPECT_EQ(value, from());
}
#endif

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv, {
    {"sizes_of_predefined_types", sizes_of_predefined_types},
        {"messages_of_every_type", messages_of_every_type},
        {"partly_received_pairs", partly_received_pairs},
        {"counts_in_a_type_that_does_not_fit", counts_in_a_type_that_does_not_fit},
        {"status_setters", status_setters}, {"huge_counts", huge_counts},
#if MPI_AT_LEAST(4, 1)
        {"status_fields_by_function", status_fields_by_function},
#endif
  });
}
