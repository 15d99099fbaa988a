// mpi_api/connections.cc - see connections.h.
#include "mpi_api/connections.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/clock.h"
#include "mpi_api/comm.h"
#include "mpi_api/entry.h"
#include "mpi_api/lanes.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

// Often enough that an end is noticed within a second (it takes two looks), rarely enough that a
// thousand processes cost nothing.
constexpr std::uint64_t kLookEveryMs = 200;
// Who waits so long for a message of a process makes sure that it is there.
constexpr std::uint64_t kMeetAfterMs = 1000;

// Contexts differ in the lowest two bits by plane (comm.h).
constexpr std::uint64_t kPlanes = 3;
// Of processes that messages on a communicator do not come from.
constexpr int kNoRank = -3;

}  // namespace

void Connections::learn(const Card& card) {
  if (!is_foreign(card.id)) return;
  Process& process = processes_[card.id];
  if (!process.text.empty()) return;
  process.card = card;
  process.text = card.encode();
}

void Connections::hold(const ProcessId& id) {
  if (!is_foreign(id)) return;
  const auto found = processes_.find(id);
  CHECK(found != processes_.end());
  ++found->second.holders;
}

void Connections::let_go(const ProcessId& id) {
  const auto found = processes_.find(id);
  if (found != processes_.end()) --found->second.holders;
}

void Connections::request_card(const ProcessId& id) {
  const auto found = processes_.find(id);
  if (found == processes_.end() || found->second.text.empty()) {
    return engine_.on_card(id, {}, "it belongs to another job, which is not connected");
  }
  engine_.on_card(id, found->second.text, {});
}

template <class Visit>
void Connections::for_each_foreign(const Comm& comm, Visit visit) const {
  const auto members = [&](const Group& group, bool addressed) {
    if (group.is_range() && (group.size() == 0 || !is_foreign(group.member(0)))) return;
    for (int rank = 0; rank < group.size(); ++rank) {
      const ProcessId id = group.member(rank);
      if (is_foreign(id)) visit(id, addressed ? rank : kNoRank);
    }
  };
  members(comm.group(), !comm.is_inter());
  if (comm.is_inter()) members(*comm.remote_group(), true);
}

void Connections::track(Comm& comm) {
  all_comms_.push_back(&comm);
  bool foreign = false;
  for_each_foreign(comm, [&](const ProcessId& id, int) {
    Process& process = processes_[id];
    ++process.holders;
    process.connected = foreign = true;
  });
  if (foreign) comms_.push_back(&comm);
  breakdowns_.begin(comm);
}

void Connections::untrack(Comm& comm) {
  // From the end: most communicators do not live long.
  const auto tracked = std::find(all_comms_.rbegin(), all_comms_.rend(), &comm);
  if (tracked != all_comms_.rend()) all_comms_.erase(std::next(tracked).base());
  if (std::erase(comms_, &comm) == 0) return;
  for_each_foreign(comm, [&](const ProcessId& id, int) { let_go(id); });
}

std::vector<ProcessId> Connections::connected() const {
  std::vector<ProcessId> ids;
  for (const auto& [id, process] : processes_) {
    if (process.connected && process.holders > 0 && !process.gone) ids.push_back(id);
  }
  std::ranges::sort(ids);
  return ids;
}

bool Connections::is_connected(const ProcessId& id) const {
  const auto found = processes_.find(id);
  return found != processes_.end() && found->second.connected && found->second.holders > 0;
}

// With it goes its whole job.
void Connections::expect_end(const ProcessId& id, std::string_view why) {
  for (auto& [known, process] : processes_) {
    if (known.job == id.job && process.said.empty()) process.said = why;
  }
}

std::string_view Connections::why_gone(const ProcessId& id) const {
  if (gone_count_ == 0) return {};
  const auto found = processes_.find(id);
  return found != processes_.end() && found->second.gone ? std::string_view(found->second.why)
                                                         : std::string_view();
}

