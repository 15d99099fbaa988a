// mpi_api/coll/execution.cc - collectives on communicators; see execution.h.
#include "mpi_api/coll/execution.h"

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "mpi_api/coll/shared.h"
#include "mpi_api/connections.h"
#include "mpi_api/request.h"

namespace tern::mpi::coll {
namespace {

// What free operations may hold on to: large scratch memory is expensive to get from the system
// (every page is cleared), but many collectives at once must not keep theirs for ever.
constexpr std::size_t kSmallHeldBytes = 64 << 10;
constexpr std::size_t kKeptBytesMax = 16 << 20;
std::size_t kept_bytes = 0;

Execution* free_executions = nullptr;
Execution* running_executions = nullptr;

class CollectiveRequest final : public Request {
 public:
  CollectiveRequest(Execution& execution, const Form& form, std::span<Object* const> used)
      : execution_(execution), hook_(form.hook), context_(form.context) {
    comm = &execution.comm();
    comm->retain();
    persistent = form.persistent;
    active = false;
    collective = true;
    for (Object* const object : used) {
      if (object == nullptr || object->predefined()) continue;  // Predefined ones stay.
      object->retain();
      used_.push_back(object);
    }
    execution_.schedule.owner = this;
    execution_.schedule.on_done = [](Schedule& schedule) {
      static_cast<CollectiveRequest*>(schedule.owner)->finish();
    };
  }
  ~CollectiveRequest() override {
    execution_.end();
    for (Object* const object : used_) object->release();
  }

  int start() override {
    if (execution_.schedule.messages_in_flight()) {
      return fail(MPI_ERR_REQUEST,
                  "the collective failed when it was last run, and messages of it are still on "
                  "their way; free the request and make a new one");
    }
    if (comm->broken != nullptr) return broken_down(*comm);
    active = true;
    op.done = false;
    execution_.list();
    execution_.schedule.start();
    return MPI_SUCCESS;
  }

  int result(MPI_Status& status) override {
    set_status(status, MPI_ANY_SOURCE, MPI_ANY_TAG, 0, false);
    return hook_ != nullptr ? error_ : execution_.error();
  }

 private:
  void finish() {
    execution_.unlist();
    // Whoever does not look at this request yet breaks the communicator all the same.
    if (execution_.schedule.outcome() != Outcome::kOk) (void)execution_.error();
    if (hook_ != nullptr) error_ = hook_(context_, execution_.error());
    op.done = true;
    if (op.on_done != nullptr) op.on_done(op);  // May destroy this request.
  }

