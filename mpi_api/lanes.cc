// mpi_api/lanes.cc - lanes as objects; see lanes.h. The calls that use them: lanes_calls.cc.
#include "mpi_api/lanes.h"

#include <sched.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "mpi_api/comm.h"
#include "mpi_api/entry.h"
#include "mpi_api/fabrics.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

// Idle turns of a thread that waits in a lane between its looks at everything else; each of them
// gives the core away, too, which another thread of the process may need.
constexpr unsigned kLookAroundEvery = 64;
// Turns of the first engine between its looks at lanes where nothing happens.
constexpr unsigned kTurnsBetweenLooks = 8;

// Makes progress outside the lane, if nobody else does.
void look_around() {
  if (try_lock_entry()) {
    engine().progress();
    unlock_entry();
  }
  sched_yield();
}

std::uint64_t token_of(const HostIdentity& host, unsigned count) {
  return mix(std::hash<std::string>{}(host.boot_id) ^ mix(host.pid_space) ^
             mix(host.user_space + count)) |
         1U;
}

}  // namespace

Lane::Lane(const Engine& first, const EngineOptions& options, std::unique_ptr<Fabric> fabric)
    : engine_(first.self(), *this, options) {
  engine_.add_fabric(std::move(fabric));
  engine_.make_card(first.own_card().host);
}

Lane::~Lane() {
  for (LaneRequest* const request : requests_) {
    request->comm = nullptr;  // Of a receive that the program never completed: not counted there.
    delete request;
  }
}

void Lane::rest(unsigned idle_turns) {
  _mm_pause();
  if (idle_turns % kLookAroundEvery == 0) {
    lock_.unlock();
    look_around();
    lock_.lock();
  } else if (lock_.wanted()) {
    stand_back();
  }
}

// For those who wait for the lock.
void Lane::stand_back() {
  lock_.unlock();
  sched_yield();
  lock_.lock();
}

void Lane::poll_once() {
  if (engine_.progress() > 0) return;
  const bool crowded = engine_.wait_state().policy.spin_us == 0;
  if (!crowded && !lock_.wanted() && ++polls_ % kLookAroundEvery != 0) return;
  lock_.unlock();
  look_around();
  lock_.lock();
}

LaneRequest* Lane::take_up() {
  LaneRequest* const request = first_set_aside_;
  if (request != nullptr) first_set_aside_ = request->next_set_aside_;
  return request;
}

void Lane::set_aside(LaneRequest& request) {
  request.next_set_aside_ = first_set_aside_;
  first_set_aside_ = &request;
}

void Lane::begin_use(Comm& comm) { ++comm.lane_uses_; }

void Lane::end_use(Comm& comm) {
  if (--comm.lane_uses_ == 0 && comm.doomed_) doomed_.push_back(&comm);
}

bool Lane::may_destroy(Comm& comm) {
  const LaneHold hold(this);
  if (comm.lane_uses_ == 0 && !comm.doomed_) return true;
  comm.doomed_ = true;
  return false;
}

bool Lane::refill() {
  constexpr int kBatch = 64;
  for (int i = 0; i < kBatch; ++i) {
    auto* const request = make<LaneRequest>(*this);
    if (request == nullptr) return first_set_aside_ != nullptr;
    requests_.push_back(request);
    set_aside(*request);
  }
  return true;
}

int Lane::settle() {
  int settled = 0;
  // What ends may end others.
  while (!endings_.empty()) {
    const Ending ending = endings_.back();
    endings_.pop_back();
    ending.end(*ending.op);
    ++settled;
  }
  while (!doomed_.empty()) {
    Comm* const comm = doomed_.back();
    doomed_.pop_back();
    comm->doomed_ = false;
    // Whoever reports an error of it has taken a reference meanwhile, and destroys it.
    if (!comm->has_references()) delete comm;
    ++settled;
  }
  for (const ProcessId& id : std::exchange(cards_wanted_, {})) {
    the_runtime.wireup->request_card(static_cast<int>(id.rank));
    ++settled;
  }
  if (engine_.failures() != std::exchange(failures_seen_, engine_.failures())) {
    for (const Peer* const peer : engine_.failed_peers()) {
      Peer& lost = mpi::engine().peer(peer->id);
      lost.ended = lost.ended || peer->ended;
      mpi::engine().lose(lost, peer->why);
    }
  }
  return settled;
}

