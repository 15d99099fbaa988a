// mpi_api/status.cc - what statuses tell and what may be set in them (MPI-5.0
// sections 3.2.5, 3.8.4, 5.1.11 and 13.3).
#include <new>

#include "impl.h"
#include "mpi_api/datatype.h"
#include "mpi_api/errors.h"
#include "mpi_api/request.h"

namespace tern::mpi {
namespace impl {

int get_count(const MPI_Status* status, Datatype* datatype, MPI_Count* count) {
  const MPI_Count bytes = status_bytes(*status);
  if (datatype->size() == 0) {
    *count = bytes == 0 ? 0 : MPI_UNDEFINED;
  } else {
    const bool whole = bytes % datatype->size() == 0;
    *count = whole ? bytes / datatype->size() : MPI_Count{MPI_UNDEFINED};
  }
  return MPI_SUCCESS;
}

int get_elements(const MPI_Status* status, Datatype* datatype, MPI_Count* count) {
  const MPI_Count bytes = status_bytes(*status);
  const MPI_Count size = datatype->size();
  if (size == 0) {
    *count = bytes == 0 ? 0 : MPI_UNDEFINED;
    return MPI_SUCCESS;
  }
  try {
    const Shape& shape = *datatype->typed().data().shape;
    const ElementCount rest = elements_in(shape, static_cast<std::size_t>(bytes % size));
    *count = rest.whole ? bytes / size * static_cast<MPI_Count>(shape.elements) +
                              static_cast<MPI_Count>(rest.elements)
                        : MPI_Count{MPI_UNDEFINED};
    return MPI_SUCCESS;
  } catch (const std::bad_alloc&) {
    return fail_no_memory("a list of the datatype's elements");
  }
}

int status_set_elements(MPI_Status* status, Datatype* datatype, MPI_Count count) {
  if (datatype->size() == 0) {
    set_status_bytes(*status, 0);
    return MPI_SUCCESS;
  }
  try {
    const Shape& shape = *datatype->typed().data().shape;
    const auto elements = static_cast<MPI_Count>(shape.elements);
    const std::size_t rest = bytes_of_elements(shape, static_cast<std::size_t>(count % elements));
    MPI_Count bytes = 0;
    if (__builtin_mul_overflow(count / elements, datatype->size(), &bytes) ||
        __builtin_add_overflow(bytes, static_cast<MPI_Count>(rest), &bytes)) {
      return fail(MPI_ERR_COUNT, "count is {}; so many elements are more than 2^63 - 1 bytes",
                  count);
    }
    set_status_bytes(*status, bytes);
    return MPI_SUCCESS;
  } catch (const std::bad_alloc&) {
    return fail_no_memory("a list of the datatype's elements");
  }
}

int test_cancelled(const MPI_Status* status, int* flag) {
  *flag = status_cancelled(*status) ? 1 : 0;
  return MPI_SUCCESS;
}

int status_set_cancelled(MPI_Status* status, int flag) {
  set_status_cancelled(*status, flag != 0);
  return MPI_SUCCESS;
}

int status_get_source(const MPI_Status* status, int* source) {
  *source = status->MPI_SOURCE;
  return MPI_SUCCESS;
}

int status_get_tag(const MPI_Status* status, int* tag) {
  *tag = status->MPI_TAG;
  return MPI_SUCCESS;
}

int status_get_error(const MPI_Status* status, int* error) {
  *error = status->MPI_ERROR;
  return MPI_SUCCESS;
}

int status_set_source(MPI_Status* status, int source) {
  status->MPI_SOURCE = source;
  return MPI_SUCCESS;
}

int status_set_tag(MPI_Status* status, int tag) {
  status->MPI_TAG = tag;
  return MPI_SUCCESS;
}

int status_set_error(MPI_Status* status, int error) {
  status->MPI_ERROR = error;
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
