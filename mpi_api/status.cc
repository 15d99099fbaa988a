// mpi_api/status.cc - what statuses tell and what may be set in them (MPI-5.0
// sections 3.2.5, 3.8.4, 5.1.11 and 13.3).
#include "impl.h"
#include "mpi_api/datatype.h"
#include "mpi_api/errors.h"
#include "mpi_api/request.h"

namespace tern::mpi {
namespace {

// Bytes of the first of the basic elements in a predefined datatype: pairs have two of different
// size.
MPI_Count first_element_bytes(const Datatype& datatype) {
  return datatype.size() - static_cast<MPI_Count>(shape_of(datatype.basic()).index_bytes);
}

}  // namespace

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
  if (datatype->size() == 0) {
    *count = bytes == 0 ? 0 : MPI_UNDEFINED;
    return MPI_SUCCESS;
  }
  const MPI_Count rest = bytes % datatype->size();
  *count = bytes / datatype->size() * datatype->elements();
  if (rest == first_element_bytes(*datatype)) {
    ++*count;
  } else if (rest != 0) {
    *count = MPI_UNDEFINED;
  }
  return MPI_SUCCESS;
}

int status_set_elements(MPI_Status* status, Datatype* datatype, MPI_Count count) {
  const MPI_Count whole = count / datatype->elements();
  MPI_Count bytes = whole * datatype->size();
  if (count % datatype->elements() != 0) bytes += first_element_bytes(*datatype);
  set_status_bytes(*status, bytes);
  return MPI_SUCCESS;
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
