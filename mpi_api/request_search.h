// mpi_api/request_search.h - looking through arrays of requests: what the Wait, Test and
// Request_get_status families share.
#pragma once
#include "mpi_api/request.h"

namespace tern::mpi {

// Requests that do not count: MPI_REQUEST_NULL and inactive persistent ones.
inline bool is_inactive(const Request* request) {
  return request == nullptr || (request->persistent && !request->active);
}

bool all_done(int count, const MPI_Request handles[]);

enum class Search { kNoneActive, kNotYet, kFound };
// The first finished request.
Search find_done(int count, const MPI_Request handles[], int* index);

// Indices of all finished requests; *outcount is MPI_UNDEFINED when none is active.
void find_all_done(int count, const MPI_Request handles[], int* outcount, int indices[]);

// An array that holds an active request twice, which could be completed only once: raises the error
// and returns what the function is to return. MPI_SUCCESS when there is none.
int refuse_twice(int count, const MPI_Request handles[], const char* function);

// Raises on the communicator of a request, or on MPI_COMM_SELF where there is none.
int raise_for(Comm* comm, int error, const char* function);

}  // namespace tern::mpi
