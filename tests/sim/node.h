// tests/sim/node.h - one simulated process: the real Connector, SendWindow and ReceiveWindow, with
// the part of a fabric around them that a simulated network needs.
//
// An application above it asks for numbered messages to peers (want()) and checks what it receives:
// each message exactly once and in order. The network below is an interface: sim/world.h has one
// with random faults, small_world_test.cc one that tries every order.
#pragma once
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/connector.h"
#include "core/replay.h"

namespace tern::sim {

using connect::Connection;
using connect::Connector;
using connect::Down;
using connect::EndpointBlob;
using connect::Message;
using connect::Micros;
using connect::Resume;
using connect::State;
using NodeId = std::uint32_t;
using EndpointId = std::uint32_t;  // Index into Network::endpoints, from 1; 0: none.

// What a reliable queue pair is to the protocol.
struct Endpoint {
  NodeId node = 0;
  NodeId peer = 0;
  EndpointId remote = 0;  // 0: not activated.
  bool alive = true;
  bool broken = false;
  std::uint32_t in_flight = 0;  // Posted and not completed.
};

// A message on an endpoint. It names the lives that it is between, and the application's own count.
struct Data {
  replay::Stamp stamp;
  std::uint64_t index = 0;  // 0: a bare acknowledgement.
  // What is written into the peer's memory: needs no buffer there. A probe says nothing; a letter
  // is an acknowledgement.
  enum class Written : std::uint8_t { kNot, kProbe, kLetter } written = Written::kNot;
  std::uint64_t sender_life = 0;
};

class Network {
 public:
  virtual ~Network() = default;
  virtual Micros now() const = 0;
  virtual void datagram(NodeId from, NodeId to, std::span<const std::byte> bytes) = 0;
  virtual void post(EndpointId from, const Data& data) = 0;
  // All that the endpoint was sent is delivered or lost from now on.
  virtual void destroyed(EndpointId endpoint) = 0;
  virtual void quiet_soon(NodeId node, NodeId peer) = 0;    // Calls Node::say_quiet later.
  virtual void release_soon(NodeId node, NodeId peer) = 0;  // Calls Node::release later.
  virtual bool endpoint_available(NodeId node) = 0;         // Or: out of resources.

  // Receive buffers in use at `node` for messages of `peer`.
  virtual std::uint32_t held_at(NodeId node, NodeId peer) = 0;

  Endpoint& endpoint(EndpointId id) { return endpoints.at(id - 1); }
  std::deque<Endpoint> endpoints;
};

inline ProcessId id_of(NodeId node) { return {77, node}; }

struct Record final : replay::SendRecord {
  std::uint64_t index = 0;  // The application's own count.
};

struct Link final : Connection {
  NodeId peer_node = 0;
  EndpointId endpoint = 0;
  replay::SendWindow sending;
  replay::ReceiveWindow receiving;
  std::deque<Record> records;   // Those in the window, in order.
  std::uint64_t wanted = 0;     // Messages that the application asked for,
  std::uint64_t posted = 0;     // and how many of them have been posted.
  std::uint64_t delivered = 0;  // What the application has got from this life of the peer.
  std::uint64_t peer_life = 0;
  std::uint64_t activity = 0;
  std::uint32_t held = 0;  // Receive buffers in use.
  std::uint64_t activity_probed = 0;
  bool quiescing = false;
  bool failed = false;

  bool awaits() const { return !sending.empty() || posted < wanted || quiescing; }
};

class Node final : public connect::Driver {
 public:
  Node(Network& network, NodeId self, std::uint64_t life, connect::Options options,
       std::uint32_t window)
      : network_(network), self_(self), life_(life), window_(window) {
    options.self = id_of(self);
    options.incarnation = life;
    options.seed = options.seed * 1000003 + self;
    connector_ = std::make_unique<Connector>(options, *this);
  }
  ~Node() { kill(); }

  // The application wants to send this many more messages to the peer.
  void want(NodeId peer, std::uint64_t messages) {
    Link& to = link(peer);
    if (to.failed) return;
    to.wanted += messages;
    pump(to);
    watch(to);
  }
  void preconnect(NodeId peer) { connector_->dial(link(peer), network_.now()); }

  void receive(NodeId from, std::span<const std::byte> bytes) {
    const std::optional<Message> message = Message::decode(bytes);
    ASSERT_TRUE(message);
    Connection* const known = connector_->find(message->from);
    Link& to = known != nullptr ? static_cast<Link&>(*known) : link(from);
    connector_->receive(to, *message, network_.now());
  }

  // A message arrives on our endpoint. False: nobody is there any more, and the sender's end
  // breaks.
  bool arrive(EndpointId endpoint, EndpointId from, const Data& data) {
    const Endpoint& end = network_.endpoint(endpoint);
    if (!end.alive || end.broken || end.remote != from) return false;
    Link& to = link(end.peer);
    EXPECT_EQ(to.endpoint, endpoint);
    if (data.written == Data::Written::kProbe) {
      if (to.is_up() && to.receiving.has_unannounced()) post_letter(to);
      return true;
    }
    // Delivered before the other side had its confirmation: the message confirms.
    if (data.written == Data::Written::kNot) connector_->traffic(to, network_.now());
    take_stamp(to, data.stamp);
    watch(to);
    if (data.index == 0) return true;
    ++to.held;
    EXPECT_LE(to.held, to.receiving.window()) << "no receive buffer left";
    deliver(to, data);
    pump(to);
    watch(to);
    return true;
  }

