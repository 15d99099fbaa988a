// mpi_api/comm_calls.cc - asking communicators, naming, hinting, comparing and freeing them
// (MPI-5.0 sections 7.4 and 7.6). All of it is local. Creation: comm_create.cc.
#include <algorithm>
#include <cstring>
#include <string_view>

#include "impl.h"
#include "mpi_api/comm.h"
#include "mpi_api/comm_hints.h"
#include "mpi_api/errors.h"
#include "mpi_api/spawned_jobs.h"

namespace tern::mpi::impl {

int comm_size(Comm* comm, int* size) {
  *size = comm->size();
  return MPI_SUCCESS;
}

int comm_rank(Comm* comm, int* rank) {
  *rank = comm->rank();
  return MPI_SUCCESS;
}

int comm_test_inter(Comm* comm, int* flag) {
  *flag = comm->is_inter();
  return MPI_SUCCESS;
}

int comm_remote_size(Comm* comm, int* size) {
  *size = comm->remote_size();
  return MPI_SUCCESS;
}

int comm_group(Comm* comm, Group** group) {
  comm->group().retain();
  *group = &comm->group();
  return MPI_SUCCESS;
}

int comm_remote_group(Comm* comm, Group** group) {
  comm->remote_group()->retain();
  *group = comm->remote_group();
  return MPI_SUCCESS;
}

int comm_compare(Comm* comm1, Comm* comm2, int* result) {
  if (comm1 == comm2) {
    *result = MPI_IDENT;
  } else if (comm1->is_inter() != comm2->is_inter()) {
    *result = MPI_UNEQUAL;
  } else {
    // MPI_IDENT < MPI_CONGRUENT < MPI_SIMILAR < MPI_UNEQUAL: the groups that differ most decide,
    // and identical ones still make two communicators.
    static_assert(MPI_IDENT < MPI_CONGRUENT && MPI_CONGRUENT < MPI_SIMILAR &&
                  MPI_SIMILAR < MPI_UNEQUAL);
    const int local = comm1->group().compare(comm2->group());
    const int remote =
        comm1->is_inter() ? comm1->remote_group()->compare(*comm2->remote_group()) : local;
    *result = std::max({local, remote, static_cast<int>(MPI_CONGRUENT)});
  }
  return MPI_SUCCESS;
}

int comm_set_name(Comm* comm, const char* comm_name) {
  comm->name.assign(comm_name, strnlen(comm_name, MPI_MAX_OBJECT_NAME - 1));
  return MPI_SUCCESS;
}

int comm_get_name(Comm* comm, char* comm_name, int* resultlen) {
  const std::string_view name = comm == nullptr ? "MPI_COMM_NULL" : std::string_view(comm->name);
  std::memcpy(comm_name, name.data(), name.size());
  comm_name[name.size()] = '\0';
  *resultlen = static_cast<int>(name.size());
  return MPI_SUCCESS;
}

int comm_set_info(Comm* comm, Info* info) {
  take_hints(*comm, info);
  return MPI_SUCCESS;
}

int comm_get_info(Comm* comm, Info** info_used) {
  return hand_over(hints_in_force(*comm), "an info object", info_used);
}

int comm_free(MPI_Comm* comm) {
  Comm* const object = to_comm(*comm);
  if (object->predefined()) {
    return fail(MPI_ERR_COMM, "comm is {}, which lasts until MPI_Finalize", object->name);
  }
  // The program's delete functions may still use the communicator, and a failure of one keeps it.
  if (const int error = delete_attributes(*object)) return error;
  forget_parent(*object);
  *comm = MPI_COMM_NULL;
  object->release();  // Operations in flight hold references of their own.
  return MPI_SUCCESS;
}

}  // namespace tern::mpi::impl