std::string_view Connections::why_lost(const Comm& comm) const {
  std::string_view why;
  if (gone_count_ == 0) return why;
  for_each_foreign(comm, [&](const ProcessId& id, int) {
    if (why.empty()) why = why_gone(id);
  });
  return why;
}

bool Connections::knows_job(std::uint64_t job) const {
  return std::ranges::any_of(processes_,
                             [job](const auto& entry) { return entry.first.job == job; });
}

bool Connections::in_vain(const Comm& comm, int source) const {
  const Group& addressed = comm.is_inter() ? *comm.remote_group() : comm.group();
  for (const Peer* const lost : lost_members_) {
    const int rank = addressed.find(lost->id);
    if (rank >= 0 && (source == rank || source == kAnySource)) return true;
  }
  if (gone_count_ == 0) return false;
  bool vain = false;
  for_each_foreign(comm, [&](const ProcessId& id, int rank) {
    vain = vain || ((source == rank || source == kAnySource) && !why_gone(id).empty());
  });
  return vain;
}

Connections::Probing::~Probing() {
  const auto place = std::ranges::find(connections_.probes_, pattern_);
  connections_.probes_.erase(place);
}

bool Connections::before(const Envelope& a, const Envelope& b) {
  return std::pair(a.context, a.source) < std::pair(b.context, b.source);
}

