// tests/sim/world.h - many nodes on a network with random faults, all from one seed.
//
// Datagrams are lost, doubled and delayed (which reorders them); endpoints break with part of what
// is under way; endpoints cannot be created; the network is cut in two for a while; nodes die and
// return. After every event the connections it touched are checked. finish() stops the faults,
// waits until everybody has what was wanted, and checks how long that took.
#pragma once
#include <algorithm>
#include <functional>
#include <queue>
#include <random>
#include <vector>

#include "tests/sim/node.h"

namespace tern::sim {

struct Faults {
  double loss = 0;      // Of a datagram.
  double doubling = 0;  // Of a datagram.
  double delay = 0;     // Of a datagram, by up to delay_us.
  Micros delay_us = 60'000;
  double breaking = 0;     // Of an endpoint, with each message that arrives.
  double no_endpoint = 0;  // Of creating one.
};

class World final : public Network {
 public:
  World(NodeId nodes, std::uint64_t seed, const connect::Options& options, std::uint32_t window = 4)
      : options_(options), window_(window), random_(seed) {
    options_.seed = seed;
    for (NodeId node = 0; node < nodes; ++node) {
      lives_.push_back(1);
      scheduled_.push_back(connect::kNever);
      nodes_.push_back(std::make_unique<Node>(*this, node, 1, options_, window_));
    }
  }

  ~World() override { nodes_.clear(); }  // They speak to the rest of it while they go.

  Faults faults;
  // Datagrams and messages between nodes for which this holds do not get through.
  std::function<bool(NodeId, NodeId)> cut;

  NodeId size() const { return static_cast<NodeId>(nodes_.size()); }
  Node* node(NodeId node) { return nodes_[node].get(); }
  Micros now() const override { return now_; }
  std::uint64_t below(std::uint64_t bound) {
    return std::uniform_int_distribution<std::uint64_t>(0, bound - 1)(random_);
  }
  bool happens(double probability) {
    return probability > 0 && std::uniform_real_distribution<double>(0, 1)(random_) < probability;
  }
  // Calls `what` at a time from now on.
  void at(Micros time, std::function<void()> what) {
    calls_.push_back(std::move(what));
    push({time, Event::kCall, static_cast<std::uint32_t>(calls_.size() - 1), 0});
  }
  void want(NodeId from, NodeId to, std::uint64_t messages) {
    if (nodes_[from] == nullptr) return;
    nodes_[from]->want(to, messages);
    touched(from, to);
  }
  void crash(NodeId node) { nodes_[node].reset(); }
  void restart(NodeId node) {
    if (nodes_[node] != nullptr) return;
    scheduled_[node] = connect::kNever;
    nodes_[node] = std::make_unique<Node>(*this, node, ++lives_[node], options_, window_);
  }

