// mpi_api/wait.cc - completion of requests: the Wait and Test families, MPI_Start, MPI_Cancel,
// MPI_Request_free (MPI-5.0 sections 3.7.3, 3.7.5, 3.7.6, 3.8.4 and 3.9).
//
// These functions raise errors themselves, because the error belongs to the request's communicator.
#include <map>

#include "impl.h"
#include "mpi_api/comm.h"
#include "mpi_api/entry.h"
#include "mpi_api/errors.h"
#include "mpi_api/lanes.h"
#include "mpi_api/p2p.h"
#include "mpi_api/request.h"
#include "mpi_api/request_search.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

// Consumes a finished request: status (all but MPI_ERROR), error class, and the handle's end.
int consume(MPI_Request* handle, MPI_Status* status) {
  Request* const request = to_request(*handle);
  int error = MPI_SUCCESS;
  if (status != MPI_STATUS_IGNORE || !request->ended_plainly()) {
    MPI_Status unwanted;
    error = request->result(status != MPI_STATUS_IGNORE ? *status : unwanted);
    const int consumed = request->consumed();
    if (error == MPI_SUCCESS) error = consumed;
  }
  if (request->persistent) {
    request->active = false;
    return error;
  }
  *handle = MPI_REQUEST_NULL;
  if (request->shared) return error;
  if (request->ended_plainly()) {
    end_plain(*request);
  } else {
    const LaneHold hold(request->lane);  // Whoever has completed it there is through with it.
    request->end();
  }
  return error;
}

// A communicator that must outlive the request that names it, for raising its error.
class HeldComm {
 public:
  explicit HeldComm(const Request* request) : comm_(request != nullptr ? request->comm : nullptr) {
    if (comm_ != nullptr) comm_->retain();
  }
  ~HeldComm() {
    if (comm_ != nullptr) comm_->release();
  }
  HeldComm(const HeldComm&) = delete;
  HeldComm& operator=(const HeldComm&) = delete;
  Comm* get() const { return comm_; }

 private:
  Comm* comm_;
};

// Consumes one request and raises its error: the end of MPI_Wait, MPI_Test, ...any.
int finish_one(MPI_Request* handle, MPI_Status* status, const char* function) {
  const Request* const request = to_request(*handle);
  if (request->ended_plainly()) [[likely]]
    return consume(handle, status);
  const HeldComm comm(request);
  return raise_for(comm.get(), consume(handle, status), function);
}

// Consumes requests indices[0..count) (all finished) of a family that reports MPI_ERR_IN_STATUS.
template <class Index>
int finish_many(int count, Index index, MPI_Request handles[], MPI_Status statuses[],
                const char* function) {
  int first_error = MPI_SUCCESS;
  Comm* failed = nullptr;
  for (int i = 0; i < count; ++i) {
    MPI_Request* const handle = &handles[index(i)];
    MPI_Status* const status = statuses != MPI_STATUSES_IGNORE ? &statuses[i] : nullptr;
    Request* const request = to_request(*handle);
    int error = MPI_SUCCESS;
    if (is_inactive(request)) {
      if (status != nullptr) set_empty(*status);
    } else {
      // The request holds the communicator, and may go away with it.
      const bool may_fail = !request->ended_plainly();
      Comm* const held = may_fail && first_error == MPI_SUCCESS ? request->comm : nullptr;
      if (held != nullptr) held->retain();
      error = consume(handle, status);
      if (error != MPI_SUCCESS && first_error == MPI_SUCCESS) {
        failed = held;
      } else if (held != nullptr) {
        held->release();
      }
    }
    if (status != nullptr) status->MPI_ERROR = error;
    if (first_error == MPI_SUCCESS) first_error = error;
  }
  int result = MPI_SUCCESS;
  if (first_error != MPI_SUCCESS) {
    const std::string why(last_failure(first_error));
    result = raise_for(failed, fail(MPI_ERR_IN_STATUS, "{}", why), function);
  }
  if (failed != nullptr) failed->release();
  return result;
}