  // A message that we posted has arrived.
  void completed(EndpointId endpoint, const Data& data) {
    Endpoint& end = network_.endpoint(endpoint);
    if (!end.alive || data.written != Data::Written::kNot) return;
    --end.in_flight;
    Link& of = link(end.peer);
    if (of.quiescing && end.in_flight == 0) network_.quiet_soon(self_, of.peer_node);
  }
  // Our endpoint has broken.
  void broke(EndpointId endpoint) {
    Endpoint& end = network_.endpoint(endpoint);
    if (!end.alive) return;
    end.broken = true;
    connector_->lost(link(end.peer), network_.now());
  }
  void say_quiet(NodeId peer) {
    Link& of = link(peer);
    if (of.quiescing && network_.endpoint(of.endpoint).in_flight == 0) {
      connector_->quiet(of, network_.now());
    }
  }
  // The application has read a message: its buffer is free.
  void release(NodeId peer) {
    Link& of = link(peer);
    if (of.held == 0) return;  // Another life.
    --of.held;
    of.receiving.release();
    if (of.is_up() && of.receiving.is_bare_due()) post_bare(of);
  }

  // The process dies: nothing is said, the endpoints are gone.
  void kill() {
    dead_ = true;
    leave();
  }
  // The process ends in good order.
  void leave() {
    for (auto& [peer, link] : links_) connector_->detach(*link, network_.now());
    const connect::Counters& counters = connector_->counters();
    EXPECT_EQ(counters.created, counters.destroyed);
    EXPECT_EQ(connector_->endpoints(), 0U);
    links_.clear();
  }

  Connector& connector() { return *connector_; }
  std::uint64_t life() const { return life_; }
  Link* find(NodeId peer) {
    const auto found = links_.find(peer);
    return found == links_.end() ? nullptr : found->second.get();
  }
  Link& link(NodeId peer) {
    std::unique_ptr<Link>& place = links_[peer];
    if (place == nullptr) {
      place = std::make_unique<Link>();
      place->peer_node = peer;
      place->receiving = replay::ReceiveWindow(window_);
      connector_->attach(*place, id_of(peer));
    }
    return *place;
  }
  const auto& links() const { return links_; }

 private:
  // --- Driver ---
  bool create_endpoint(Connection& connection) override {
    Link& of = static_cast<Link&>(connection);
    EXPECT_EQ(of.endpoint, 0U) << "two endpoints towards one peer";
    if (!network_.endpoint_available(self_)) return false;
    network_.endpoints.push_back({self_, of.peer_node});
    of.endpoint = static_cast<EndpointId>(network_.endpoints.size());
    of.quiescing = false;
    of.receiving.begin();
    return true;
  }
  void describe_endpoint(const Connection& connection, EndpointBlob& own) override {
    const EndpointId id = static_cast<const Link&>(connection).endpoint;
    own.size_bytes = sizeof id;
    std::memcpy(own.bytes.data(), &id, sizeof id);
  }
  bool activate_endpoint(Connection& connection, const EndpointBlob& remote) override {
    EndpointId id = 0;
    EXPECT_EQ(remote.size_bytes, sizeof id);
    std::memcpy(&id, remote.bytes.data(), sizeof id);
    Endpoint& end = network_.endpoint(static_cast<Link&>(connection).endpoint);
    EXPECT_EQ(end.remote, 0U) << "an endpoint is bound once";
    EXPECT_EQ(network_.endpoint(id).node, end.peer);
    EXPECT_EQ(network_.endpoint(id).peer, end.node);
    end.remote = id;
    return true;
  }
  void destroy_endpoint(Connection& connection) override {
    Link& of = static_cast<Link&>(connection);
    ASSERT_NE(of.endpoint, 0U);
    network_.destroyed(of.endpoint);
    network_.endpoint(of.endpoint).alive = false;
    of.endpoint = 0;
    of.quiescing = false;
  }
  void send(Connection& connection, std::span<const std::byte> datagram) override {
    if (!dead_) network_.datagram(self_, static_cast<Link&>(connection).peer_node, datagram);
  }
  void up(Connection& connection, const Resume& remote) override {
    Link& of = static_cast<Link&>(connection);
    // Nothing is posted before the other side can receive it.
    const EndpointId remote_end = network_.endpoint(of.endpoint).remote;
    ASSERT_NE(remote_end, 0U);
    free_records(of, of.sending.resume(remote));
    while (replay::SendRecord* const record = of.sending.next_repeat()) post(of, *record);
    pump(of);
    if (of.receiving.is_bare_due()) post_bare(of);
  }
  void quiesce(Connection& connection) override {
    Link& of = static_cast<Link&>(connection);
    of.quiescing = true;
    if (network_.endpoint(of.endpoint).in_flight == 0) network_.quiet_soon(self_, of.peer_node);
  }
  bool down(Connection& connection, Down why) override {
    Link& of = static_cast<Link&>(connection);
    EXPECT_EQ(of.endpoint, 0U);
    if (why == Down::kLost || why == Down::kClosed) {
      return !of.sending.empty() || of.posted < of.wanted;
    }
    // What was for the old life is not for the new one; nor is what came from it.
    of.sending.reset();
    of.records.clear();
    of.receiving.reset();
    of.wanted = of.posted = of.delivered = 0;
    of.held = 0;
    of.failed = why == Down::kFailed;
    return false;
  }
  bool probe(Connection& connection) override {
    Link& of = static_cast<Link&>(connection);
    const bool silent = of.activity == std::exchange(of.activity_probed, of.activity);
    if (of.awaits() && silent) write(of, {{}, 0, Data::Written::kProbe, life_});
    return of.awaits();
  }
  Resume resume(const Connection& connection) override {
    return static_cast<const Link&>(connection).receiving.resume();
  }
  void acknowledged(Connection& connection, std::uint64_t received) override {
    Link& of = static_cast<Link&>(connection);
    free_records(of, of.sending.acknowledge_to(received));
  }
  std::uint64_t activity(const Connection& connection) override {
    return static_cast<const Link&>(connection).activity;
  }

