// tests/unit/verbs_process.h - a process of the verbs fabric's tests: a fabric, and in the engine's
// place a sink that checks what arrives.
//
// Threading: the thread of the test. Failure: expectations of GoogleTest.
#pragma once
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/peer.h"
#include "tests/unit/fake_verbs.h"
#include "tests/unit/seed.h"
#include "verbs/fabric.h"

namespace tern::test {

using verbs::VerbsFabric;

// A process: a fabric, and an engine's part that checks what arrives: from each peer numbers that
// grow by one, in messages of many sizes.
struct Process final : FabricSink {
  explicit Process(std::uint64_t rank) : id{5, rank} {}

  bool start(verbs::VerbsOptions options, std::string& why,
             const verbs::IbvTable& table = fake_verbs()) {
    fabric = VerbsFabric::create(table, id, options, why);
    if (fabric == nullptr) return false;
    card = Card::of_this_process(id, {"boot", 0, 0, 0, "node"});
    card.addresses.emplace("verbs", fabric->address());
    fabric->set_own_card(card.encode());
    return true;
  }
  Link* link_to(const Process& other, std::string& why) {
    Contact& to = contacts[other.id.rank];
    if (to.link == nullptr) to.link = fabric->connect(to.peer, other.card, why);
    return to.link;
  }
  // The next message to `other`; false: not now, or never.
  bool send(const Process& other, Random& random) {
    std::string why;
    Link* const link = link_to(other, why);
    Contact& to = contacts[other.id.rank];
    if (link == nullptr) {  // Its device failed before it was connected.
      to.down = true;
      why_down = why;
    }
    if (to.down) return false;
    std::vector<std::byte> body(random.one_in(5) ? random.below(3000) : random.below(100),
                                static_cast<std::byte>(to.sent));
    if (fabric->send(*link, std::as_bytes(std::span(&to.sent, 1)), body) != Post::kDone)
      return false;
    ++to.sent;
    return true;
  }

  Peer* on_contact(std::string_view text) override {
    std::string why;
    const auto other = Card::decode(text, why);
    if (!other) return nullptr;
    Contact& from = contacts[other->id.rank];
    if (from.link == nullptr) from.link = fabric->connect(from.peer, *other, why);
    from.peer.id = other->id;
    return &from.peer;
  }
  void on_message(Peer& peer, std::span<const std::byte> head,
                  std::span<const std::byte> body) override {
    Contact* from = nullptr;
    for (auto& [rank, contact] : contacts) {
      if (&contact.peer == &peer) from = &contact;
    }
    ASSERT_NE(from, nullptr);
    if (head.size() == sizeof(std::uint64_t)) {
      std::uint64_t notice = 0;
      std::memcpy(&notice, head.data(), sizeof notice);
      return on_notice(notice);
    }
    std::uint32_t number = 0;
    ASSERT_EQ(head.size(), sizeof number);
    std::memcpy(&number, head.data(), sizeof number);
    ASSERT_EQ(number, from->received) << "lost, doubled or out of order";
    for (const std::byte byte : body) ASSERT_EQ(byte, static_cast<std::byte>(number));
    ++from->received;
  }
  void on_complete(std::uint32_t op, bool ok) override { completed[op] = ok; }
  void on_peer_down(Peer& peer, std::string_view why) override {
    for (auto& [rank, contact] : contacts) {
      if (&contact.peer == &peer) contact.down = true;
    }
    why_down = why;
  }

  struct Contact {
    Peer peer;
    Link* link = nullptr;
    std::uint32_t sent = 0;
    std::uint32_t received = 0;
    bool down = false;
  };
  ProcessId id;
  Card card;
  std::map<std::uint64_t, Contact> contacts;
  std::map<std::uint32_t, bool> completed;
  std::string why_down;
  std::function<void(std::uint64_t)> on_notice;  // Messages with a head of 8 bytes.
  std::unique_ptr<VerbsFabric> fabric;           // Last: it goes first.
};

inline verbs::VerbsOptions options_with(bool thread) {
  verbs::VerbsOptions options;
  options.connect_thread = thread;
  options.peer_timeout_s = 50;
  return options;
}

inline bool wait_for(const std::function<bool()>& condition,
                     const std::vector<Process*>& processes) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    for (Process* const process : processes) process->fabric->poll(*process);
  }
  return true;
}

// With devices made of memory that work, unless a test says otherwise, and nothing left behind.
class VerbsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_faults({});
    set_network_down(false);
    set_devices_gone(false);
  }
  void TearDown() override {
    EXPECT_EQ(broken_rules(), 0) << "a receive buffer was missing or a queue overflowed";
    EXPECT_EQ(objects_alive(), 0) << "something was not destroyed";
    set_faults({});
  }
};

}  // namespace tern::test
