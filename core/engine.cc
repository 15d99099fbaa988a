// core/engine.cc - peers, links and progress; see engine.h. Sending is in send.cc, receiving in
// receive.cc, large messages in rendezvous.cc.
#include "core/engine.h"

#include <immintrin.h>
#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/loopback.h"

namespace tern {

Engine::Engine(const ProcessId& self, CardSource& cards, const EngineOptions& options)
    : self_(self), cards_(cards), options_(options) {
  wait_.policy = options.wait;
  own_doorbell_ = std::make_unique<Doorbell>(own_bell_);
  doorbell_ = own_doorbell_.get();
  add_fabric(std::make_unique<LoopbackFabric>(self));
}

Engine::~Engine() {
  for (const auto& [id, peer] : peers_) stop_counting(*peer);
  // The doorbell lies in one of the fabrics, and threads of the others ring it until they end.
  for (auto& fabric : fabrics_) {
    if (fabric->doorbell() == nullptr) fabric.reset();
  }
}

void Engine::add_fabric(std::unique_ptr<Fabric> fabric) {
  CHECK(fabric->limits().max_head_bytes >= wire::kMaxHeadBytes);
  if (fabric->doorbell() != nullptr) doorbell_ = fabric->doorbell();
  scratch_.resize(std::max(scratch_.size(), fabric->limits().max_body_bytes));
  fabrics_.push_back(std::move(fabric));
}

const Card& Engine::make_card(HostIdentity host) {
  own_card_ = Card::of_this_process(self_, std::move(host));
  return show_card();
}

// A fabric shows the addresses of those that are preferred to it and its own: who is contacted over
// it comes to the same choice, and the others may be many bytes.
const Card& Engine::show_card() {
  for (; fabrics_shown_ < fabrics_.size(); ++fabrics_shown_) {
    Fabric& fabric = *fabrics_[fabrics_shown_];
    std::string address = fabric.address();
    if (!address.empty()) own_card_.addresses.emplace(fabric.name(), std::move(address));
    fabric.set_doorbell(doorbell_->word());
    fabric.set_own_card(own_card_.encode());
  }
  return own_card_;
}

Peer& Engine::peer(const ProcessId& id) {
  std::unique_ptr<Peer>& place = peers_[id];
  if (place == nullptr) {
    place = std::make_unique<Peer>();
    place->id = id;
  }
  return *place;
}

void Engine::ensure_link(Peer& peer) {
  if (peer.state != Peer::State::kNew) return;
  peer.state = Peer::State::kResolving;
  if (peer.id == self_) {
    use_card(peer, own_card_);
  } else {
    cards_.request_card(peer.id);
  }
}

void Engine::on_card(const ProcessId& id, std::string_view text, std::string_view why) {
  Peer& who = peer(id);
  if (who.state != Peer::State::kResolving) return;  // Its own contact came first.
  std::string reason(why);
  if (const std::optional<Card> card = Card::decode(text, reason); !text.empty() && card) {
    use_card(who, *card);
  } else {
    fail_peer(who, reason);
  }
}

Peer* Engine::on_contact(std::string_view text) {
  std::string why;
  const std::optional<Card> card = Card::decode(text, why);
  if (!card) return nullptr;
  Peer& who = peer(card->id);
  if (who.state == Peer::State::kNew || who.state == Peer::State::kResolving) use_card(who, *card);
  return &who;
}

void Engine::use_card(Peer& peer, const Card& card) {
  peer.why.clear();
  for (const auto& fabric : fabrics_) {
    std::string why = fabric->why_unreachable(card);
    if (why.empty()) peer.link = fabric->connect(peer, card, why);
    if (peer.link != nullptr) {
      const FabricLimits limits = fabric->limits();
      peer.fabric = fabric.get();
      peer.max_body_bytes = limits.max_body_bytes;
      peer.fragment_bytes = limits.fragment_bytes;
      peer.eager_max_bytes =
          options_.eager_max_bytes != 0 ? options_.eager_max_bytes : limits.eager_max_bytes;
      // A single message never exceeds the eager limit, so send_now() tests one bound only.
      peer.max_body_bytes =
          std::min({peer.max_body_bytes, peer.eager_max_bytes, limits.copied_max_bytes});
      peer.lends = limits.copied_max_bytes < SIZE_MAX;
      start_counting(peer);
      if (fabric->works_on_cores()) wait_.policy.share_with_kernel();
      peer.why.clear();  // Of those that do not reach it.
      peer.state = Peer::State::kReady;
      flush(peer);
      return;
    }
    // Another fabric would look for it until its deadline.
    if (const std::string gone = fabric->why_gone(card); !gone.empty()) {
      on_peer_ended(peer, gone);
      return;
    }
    peer.why += peer.why.empty() ? "" : "; ";
    peer.why += std::string(fabric->name()) + ": " + why;
  }
  if (!absent_fabrics_.empty()) peer.why += "; " + absent_fabrics_;
  fail_peer(peer, "no fabric reaches it (" + peer.why + ")");
}

void Engine::start_counting(Peer& peer) {
  stop_counting(peer);
  peer.traffic = &counters::of_fabric(peer.fabric->name()).traffic.take();
  peer.traffic_before = peer.traffic->read();
}

void Engine::stop_counting(Peer& peer) {
  if (peer.traffic == nullptr) return;
  counters::of_fabric(peer.fabric->name()).traffic.give_back(*peer.traffic);
  peer.traffic = nullptr;
}

counters::Volumes Engine::traffic_with(const Peer& peer) {
  counters::Volumes volumes{};
  if (peer.traffic == nullptr) return volumes;
  const counters::Volumes now = peer.traffic->read();
  for (std::size_t i = 0; i < volumes.size(); ++i) volumes[i] = now[i] - peer.traffic_before[i];
  return volumes;
}

void Engine::on_peer_down(Peer& peer, std::string_view why) { fail_peer(peer, why); }

void Engine::on_peer_ended(Peer& peer, std::string_view why) {
  peer.ended = true;  // First: failing tells those who wait.
  fail_peer(peer, why);
}

void Engine::fail_peer(Peer& peer, std::string_view why) {
  if (peer.state == Peer::State::kFailed) return;
  peer.state = Peer::State::kFailed;
  ++failures_;
  peer.why = why;
  peer.link = nullptr;
  peer.max_body_bytes = 0;
  while (PendingSend* const send = peer.pending_first) {
    peer.pending_first = send->next;
    Request* const request = send->request;
    pending_pool_.put(send);
    if (request != nullptr && request->lent == 0) complete(*request, Outcome::kPeerLost);
  }
  peer.pending_last = nullptr;
  if (peer.stream.active()) {
    const IncomingStream stream = peer.stream;
    peer.stream = {};
    if (stream.request != nullptr) complete(*stream.request, Outcome::kPeerLost);
    if (stream.unexpected != nullptr && stream.unexpected->claimed != nullptr) {
      complete(*stream.unexpected->claimed, Outcome::kPeerLost);
      free_unexpected(*stream.unexpected);
    }
  }
  // What is lent comes back first.
  for (Request* const request : ops_.of_peer(peer)) {
    if (request->lent == 0) complete(*request, Outcome::kPeerLost);
  }
}

void Engine::lose(Peer& peer, std::string_view why) {
  fail_peer(peer, why);
  for (const auto& fabric : fabrics_) (void)fabric->release(peer, true);
}

void Engine::fail_receive(Request& request, Peer& lost) {
  posted_.remove(request);
  request.peer = &lost;
  complete(request, Outcome::kPeerLost);
}

bool Engine::forget(Peer& peer) {
  if (peer.in_pending_list || peer.stream.active() || peer.state == Peer::State::kResolving ||
      !ops_.of_peer(peer).empty()) {
    return false;
  }
  if (peer.link != nullptr) {
    if (!peer.fabric->close(*peer.link)) return false;
    peer.link = nullptr;
    peer.max_body_bytes = 0;
    peer.state = Peer::State::kNew;
  }
  const bool gone = peer.state == Peer::State::kFailed;
  const auto released = [&](const auto& fabric) { return fabric->release(peer, gone); };
  if (!std::ranges::all_of(fabrics_, released)) return false;
  stop_counting(peer);
  peers_.erase(peer.id);
  return true;
}

void Engine::on_complete(std::uint32_t op, bool ok) {
  Request* const request = ops_.find(op);
  if (request == nullptr) return;
  if (!request->is_send) {
    finish_transfer(*request, ok ? Outcome::kOk : Outcome::kPeerLost);
    return;
  }
  if (--request->lent != 0) return;
  if (request->peer->state == Peer::State::kFailed) {
    complete(*request, Outcome::kPeerLost);
  } else if (ok && request->moved == request->data.bytes()) {
    complete(*request, Outcome::kOk);
  }
}

void Engine::complete(Request& request, Outcome outcome) {
  if (request.op != 0) {
    ops_.remove(request.op);
    request.op = 0;
    if (request.exposure != nullptr) {
      request.peer->fabric->conceal(std::exchange(request.exposure, nullptr));
    }
  }
  finish(request, outcome);
}

int Engine::progress() {
  int events = 0;
  for (const auto& fabric : fabrics_) events += fabric->poll(*this);
  if (pending_peers_ != nullptr) [[unlikely]]
    events += flush_all();
  events += cards_.poll();
  if (!tasks_.empty()) [[unlikely]]
    events += run_tasks();
  // Another thread may sleep on what this turn completed.
  if (events > 0 && doorbell_->word().armed.load(std::memory_order_relaxed) != 0) [[unlikely]] {
    Doorbell::ring(doorbell_->word());
  }
  return events;
}

bool Engine::start_task(std::function<void()> body) {
  std::unique_ptr<Task> task = Task::make(std::move(body));
  if (task == nullptr) return false;
  run(*task);
  if (!task->is_over()) tasks_.push_back(std::move(task));
  return true;
}

void Engine::run(Task& task) {
  running_task_ = &task;
  task.resume();
  running_task_ = nullptr;
}

int Engine::run_tasks() {
  int events = 0;
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    if (!tasks_[i]->can_go_on()) continue;
    run(*tasks_[i]);
    ++events;
  }
  if (events > 0) std::erase_if(tasks_, [](const auto& task) { return task->is_over(); });
  return events;
}

