// mpi_api/datatype_decode.cc - how a datatype was made (MPI-5.0 section 5.1.13).
#include <algorithm>
#include <string_view>

#include "impl.h"
#include "mpi_api/datatype.h"
#include "mpi_api/errors.h"

namespace tern::mpi {
namespace {

MPI_Count length(const auto& list) { return static_cast<MPI_Count>(list.size()); }

int refuse_large(const char* function) {
  return fail(MPI_ERR_TYPE,
              "datatype was made by a large-count function; {} tells what it was made of",
              function);
}

// One of the caller's arrays.
int check_room(MPI_Count room, MPI_Count needed, const char* argument) {
  if (room >= needed) return MPI_SUCCESS;
  return fail(MPI_ERR_ARG, "{} is {}; this datatype needs {}, as MPI_Type_get_envelope tells",
              argument, room, needed);
}

int check_decodable(const Recipe& recipe, const Datatype& datatype) {
  if (recipe.combiner != MPI_COMBINER_NAMED) return MPI_SUCCESS;
  return fail(MPI_ERR_TYPE, "datatype is {}, which is predefined and not made of anything",
              datatype.name);
}

// The datatypes become the program's: it frees those that are derived.
void give_types(const Recipe& recipe, MPI_Datatype* types) {
  for (std::size_t i = 0; i < recipe.types.size(); ++i) {
    Datatype* const type = recipe.types[i];
    if (!type->built_in()) {
      type->retain();
      type->add_handle();
    }
    types[i] = to_handle(type);
  }
}

int get_contents(const Datatype& datatype, MPI_Count max_integers, MPI_Count max_addresses,
                 MPI_Count max_datatypes, int* integers, MPI_Aint* addresses,
                 MPI_Datatype* datatypes) {
  const Recipe& recipe = datatype.recipe();
  if (const int error = check_decodable(recipe, datatype)) return error;
  if (const int error = check_room(max_integers, length(recipe.integers), "max_integers")) {
    return error;
  }
  if (const int error = check_room(max_addresses, length(recipe.addresses), "max_addresses")) {
    return error;
  }
  if (const int error = check_room(max_datatypes, length(recipe.types), "max_datatypes")) {
    return error;
  }
  std::copy(recipe.integers.begin(), recipe.integers.end(), integers);
  std::copy(recipe.addresses.begin(), recipe.addresses.end(), addresses);
  give_types(recipe, datatypes);
  return MPI_SUCCESS;
}

}  // namespace

namespace impl {

int type_get_envelope(Datatype* datatype, MPI_Count* num_integers, MPI_Count* num_addresses,
                      MPI_Count* num_datatypes, int* combiner) {
  const Recipe& recipe = datatype->recipe();
  if (recipe.large) return refuse_large("MPI_Type_get_envelope_c");
  *num_integers = length(recipe.integers);
  *num_addresses = length(recipe.addresses);
  *num_datatypes = length(recipe.types);
  *combiner = recipe.combiner;
  return MPI_SUCCESS;
}

int type_get_envelope_c(Datatype* datatype, MPI_Count* num_integers, MPI_Count* num_addresses,
                        MPI_Count* num_large_counts, MPI_Count* num_datatypes, int* combiner) {
  const Recipe& recipe = datatype->recipe();
  *num_integers = length(recipe.integers);
  *num_addresses = length(recipe.addresses);
  *num_large_counts = length(recipe.counts);
  *num_datatypes = length(recipe.types);
  *combiner = recipe.combiner;
  return MPI_SUCCESS;
}

int type_get_contents(Datatype* datatype, MPI_Count max_integers, MPI_Count max_addresses,
                      MPI_Count max_datatypes, int array_of_integers[],
                      MPI_Aint array_of_addresses[], MPI_Datatype array_of_datatypes[]) {
  if (datatype->recipe().large) return refuse_large("MPI_Type_get_contents_c");
  return get_contents(*datatype, max_integers, max_addresses, max_datatypes, array_of_integers,
                      array_of_addresses, array_of_datatypes);
}

int type_get_contents_c(Datatype* datatype, MPI_Count max_integers, MPI_Count max_addresses,
                        MPI_Count max_large_counts, MPI_Count max_datatypes,
                        int array_of_integers[], MPI_Aint array_of_addresses[],
                        MPI_Count array_of_large_counts[], MPI_Datatype array_of_datatypes[]) {
  const Recipe& recipe = datatype->recipe();
  if (const int error = check_room(max_large_counts, length(recipe.counts), "max_large_counts")) {
    return error;
  }
  if (const int error = get_contents(*datatype, max_integers, max_addresses, max_datatypes,
                                     array_of_integers, array_of_addresses, array_of_datatypes)) {
    return error;
  }
  std::copy(recipe.counts.begin(), recipe.counts.end(), array_of_large_counts);
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
