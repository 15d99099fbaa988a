// Operations and predefined datatypes as objects. That every legal combination gives the right
// result in collectives is tests/mpi/coll_reduce.cc's; here are the corners that need no second
// process.
#include "mpi_api/op.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "mpi_api/errors.h"

namespace tern::mpi {
namespace {

const Datatype& type_of(MPI_Datatype handle) {
  make_predefined_datatypes();
  return *to_datatype(handle);
}
const Op& op_of(MPI_Op handle) {
  make_predefined_ops();
  return *to_op(handle);
}

template <class T>
T applied(MPI_Op op, MPI_Datatype type, T a, T b) {
  EXPECT_EQ(check_reduction(op_of(op), type_of(type)), MPI_SUCCESS);
  op_of(op).apply(&a, &b, 1, type_of(type));
  return b;
}

TEST(Datatype, SizesAreThoseOfTheCompilersTypes) {
  struct Expected {
    MPI_Datatype handle;
    std::size_t size;
    std::size_t extent;
  };
  struct ShortInt {
    short value;
    int index;
  };
  struct LongInt {
    long value;
    int index;
  };
  struct DoubleInt {
    double value;
    int index;
  };
  struct LongDoubleInt {
    long double value;
    int index;
  };
  const Expected all[] = {
      {MPI_CHAR, 1, 1},
      {MPI_WCHAR, sizeof(wchar_t), sizeof(wchar_t)},
      {MPI_SHORT, sizeof(short), sizeof(short)},
      {MPI_LONG, sizeof(long), sizeof(long)},
      {MPI_LONG_DOUBLE, sizeof(long double), sizeof(long double)},
      {MPI_C_LONG_DOUBLE_COMPLEX, 2 * sizeof(long double), 2 * sizeof(long double)},
      {MPI_AINT, sizeof(MPI_Aint), sizeof(MPI_Aint)},
      {MPI_FLOAT_INT, 8, 8},
      {MPI_2INT, 8, 8},
      {MPI_SHORT_INT, sizeof(short) + sizeof(int), sizeof(ShortInt)},
      {MPI_LONG_INT, sizeof(long) + sizeof(int), sizeof(LongInt)},
      {MPI_DOUBLE_INT, sizeof(double) + sizeof(int), sizeof(DoubleInt)},
      {MPI_LONG_DOUBLE_INT, sizeof(long double) + sizeof(int), sizeof(LongDoubleInt)},
      {MPI_INTEGER, 4, 4},
      {MPI_LOGICAL, 4, 4},
      {MPI_DOUBLE_PRECISION, 8, 8},
      {MPI_DOUBLE_COMPLEX, 16, 16},
      {MPI_REAL16, 16, 16},
      {MPI_INTEGER16, 16, 16},
      {MPI_COMPLEX32, 32, 32},
      {MPI_2DOUBLE_PRECISION, 16, 16},
      {MPI_PACKED, 1, 1},
  };
  for (const Expected& expected : all) {
    const Datatype& type = type_of(expected.handle);
    SCOPED_TRACE(type.name);
    EXPECT_TRUE(type.supported());
    EXPECT_TRUE(type.committed());
    EXPECT_EQ(type.layout().size(), expected.size);
    EXPECT_EQ(type.extent(), static_cast<MPI_Count>(expected.extent));
    EXPECT_EQ(type.layout().lower_bound(), 0);
  }
}

TEST(Datatype, NamesAreThoseOfTheStandard) {
  EXPECT_EQ(type_of(MPI_INT).name, "MPI_INT");
  EXPECT_EQ(type_of(MPI_2DOUBLE_PRECISION).name, "MPI_2DOUBLE_PRECISION");
  EXPECT_EQ(to_handle(&type_of(MPI_INT)), MPI_INT);
}

TEST(Op, SignedSumsAndProductsWrapAround) {
  constexpr int kMost = std::numeric_limits<int>::max();
  EXPECT_EQ(applied(MPI_SUM, MPI_INT, kMost, 1), std::numeric_limits<int>::min());
  EXPECT_EQ(applied(MPI_PROD, MPI_INT, kMost, 2), -2);
  EXPECT_EQ(applied<unsigned short>(MPI_PROD, MPI_UNSIGNED_SHORT, 65535, 65535), 1);
  EXPECT_EQ(applied<signed char>(MPI_SUM, MPI_SIGNED_CHAR, 127, 1), -128);
  EXPECT_EQ(applied<long long>(MPI_PROD, MPI_LONG_LONG, 1LL << 62, 2),
            std::numeric_limits<long long>::min());
}

TEST(Op, ComplexProductsAreProducts) {
  const std::complex<double> a(1.5, -2), b(0.25, 3);
  EXPECT_EQ(applied(MPI_PROD, MPI_C_DOUBLE_COMPLEX, a, b), a * b);
  EXPECT_EQ(applied(MPI_SUM, MPI_C_DOUBLE_COMPLEX, a, b), a + b);
  const std::complex<long double> c(3, 4);
  EXPECT_EQ(applied(MPI_PROD, MPI_C_LONG_DOUBLE_COMPLEX, c, c), c * c);
}

// The standard leaves these out, all other MPIs have them, and so programs use them.
TEST(Op, CharsAreIntegersAndIntegersHaveTruthValues) {
  EXPECT_EQ(applied<char>(MPI_SUM, MPI_CHAR, 3, 4), 7);
  EXPECT_EQ(applied<char>(MPI_MAX, MPI_CHAR, -3, 4), 4);
  EXPECT_EQ(applied<char>(MPI_BOR, MPI_CHAR, 1, 2), 3);
  EXPECT_EQ(applied<MPI_Aint>(MPI_LOR, MPI_AINT, 0, 7), 1);
  EXPECT_EQ(applied<MPI_Count>(MPI_LAND, MPI_COUNT, 2, 4), 1);
  EXPECT_EQ(applied(MPI_LXOR, MPI_INTEGER, 2, 4), 0);
}

TEST(Op, LogicalResultsAreZeroOrOne) {
  EXPECT_EQ(applied(MPI_LAND, MPI_INT, 4, 2), 1);
  EXPECT_EQ(applied(MPI_LOR, MPI_INT, 0, -8), 1);
  EXPECT_EQ(applied(MPI_LXOR, MPI_INT, 4, 2), 0);
  EXPECT_EQ(applied(MPI_LXOR, MPI_LOGICAL, 0, 7), 1);
  EXPECT_TRUE(applied(MPI_LAND, MPI_C_BOOL, true, true));
}

TEST(Op, LocationsPreferTheLowerIndexAndLeavePaddingAlone) {
  struct DoubleInt {
    double value;
    int index;
  };
  alignas(DoubleInt) unsigned char in[sizeof(DoubleInt)];
  alignas(DoubleInt) unsigned char inout[sizeof(DoubleInt)];
  const auto set = [](unsigned char* place, double value, int index, int padding) {
    std::memset(place, padding, sizeof(DoubleInt));
    std::memcpy(place, &value, sizeof value);
    std::memcpy(place + offsetof(DoubleInt, index), &index, sizeof index);
  };
  set(in, 2.0, 3, 0x11);
  set(inout, 2.0, 5, 0x22);
  op_of(MPI_MAXLOC).apply(in, inout, 1, type_of(MPI_DOUBLE_INT));
  unsigned char expected[sizeof(DoubleInt)];
  set(expected, 2.0, 3, 0x22);
  EXPECT_EQ(std::memcmp(inout, expected, sizeof expected), 0);
}

TEST(Op, HalfAndQuadruplePrecisionWork) {
  if (type_of(MPI_REAL2).supported()) {
    const std::uint16_t one = 0x3c00, two = 0x4000, three = 0x4200;
    EXPECT_EQ(applied(MPI_SUM, MPI_REAL2, one, two), three);
  }
  if (type_of(MPI_REAL16).supported()) {
    __extension__ using Quad = __float128;
    EXPECT_TRUE(applied(MPI_PROD, MPI_REAL16, Quad(1.5), Quad(4)) == Quad(6));
  }
}

TEST(Op, RefusalsNameOperationAndDatatype) {
  EXPECT_EQ(check_reduction(op_of(MPI_SUM), type_of(MPI_WCHAR)), MPI_ERR_OP);
  const std::string text(last_failure(MPI_ERR_OP));
  EXPECT_NE(text.find("MPI_SUM"), std::string::npos) << text;
  EXPECT_NE(text.find("MPI_WCHAR"), std::string::npos) << text;
  EXPECT_EQ(check_reduction(op_of(MPI_BAND), type_of(MPI_DOUBLE)), MPI_ERR_OP);
  EXPECT_EQ(check_reduction(op_of(MPI_MAX), type_of(MPI_C_DOUBLE_COMPLEX)), MPI_ERR_OP);
  EXPECT_EQ(check_reduction(op_of(MPI_MINLOC), type_of(MPI_INT)), MPI_ERR_OP);
  EXPECT_EQ(check_reduction(op_of(MPI_LAND), type_of(MPI_FLOAT)), MPI_ERR_OP);
  EXPECT_EQ(check_reduction(op_of(MPI_SUM), type_of(MPI_CHARACTER)), MPI_ERR_OP);
  EXPECT_EQ(check_reduction(op_of(MPI_REPLACE), type_of(MPI_INT)), MPI_ERR_OP);
  EXPECT_EQ(check_reduction(op_of(MPI_SUM), type_of(MPI_PACKED)), MPI_ERR_OP);
  const Datatype derived(Layout::dense(4), Basic::kNone, "");
  EXPECT_EQ(check_reduction(op_of(MPI_SUM), derived), MPI_ERR_OP);
}

std::vector<int> pieces;
void note_piece(void*, void*, int* count, MPI_Datatype*) { pieces.push_back(*count); }

TEST(Op, CountsBeyondAnIntReachTheUserInPieces) {
  const Op op(&note_piece, true);
  const Datatype nothing(Layout(std::vector<Block>{}, 0, 0), Basic::kNone, "");
  int memory = 0;
  constexpr MPI_Count kIntMax = std::numeric_limits<int>::max();
  pieces.clear();
  op.apply(&memory, &memory, 2 * kIntMax + 5, nothing);
  EXPECT_EQ(pieces, (std::vector<int>{static_cast<int>(kIntMax), static_cast<int>(kIntMax), 5}));
}

MPI_Count noted_count = 0;
MPI_Datatype noted_type = MPI_DATATYPE_NULL;
void note_large(void*, void*, MPI_Count* count, MPI_Datatype* type) {
  noted_count = *count;
  noted_type = *type;
}

TEST(Op, TheLargeCountFormGetsAllAtOnceAndTheUsersHandle) {
  const Op op(&note_large, false);
  EXPECT_FALSE(op.commutative());
  int in = 1, inout = 2;
  op.apply(&in, &inout, 1, type_of(MPI_INT));
  EXPECT_EQ(noted_count, 1);
  EXPECT_EQ(noted_type, MPI_INT);
}

TEST(Op, ReplaceAndNoOpWorkOnAnyDatatype) {
  const Datatype gapped(Layout({{0, 1}, {2, 1}}, 0, 4), Basic::kNone, "gapped");
  unsigned char in[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  unsigned char inout[8] = {};
  op_of(MPI_NO_OP).apply(in, inout, 2, gapped);
  EXPECT_EQ(inout[0], 0);
  op_of(MPI_REPLACE).apply(in, inout, 2, gapped);
  const unsigned char expected[8] = {1, 0, 3, 0, 5, 0, 7, 0};
  EXPECT_EQ(std::memcmp(inout, expected, sizeof expected), 0);
}

}  // namespace
}  // namespace tern::mpi
