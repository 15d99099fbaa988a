// mpi_api/datatype_kinds.cc - predefined datatypes found by what they can hold: by Fortran's kind
// parameters, by size, and as a pair of a value and an index (MPI-5.0 sections 5.1.14 and 19.1.9).
//
// The kinds are those of gfortran. Threading: under the entry lock, which also guards the list of
// datatypes made so far. Failure: an MPI error class, its sentence kept by fail().
#include <algorithm>
#include <deque>

#include "impl.h"
#include "mpi_api/datatype.h"
#include "mpi_api/errors.h"

namespace tern::mpi {
namespace {

// The same arguments give the same datatype. They live as long as the library: the program does
// not free them.
std::deque<Datatype*>& made_so_far() {
  static std::deque<Datatype*> types;
  return types;
}

int find_or_make(int combiner, std::initializer_list<int> arguments, MPI_Datatype named,
                 Datatype** newtype) {
  for (Datatype* const type : made_so_far()) {
    const Recipe& recipe = type->recipe();
    if (recipe.combiner == combiner &&
        std::equal(arguments.begin(), arguments.end(), recipe.integers.begin())) {
      *newtype = type;
      return MPI_SUCCESS;
    }
  }
  Recipe recipe;
  recipe.combiner = combiner;
  recipe.integers = arguments;
  auto* const made = make<Datatype>(*to_datatype(named), std::move(recipe));
  if (made == nullptr) return fail_no_memory("a datatype");
  made_so_far().push_back(made);
  *newtype = made;
  return MPI_SUCCESS;
}

struct RealKind {
  int digits;
  int exponent;
  MPI_Datatype real;
  MPI_Datatype complex;
};

// The smallest kind of REAL with that precision and range, as selected_real_kind() chooses it;
// nullptr with a sentence when there is none.
const RealKind* find_real(int digits, int exponent) {
  static const RealKind kKinds[] = {
      {6, 37, MPI_REAL, MPI_COMPLEX},
      {15, 307, MPI_DOUBLE_PRECISION, MPI_DOUBLE_COMPLEX},
      {18, 4931, MPI_LONG_DOUBLE, MPI_C_LONG_DOUBLE_COMPLEX},
      {33, 4931, MPI_REAL16, MPI_COMPLEX32},
  };
  if (digits == MPI_UNDEFINED && exponent == MPI_UNDEFINED) {
    fail(MPI_ERR_ARG, "p and r are both MPI_UNDEFINED; at most one of them may be");
    return nullptr;
  }
  for (const RealKind& kind : kKinds) {
    if (!to_datatype(kind.real)->supported()) continue;
    const bool precise = digits == MPI_UNDEFINED || digits <= kind.digits;
    const bool wide = exponent == MPI_UNDEFINED || exponent <= kind.exponent;
    if (precise && wide) return &kind;
  }
  fail(MPI_ERR_ARG, "p is {} and r is {}; no kind of REAL has such a precision and range", digits,
       exponent);
  return nullptr;
}

struct SizedType {
  int typeclass;
  int size;
  MPI_Datatype type;
};

const char* class_name(int typeclass) {
  switch (typeclass) {
    case MPI_TYPECLASS_INTEGER:
      return "INTEGER";
    case MPI_TYPECLASS_REAL:
      return "REAL";
    default:
      return "COMPLEX";
  }
}

}  // namespace

namespace impl {

int type_create_f90_integer(int r, Datatype** newtype) {
  struct IntegerKind {
    int digits;
    MPI_Datatype type;
  };
  const IntegerKind kinds[] = {{2, MPI_INTEGER1},
                               {4, MPI_INTEGER2},
                               {9, MPI_INTEGER4},
                               {18, MPI_INTEGER8},
                               {38, MPI_INTEGER16}};
  for (const IntegerKind& kind : kinds) {
    if (r <= kind.digits && r != MPI_UNDEFINED && to_datatype(kind.type)->supported()) {
      return find_or_make(MPI_COMBINER_F90_INTEGER, {r}, kind.type, newtype);
    }
  }
  return fail(MPI_ERR_ARG, "r is {}; no kind of INTEGER has so many decimal digits", r);
}

int type_create_f90_real(int p, int r, Datatype** newtype) {
  const RealKind* const kind = find_real(p, r);
  if (kind == nullptr) return MPI_ERR_ARG;
  return find_or_make(MPI_COMBINER_F90_REAL, {p, r}, kind->real, newtype);
}

int type_create_f90_complex(int p, int r, Datatype** newtype) {
  const RealKind* const kind = find_real(p, r);
  if (kind == nullptr) return MPI_ERR_ARG;
  return find_or_make(MPI_COMBINER_F90_COMPLEX, {p, r}, kind->complex, newtype);
}

int type_match_size(int typeclass, int size, Datatype** datatype) {
  static const SizedType kTypes[] = {
      {MPI_TYPECLASS_INTEGER, 1, MPI_INTEGER1},   {MPI_TYPECLASS_INTEGER, 2, MPI_INTEGER2},
      {MPI_TYPECLASS_INTEGER, 4, MPI_INTEGER4},   {MPI_TYPECLASS_INTEGER, 8, MPI_INTEGER8},
      {MPI_TYPECLASS_INTEGER, 16, MPI_INTEGER16}, {MPI_TYPECLASS_REAL, 2, MPI_REAL2},
      {MPI_TYPECLASS_REAL, 4, MPI_REAL4},         {MPI_TYPECLASS_REAL, 8, MPI_REAL8},
      {MPI_TYPECLASS_REAL, 16, MPI_REAL16},       {MPI_TYPECLASS_COMPLEX, 4, MPI_COMPLEX4},
      {MPI_TYPECLASS_COMPLEX, 8, MPI_COMPLEX8},   {MPI_TYPECLASS_COMPLEX, 16, MPI_COMPLEX16},
      {MPI_TYPECLASS_COMPLEX, 32, MPI_COMPLEX32},
  };
  bool known = false;
  for (const SizedType& entry : kTypes) {
    if (entry.typeclass != typeclass) continue;
    known = true;
    Datatype* const found = to_datatype(entry.type);
    if (entry.size != size || !found->supported()) continue;
    *datatype = found;
    return MPI_SUCCESS;
  }
  if (known) {
    return fail(MPI_ERR_ARG, "size is {}; there is no {} datatype of that size", size,
                class_name(typeclass));
  }
  return fail(MPI_ERR_ARG,
              "typeclass is {}; it must be MPI_TYPECLASS_INTEGER, MPI_TYPECLASS_REAL or "
              "MPI_TYPECLASS_COMPLEX",
              typeclass);
}

// Pairs that are not predefined give MPI_DATATYPE_NULL.
int type_get_value_index(Datatype* value_type, Datatype* index_type, Datatype** pair_type) {
  struct Pair {
    MPI_Datatype value;
    MPI_Datatype index;
    MPI_Datatype pair;
  };
  static const Pair kPairs[] = {
      {MPI_FLOAT, MPI_INT, MPI_FLOAT_INT},
      {MPI_DOUBLE, MPI_INT, MPI_DOUBLE_INT},
      {MPI_LONG, MPI_INT, MPI_LONG_INT},
      {MPI_INT, MPI_INT, MPI_2INT},
      {MPI_SHORT, MPI_INT, MPI_SHORT_INT},
      {MPI_LONG_DOUBLE, MPI_INT, MPI_LONG_DOUBLE_INT},
      {MPI_REAL, MPI_REAL, MPI_2REAL},
      {MPI_DOUBLE_PRECISION, MPI_DOUBLE_PRECISION, MPI_2DOUBLE_PRECISION},
      {MPI_INTEGER, MPI_INTEGER, MPI_2INTEGER},
  };
  *pair_type = nullptr;
  for (const Pair& entry : kPairs) {
    if (to_datatype(entry.value) == value_type && to_datatype(entry.index) == index_type) {
      *pair_type = to_datatype(entry.pair);
    }
  }
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