  Execution& execution_;
  Hook hook_;
  void* context_;
  int error_ = MPI_SUCCESS;
  std::vector<Object*> used_;
};

}  // namespace

void Execution::Route::take(Comm& to, bool persistent, int first_rank) {
  comm = &to;
  context = persistent ? to.persistent_context() : to.collective_context();
  sequence = persistent ? to.next_persistent_number()
                        : static_cast<std::uint32_t>(to.next_collective_tag());
  tags = persistent ? kPersistentTags : 0x7fffffff;
  first = first_rank;
}

Execution* Execution::begin(Comm& comm, bool persistent) {
  Execution* execution = free_executions;
  if (execution != nullptr) {
    free_executions = execution->next_free_;
    kept_bytes -= std::exchange(execution->kept_bytes_, 0);
  } else {
    execution = new (std::nothrow) Execution;
    if (execution == nullptr) return nullptr;
  }
  execution->engine_ = &engine();
  execution->comm_ = &comm;
  if (comm.is_inter()) [[unlikely]] {
    execution->own_.take(comm.local_comm(), persistent, 0);
    execution->remote_.take(comm, persistent, comm.size());
  } else {
    execution->own_.take(comm, persistent, 0);
  }
  execution->schedule.reset(comm.rank(), comm.size(), *execution);
  execution->schedule.set_hosts(comm.hosts.get());
  return execution;
}

void Execution::end() {
  if (schedule.messages_in_flight()) [[unlikely]] {
    schedule.owner = this;
    schedule.on_drained = [](Schedule& drained) {
      static_cast<Execution*>(drained.owner)->recycle();
    };
    return;
  }
  recycle();
}

void Execution::recycle() {
  if (const std::size_t held = schedule.memory_bytes(); held > kSmallHeldBytes) {
    if (kept_bytes + held <= kKeptBytesMax) {
      kept_bytes_ = held;
      kept_bytes += held;
    } else {
      schedule.release_memory();
    }
  }
  next_free_ = free_executions;
  free_executions = this;
}

void Execution::list() {
  previous_running_ = nullptr;
  next_running_ = running_executions;
  if (next_running_ != nullptr) next_running_->previous_running_ = this;
  running_executions = this;
}

void Execution::unlist() {
  (previous_running_ != nullptr ? previous_running_->next_running_ : running_executions) =
      next_running_;
  if (next_running_ != nullptr) next_running_->previous_running_ = previous_running_;
}

void end_executions(const Comm& comm) {
  for (Execution* at = running_executions; at != nullptr;) {
    Execution* const next = at->next_running_;
    if (at->comm_ == &comm && !at->schedule.stopped() && !at->schedule.done()) {
      at->schedule.stop();
      at = running_executions;  // What has ended may have changed the list.
    } else {
      at = next;
    }
  }
}

int Execution::run() {
  schedule.start();
  if (!schedule.done()) {
    list();
    const std::uint64_t since_ms = comm_->shared != nullptr ? coarse_ms() : 0;
    engine_->wait_until([this, since_ms] {
      if (!schedule.done() && comm_->shared != nullptr) comm_->shared->look_for_quarrel(since_ms);
      return schedule.done();
    });
    unlist();
  }
  int result = MPI_SUCCESS;
  if (schedule.outcome() != Outcome::kOk) [[unlikely]] {
    result = error();
    tell_of_breakdowns();
  }
  end();
  return result;
}

int Execution::error() const {
  // With failed_rank -1 it was not one member that failed, but memory, or everybody.
  const Route& route = route_to(schedule.failed_rank());
  const int rank = schedule.failed_rank() - route.first;
  switch (schedule.outcome()) {
    case Outcome::kOk:
    case Outcome::kCancelled:
      return MPI_SUCCESS;
    case Outcome::kTruncated:
      return sent_too_much(*comm_, rank);
    case Outcome::kPeerLost:
      return lost_member(*comm_, *route.comm, rank);
    case Outcome::kNoMemory:
      return no_memory(*comm_);
  }
  return MPI_ERR_INTERN;
}

bool Execution::send(int rank, int sub, const DataView& data, tern::Request& request) {
  const Route& route = route_to(rank);
  Peer& peer = route.comm->peer(rank - route.first);
  const Envelope envelope{route.context, route.comm->rank(), route.tag(sub)};
  const std::size_t size = data.bytes();
  const std::byte* const run = data.run();
  if ((run != nullptr || size == 0) && engine_->send_now(peer, envelope, run, size)) return true;
  engine_->send(peer, envelope, data, SendMode::kStandard, request);
  return false;
}

void Execution::receive(int rank, int sub, const DataView& data, tern::Request& request) {
  const Route& route = route_to(rank);
  engine_->receive({route.context, rank - route.first, route.tag(sub)}, data, request);
}

void Execution::cancel_receive(tern::Request& request) { engine_->cancel_receive(request); }

int begin_request(Execution& execution, const Form& form, std::span<Object* const> used) {
  Comm& comm = execution.comm();
  auto* const request = make<CollectiveRequest>(execution, form, used);
  if (request == nullptr) {
    execution.end();
    return no_memory(comm);
  }
  *form.request = request;
  return form.persistent ? MPI_SUCCESS : request->start();
}

int sent_too_much(const Comm& comm, int rank) {
  return fail(MPI_ERR_TRUNCATE,
              "rank {} sent more data than rank {} expects; count, datatype and root must match "
              "on all members of the communicator",
              comm.told_rank(rank), comm.told_rank(comm.rank()));
}

namespace {

// Of those that are lost, when it is not `rank`: a collective fails as a whole.
int which_is_lost(const Comm& group, int rank) {
  const auto lost = [&group](int i) {
    const Peer* const peer = group.known_peer(i);
    return peer != nullptr && peer->state == Peer::State::kFailed;
  };
  if (rank >= 0 && lost(rank)) return rank;
  for (const Peer* const peer : engine().failed_peers()) {
    const Group& members = group.is_inter() ? *group.remote_group() : group.group();
    if (const int found = members.find(peer->id); found >= 0) return found;
  }
  return std::max(rank, 0);
}

}  // namespace

int lost_member(Comm& comm, Comm& group, int rank) {
  if (comm.broken != nullptr) return broken_down(comm);
  rank = which_is_lost(group, rank);
  int error = MPI_ERR_PROC_ABORTED;
  if (const auto why = why_lost(comm); !why.empty()) {
    fail(error, "a process of the communicator has ended: {}", why);
  } else if (const Peer& peer = group.peer(rank); peer.ended) {
    fail(error, "a process of the communicator has ended: rank {} ({})", group.told_rank(rank),
         peer.why);
  } else {
    error =
        fail(MPI_ERR_OTHER, "the process with rank {} in the communicator cannot be reached: {}",
             group.told_rank(rank), peer.why);
  }
  return break_down(comm, error);
}

int no_memory(Comm& comm) {
  if (comm.broken != nullptr) return broken_down(comm);
  fail(
      MPI_ERR_NO_MEM,
      "there is no memory left for the collective at rank {}; free memory, or use smaller messages",
      comm.told_rank(comm.rank()));
  return break_down(comm, MPI_ERR_NO_MEM);
}

}  // namespace tern::mpi::coll
