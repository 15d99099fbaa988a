// mpi_api/op.cc - operation objects: legality, application, the user's functions; see op.h.
#include "mpi_api/op.h"

#include <algorithm>
#include <limits>
#include <span>

#include "core/check.h"
#include "mpi_api/errors.h"

namespace tern::mpi {
namespace {

struct Predefined {
  MPI_Op handle;
  const char* name;
  OpKind kind;
};

// Built at run time: a handle of the ABI is a pointer made of a number, which is no constant.
std::span<const Predefined> predefined_ops() {
  static const Predefined kPredefined[] = {
      {MPI_SUM, "MPI_SUM", OpKind::kSum},
      {MPI_MIN, "MPI_MIN", OpKind::kMin},
      {MPI_MAX, "MPI_MAX", OpKind::kMax},
      {MPI_PROD, "MPI_PROD", OpKind::kProd},
      {MPI_BAND, "MPI_BAND", OpKind::kBand},
      {MPI_BOR, "MPI_BOR", OpKind::kBor},
      {MPI_BXOR, "MPI_BXOR", OpKind::kBxor},
      {MPI_LAND, "MPI_LAND", OpKind::kLand},
      {MPI_LOR, "MPI_LOR", OpKind::kLor},
      {MPI_LXOR, "MPI_LXOR", OpKind::kLxor},
      {MPI_MINLOC, "MPI_MINLOC", OpKind::kMinloc},
      {MPI_MAXLOC, "MPI_MAXLOC", OpKind::kMaxloc},
      {MPI_REPLACE, "MPI_REPLACE", OpKind::kReplace},
      {MPI_NO_OP, "MPI_NO_OP", OpKind::kNoOp},
  };
  return kPredefined;
}

// For people. More than the standard's tables (sections 6.9.2 and 6.9.4): as in other MPIs,
// MPI_CHAR counts as an integer, and every integer has a truth value.
std::string_view allowed_types(OpKind kind) {
  switch (kind) {
    case OpKind::kMin:
    case OpKind::kMax:
      return "integer and floating-point datatypes";
    case OpKind::kSum:
    case OpKind::kProd:
      return "integer, floating-point and complex datatypes";
    case OpKind::kBand:
    case OpKind::kBor:
    case OpKind::kBxor:
      return "integer datatypes and MPI_BYTE";
    case OpKind::kLand:
    case OpKind::kLor:
    case OpKind::kLxor:
      return "integer and logical datatypes";
    case OpKind::kMinloc:
    case OpKind::kMaxloc:
      return "the pair datatypes, such as MPI_DOUBLE_INT";
    default:
      return "datatypes in one-sided communication only";
  }
}

}  // namespace

Op::Op(OpKind kind, std::string_view name) : Object(Kind::kOp), kind_(kind), name_(name) {
  for (std::size_t basic = 0; basic < kBasics; ++basic) {
    kernels_[basic] = find_kernel(kind, static_cast<Basic>(basic));
  }
}

Op::Op(MPI_User_function* function, bool commutative)
    : Object(Kind::kOp),
      kind_(OpKind::kUser),
      commutative_(commutative),
      name_("the user's operation"),
      function_(function) {}

Op::Op(MPI_User_function_c* function, bool commutative)
    : Object(Kind::kOp),
      kind_(OpKind::kUser),
      commutative_(commutative),
      name_("the user's operation"),
      function_c_(function) {}

void Op::apply_user(const void* in, void* inout, MPI_Count count, const Datatype& type) const {
  if (kind_ == OpKind::kReplace) return copy(view(in, count, type), view(inout, count, type));
  if (kind_ == OpKind::kNoOp) return;
  CHECK(kind_ == OpKind::kUser);  // Else the kernel is missing: check_reduction() comes first.
  MPI_Datatype handle = to_handle(&type);
  auto* from = static_cast<std::byte*>(const_cast<void*>(in));
  auto* to = static_cast<std::byte*>(inout);
  if (function_c_ != nullptr) return function_c_(from, to, &count, &handle);
  // More elements than an int can say go in pieces.
  while (count > 0) {
    int piece = static_cast<int>(std::min<MPI_Count>(count, std::numeric_limits<int>::max()));
    const std::ptrdiff_t step = type.extent() * piece;
    count -= piece;
    function_(from, to, &piece, &handle);
    from += step;
    to += step;
  }
}

int refuse_reduction(const Op& op, const Datatype& type) {
  return fail(MPI_ERR_OP, "{} is not defined for {}; it takes {}.", op.name(),
              type.name.empty() ? "a derived datatype" : type.name.c_str(),
              allowed_types(op.kind()));
}

void make_predefined_ops() {
  if (to_object(reinterpret_cast<std::uintptr_t>(MPI_SUM)) != nullptr) return;
  for (const Predefined& entry : predefined_ops()) {
    auto* const op = make<Op>(entry.kind, entry.name);
    CHECK(op != nullptr);  // The arena's first objects: without them there is no MPI.
    op->make_predefined(reinterpret_cast<std::uintptr_t>(entry.handle));
  }
}

}  // namespace tern::mpi