// What the posted receives and the probes of this moment wait for from one process: one tag each,
// in order.
std::vector<Envelope> Connections::awaited() const {
  std::vector<Envelope> all;
  const auto note = [&all](const Envelope& pattern) {
    if (pattern.source >= 0) all.push_back({pattern.context, pattern.source, 0});
  };
  std::ranges::for_each(probes_, note);
  engine_.for_each_posted(note);
  if (runtime().lanes != nullptr) {
    runtime().lanes->for_each([&](Lane& lane) { lane.engine().for_each_posted(note); });
  }
  std::ranges::sort(all, before);
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

void Connections::meet(const Envelope& awaited) {
  const std::uint64_t context = awaited.context & ~kPlanes;
  const auto comm = std::ranges::find(all_comms_, context, &Comm::context);
  if (comm == all_comms_.end() || awaited.source >= (*comm)->remote_size()) return;
  Peer& peer = (*comm)->peer(awaited.source);
  const bool own_job = !is_foreign(peer.id) && peer.id != engine_.self();
  if (peer.state == Peer::State::kNew && own_job) engine_.greet(peer);
}

// A process that this one has never spoken to may have ended without anybody's notice. What has
// been awaited from one process since the last time is worth a word to it: the fabric then finds
// out whether it lives, as it does of all others.
void Connections::meet_awaited() {
  const std::uint64_t now = coarse_ms();
  if (now < next_meeting_ms_) return;
  next_meeting_ms_ = now + kMeetAfterMs;
  std::vector<Envelope> found = awaited();
  for (const Envelope& each : found) {
    if (std::ranges::binary_search(awaited_, each, before)) meet(each);
  }
  awaited_ = std::move(found);
}

int Connections::poll() {
  tell_of_breakdowns();
  if (engine_.about_to_sleep()) meet_awaited();
  if (processes_.empty() && engine_.failures() == 0) return 0;
  if (const std::uint64_t now = coarse_ms(); now >= next_look_ms_) {
    next_look_ms_ = now + kLookEveryMs;
    const std::size_t before = processes_.size();
    look_after();
    return static_cast<int>(before - processes_.size());
  }
  return 0;
}

void Connections::look_after() {
  for (auto& [id, process] : processes_) {
    if (!process.gone) look_at(id, process);
  }
  if (gone_count_ > 0) fail_waiting();
  if (engine_.failures() > 0) fail_waiting_for_own_job();
  forget_unused();
}

void Connections::look_at(const ProcessId& id, Process& process) {
  Peer& peer = engine_.peer(id);
  std::string why = peer.state == Peer::State::kFailed ? peer.why : std::string();
  for (const auto& fabric : engine_.fabrics()) {
    if (why.empty() && !process.text.empty()) why = fabric->why_gone(process.card);
  }
  // A network would not tell before the peer's silence has become too long.
  if (why.empty() && !process.said.empty()) why = "its job has ended";
  // What it sent may still be on its way: two looks in a row must find it gone.
  const bool suspected_before = std::exchange(process.suspect, !why.empty());
  if (!process.suspect || !suspected_before) return;
  process.gone = true;
  process.why = process.said.empty() ? std::move(why) : why + "; it said: " + process.said;
  ++gone_count_;
  engine_.lose(peer, process.why);
}

// The receives on a communicator that wait for the process that messages of `rank` come from. A
// collective waits for everybody, directly or not.
void Connections::fail_receives_of(const Comm& comm, int rank, Peer& lost) {
  // Read first: what completes may free the communicator.
  const std::uint64_t context = comm.context();
  const std::uint64_t local = comm.is_inter() ? comm.local_comm().collective_context() : context;
  if (Lane* const lane = comm.lane(); lane != nullptr) {
    const LaneHold hold(lane);
    lane->engine().fail_receives(lane->engine().peer(lost.id), [context, rank](const Envelope& e) {
      return e.context == context && (e.source == rank || e.source == kAnySource);
    });
  }
  engine_.fail_receives(lost, [context, local, rank](const Envelope& e) {
    if (e.context == context) return e.source == rank || e.source == kAnySource;
    return (e.context & ~kPlanes) == context || e.context == local;
  });
}

// Receives that can only be answered by a process that has ended. Again at every look, because new
// ones may have been posted meanwhile.
void Connections::fail_waiting() {
  for (std::size_t i = 0; i < comms_.size(); ++i) {
    Comm& comm = *comms_[i];
    for_each_foreign(comm, [&](const ProcessId& id, int rank) {
      if (!why_gone(id).empty()) fail_receives_of(comm, rank, engine_.peer(id));
    });
  }
}

void Connections::fail_waiting_for_own_job() {
  if (failures_seen_ != engine_.failures()) {
    failures_seen_ = engine_.failures();
    lost_members_ = engine_.failed_peers();
    std::erase_if(lost_members_, [this](const Peer* peer) { return is_foreign(peer->id); });
    lose_in_lanes();
  }
  for (Peer* const lost : lost_members_) {
    for (std::size_t i = 0; i < all_comms_.size(); ++i) {
      Comm& comm = *all_comms_[i];
      const Group& addressed = comm.is_inter() ? *comm.remote_group() : comm.group();
      if (const int rank = addressed.find(lost->id); rank >= 0) {
        fail_receives_of(comm, rank, *lost);
      } else if (comm.is_inter() && comm.group().find(lost->id) >= 0) {
        fail_receives_of(comm, kNoRank, *lost);
      }
    }
  }
}

// What is under way with them in lanes fails as well.
void Connections::lose_in_lanes() {
  if (runtime().lanes == nullptr) return;
  runtime().lanes->for_each([this](Lane& lane) {
    for (const Peer* const lost : lost_members_) {
      Peer& there = lane.engine().peer(lost->id);
      there.ended = there.ended || lost->ended;
      lane.engine().lose(there, lost->why);
    }
  });
}

void Connections::drop_strangers() {
  for (const auto& [id, process] : processes_) {
    if (!process.connected) engine_.lose(engine_.peer(id), "it is not connected");
  }
}

void Connections::forget_unused() {
  for (auto entry = processes_.begin(); entry != processes_.end();) {
    const bool unused = entry->second.holders == 0 && engine_.forget(engine_.peer(entry->first));
    if (unused && entry->second.gone) --gone_count_;
    entry = unused ? processes_.erase(entry) : std::next(entry);
  }
}

std::string_view why_lost(const Comm& comm) {
  const Connections* const connections = runtime().connections.get();
  return connections != nullptr ? connections->why_lost(comm) : std::string_view();
}

}  // namespace tern::mpi
