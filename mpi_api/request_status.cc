// mpi_api/request_status.cc - looking at requests without completing them (MPI-5.0 section 3.7.6),
// and the searches of request_search.h.
#include <algorithm>
#include <utility>

#include "impl.h"
#include "mpi_api/entry.h"
#include "mpi_api/errors.h"
#include "mpi_api/request_search.h"

namespace tern::mpi {

bool all_done(int count, const MPI_Request handles[]) {
  return std::all_of(handles, handles + count, [](MPI_Request handle) {
    const Request* const request = to_request(handle);
    return is_inactive(request) || request->done();
  });
}

Search find_done(int count, const MPI_Request handles[], int* index) {
  Search result = Search::kNoneActive;
  for (int i = 0; i < count; ++i) {
    const Request* const request = to_request(handles[i]);
    if (is_inactive(request)) continue;
    if (request->done()) {
      *index = i;
      return Search::kFound;
    }
    result = Search::kNotYet;
  }
  return result;
}

void find_all_done(int count, const MPI_Request handles[], int* outcount, int indices[]) {
  bool active = false;
  int found = 0;
  for (int i = 0; i < count; ++i) {
    const Request* const request = to_request(handles[i]);
    if (is_inactive(request)) continue;
    active = true;
    if (request->done()) indices[found++] = i;
  }
  *outcount = active ? found : MPI_UNDEFINED;
}

int refuse_twice(int count, const MPI_Request handles[], const char* function) {
  static std::uint32_t calls = 0;
  if (count < 2 || !entry_state.checks) return MPI_SUCCESS;
  const std::uint32_t call = ++calls;
  for (int i = 0; i < count; ++i) {
    Request* const request = to_request(handles[i]);
    if (request == nullptr || request->shared) continue;
    if (std::exchange(request->given, call) != call || is_inactive(request)) continue;
    const auto first = std::find(handles, handles + i, handles[i]) - handles;
    return raise_for(request->comm,
                     fail(MPI_ERR_REQUEST,
                          "array_of_requests[{}] and array_of_requests[{}] are the same request, "
                          "which can complete only once",
                          first, i),
                     function);
  }
  return MPI_SUCCESS;
}

int raise_for(Comm* comm, int error, const char* function) {
  if (error == MPI_SUCCESS) return error;
  return comm != nullptr ? raise(comm, error, function) : raise_default(error, function);
}

namespace {

// The status and error of one request that is done (or does not count).
int look_at(MPI_Request handle, MPI_Status* status, Comm** comm) {
  Request* const request = to_request(handle);
  MPI_Status unwanted;
  MPI_Status& filled = status != MPI_STATUS_IGNORE ? *status : unwanted;
  if (is_inactive(request)) {
    set_empty(filled);
    return MPI_SUCCESS;
  }
  *comm = request->comm;
  return request->result(filled);
}

template <class Index>
int look_at_many(int count, Index index, const MPI_Request handles[], MPI_Status* statuses,
                 const char* function) {
  int first_error = MPI_SUCCESS;
  Comm* failed = nullptr;
  for (int i = 0; i < count; ++i) {
    MPI_Status* const status = statuses != MPI_STATUSES_IGNORE ? &statuses[i] : nullptr;
    Comm* comm = nullptr;
    const int error = look_at(handles[index(i)], status, &comm);
    if (status != nullptr) status->MPI_ERROR = error;
    if (first_error == MPI_SUCCESS && error != MPI_SUCCESS) {
      first_error = error;
      failed = comm;
    }
  }
  if (first_error == MPI_SUCCESS) return MPI_SUCCESS;
  const std::string why(last_failure(first_error));
  return raise_for(failed, fail(MPI_ERR_IN_STATUS, "{}", why), function);
}

}  // namespace

namespace impl {

int request_get_status(Request* request, int* flag, MPI_Status* status) {
  *flag = 1;
  if (!is_inactive(request) && !request->done()) poll_once();
  if (!is_inactive(request) && !request->done()) {
    *flag = 0;
    return MPI_SUCCESS;
  }
  Comm* comm = nullptr;
  const int error = look_at(to_handle(request), status, &comm);
  return raise_for(comm, error, "MPI_Request_get_status");
}

int request_get_status_all(int count, const MPI_Request array_of_requests[], int* flag,
                           MPI_Status* array_of_statuses) {
  if (!all_done(count, array_of_requests)) poll_once();
  *flag = all_done(count, array_of_requests) ? 1 : 0;
  if (*flag == 0) return MPI_SUCCESS;
  return look_at_many(
      count, [](int i) { return i; }, array_of_requests, array_of_statuses,
      "MPI_Request_get_status_all");
}

int request_get_status_any(int count, const MPI_Request array_of_requests[], int* indx, int* flag,
                           MPI_Status* status) {
  Search search = find_done(count, array_of_requests, indx);
  if (search == Search::kNotYet) {
    poll_once();
    search = find_done(count, array_of_requests, indx);
  }
  *flag = search == Search::kNotYet ? 0 : 1;
  if (search == Search::kFound) {
    Comm* comm = nullptr;
    const int error = look_at(array_of_requests[*indx], status, &comm);
    return raise_for(comm, error, "MPI_Request_get_status_any");
  }
  *indx = MPI_UNDEFINED;
  if (search == Search::kNoneActive && status != MPI_STATUS_IGNORE) set_empty(*status);
  return MPI_SUCCESS;
}

int request_get_status_some(int incount, const MPI_Request array_of_requests[], int* outcount,
                            int array_of_indices[], MPI_Status* array_of_statuses) {
  // Finished requests stay in the array: only progress can bring the others to an end.
  if (!all_done(incount, array_of_requests)) poll_once();
  find_all_done(incount, array_of_requests, outcount, array_of_indices);
  if (*outcount == MPI_UNDEFINED || *outcount == 0) return MPI_SUCCESS;
  return look_at_many(
      *outcount, [&](int i) { return array_of_indices[i]; }, array_of_requests, array_of_statuses,
      "MPI_Request_get_status_some");
}

}  // namespace impl
}  // namespace tern::mpi