Lanes::Lanes(FabricSet& fabrics, Engine& first, const EngineOptions& options, unsigned count)
    : fabrics_(fabrics),
      first_(first),
      options_(options),
      token_(token_of(first.own_card().host, count)),
      lanes_(count) {
  fabrics_.open_lanes(count);
  completed_send();  // Exists from now on, for those who do not hold the entry lock.
}

Lane& Lanes::of_context(std::uint64_t context) {
  // The lowest two bits tell the plane. Contexts that one process draws follow one another.
  const std::size_t index = (context >> 2) % lanes_.size();
  std::unique_ptr<Lane>& place = lanes_[index];
  if (place == nullptr) {
    place = std::make_unique<Lane>(first_, options_,
                                   fabrics_.make_lane(static_cast<unsigned>(index) + 1));
  }
  return *place;
}

int Lanes::turn_of(Lane& lane) {
  const int events = lane.engine().progress() + lane.settle();
  lane.lock().unlock();
  return events;
}

int Lanes::turn() {
  const bool thorough = first_.about_to_sleep();
  const bool look = thorough || turns_left_out_++ >= kTurnsBetweenLooks;
  int events = 0;
  for (const auto& lane : lanes_) {
    if (lane == nullptr) continue;
    if (lane->lock().mine() || thorough) {
      lane->lock().lock();
      if (thorough) (void)lane->engine().before_sleep();  // The policy's own time is no longer.
      events += turn_of(*lane);
    } else if (look && lane->lock().try_lock()) {
      events += turn_of(*lane);
    }
  }
  if (events > 0) {
    turns_left_out_ = kTurnsBetweenLooks;  // There may be more.
  } else if (look) {
    turns_left_out_ = 0;
  }
  return events;
}

void Lanes::on_card(const ProcessId& id, std::string_view text, std::string_view why) {
  for_each([&](Lane& lane) { lane.engine().on_card(id, text, why); });
}

bool Lanes::drained() {
  bool drained = true;
  for_each([&](Lane& lane) { drained = drained && lane.engine().drained(); });
  return drained;
}

LaneRequest::LaneRequest(Lane& home) {
  lane = &home;
  quick = true;
  Object::set_aside();
}

void LaneRequest::receive(const DataView& data, int source, int tag, Comm& from) {
  take_up(Kind::kRequest);
  comm = &from;
  freed = false;
  op.on_done = nullptr;
  lane->begin_use(from);
  lane->engine().receive({from.context(), source, tag}, data, op);
}

int LaneRequest::result(MPI_Status& status) {
  set_receive_status(status, op);
  return error_of(op);
}

void LaneRequest::cancel() {
  const LaneHold hold(lane);
  lane->engine().cancel_receive(op);
}

void LaneRequest::end() {
  lane->end_use(*std::exchange(comm, nullptr));
  Object::set_aside();
  lane->set_aside(*this);
}

std::uint64_t lanes_offer() {
  return entry_state.threaded && the_runtime.lanes != nullptr ? the_runtime.lanes->token() : 0;
}

bool is_of_own_job(const Group& group) {
  const std::uint64_t job = the_runtime.wireup->info().job_id;
  const int looked_at = group.is_range() ? std::min(group.size(), 1) : group.size();
  for (int rank = 0; rank < looked_at; ++rank) {
    if (group.member(rank).job != job) return false;
  }
  return true;
}

void assign_lane(Comm& comm, Comm::Lanes members) {
  const bool usable =
      members == Comm::Lanes::kAll && !comm.is_inter() && is_of_own_job(comm.group());
  comm.lanes_of_members = members == Comm::Lanes::kAll && !usable ? Comm::Lanes::kNone : members;
  if (!usable) return;
  (void)comm.use_lane(the_runtime.lanes->of_context(comm.context()));
}

}  // namespace tern::mpi
