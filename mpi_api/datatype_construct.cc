// mpi_api/datatype_construct.cc - constructors of derived datatypes from blocks (MPI-5.0 section
// 5.1.2), and the common end of all (see datatype_construct.h). Arrays: datatype_array.cc.
#include "mpi_api/datatype_construct.h"

#include <new>

#include "core/format.h"
#include "impl.h"
#include "mpi_api/checks.h"
#include "mpi_api/datatype_build.h"
#include "mpi_api/errors.h"

namespace tern::mpi {
namespace {

// Deeper nesting would make the recursion over old types (when the last of them is freed, for one)
// a danger to small stacks.
constexpr int kDepthMax = 1000;

int check_old(const Recipe& recipe) {
  for (const Datatype* const type : recipe.types) {
    if (!type->supported()) return refuse_datatype(*type, "oldtype");
    if (type->depth() < kDepthMax) continue;
    return fail(MPI_ERR_TYPE,
                "oldtype is nested {} constructors deep, and more are not supported; make it of "
                "fewer, larger steps",
                kDepthMax);
  }
  return MPI_SUCCESS;
}

int make_checked(Recipe& recipe, Datatype** newtype) {
  if (const int error = check_old(recipe)) return error;
  const Built built = build(recipe, false);
  if (built.problem != ShapeBuilder::Problem::kNone) {
    return fail(MPI_ERR_ARG,
                "the new datatype has more data, or data farther apart, than 2^63 - 1 bytes");
  }
  auto* const made =
      make<Datatype>(Layout(built.data, built.lower_bound, built.upper_bound - built.lower_bound),
                     built.traits, std::move(recipe));
  if (made == nullptr) throw std::bad_alloc();
  *newtype = made;
  return MPI_SUCCESS;
}

// Fills the recipe and makes the datatype of it; memory may run out in both.
template <class Fill>
int create(int combiner, bool large, Datatype** newtype, Fill fill) {
  try {
    RecipeWriter writer(combiner, large);
    fill(writer);
    return make_derived(writer, newtype);
  } catch (const std::bad_alloc&) {
    return fail_no_memory("a datatype");
  }
}

int create_contiguous(bool large, MPI_Count count, Datatype* oldtype, Datatype** newtype) {
  return create(MPI_COMBINER_CONTIGUOUS, large, newtype,
                [&](RecipeWriter& to) { to.numbers({count}).type(oldtype); });
}

int create_vector(bool large, MPI_Count count, MPI_Count blocklength, MPI_Count stride,
                  Datatype* oldtype, Datatype** newtype) {
  return create(MPI_COMBINER_VECTOR, large, newtype, [&](RecipeWriter& to) {
    to.numbers({count, blocklength, stride}).type(oldtype);
  });
}

int create_hvector(bool large, MPI_Count count, MPI_Count blocklength, MPI_Count stride,
                   Datatype* oldtype, Datatype** newtype) {
  return create(MPI_COMBINER_HVECTOR, large, newtype, [&](RecipeWriter& to) {
    to.numbers({count, blocklength}).addresses({stride}).type(oldtype);
  });
}

int create_indexed(bool large, MPI_Count count, IntArray blocklengths, IntArray displacements,
                   Datatype* oldtype, Datatype** newtype) {
  return create(MPI_COMBINER_INDEXED, large, newtype, [&](RecipeWriter& to) {
    to.numbers({count}).numbers(blocklengths, count).numbers(displacements, count).type(oldtype);
  });
}

int create_hindexed(bool large, MPI_Count count, IntArray blocklengths, IntArray displacements,
                    Datatype* oldtype, Datatype** newtype) {
  return create(MPI_COMBINER_HINDEXED, large, newtype, [&](RecipeWriter& to) {
    to.numbers({count}).numbers(blocklengths, count).addresses(displacements, count).type(oldtype);
  });
}

int create_indexed_block(bool large, MPI_Count count, MPI_Count blocklength, IntArray displacements,
                         Datatype* oldtype, Datatype** newtype) {
  return create(MPI_COMBINER_INDEXED_BLOCK, large, newtype, [&](RecipeWriter& to) {
    to.numbers({count, blocklength}).numbers(displacements, count).type(oldtype);
  });
}

int create_hindexed_block(bool large, MPI_Count count, MPI_Count blocklength,
                          IntArray displacements, Datatype* oldtype, Datatype** newtype) {
  return create(MPI_COMBINER_HINDEXED_BLOCK, large, newtype, [&](RecipeWriter& to) {
    to.numbers({count, blocklength}).addresses(displacements, count).type(oldtype);
  });
}

int create_struct(bool large, MPI_Count count, IntArray blocklengths, IntArray displacements,
                  const MPI_Datatype types[], Datatype** newtype) {
  for (MPI_Count i = 0; i < count; ++i) {
    if (find_datatype(types[i]) == nullptr) {
      return bad_datatype(types[i], tern::format("array_of_types[{}]", i).c_str());
    }
  }
  return create(MPI_COMBINER_STRUCT, large, newtype, [&](RecipeWriter& to) {
    to.numbers({count}).numbers(blocklengths, count).addresses(displacements, count);
    for (MPI_Count i = 0; i < count; ++i) to.type(find_datatype(types[i]));
  });
}

int create_resized(bool large, Datatype* oldtype, MPI_Count lb, MPI_Count extent,
                   Datatype** newtype) {
  return create(MPI_COMBINER_RESIZED, large, newtype, [&](RecipeWriter& to) {
    to.addresses({lb, extent}).type(oldtype);
  });
}

}  // namespace

void RecipeWriter::number(MPI_Count value) {
  if (recipe_.large) {
    recipe_.counts.push_back(value);
  } else {
    recipe_.integers.push_back(static_cast<int>(value));
  }
}

RecipeWriter& RecipeWriter::numbers(std::initializer_list<MPI_Count> values) {
  for (const MPI_Count value : values) number(value);
  return *this;
}

RecipeWriter& RecipeWriter::numbers(IntArray values, MPI_Count length) {
  for (MPI_Count i = 0; i < length; ++i) number(values[i]);
  return *this;
}

RecipeWriter& RecipeWriter::addresses(std::initializer_list<MPI_Count> values) {
  auto& to = recipe_.large ? recipe_.counts : recipe_.addresses;
  for (const MPI_Count value : values) to.push_back(value);
  return *this;
}

RecipeWriter& RecipeWriter::addresses(IntArray values, MPI_Count length) {
  auto& to = recipe_.large ? recipe_.counts : recipe_.addresses;
  for (MPI_Count i = 0; i < length; ++i) to.push_back(values[i]);
  return *this;
}

RecipeWriter& RecipeWriter::integers(std::initializer_list<int> values) {
  for (const int value : values) recipe_.integers.push_back(value);
  return *this;
}

RecipeWriter& RecipeWriter::integers(const int* values, int length) {
  for (int i = 0; i < length; ++i) recipe_.integers.push_back(values[i]);
  return *this;
}

RecipeWriter& RecipeWriter::type(Datatype* type) {
  recipe_.types.push_back(type);
  return *this;
}

int make_derived(RecipeWriter& writer, Datatype** newtype) {
  try {
    return make_checked(writer.recipe(), newtype);
  } catch (const std::bad_alloc&) {
    return fail_no_memory("a datatype");
  }
}

namespace impl {

int type_contiguous(MPI_Count count, Datatype* oldtype, Datatype** newtype) {
  return create_contiguous(false, count, oldtype, newtype);
}
int type_contiguous_c(MPI_Count count, Datatype* oldtype, Datatype** newtype) {
  return create_contiguous(true, count, oldtype, newtype);
}

int type_vector(MPI_Count count, MPI_Count blocklength, MPI_Count stride, Datatype* oldtype,
                Datatype** newtype) {
  return create_vector(false, count, blocklength, stride, oldtype, newtype);
}
int type_vector_c(MPI_Count count, MPI_Count blocklength, MPI_Count stride, Datatype* oldtype,
                  Datatype** newtype) {
  return create_vector(true, count, blocklength, stride, oldtype, newtype);
}

int type_create_hvector(MPI_Count count, MPI_Count blocklength, MPI_Count stride, Datatype* oldtype,
                        Datatype** newtype) {
  return create_hvector(false, count, blocklength, stride, oldtype, newtype);
}
int type_create_hvector_c(MPI_Count count, MPI_Count blocklength, MPI_Count stride,
                          Datatype* oldtype, Datatype** newtype) {
  return create_hvector(true, count, blocklength, stride, oldtype, newtype);
}

int type_indexed(MPI_Count count, IntArray array_of_blocklengths, IntArray array_of_displacements,
                 Datatype* oldtype, Datatype** newtype) {
  return create_indexed(false, count, array_of_blocklengths, array_of_displacements, oldtype,
                        newtype);
}
int type_indexed_c(MPI_Count count, IntArray array_of_blocklengths, IntArray array_of_displacements,
                   Datatype* oldtype, Datatype** newtype) {
  return create_indexed(true, count, array_of_blocklengths, array_of_displacements, oldtype,
                        newtype);
}

int type_create_hindexed(MPI_Count count, IntArray array_of_blocklengths,
                         IntArray array_of_displacements, Datatype* oldtype, Datatype** newtype) {
  return create_hindexed(false, count, array_of_blocklengths, array_of_displacements, oldtype,
                         newtype);
}
int type_create_hindexed_c(MPI_Count count, IntArray array_of_blocklengths,
                           IntArray array_of_displacements, Datatype* oldtype, Datatype** newtype) {
  return create_hindexed(true, count, array_of_blocklengths, array_of_displacements, oldtype,
                         newtype);
}

int type_create_indexed_block(MPI_Count count, MPI_Count blocklength,
                              IntArray array_of_displacements, Datatype* oldtype,
                              Datatype** newtype) {
  return create_indexed_block(false, count, blocklength, array_of_displacements, oldtype, newtype);
}
int type_create_indexed_block_c(MPI_Count count, MPI_Count blocklength,
                                IntArray array_of_displacements, Datatype* oldtype,
                                Datatype** newtype) {
  return create_indexed_block(true, count, blocklength, array_of_displacements, oldtype, newtype);
}

int type_create_hindexed_block(MPI_Count count, MPI_Count blocklength,
                               IntArray array_of_displacements, Datatype* oldtype,
                               Datatype** newtype) {
  return create_hindexed_block(false, count, blocklength, array_of_displacements, oldtype, newtype);
}
int type_create_hindexed_block_c(MPI_Count count, MPI_Count blocklength,
                                 IntArray array_of_displacements, Datatype* oldtype,
                                 Datatype** newtype) {
  return create_hindexed_block(true, count, blocklength, array_of_displacements, oldtype, newtype);
}

int type_create_struct(MPI_Count count, IntArray array_of_blocklengths,
                       IntArray array_of_displacements, const MPI_Datatype array_of_types[],
                       Datatype** newtype) {
  return create_struct(false, count, array_of_blocklengths, array_of_displacements, array_of_types,
                       newtype);
}
int type_create_struct_c(MPI_Count count, IntArray array_of_blocklengths,
                         IntArray array_of_displacements, const MPI_Datatype array_of_types[],
                         Datatype** newtype) {
  return create_struct(true, count, array_of_blocklengths, array_of_displacements, array_of_types,
                       newtype);
}

int type_create_resized(Datatype* oldtype, MPI_Count lb, MPI_Count extent, Datatype** newtype) {
  return create_resized(false, oldtype, lb, extent, newtype);
}
int type_create_resized_c(Datatype* oldtype, MPI_Count lb, MPI_Count extent, Datatype** newtype) {
  return create_resized(true, oldtype, lb, extent, newtype);
}

}  // namespace impl
}  // namespace tern::mpi