std::uint32_t Engine::before_sleep() {
  std::uint32_t sleep_us = wait_.policy.sleep_us;
  for (const auto& fabric : fabrics_) sleep_us = std::min(sleep_us, fabric->before_sleep());
  return sleep_us;
}

bool Engine::idle(Waiter& waiter, bool (*holds)(void*), void* argument) {
  const Waiter::Step step = waiter.next();
  if (step == Waiter::Step::kSpin) {
    // Machines that share with the kernel are mostly virtual ones, which it would make stop.
    if (wait_.policy.polls_per_yield == 0) _mm_pause();
    if (wait_.before_idle == nullptr) return false;
  }
  std::uint32_t sleep_us = 0;
  if (step == Waiter::Step::kSleep) {
    doorbell_->arm();
    sleep_us = before_sleep();
    // It came between the last poll and the arming, maybe to another thread in another lane.
    about_to_sleep_ = true;
    const bool came = progress() > 0;
    about_to_sleep_ = false;
    const bool over = !came && holds(argument);
    if (came || over) {
      doorbell_->disarm();
      waiter.reset();
      return over;
    }
  }
  const int fd = step == Waiter::Step::kSleep ? cards_.pending_fd() : -1;
  // From here to after_idle() other threads may be inside the engine.
  if (wait_.before_idle != nullptr) wait_.before_idle();
  if (step == Waiter::Step::kYield) sched_yield();
  if (step == Waiter::Step::kSleep) {
    // A card that is on its way comes by a descriptor, which a futex cannot watch: look often.
    if (fd >= 0) {
      pollfd watch{fd, POLLIN, 0};
      ::poll(&watch, 1, static_cast<int>(wait_.policy.look_ms));
    } else {
      doorbell_->sleep(sleep_us);
    }
    doorbell_->disarm();
  }
  if (wait_.after_idle != nullptr) wait_.after_idle();
  return false;
}

bool Engine::drained() const {
  if (pending_peers_ != nullptr) return false;
  return std::all_of(fabrics_.begin(), fabrics_.end(),
                     [](const auto& fabric) { return fabric->drained(); });
}

std::size_t Engine::peers_connected() const {
  return static_cast<std::size_t>(
      std::count_if(peers_.begin(), peers_.end(),
                    [](const auto& entry) { return entry.second->state == Peer::State::kReady; }));
}

std::vector<Peer*> Engine::failed_peers() const {
  std::vector<Peer*> failed;
  for (const auto& [id, peer] : peers_) {
    if (peer->state == Peer::State::kFailed) failed.push_back(peer.get());
  }
  return failed;
}

}  // namespace tern