  // Runs until the time or until nothing is left to happen.
  void run_until(Micros end) {
    while (!events_.empty() && events_.top().time <= end && !::testing::Test::HasFailure()) step();
    now_ = std::max(now_, end);
  }
  // Everything that was wanted has been delivered (to those who live).
  bool satisfied() const { return first_unsatisfied().empty(); }
  std::string first_unsatisfied() const {
    for (NodeId a = 0; a < size(); ++a) {
      if (nodes_[a] == nullptr) continue;
      for (const auto& [b, link] : nodes_[a]->links()) {
        if (nodes_[b] == nullptr || link->failed || link->wanted == 0) continue;
        const Link* const other = nodes_[b]->find(a);
        if (other != nullptr && other->delivered == link->wanted) continue;
        // An earlier life of the peer has received it all; nobody has a reason to speak to the new
        // one.
        const bool at_rest = link->state() == State::kIdle || link->state() == State::kReady;
        if (link->peer_incarnation() != lives_[b] && at_rest && link->posted == link->wanted)
          continue;
        return std::to_string(a) + " (" + std::string(connect::name(link->state())) + ") wants " +
               std::to_string(link->wanted) + " for " + std::to_string(b) + ", posted " +
               std::to_string(link->posted) + ", delivered " +
               (other == nullptr ? std::string("none")
                                 : std::to_string(other->delivered) + " (" +
                                       std::string(connect::name(other->state())) + ")");
      }
    }
    return {};
  }
  // The faults stop: returns the microseconds until everybody is satisfied, or limit_us if not.
  Micros settle(Micros limit_us) {
    faults = {};
    cut = nullptr;
    const Micros begin = now_;
    while (!satisfied()) {
      if (::testing::Test::HasFailure() || now_ - begin >= limit_us) return limit_us;
      run_until(now_ + 10'000);
    }
    return now_ - begin;
  }
  void leave_all() {
    for (auto& node : nodes_) {
      if (node != nullptr) node->leave();
    }
  }

  std::uint64_t failed() const { return total(&connect::Counters::failed); }
  // Of one counter, over all that live.
  std::uint64_t total(std::uint64_t connect::Counters::*counter) const {
    std::uint64_t sum = 0;
    for (const auto& node : nodes_) {
      if (node != nullptr) sum += node->connector().counters().*counter;
    }
    return sum;
  }
  std::uint64_t hash() const { return hash_; }
  std::uint64_t events() const { return event_count_; }
  std::uint64_t broken() const { return broken_; }

 private:
  struct Event {
    enum Kind : std::uint8_t { kDatagram, kData, kTimer, kQuiet, kRelease, kBroke, kCall };
    Micros time = 0;
    Kind kind = kCall;
    std::uint32_t a = 0;
    std::uint32_t b = 0;
    std::uint32_t slot = 0;
    std::uint64_t order = 0;
    friend bool operator<(const Event& x, const Event& y) {
      return std::pair(x.time, x.order) > std::pair(y.time, y.order);
    }
  };
  struct Packet {
    std::array<std::byte, Message::kBytesMax> bytes;
    std::size_t size = 0;
    Data data;
  };

  void push(Event event) {
    event.order = ++order_;
    events_.push(event);
  }
  std::uint32_t new_packet() {
    if (free_packets_.empty()) {
      packets_.emplace_back();
      return static_cast<std::uint32_t>(packets_.size() - 1);
    }
    const std::uint32_t slot = free_packets_.back();
    free_packets_.pop_back();
    return slot;
  }
  bool is_cut(NodeId a, NodeId b) const { return cut && cut(a, b); }

  // --- Network ---
  void datagram(NodeId from, NodeId to, std::span<const std::byte> bytes) override {
    if (is_cut(from, to)) return;
    for (int copies = happens(faults.doubling) ? 2 : 1; copies > 0; --copies) {
      if (happens(faults.loss)) continue;
      const std::uint32_t slot = new_packet();
      std::copy(bytes.begin(), bytes.end(), packets_[slot].bytes.begin());
      packets_[slot].size = bytes.size();
      const Micros latency = 5 + below(40) + (happens(faults.delay) ? below(faults.delay_us) : 0);
      push({now_ + latency, Event::kDatagram, from, to, slot});
    }
  }
  void post(EndpointId from, const Data& data) override {
    const std::uint32_t slot = new_packet();
    packets_[slot].data = data;
    // In order on one endpoint: never before the one ahead.
    arrival_.resize(endpoints.size() + 1);
    Micros& last = arrival_[from];
    last = std::max(last, now_ + 2 + below(20));
    push({last, Event::kData, from, 0, slot});
  }
  void destroyed(EndpointId id) override { touched(endpoint(id).node, endpoint(id).peer); }
  void quiet_soon(NodeId node, NodeId peer) override {
    push({now_ + below(200), Event::kQuiet, node, peer});
  }
  void release_soon(NodeId node, NodeId peer) override {
    push({now_ + below(30), Event::kRelease, node, peer});
  }
  bool endpoint_available(NodeId) override { return !happens(faults.no_endpoint); }
  std::uint32_t held_at(NodeId node, NodeId peer) override {
    Link* const link = nodes_[node] == nullptr ? nullptr : nodes_[node]->find(peer);
    return link == nullptr ? 0 : link->held;
  }

  void step() {
    const Event event = events_.top();
    events_.pop();
    now_ = event.time;
    ++event_count_;
    // Same seed, same run: the trace is hashed.
    for (const std::uint64_t part :
         {event.time, std::uint64_t{event.kind}, std::uint64_t{event.a}, std::uint64_t{event.b}}) {
      hash_ = (hash_ ^ part) * 0x100000001B3ULL;
    }
    handle(event);
    while (!touched_.empty()) {
      const auto [a, b] = touched_.back();
      touched_.pop_back();
      check(a, b);
    }
  }
  void handle(const Event& event) {
    switch (event.kind) {
      case Event::kDatagram: {
        const Packet packet = packets_[event.slot];
        free_packets_.push_back(event.slot);
        if (nodes_[event.b] == nullptr || is_cut(event.a, event.b)) return;
        nodes_[event.b]->receive(event.a, std::span(packet.bytes).first(packet.size));
        return touched(event.b, event.a);
      }
      case Event::kData:
        return arrive(event);
      case Event::kTimer:
        if (scheduled_[event.a] != event.time || nodes_[event.a] == nullptr) return;
        scheduled_[event.a] = connect::kNever;
        nodes_[event.a]->connector().advance(now_);
        return touched(event.a, event.a);
      case Event::kQuiet:
        if (nodes_[event.a] != nullptr) nodes_[event.a]->say_quiet(event.b);
        return touched(event.a, event.b);
      case Event::kRelease:
        if (nodes_[event.a] != nullptr) nodes_[event.a]->release(event.b);
        return touched(event.a, event.b);
      case Event::kBroke: {
        const NodeId node = endpoint(event.a).node;
        if (nodes_[node] != nullptr) nodes_[node]->broke(event.a);
        return touched(node, endpoint(event.a).peer);
      }
      case Event::kCall:
        return calls_[event.a]();
    }
  }
  void arrive(const Event& event) {
    const Data data = packets_[event.slot].data;
    free_packets_.push_back(event.slot);
    const EndpointId from = event.a;
    Endpoint& sender = endpoint(from);
    if (!sender.alive || sender.broken) return;  // What was under way is lost with its endpoint.
    const EndpointId to = sender.remote;
    const NodeId source = sender.node;
    const NodeId target = sender.peer;
    const bool breaks = happens(faults.breaking);
    const bool swallowed = breaks && happens(0.5);
    const bool arrived = nodes_[target] != nullptr && !is_cut(source, target) && !swallowed &&
                         nodes_[target]->arrive(to, from, data);
    // The message may have arrived although the sender hears that it has not.
    if (!arrived || breaks) {
      if (endpoint(from).alive) {
        endpoint(from).broken = true;
        ++broken_;
        push({now_ + below(500), Event::kBroke, from, 0});
      }
    } else if (nodes_[source] != nullptr) {
      nodes_[source]->completed(from, data);
    }
    touched(source, target);
    touched(target, source);
  }

  // Something may have changed at `a`: what must hold between the two, and a's timer.
  void touched(NodeId a, NodeId b) { touched_.emplace_back(a, b); }
  void check(NodeId a, NodeId b) {
    Node* const one = nodes_[a].get();
    if (one == nullptr) return;
    const Micros next = one->connector().next_time();
    if (next < scheduled_[a]) {
      scheduled_[a] = std::max(next, now_);
      push({scheduled_[a], Event::kTimer, a, 0});
    }
    if (options_.connections_max != 0) {
      ASSERT_LE(one->connector().endpoints(), options_.connections_max);
    }
    ASSERT_LE(one->connector().dials(), options_.dials_max);
    Node* const two = nodes_[b].get();
    if (a == b || two == nullptr) return;
    Link* const here = one->find(b);
    Link* const there = two->find(a);
    if (here == nullptr || there == nullptr || !here->is_up() || !there->is_up()) return;
    // Both up: then either the two are each other's, or one of them is about to learn that its peer
    // has another endpoint already, and no message passes from it.
    const bool mine = endpoint(here->endpoint).remote == there->endpoint;
    const bool yours = endpoint(there->endpoint).remote == here->endpoint;
    ASSERT_EQ(mine, yours) << a << " and " << b << " disagree";
  }

  connect::Options options_;
  std::uint32_t window_;
  std::mt19937_64 random_;
  Micros now_ = 1000;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::uint64_t> lives_;
  std::vector<Micros> scheduled_;
  std::priority_queue<Event> events_;
  std::deque<Packet> packets_;
  std::vector<std::uint32_t> free_packets_;
  std::vector<Micros> arrival_;
  std::vector<std::function<void()>> calls_;
  std::vector<std::pair<NodeId, NodeId>> touched_;
  std::uint64_t order_ = 0;
  std::uint64_t hash_ = 0xCBF29CE484222325ULL;
  std::uint64_t event_count_ = 0;
  std::uint64_t broken_ = 0;
};

}  // namespace tern::sim
