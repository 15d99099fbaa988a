// mpi_api/lanes_calls.cc - the parallel ways of the most frequent calls; see lanes.h.
//
// They do what is simple: predefined datatypes, peers that are connected, requests of one lane that
// end well. Everything else is left to the long way, which finds out again what is the matter.
#include "mpi_api/checks.h"
#include "mpi_api/comm.h"
#include "mpi_api/entry.h"
#include "mpi_api/errors.h"
#include "mpi_api/lanes.h"
#include "mpi_api/p2p.h"
#include "mpi_api/runtime.h"

namespace tern::mpi::lanes {
namespace {

constexpr std::uintptr_t kPredefined = 4096;

// The communicator, if it has a lane that this thread is not in already: user callbacks, which run
// under the locks, take the long way.
Comm* laned_comm(MPI_Comm handle) {
  if (!is_initialized() || reinterpret_cast<std::uintptr_t>(handle) < kPredefined) return nullptr;
  Comm* const comm = find_comm(handle);
  return comm == nullptr || comm->lane() == nullptr || comm->lane()->lock().mine() ? nullptr : comm;
}

Datatype* simple_datatype(MPI_Datatype handle) {
  if (reinterpret_cast<std::uintptr_t>(handle) >= kPredefined) return nullptr;
  Datatype* const datatype = to_datatype(handle);
  return is_datatype(datatype, handle) && datatype->supported() ? datatype : nullptr;
}

bool can_send(const void* buf, MPI_Count count, const Datatype* type, int dest, int tag,
              const Comm& to) {
  constexpr std::uint64_t kMostElements = 1 << 16;  // Also keeps their bytes from overflowing.
  return type != nullptr && type->layout().is_dense() &&
         static_cast<std::uint64_t>(count) <= kMostElements &&
         static_cast<unsigned>(dest) < static_cast<unsigned>(to.remote_size()) &&
         static_cast<unsigned>(tag) <= static_cast<unsigned>(kTagUb) && !is_special_buffer(buf);
}

bool can_receive(const void* buf, MPI_Count count, const Datatype* type, int source, int tag,
                 const Comm& from) {
  constexpr std::uint64_t kMostElements = std::uint64_t{1} << 32;
  return type != nullptr && static_cast<std::uint64_t>(count) <= kMostElements &&
         (static_cast<unsigned>(source) < static_cast<unsigned>(from.remote_size()) ||
          (source == MPI_ANY_SOURCE && !from.no_any_source)) &&
         (static_cast<unsigned>(tag) <= static_cast<unsigned>(kTagUb) ||
          (tag == MPI_ANY_TAG && !from.no_any_tag)) &&
         !is_special_buffer(buf);
}

// A scope in which the thread has the lane, and nothing else.
class Inside {
 public:
  explicit Inside(Lane& lane) : lane_(lane) { lane_.lock().lock(); }
  ~Inside() { lane_.lock().unlock(); }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  Lane& lane_;
};

// Requests that a call is about: null ones, sends that were complete from the start, and receives
// of one lane.
class Batch {
 public:
  Batch(MPI_Count count, MPI_Request* handles) : count_(count), handles_(handles) {}

  // False: there are others among them.
  bool look() {
    if (!is_initialized()) return false;
    for (MPI_Count i = 0; i < count_; ++i) {
      if (handles_[i] == MPI_REQUEST_NULL) continue;
      const Request* const request = find_request(handles_[i]);
      if (request == nullptr) return false;
      if (request->shared) continue;
      if (!request->quick || (lane_ != nullptr && request->lane != lane_)) return false;
      lane_ = request->lane;
    }
    return lane_ == nullptr || !lane_->lock().mine();
  }
  // The lane of the receives; nullptr when there are none.
  Lane* lane() const { return lane_; }

  // With the lane.
  bool done() {
    for (; done_ < count_; ++done_) {
      const Request* const request = to_request(handles_[done_]);
      if (request != nullptr && !request->shared && !request->op.done) return false;
    }
    return true;
  }
  // Whether all may be consumed: they have ended well, and none is here twice. Precondition:
  // done().
  bool went_well() const {
    constexpr std::uint32_t kHere = ~0U;
    bool well = true;
    for_each_receive([&](Request& request) {
      well = well && request.op.outcome == Outcome::kOk && request.given != kHere;
      request.given = kHere;
    });
    for_each_receive([](Request& request) { request.given = 0; });
    return well;
  }
  // Precondition: went_well(). statuses may be nullptr.
  void consume(MPI_Status* statuses) {
    for (MPI_Count i = 0; i < count_; ++i) {
      Request* const request = to_request(handles_[i]);
      if (statuses != nullptr) {
        if (request == nullptr) {
          set_empty(statuses[i]);
        } else {
          request->result(statuses[i]);
        }
      }
      handles_[i] = MPI_REQUEST_NULL;
      if (request != nullptr && !request->shared) request->end();
    }
  }

 private:
  template <class Visit>
  void for_each_receive(Visit visit) const {
    for (MPI_Count i = 0; i < count_; ++i) {
      Request* const request = to_request(handles_[i]);
      if (request != nullptr && !request->shared) visit(*request);
    }
  }

