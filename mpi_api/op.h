// mpi_api/op.h - reduction operations (MPI-5.0 section 6.9): predefined ones and the user's.
//
// inout = in op inout, element by element; `in` is the left operand, so that a user's operation
// that does not commute sees the order of ranks. Threading: immutable after creation. Failure:
// check_reduction() names the operation and the type.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mpi_api/datatype.h"
#include "mpi_api/object.h"

namespace tern::mpi {

enum class OpKind : std::uint8_t {
  kSum,
  kMin,
  kMax,
  kProd,
  kBand,
  kBor,
  kBxor,
  kLand,
  kLor,
  kLxor,
  kMinloc,
  kMaxloc,
  kReplace,
  kNoOp,
  kUser,
};

// inout[i] = in[i] op inout[i] for `count` basic elements. The two must not overlap.
using Kernel = void (*)(const void* in, void* inout, std::size_t count);

// The kernel of a predefined operation on one kind of element; nullptr where the standard does not
// define the operation (section 6.9.2) or this build has no such type. kReplace and kNoOp work on
// any datatype and have no kernels.
Kernel find_kernel(OpKind kind, Basic basic);

class Op final : public Object {
 public:
  Op(OpKind kind, std::string_view name);  // Predefined; name is a literal.
  Op(MPI_User_function* function, bool commutative);
  Op(MPI_User_function_c* function, bool commutative);

  OpKind kind() const { return kind_; }
  std::string_view name() const { return name_; }
  // Operations that do not commute are applied in the order of ranks only.
  bool commutative() const { return commutative_; }
  // True when apply() works on this datatype.
  bool accepts(const Datatype& type) const;

  // inout = in op inout on `count` elements of `type`. Precondition: accepts(type), no overlap.
  void apply(const void* in, void* inout, MPI_Count count, const Datatype& type) const;

 private:
  void apply_user(const void* in, void* inout, MPI_Count count, const Datatype& type) const;

  OpKind kind_;
  bool commutative_ = true;
  std::string_view name_;
  MPI_User_function* function_ = nullptr;
  MPI_User_function_c* function_c_ = nullptr;
  std::array<Kernel, kBasics> kernels_{};
};

// MPI_SUCCESS, or MPI_ERR_OP with a sentence when a collective or MPI_Reduce_local cannot apply op
// to type.
inline int check_reduction(const Op& op, const Datatype& type);
[[gnu::cold]] int refuse_reduction(const Op& op, const Datatype& type);

// Creates all predefined operations behind their ABI handles; later calls do nothing.
void make_predefined_ops();

inline bool Op::accepts(const Datatype& type) const {
  if (kind_ >= OpKind::kReplace) return true;
  return kernels_[static_cast<std::size_t>(type.basic())] != nullptr;
}

inline void Op::apply(const void* in, void* inout, MPI_Count count, const Datatype& type) const {
  const Kernel kernel = kernels_[static_cast<std::size_t>(type.basic())];
  if (kernel != nullptr) [[likely]]
    return kernel(in, inout, static_cast<std::size_t>(count));
  apply_user(in, inout, count, type);
}

inline int check_reduction(const Op& op, const Datatype& type) {
  if (op.accepts(type) && op.kind() != OpKind::kReplace && op.kind() != OpKind::kNoOp) [[likely]] {
    return MPI_SUCCESS;
  }
  return refuse_reduction(op, type);
}

}  // namespace tern::mpi