// Sends that MPI_Request_free left in flight, by session; nullptr: the world model's.
std::map<const Session*, int> freed_sends;

const Session* session_of(const Request& request) {
  return request.comm == nullptr ? nullptr : request.comm->group().session();
}

// MPI_Request_free of an operation in flight: whoever completes it destroys it.
void destroy_when_done(tern::Request& op) {
  Request& request = *static_cast<Request::Operation&>(op).owner;
  if (request.lane != nullptr && !entry_is_mine()) {
    return request.lane->later(op, destroy_when_done);
  }
  if (op.is_send) {
    const auto place = freed_sends.find(session_of(request));
    if (--place->second == 0) freed_sends.erase(place);
  }
  request.end();
}

int start_one(Request& request) {
  if (!request.persistent) {
    return fail(MPI_ERR_REQUEST,
                "the request is not persistent; only requests made by an MPI_..._init "
                "function can be started");
  }
  if (request.active) {
    return fail(MPI_ERR_REQUEST,
                "the request is active already; complete it before starting it again");
  }
  return request.start();
}

}  // namespace

void finish_freed_sends(const Session* session) {
  engine().wait_until([session] { return !freed_sends.contains(session); });
}

namespace impl {

int wait(MPI_Request* request, MPI_Status* status) {
  const Request* const waited = to_request(*request);
  if (is_inactive(waited)) {
    if (status != MPI_STATUS_IGNORE) set_empty(*status);
    return MPI_SUCCESS;
  }
  engine().wait_until([waited] { return waited->done(); });
  return finish_one(request, status, "MPI_Wait");
}

int test(MPI_Request* request, int* flag, MPI_Status* status) {
  const Request* const tested = to_request(*request);
  *flag = 1;
  if (is_inactive(tested)) {
    if (status != MPI_STATUS_IGNORE) set_empty(*status);
    return MPI_SUCCESS;
  }
  if (!tested->done()) poll_once();
  if (tested->done()) return finish_one(request, status, "MPI_Test");
  *flag = 0;
  return MPI_SUCCESS;
}

int waitall(int count, MPI_Request array_of_requests[], MPI_Status* array_of_statuses) {
  if (const int error = refuse_twice(count, array_of_requests, "MPI_Waitall")) return error;
  bool all_ended = array_of_statuses == MPI_STATUSES_IGNORE;
  for (int i = 0; i < count; ++i) {
    Request* const request = to_request(array_of_requests[i]);
    if (is_inactive(request)) continue;
    if (!request->done()) engine().wait_until([request] { return request->done(); });
    // Most of them, of which nothing is to be reported, are looked at only once.
    if (all_ended && request->ended_plainly() && !request->persistent) [[likely]] {
      array_of_requests[i] = MPI_REQUEST_NULL;
      if (!request->shared) end_plain(*request);
    } else {
      all_ended = false;
    }
  }
  if (all_ended) return MPI_SUCCESS;
  return finish_many(
      count, [](int i) { return i; }, array_of_requests, array_of_statuses, "MPI_Waitall");
}

int testall(int count, MPI_Request array_of_requests[], int* flag, MPI_Status* array_of_statuses) {
  if (const int error = refuse_twice(count, array_of_requests, "MPI_Testall")) return error;
  *flag = 1;
  if (!all_done(count, array_of_requests)) {
    poll_once();
    if (!all_done(count, array_of_requests)) {
      *flag = 0;
      return MPI_SUCCESS;
    }
  }
  return finish_many(
      count, [](int i) { return i; }, array_of_requests, array_of_statuses, "MPI_Testall");
}

int waitany(int count, MPI_Request array_of_requests[], int* index, MPI_Status* status) {
  Search search = Search::kNotYet;
  engine().wait_until([&] {
    search = find_done(count, array_of_requests, index);
    return search != Search::kNotYet;
  });
  if (search == Search::kFound) {
    return finish_one(&array_of_requests[*index], status, "MPI_Waitany");
  }
  *index = MPI_UNDEFINED;
  if (status != MPI_STATUS_IGNORE) set_empty(*status);
  return MPI_SUCCESS;
}

int testany(int count, MPI_Request array_of_requests[], int* index, int* flag, MPI_Status* status) {
  Search search = find_done(count, array_of_requests, index);
  if (search == Search::kNotYet) {
    poll_once();
    search = find_done(count, array_of_requests, index);
  }
  *flag = search == Search::kNotYet ? 0 : 1;
  if (search == Search::kFound) {
    return finish_one(&array_of_requests[*index], status, "MPI_Testany");
  }
  *index = MPI_UNDEFINED;
  if (search == Search::kNoneActive && status != MPI_STATUS_IGNORE) set_empty(*status);
  return MPI_SUCCESS;
}

int waitsome(int incount, MPI_Request array_of_requests[], int* outcount, int array_of_indices[],
             MPI_Status* array_of_statuses) {
  if (const int error = refuse_twice(incount, array_of_requests, "MPI_Waitsome")) return error;
  engine().wait_until([&] {
    find_all_done(incount, array_of_requests, outcount, array_of_indices);
    return *outcount != 0;
  });
  if (*outcount == MPI_UNDEFINED) return MPI_SUCCESS;
  return finish_many(
      *outcount, [&](int i) { return array_of_indices[i]; }, array_of_requests, array_of_statuses,
      "MPI_Waitsome");
}

int testsome(int incount, MPI_Request array_of_requests[], int* outcount, int array_of_indices[],
             MPI_Status* array_of_statuses) {
  if (const int error = refuse_twice(incount, array_of_requests, "MPI_Testsome")) return error;
  find_all_done(incount, array_of_requests, outcount, array_of_indices);
  if (*outcount == 0) {
    poll_once();
    find_all_done(incount, array_of_requests, outcount, array_of_indices);
  }
  if (*outcount == MPI_UNDEFINED || *outcount == 0) return MPI_SUCCESS;
  return finish_many(
      *outcount, [&](int i) { return array_of_indices[i]; }, array_of_requests, array_of_statuses,
      "MPI_Testsome");
}

int request_free(MPI_Request* request) {
  Request* const freed = to_request(*request);
  if (freed->collective && !is_inactive(freed)) {
    return raise_for(freed->comm,
                     fail(MPI_ERR_REQUEST,
                          "the request is that of a collective that has been started; complete it "
                          "with MPI_Wait or MPI_Test instead of freeing it"),
                     "MPI_Request_free");
  }
  *request = MPI_REQUEST_NULL;
  if (freed->shared) return MPI_SUCCESS;
  const LaneHold hold(freed->lane);
  freed->freed = true;
  if (is_inactive(freed) || freed->done()) {
    if (!is_inactive(freed)) freed->consumed();
    freed->end();
  } else {
    freed->op.on_done = destroy_when_done;
    if (freed->op.is_send) ++freed_sends[session_of(*freed)];
  }
  return MPI_SUCCESS;
}

int cancel(MPI_Request* request) {
  Request* const cancelled = to_request(*request);
  if (cancelled->collective) {
    return raise_for(
        cancelled->comm,
        fail(MPI_ERR_REQUEST, "the request is that of a collective, which cannot be cancelled"),
        "MPI_Cancel");
  }
  if (!cancelled->done()) cancelled->cancel();
  return MPI_SUCCESS;
}

int start(MPI_Request* request) {
  Request* const started = to_request(*request);
  return raise_for(started->comm, start_one(*started), "MPI_Start");
}

int startall(int count, MPI_Request array_of_requests[]) {
  for (int i = 0; i < count; ++i) {
    Request* const started = to_request(array_of_requests[i]);
    const int error = raise_for(started->comm, start_one(*started), "MPI_Startall");
    if (error != MPI_SUCCESS) return error;
  }
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