  MPI_Count count_;
  MPI_Request* handles_;
  MPI_Count done_ = 0;  // So many are, from the first on.
  Lane* lane_ = nullptr;
};

// The end of a wait: false when the long way has to go on.
bool complete(Batch& batch, MPI_Status* statuses) {
  if (batch.lane() == nullptr) {
    batch.consume(statuses);
    return true;
  }
  const Inside inside(*batch.lane());
  if (!batch.lane()->poll_until([&batch] { return batch.done(); }) || !batch.went_well()) {
    return false;
  }
  batch.consume(statuses);
  return true;
}

bool try_to_complete(Batch& batch, int* flag, MPI_Status* statuses) {
  *flag = 1;
  if (batch.lane() == nullptr) {
    batch.consume(statuses);
    return true;
  }
  const Inside inside(*batch.lane());
  if (!batch.done()) batch.lane()->poll_once();
  if (!batch.done()) {
    *flag = 0;
    return true;
  }
  if (!batch.went_well()) return false;
  batch.consume(statuses);
  return true;
}

void set_no_errors(MPI_Count count, MPI_Status* statuses) {
  if (statuses == nullptr) return;
  for (MPI_Count i = 0; i < count; ++i) statuses[i].MPI_ERROR = MPI_SUCCESS;
}

}  // namespace

bool send(const void* buf, MPI_Count count, MPI_Datatype datatype, int dest, int tag,
          MPI_Comm comm) {
  Comm* const to = laned_comm(comm);
  if (to == nullptr) return false;
  const Datatype* const type = simple_datatype(datatype);
  if (!can_send(buf, count, type, dest, tag, *to)) return false;
  const Inside inside(*to->lane());
  Peer* const peer = to->known_p2p_peer(dest);
  return peer != nullptr &&
         Engine::send_now(*peer, {to->context(), to->rank(), tag},
                          static_cast<const std::byte*>(buf),
                          type->layout().size() * static_cast<std::size_t>(count));
}

bool isend(const void* buf, MPI_Count count, MPI_Datatype datatype, int dest, int tag,
           MPI_Comm comm, MPI_Request* request) {
  if (request == nullptr || !send(buf, count, datatype, dest, tag, comm)) return false;
  *request = to_handle(completed_send());
  return true;
}

bool irecv(void* buf, MPI_Count count, MPI_Datatype datatype, int source, int tag, MPI_Comm comm,
           MPI_Request* request) {
  Comm* const from = request == nullptr ? nullptr : laned_comm(comm);
  if (from == nullptr) return false;
  Datatype* const type = simple_datatype(datatype);
  if (!can_receive(buf, count, type, source, tag, *from)) return false;
  const Inside inside(*from->lane());
  LaneRequest* const made = from->lane()->take_up();
  if (made == nullptr) return false;
  made->receive(view(buf, count, *type), source, tag, *from);
  *request = to_handle(made);
  return true;
}

bool recv(const char* function, void* buf, MPI_Count count, MPI_Datatype datatype, int source,
          int tag, MPI_Comm comm, MPI_Status* status, int* error) {
  Comm* const from = laned_comm(comm);
  if (from == nullptr) return false;
  Datatype* const type = simple_datatype(datatype);
  if (!can_receive(buf, count, type, source, tag, *from)) return false;
  tern::Request op;
  bool done = false;
  {
    const Inside inside(*from->lane());
    from->lane()->engine().receive({from->context(), source, tag}, view(buf, count, *type), op);
    done = from->lane()->poll_until([&op] { return op.done; });
  }
  if (!done) {
    const P2pGuard guard(comm);
    engine().wait_until([&op] { return op.done; });
  }
  if (status != MPI_STATUS_IGNORE) set_receive_status(*status, op);
  *error = MPI_SUCCESS;
  if (op.outcome != Outcome::kOk) {
    const EntryGuard guard(function);
    *error = raise(from, error_of(op), function);
  }
  return true;
}

bool wait(MPI_Request* request, MPI_Status* status) {
  if (request == nullptr) return false;
  Batch batch(1, request);
  return batch.look() && complete(batch, status);
}

bool waitall(MPI_Count count, MPI_Request requests[], MPI_Status statuses[]) {
  if (requests == nullptr || count < 0) return false;
  Batch batch(count, requests);
  if (!batch.look() || !complete(batch, statuses)) return false;
  set_no_errors(count, statuses);
  return true;
}

bool test(MPI_Request* request, int* flag, MPI_Status* status) {
  if (request == nullptr || flag == nullptr) return false;
  Batch batch(1, request);
  return batch.look() && try_to_complete(batch, flag, status);
}

bool testall(MPI_Count count, MPI_Request requests[], int* flag, MPI_Status statuses[]) {
  if (requests == nullptr || flag == nullptr || count < 0) return false;
  Batch batch(count, requests);
  if (!batch.look() || !try_to_complete(batch, flag, statuses)) return false;
  if (*flag != 0) set_no_errors(count, statuses);
  return true;
}

}  // namespace tern::mpi::lanes
