// mpi_api/datatype_array.cc - datatypes of parts of arrays (MPI-5.0 sections 5.1.3 and 5.1.4).
#include <new>

#include "core/format.h"
#include "impl.h"
#include "mpi_api/datatype_construct.h"
#include "mpi_api/errors.h"

namespace tern::mpi {
namespace {

int check_shape(int ndims, int order) {
  if (ndims < 1) return fail(MPI_ERR_ARG, "ndims is {}; it must be at least 1", ndims);
  if (order == MPI_ORDER_C || order == MPI_ORDER_FORTRAN) return MPI_SUCCESS;
  return fail(MPI_ERR_ARG, "order is {}; it must be MPI_ORDER_C or MPI_ORDER_FORTRAN", order);
}

int create_subarray(bool large, int ndims, IntArray sizes, IntArray subsizes, IntArray starts,
                    int order, Datatype* oldtype, Datatype** newtype) {
  if (const int error = check_shape(ndims, order)) return error;
  for (int i = 0; i < ndims; ++i) {
    if (sizes[i] < 1) {
      return fail(MPI_ERR_ARG, "array_of_sizes[{}] is {}; it must be at least 1", i, sizes[i]);
    }
    if (subsizes[i] < 1 || subsizes[i] > sizes[i]) {
      return fail(MPI_ERR_ARG,
                  "array_of_subsizes[{0}] is {1}; it must be 1 to {2}, the size of "
                  "dimension {0}",
                  i, subsizes[i], sizes[i]);
    }
    if (starts[i] > sizes[i] - subsizes[i]) {
      return fail(MPI_ERR_ARG,
                  "array_of_starts[{}] is {}; with {} of {} elements it must be 0 to {}", i,
                  starts[i], subsizes[i], sizes[i], sizes[i] - subsizes[i]);
    }
  }
  try {
    RecipeWriter to(MPI_COMBINER_SUBARRAY, large);
    to.integers({ndims}).numbers(sizes, ndims).numbers(subsizes, ndims).numbers(starts, ndims);
    to.integers({order}).type(oldtype);
    return make_derived(to, newtype);
  } catch (const std::bad_alloc&) {
    return fail_no_memory("a datatype");
  }
}

// One dimension of a distributed array.
int check_distribution(int i, MPI_Count length, int distribution, int argument, int places) {
  if (length < 1) {
    return fail(MPI_ERR_ARG, "array_of_gsizes[{}] is {}; it must be at least 1", i, length);
  }
  if (places < 1) {
    return fail(MPI_ERR_ARG, "array_of_psizes[{}] is {}; it must be at least 1", i, places);
  }
  const bool by_default = argument == MPI_DISTRIBUTE_DFLT_DARG;
  switch (distribution) {
    case MPI_DISTRIBUTE_NONE:
      if (places == 1) return MPI_SUCCESS;
      return fail(MPI_ERR_ARG,
                  "array_of_psizes[{0}] is {1}; it must be 1, because array_of_distribs[{0}] is "
                  "MPI_DISTRIBUTE_NONE",
                  i, places);
    case MPI_DISTRIBUTE_BLOCK:
    case MPI_DISTRIBUTE_CYCLIC:
      break;
    default:
      return fail(MPI_ERR_ARG,
                  "array_of_distribs[{}] is {}; it must be MPI_DISTRIBUTE_BLOCK, "
                  "MPI_DISTRIBUTE_CYCLIC or MPI_DISTRIBUTE_NONE",
                  i, distribution);
  }
  if (!by_default && argument < 1) {
    return fail(MPI_ERR_ARG,
                "array_of_dargs[{}] is {}; it must be at least 1, or MPI_DISTRIBUTE_DFLT_DARG", i,
                argument);
  }
  // No block may be left over. places * argument fits: both are ints.
  if (distribution == MPI_DISTRIBUTE_BLOCK && !by_default &&
      static_cast<MPI_Count>(argument) * places < length) {
    return fail(MPI_ERR_ARG,
                "array_of_dargs[{0}] is {1}; {2} blocks of that size do not hold the {3} elements "
                "of dimension {0}",
                i, argument, places, length);
  }
  return MPI_SUCCESS;
}

int create_darray(bool large, int size, int rank, int ndims, IntArray gsizes, const int distribs[],
                  const int dargs[], const int psizes[], int order, Datatype* oldtype,
                  Datatype** newtype) {
  if (size < 1) return fail(MPI_ERR_ARG, "size is {}; it must be at least 1", size);
  if (rank < 0 || rank >= size) {
    return fail(MPI_ERR_RANK, "rank is {}; with size {} it must be 0 to {}", rank, size, size - 1);
  }
  if (const int error = check_shape(ndims, order)) return error;
  MPI_Count places = 1;
  for (int i = 0; i < ndims; ++i) {
    if (const int error = check_distribution(i, gsizes[i], distribs[i], dargs[i], psizes[i])) {
      return error;
    }
    if (places <= size) places *= psizes[i];  // Beyond it is wrong anyway.
  }
  if (places != size) {
    return fail(MPI_ERR_ARG, "the process grid of array_of_psizes has {}{} places, but size is {}",
                places > size ? "at least " : "", places, size);
  }
  try {
    RecipeWriter to(MPI_COMBINER_DARRAY, large);
    to.integers({size, rank, ndims}).numbers(gsizes, ndims).integers(distribs, ndims);
    to.integers(dargs, ndims).integers(psizes, ndims).integers({order}).type(oldtype);
    return make_derived(to, newtype);
  } catch (const std::bad_alloc&) {
    return fail_no_memory("a datatype");
  }
}

}  // namespace

namespace impl {

int type_create_subarray(int ndims, IntArray array_of_sizes, IntArray array_of_subsizes,
                         IntArray array_of_starts, int order, Datatype* oldtype,
                         Datatype** newtype) {
  return create_subarray(false, ndims, array_of_sizes, array_of_subsizes, array_of_starts, order,
                         oldtype, newtype);
}
int type_create_subarray_c(int ndims, IntArray array_of_sizes, IntArray array_of_subsizes,
                           IntArray array_of_starts, int order, Datatype* oldtype,
                           Datatype** newtype) {
  return create_subarray(true, ndims, array_of_sizes, array_of_subsizes, array_of_starts, order,
                         oldtype, newtype);
}

int type_create_darray(int size, int rank, int ndims, IntArray array_of_gsizes,
                       const int array_of_distribs[], const int array_of_dargs[],
                       const int array_of_psizes[], int order, Datatype* oldtype,
                       Datatype** newtype) {
  return create_darray(false, size, rank, ndims, array_of_gsizes, array_of_distribs, array_of_dargs,
                       array_of_psizes, order, oldtype, newtype);
}
int type_create_darray_c(int size, int rank, int ndims, IntArray array_of_gsizes,
                         const int array_of_distribs[], const int array_of_dargs[],
                         const int array_of_psizes[], int order, Datatype* oldtype,
                         Datatype** newtype) {
  return create_darray(true, size, rank, ndims, array_of_gsizes, array_of_distribs, array_of_dargs,
                       array_of_psizes, order, oldtype, newtype);
}

}  // namespace impl
}  // namespace tern::mpi
