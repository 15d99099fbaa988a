// mpi_api/datatype.h - MPI datatypes (MPI-5.0 chapter 5) as Layouts plus what MPI asks of them.
//
// Threading: immutable after creation except for name and attributes (entry lock). Failure: none of
// these functions fails; what is not supported says so (supported()).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/layout.h"
#include "mpi_api/attributes.h"
#include "mpi_api/object.h"

namespace tern::mpi {

// What one predefined datatype holds, for reductions and MPI_Get_elements. Many MPI names share
// one: MPI_LONG, MPI_INT64_T, MPI_AINT and MPI_INTEGER8 are all kInt64. kNone: derived types.
enum class Basic : std::uint8_t {
  kNone,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kInt128,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kFloat16,
  kFloat32,
  kFloat64,
  kLongDouble,
  kFloat128,
  // Numbers are the total width in bits.
  kComplex32,
  kComplex64,
  kComplex128,
  kComplexLongDouble,
  kComplexFloat128,
  kBool8,
  kLogical8,
  kLogical16,
  kLogical32,
  kLogical64,
  kLogical128,  // C bool; Fortran by width.
  kByte,
  kChar,
  kWchar,
  kPacked,  // No arithmetic.
  // A value and the index that MPI_MINLOC and MPI_MAXLOC keep with it: C structs, then Fortran
  // pairs.
  kFloatInt,
  kDoubleInt,
  kLongInt,
  kIntInt,
  kShortInt,
  kLongDoubleInt,
  kPairFloat32,
  kPairFloat64,
  kPairInt32,
};
inline constexpr std::size_t kBasics = static_cast<std::size_t>(Basic::kPairInt32) + 1;

class Datatype final : public Object {
 public:
  Datatype(Layout layout, Basic basic, std::string name);

  const tern::Layout& layout() const { return layout_; }
  MPI_Count size() const { return static_cast<MPI_Count>(layout_.size()); }  // Bytes of data.
  MPI_Count extent() const { return layout_.extent(); }
  Basic basic() const { return basic_; }
  bool committed() const { return committed_; }
  void commit() { committed_ = true; }
  // False for predefined datatypes that this build does not offer (no such type in its compilers):
  // MPI_Type_size gives MPI_UNDEFINED, communication gives MPI_ERR_TYPE.
  bool supported() const { return supported_; }
  void set_unsupported() { supported_ = false; }
  // False for Fortran's integers and for MPI_AINT, MPI_COUNT and MPI_OFFSET: unlike C's integers
  // they are no operands of MPI_LAND, MPI_LOR and MPI_LXOR (section 6.9.2).
  bool has_truth_value() const { return has_truth_value_; }
  void set_no_truth_value() { has_truth_value_ = false; }
  // Basic elements in one datatype (2 for pair types).
  int elements() const { return elements_; }

  std::string name;
  Attributes attributes;

 private:
  tern::Layout layout_;
  Basic basic_;
  bool committed_ = false;
  bool supported_ = true;
  bool has_truth_value_ = true;
  int elements_ = 1;
};

// Memory of one basic element as the C compiler (or gfortran) lays it out, in bytes. index_* are 0
// except for pairs; value_bytes is 0 where the compilers of this build have no such type.
struct BasicShape {
  std::size_t value_bytes;
  std::size_t index_bytes;
  std::size_t index_offset;
  std::size_t extent_bytes;  // With padding.
};
BasicShape shape_of(Basic basic);

// Creates all predefined datatypes behind their ABI handles; called once by MPI_Init (and by calls
// that are allowed earlier). Later calls do nothing.
void make_predefined_datatypes();

inline DataView view(const void* buffer, MPI_Count count, const Datatype& type) {
  return DataView::of(buffer, type.layout(), static_cast<std::size_t>(count));
}

}  // namespace tern::mpi
