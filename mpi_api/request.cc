// mpi_api/request.cc - what all requests share, and statuses; see request.h.
#include "mpi_api/request.h"

#include <sched.h>

#include <cstring>

#include "mpi_api/comm.h"
#include "mpi_api/connections.h"
#include "mpi_api/entry.h"
#include "mpi_api/errors.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

// MPI_Status::MPI_internal: [0] cancelled, [1..2] bytes (64 bits, unaligned in the ABI's struct).
constexpr int kCancelledWord = 0;
constexpr int kBytesWord = 1;

// Complete from the start; see completed_send().
class CompletedRequest final : public Request {
 public:
  explicit CompletedRequest(bool proc_null) : proc_null_(proc_null) {
    op.done = true;
    shared = plain = true;
  }
  int result(MPI_Status& status) override {
    if (proc_null_) {
      set_status(status, MPI_PROC_NULL, MPI_ANY_TAG, 0, false);
    } else {
      set_status(status, MPI_ANY_SOURCE, MPI_ANY_TAG, 0, false);
    }
    return MPI_SUCCESS;
  }

 private:
  bool proc_null_;
};

}  // namespace

Request::~Request() {
  if (comm != nullptr) comm->release();
}

int Request::start() { return MPI_ERR_INTERN; }  // MPI_Start has refused it already.

int Request::result(MPI_Status& status) {
  set_status(status, MPI_ANY_SOURCE, MPI_ANY_TAG, 0, false);
  return MPI_SUCCESS;
}

void set_empty(MPI_Status& status) {
  set_status(status, MPI_ANY_SOURCE, MPI_ANY_TAG, 0, false);
  status.MPI_ERROR = MPI_SUCCESS;
}

void set_status(MPI_Status& status, int source, int tag, MPI_Count bytes, bool cancelled) {
  status.MPI_SOURCE = source;
  status.MPI_TAG = tag;
  set_status_bytes(status, bytes);
  set_status_cancelled(status, cancelled);
}

MPI_Count status_bytes(const MPI_Status& status) {
  MPI_Count bytes = 0;
  std::memcpy(&bytes, &status.MPI_internal[kBytesWord], sizeof bytes);
  return bytes;
}

void set_status_bytes(MPI_Status& status, MPI_Count bytes) {
  std::memcpy(&status.MPI_internal[kBytesWord], &bytes, sizeof bytes);
}

bool status_cancelled(const MPI_Status& status) { return status.MPI_internal[kCancelledWord] != 0; }

void set_status_cancelled(MPI_Status& status, bool cancelled) {
  status.MPI_internal[kCancelledWord] = cancelled ? 1 : 0;
}

void set_receive_status(MPI_Status& status, const tern::Request& op) {
  const std::size_t room = op.data.bytes();
  const auto bytes = static_cast<MPI_Count>(op.bytes < room ? op.bytes : room);
  set_status(status, op.envelope.source, op.envelope.tag, bytes, op.outcome == Outcome::kCancelled);
}

int error_of(const tern::Request& op) {
  switch (op.outcome) {
    case Outcome::kOk:
    case Outcome::kCancelled:
      return MPI_SUCCESS;
    case Outcome::kTruncated:
      return fail(
          MPI_ERR_TRUNCATE,
          "the message from rank {} with tag {} has {} bytes, but the receive has room for {} "
          "only; receive it with a larger count, or ask for its size with MPI_Probe first",
          op.envelope.source, op.envelope.tag, op.bytes, op.data.bytes());
    case Outcome::kPeerLost:
      if (op.peer != nullptr) {
        const Connections& connections = *runtime().connections;
        std::string_view why = connections.why_gone(op.peer->id);
        // A fabric may know before anybody has looked.
        if (why.empty() && connections.is_connected(op.peer->id)) why = op.peer->why;
        if (!why.empty()) {
          return fail(MPI_ERR_PROC_ABORTED, "a process that takes part has ended: {}", why);
        }
      }
      if (op.peer != nullptr && op.peer->ended) {
        return fail(MPI_ERR_PROC_ABORTED,
                    "a process that takes part has ended: rank {} of the job ({})",
                    op.peer->id.rank, op.peer->why);
      }
      return fail(MPI_ERR_OTHER, "the process with rank {} of the job cannot be reached: {}",
                  op.peer != nullptr ? static_cast<long>(op.peer->id.rank) : -1L,
                  op.peer != nullptr ? op.peer->why : "it is not known");
    case Outcome::kNoMemory:
      return fail(MPI_ERR_NO_MEM,
                  "there is no memory left for the message; free memory, or receive "
                  "messages earlier");
  }
  return MPI_ERR_INTERN;
}

int wait_internal(tern::Request& op) {
  engine().wait_until([&op] { return op.done; });
  return op.outcome == Outcome::kOk ? MPI_SUCCESS : error_of(op);
}

void poll_once() {
  Engine& running = engine();
  if (running.progress() == 0 && running.wait_state().policy.spin_us == 0) {
    const HeldLocks held = entry_state.threaded ? release_entry_fully() : HeldLocks();
    sched_yield();
    if (entry_state.threaded) reacquire_entry(held);
  }
}

Request* completed_send() {
  static CompletedRequest* const request = make<CompletedRequest>(false);
  return request;
}

Request* completed_proc_null() {
  static CompletedRequest* const request = make<CompletedRequest>(true);
  return request;
}

}  // namespace tern::mpi
