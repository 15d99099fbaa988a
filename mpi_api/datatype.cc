// mpi_api/datatype.cc - the predefined datatypes: which handle, which name, which memory.
//
// Fortran types have the sizes of gfortran's default kinds. Threading: see datatype.h.
#include "mpi_api/datatype.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "core/check.h"
#include "mpi_api/datatype_build.h"

namespace tern::mpi {
namespace {

template <class Value, class Index>
struct Pair {
  Value value;
  Index index;
};

template <class T>
constexpr BasicShape plain() {
  return {sizeof(T), 0, 0, sizeof(T)};
}

template <class Value, class Index>
constexpr BasicShape pair() {
  using Both = Pair<Value, Index>;
  return {sizeof(Value), sizeof(Index), offsetof(Both, index), sizeof(Both)};
}

constexpr BasicShape bytes(std::size_t size) { return {size, 0, 0, size}; }

constexpr BasicShape find_shape(Basic basic) {
  switch (basic) {
    case Basic::kInt8:
    case Basic::kUint8:
    case Basic::kBool8:
    case Basic::kLogical8:
    case Basic::kByte:
    case Basic::kChar:
    case Basic::kPacked:
      return bytes(1);
    case Basic::kInt16:
    case Basic::kUint16:
    case Basic::kLogical16:
      return bytes(2);
    case Basic::kInt32:
    case Basic::kUint32:
    case Basic::kLogical32:
    case Basic::kFloat32:
      return bytes(4);
    case Basic::kInt64:
    case Basic::kUint64:
    case Basic::kLogical64:
    case Basic::kFloat64:
    case Basic::kComplex64:
      return bytes(8);
    case Basic::kComplex128:
      return bytes(16);
    case Basic::kWchar:
      return plain<wchar_t>();
    case Basic::kLongDouble:
      return plain<long double>();
    case Basic::kComplexLongDouble:
      return plain<long double[2]>();
#ifdef __FLT16_MANT_DIG__
    case Basic::kFloat16:
      return bytes(2);
    case Basic::kComplex32:
      return bytes(4);
#endif
#ifdef __SIZEOF_INT128__
    case Basic::kInt128:
    case Basic::kLogical128:
      return bytes(16);
#endif
#ifdef __SIZEOF_FLOAT128__
    case Basic::kComplexFloat128:
      return bytes(32);
    case Basic::kFloat128:
      return bytes(16);
#endif
    case Basic::kFloatInt:
      return pair<float, int>();
    case Basic::kDoubleInt:
      return pair<double, int>();
    case Basic::kLongInt:
      return pair<long, int>();
    case Basic::kIntInt:
      return pair<int, int>();
    case Basic::kShortInt:
      return pair<short, int>();
    case Basic::kLongDoubleInt:
      return pair<long double, int>();
    case Basic::kPairFloat32:
      return pair<float, float>();
    case Basic::kPairFloat64:
      return pair<double, double>();
    case Basic::kPairInt32:
      return pair<std::int32_t, std::int32_t>();
    default:
      return bytes(0);  // kNone, and what this build's compiler does not offer.
  }
}

template <class T>
constexpr Basic integer() {
  constexpr bool kSigned = static_cast<T>(-1) < static_cast<T>(0);
  switch (sizeof(T)) {
    case 1:
      return kSigned ? Basic::kInt8 : Basic::kUint8;
    case 2:
      return kSigned ? Basic::kInt16 : Basic::kUint16;
    case 4:
      return kSigned ? Basic::kInt32 : Basic::kUint32;
    default:
      return kSigned ? Basic::kInt64 : Basic::kUint64;
  }
}

struct Predefined {
  MPI_Datatype handle;
  const char* name;
  Basic basic;
};

// Built at run time: a handle of the ABI is a pointer made of a number, which is no constant.
std::span<const Predefined> predefined_types() {
#define TERN_TYPE(name, basic) \
  { name, #name, basic }
  static const Predefined kPredefined[] = {
      TERN_TYPE(MPI_AINT, integer<MPI_Aint>()),
      TERN_TYPE(MPI_COUNT, integer<MPI_Count>()),
      TERN_TYPE(MPI_OFFSET, integer<MPI_Offset>()),
      TERN_TYPE(MPI_PACKED, Basic::kPacked),
      TERN_TYPE(MPI_SHORT, integer<short>()),
      TERN_TYPE(MPI_INT, integer<int>()),
      TERN_TYPE(MPI_LONG, integer<long>()),
      TERN_TYPE(MPI_LONG_LONG_INT, integer<long long>()),
      TERN_TYPE(MPI_UNSIGNED_SHORT, integer<unsigned short>()),
      TERN_TYPE(MPI_UNSIGNED, integer<unsigned>()),
      TERN_TYPE(MPI_UNSIGNED_LONG, integer<unsigned long>()),
      TERN_TYPE(MPI_UNSIGNED_LONG_LONG, integer<unsigned long long>()),
      TERN_TYPE(MPI_FLOAT, Basic::kFloat32),
      TERN_TYPE(MPI_C_COMPLEX, Basic::kComplex64),
      TERN_TYPE(MPI_CXX_FLOAT_COMPLEX, Basic::kComplex64),
      TERN_TYPE(MPI_DOUBLE, Basic::kFloat64),
      TERN_TYPE(MPI_C_DOUBLE_COMPLEX, Basic::kComplex128),
      TERN_TYPE(MPI_CXX_DOUBLE_COMPLEX, Basic::kComplex128),
      TERN_TYPE(MPI_LOGICAL, Basic::kLogical32),
      TERN_TYPE(MPI_INTEGER, Basic::kInt32),
      TERN_TYPE(MPI_REAL, Basic::kFloat32),
      TERN_TYPE(MPI_COMPLEX, Basic::kComplex64),
      TERN_TYPE(MPI_DOUBLE_PRECISION, Basic::kFloat64),
      TERN_TYPE(MPI_DOUBLE_COMPLEX, Basic::kComplex128),
      TERN_TYPE(MPI_CHARACTER, Basic::kChar),
      TERN_TYPE(MPI_LONG_DOUBLE, Basic::kLongDouble),
      TERN_TYPE(MPI_C_LONG_DOUBLE_COMPLEX, Basic::kComplexLongDouble),
      TERN_TYPE(MPI_CXX_LONG_DOUBLE_COMPLEX, Basic::kComplexLongDouble),
      TERN_TYPE(MPI_FLOAT_INT, Basic::kFloatInt),
      TERN_TYPE(MPI_DOUBLE_INT, Basic::kDoubleInt),
      TERN_TYPE(MPI_LONG_INT, Basic::kLongInt),
      TERN_TYPE(MPI_2INT, Basic::kIntInt),
      TERN_TYPE(MPI_SHORT_INT, Basic::kShortInt),
      TERN_TYPE(MPI_LONG_DOUBLE_INT, Basic::kLongDoubleInt),
      TERN_TYPE(MPI_2REAL, Basic::kPairFloat32),
      TERN_TYPE(MPI_2DOUBLE_PRECISION, Basic::kPairFloat64),
      TERN_TYPE(MPI_2INTEGER, Basic::kPairInt32),
      TERN_TYPE(MPI_C_BOOL, Basic::kBool8),
      TERN_TYPE(MPI_CXX_BOOL, Basic::kBool8),
      TERN_TYPE(MPI_WCHAR, Basic::kWchar),
      TERN_TYPE(MPI_INT8_T, Basic::kInt8),
      TERN_TYPE(MPI_UINT8_T, Basic::kUint8),
      TERN_TYPE(MPI_CHAR, Basic::kInt8),
      TERN_TYPE(MPI_SIGNED_CHAR, Basic::kInt8),
      TERN_TYPE(MPI_UNSIGNED_CHAR, Basic::kUint8),
      TERN_TYPE(MPI_BYTE, Basic::kByte),
      TERN_TYPE(MPI_INT16_T, Basic::kInt16),
      TERN_TYPE(MPI_UINT16_T, Basic::kUint16),
      TERN_TYPE(MPI_INT32_T, Basic::kInt32),
      TERN_TYPE(MPI_UINT32_T, Basic::kUint32),
      TERN_TYPE(MPI_INT64_T, Basic::kInt64),
      TERN_TYPE(MPI_UINT64_T, Basic::kUint64),
      TERN_TYPE(MPI_LOGICAL1, Basic::kLogical8),
      TERN_TYPE(MPI_INTEGER1, Basic::kInt8),
      TERN_TYPE(MPI_LOGICAL2, Basic::kLogical16),
      TERN_TYPE(MPI_INTEGER2, Basic::kInt16),
      TERN_TYPE(MPI_REAL2, Basic::kFloat16),
      TERN_TYPE(MPI_LOGICAL4, Basic::kLogical32),
      TERN_TYPE(MPI_INTEGER4, Basic::kInt32),
      TERN_TYPE(MPI_REAL4, Basic::kFloat32),
      TERN_TYPE(MPI_COMPLEX4, Basic::kComplex32),
      TERN_TYPE(MPI_LOGICAL8, Basic::kLogical64),
      TERN_TYPE(MPI_INTEGER8, Basic::kInt64),
      TERN_TYPE(MPI_REAL8, Basic::kFloat64),
      TERN_TYPE(MPI_COMPLEX8, Basic::kComplex64),
      TERN_TYPE(MPI_LOGICAL16, Basic::kLogical128),
      TERN_TYPE(MPI_INTEGER16, Basic::kInt128),
      TERN_TYPE(MPI_REAL16, Basic::kFloat128),
      TERN_TYPE(MPI_COMPLEX16, Basic::kComplex128),
      TERN_TYPE(MPI_COMPLEX32, Basic::kComplexFloat128),
  };
#undef TERN_TYPE
  return kPredefined;
}

// The components of a pair, as handles of datatypes; no first one for others.
std::array<MPI_Datatype, 2> components_of(Basic basic) {
  switch (basic) {
    case Basic::kFloatInt:
      return {MPI_FLOAT, MPI_INT};
    case Basic::kDoubleInt:
      return {MPI_DOUBLE, MPI_INT};
    case Basic::kLongInt:
      return {MPI_LONG, MPI_INT};
    case Basic::kIntInt:
      return {MPI_INT, MPI_INT};
    case Basic::kShortInt:
      return {MPI_SHORT, MPI_INT};
    case Basic::kLongDoubleInt:
      return {MPI_LONG_DOUBLE, MPI_INT};
    case Basic::kPairFloat32:
      return {MPI_REAL, MPI_REAL};
    case Basic::kPairFloat64:
      return {MPI_DOUBLE_PRECISION, MPI_DOUBLE_PRECISION};
    case Basic::kPairInt32:
      return {MPI_INTEGER, MPI_INTEGER};
    default:
      return {};
  }
}

// Handles of predefined datatypes are small numbers.
std::uint32_t tag_of(MPI_Datatype handle) {
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(handle));
}

Placed typed_data(const Datatype& type) {
  const BasicShape shape = shape_of(type.basic());
  const auto components = components_of(type.basic());
  ShapeBuilder shapes;
  if (shape.index_bytes == 0) return shapes.block(shape.value_bytes, tag_of(to_handle(&type)), 1);
  const Placed parts[] = {shapes.block(shape.value_bytes, tag_of(components[0]), 1),
                          shapes.shift(shapes.block(shape.index_bytes, tag_of(components[1]), 1),
                                       static_cast<std::ptrdiff_t>(shape.index_offset))};
  return shapes.sequence(parts);
}

Layout layout_of(const BasicShape& shape) {
  std::vector<Block> blocks = {{0, shape.value_bytes}};
  if (shape.index_bytes != 0) {
    blocks.push_back({static_cast<std::ptrdiff_t>(shape.index_offset), shape.index_bytes});
  }
  return {std::move(blocks), 0, static_cast<std::ptrdiff_t>(shape.extent_bytes)};
}

}  // namespace

Datatype::Datatype(Layout layout, Basic basic, std::string type_name)
    : Object(Kind::kDatatype),
      name(std::move(type_name)),
      layout_(std::move(layout)),
      basic_(basic),
      traits_{false, false, alignment_of(basic)} {}

Datatype::Datatype(Layout layout, const BoundsTraits& traits, Recipe recipe)
    : Object(Kind::kDatatype),
      layout_(std::move(layout)),
      basic_(Basic::kNone),
      traits_(traits),
      recipe_(std::move(recipe)) {
  for (Datatype* const type : recipe_.types) {
    type->retain();
    depth_ = std::max(depth_, type->depth() + 1);
  }
}

Datatype::Datatype(const Datatype& named, Recipe recipe)
    : Object(Kind::kDatatype),
      layout_(named.layout()),
      basic_(named.basic()),
      committed_(true),
      named_(&named),
      traits_(named.traits()),
      recipe_(std::move(recipe)) {}

Datatype::~Datatype() {
  for (Datatype* const type : recipe_.types) type->release();
}

const Layout& Datatype::typed() const {
  if (named_ != nullptr) return named_->typed();
  if (!typed_) {
    typed_.emplace(built_in() ? typed_data(*this) : build(recipe_, true).data,
                   layout_.lower_bound(), layout_.extent());
  }
  return *typed_;
}

BasicShape shape_of(Basic basic) { return find_shape(basic); }

std::size_t alignment_of(Basic basic) {
  switch (basic) {
    case Basic::kNone:
      return 1;
    case Basic::kComplex32:
    case Basic::kComplex64:
    case Basic::kComplex128:
    case Basic::kComplexLongDouble:
    case Basic::kComplexFloat128:
      return std::max<std::size_t>(1, shape_of(basic).extent_bytes / 2);
    case Basic::kFloatInt:
    case Basic::kIntInt:
    case Basic::kPairFloat32:
    case Basic::kPairInt32:
    case Basic::kShortInt:
      return alignof(int);
    case Basic::kDoubleInt:
    case Basic::kPairFloat64:
      return alignof(double);
    case Basic::kLongInt:
      return alignof(long);
    case Basic::kLongDoubleInt:
      return alignof(long double);
    default:
      return std::max<std::size_t>(1, shape_of(basic).extent_bytes);
  }
}

void make_predefined_datatypes() {
  if (to_object(reinterpret_cast<std::uintptr_t>(MPI_BYTE)) != nullptr) return;
  for (const Predefined& entry : predefined_types()) {
    const BasicShape shape = shape_of(entry.basic);
    auto* const type = make<Datatype>(layout_of(shape), entry.basic, entry.name);
    CHECK(type != nullptr);  // The arena's first objects: without them there is no MPI.
    if (shape.value_bytes == 0) type->set_unsupported();
    type->commit();
    type->make_predefined(reinterpret_cast<std::uintptr_t>(entry.handle));
  }
}

}  // namespace tern::mpi
