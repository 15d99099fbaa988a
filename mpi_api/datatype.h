// mpi_api/datatype.h - MPI datatypes (MPI-5.0 chapter 5) as Layouts plus what MPI asks of them.
//
// A derived datatype keeps how it was made (its Recipe, what MPI_Type_get_contents tells) with
// references to the datatypes it was made of, so those may be freed at once. From the recipe comes
// the layout that moves bytes, made once at creation, and, only when somebody asks, the one that
// knows which basic elements the bytes are (typed()).
// Threading: under the entry lock; layouts never change. Failure: typed() throws bad_alloc.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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

class Datatype;

// A constructor's arguments, in the order in which MPI_Type_get_contents gives them back. The
// datatypes are references that the recipe's owner holds.
struct Recipe {
  int combiner = MPI_COMBINER_NAMED;
  bool large = false;  // Made by a large-count function.
  std::vector<int> integers;
  std::vector<MPI_Aint> addresses;
  std::vector<MPI_Count> counts;  // Large ones.
  std::vector<Datatype*> types;
};

// What the standard's rules for bounds need to know of a datatype (section 5.1.7).
struct BoundsTraits {
  bool marked = false;  // The bounds were set by MPI_Type_create_resized, here or inside.
  bool empty = false;   // No data and no markers: contributes nothing wherever it is used.
  std::size_t alignment = 1;
};

class Datatype final : public Object {
 public:
  Datatype(Layout layout, Basic basic, std::string name);
  // A derived datatype; takes references of the recipe's types.
  Datatype(Layout layout, const BoundsTraits& traits, Recipe recipe);
  // One of the predefined datatypes without a name (MPI_Type_create_f90_...), equal to a named one.
  Datatype(const Datatype& named, Recipe recipe);
  ~Datatype() override;

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
  const Recipe& recipe() const { return recipe_; }
  const BoundsTraits& traits() const { return traits_; }
  // Predefined, with a name or without: neither freed nor decoded into parts.
  bool built_in() const { return recipe_.types.empty() && basic_ != Basic::kNone; }

  // The layout whose blocks are tagged with the handle of the predefined datatype that they hold
  // (pair types: of both components). For MPI_Get_elements and external32. Made at the first call.
  const tern::Layout& typed() const;

  // How many constructors were applied one after the other to get here.
  int depth() const { return depth_; }

  // The program's handles of this datatype; it gets further ones from MPI_Type_get_contents.
  void add_handle() { ++handles_; }
  bool is_last_handle() const { return handles_ == 1; }
  void drop_handle() { --handles_; }

  std::string name;
  Attributes attributes;

 private:
  tern::Layout layout_;
  Basic basic_;
  bool committed_ = false;
  bool supported_ = true;
  int handles_ = 1;
  int depth_ = 0;
  const Datatype* named_ = nullptr;  // Of the same data as a predefined datatype without a name.
  BoundsTraits traits_;
  Recipe recipe_;
  mutable std::optional<tern::Layout> typed_;
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
// What the C compiler aligns such an element to inside a struct, in bytes.
std::size_t alignment_of(Basic basic);

// Creates all predefined datatypes behind their ABI handles; called once by MPI_Init (and by calls
// that are allowed earlier). Later calls do nothing.
void make_predefined_datatypes();

inline DataView view(const void* buffer, MPI_Count count, const Datatype& type) {
  return DataView::of(buffer, type.layout(), static_cast<std::size_t>(count));
}

}  // namespace tern::mpi