  // --- messages ---
  void deliver(Link& to, const Data& data) {
    if (to.peer_life != data.sender_life) {
      to.peer_life = data.sender_life;
      to.delivered = 0;
    }
    switch (to.receiving.arrive(data.stamp.number)) {
      case replay::Arrival::kNext:
        ASSERT_EQ(data.index, to.delivered + 1) << "lost, doubled or out of order";
        ++to.delivered;
        ++to.activity;
        network_.release_soon(self_, to.peer_node);
        return;
      case replay::Arrival::kDuplicate:
        --to.held;
        return;
      case replay::Arrival::kGap:
        FAIL() << "a gap on one endpoint";
    }
  }
  void take_stamp(Link& of, const replay::Stamp& stamp) {
    free_records(of, of.sending.acknowledge(stamp));
    if (!of.is_up()) return;
    while (replay::SendRecord* const record = of.sending.next_repeat()) post(of, *record);
    pump(of);
  }
  void free_records(Link& of, replay::SendRecord* freed) {
    while (freed != nullptr) {
      replay::SendRecord* const next = freed->next;
      ASSERT_FALSE(of.records.empty());
      ASSERT_EQ(freed, &of.records.front());
      of.records.pop_front();
      ++of.activity;
      freed = next;
    }
  }
  // Posts what waits and has room; dials when there is no connection. (Inside up() there is one.)
  void pump(Link& to) {
    if (to.posted == to.wanted || to.failed) return;
    if (!to.is_up()) return connector_->dial(to, network_.now());
    while (to.posted < to.wanted && to.sending.can_send()) {
      Record& record = to.records.emplace_back();
      record.index = ++to.posted;
      to.sending.push(record);
      post(to, record);
    }
  }
  void post(Link& to, const replay::SendRecord& record) {
    post_data(to, {to.receiving.stamp(record.number), static_cast<const Record&>(record).index,
                   Data::Written::kNot, life_});
  }
  void post_bare(Link& to) {
    post_data(to, {to.receiving.bare_stamp(), 0, Data::Written::kNot, life_});
  }
  void post_letter(Link& to) {
    write(to, {to.receiving.stamp(0), 0, Data::Written::kLetter, life_});
  }
  void write(Link& to, const Data& data) {
    ASSERT_NE(to.endpoint, 0U);
    ASSERT_NE(network_.endpoint(to.endpoint).remote, 0U) << "posted before it was activated";
    network_.post(to.endpoint, data);
  }
  // What the connector need not be told from inside of up(): it looks for itself then.
  void watch(Link& to) {
    if (to.is_up() && to.awaits() && !to.is_watched()) connector_->watch(to, network_.now());
  }
  void post_data(Link& to, const Data& data) {
    ASSERT_TRUE(to.is_up());
    Endpoint& end = network_.endpoint(to.endpoint);
    ASSERT_NE(end.remote, 0U) << "posted before the endpoint was activated";
    ASSERT_NE(network_.endpoint(end.remote).remote, 0U) << "posted before the peer could receive";
    ++end.in_flight;
    EXPECT_LE(end.in_flight + network_.held_at(to.peer_node, self_),
              replay::ReceiveWindow::buffers(window_))
        << "more is under way than the receiver has buffers for";
    network_.post(to.endpoint, data);
  }

  Network& network_;
  NodeId self_;
  std::uint64_t life_;
  std::uint32_t window_;
  std::unique_ptr<Connector> connector_;
  std::unordered_map<NodeId, std::unique_ptr<Link>> links_;
  bool dead_ = false;
};

}  // namespace tern::sim
