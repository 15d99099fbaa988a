// The contract of core/fabric.h, run over every fabric that can be had on one machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "core/loopback.h"
#include "core/peer.h"
#include "shm/fabric.h"
#include "tests/unit/fake_verbs.h"
#include "tests/unit/seed.h"
#include "ucx/fabric.h"
#include "verbs/fabric.h"

namespace tern {
namespace {

using test::Random;

// Collects what a fabric reports.
struct Sink final : FabricSink {
  struct Message {
    std::vector<std::byte> head, body;
  };
  Peer* on_contact(std::string_view card) override {
    ++contacts;
    last_card = card;
    return &peer;
  }
  void on_message(Peer&, std::span<const std::byte> head,
                  std::span<const std::byte> body) override {
    messages.push_back({{head.begin(), head.end()}, {body.begin(), body.end()}});
  }
  void on_complete(std::uint32_t op, bool ok) override { completed.push_back({op, ok}); }
  void on_peer_down(Peer&, std::string_view) override { ++down; }

  Peer peer;
  int contacts = 0;
  int down = 0;
  std::string last_card;
  std::vector<Message> messages;
  std::vector<std::pair<std::uint32_t, bool>> completed;
};

// One end of a connection: for loopback both ends are the same.
struct End {
  std::shared_ptr<Fabric> fabric;
  Sink sink;
  Card card;
};

struct Setup {
  std::string name;
  std::function<std::shared_ptr<Fabric>(ProcessId)> make;
  bool to_itself;
};

std::shared_ptr<Fabric> make_shm(ProcessId id, bool single_copy) {
  std::string why;
  auto fabric = shm::ShmFabric::create(id, HostIdentity::read(), {single_copy}, why);
  EXPECT_NE(fabric, nullptr) << why;
  return fabric;
}

std::shared_ptr<Fabric> make_fake_verbs(ProcessId id) {
  std::string why;
  auto fabric = verbs::VerbsFabric::create(test::fake_verbs(), id, {}, why);
  EXPECT_NE(fabric, nullptr) << why;
  return fabric;
}

// nullptr where there is no RDMA device (scripts/rdma-vm runs this where there is one).
std::shared_ptr<Fabric> make_verbs(ProcessId id, bool thread) {
  std::string why;
  const verbs::IbvTable* const table = verbs::load_ibv(why);
  if (table == nullptr) return nullptr;
  verbs::VerbsOptions options;
  options.connect_thread = thread;
  auto fabric = verbs::VerbsFabric::create(*table, id, options, why);
  EXPECT_NE(fabric, nullptr) << why;
  return fabric;
}

// nullptr where UCX's libraries are missing, or where ThreadSanitizer would look at them, which are
// not instrumented. Both ends are in this process, so they meet over lo.
std::shared_ptr<Fabric> make_ucx([[maybe_unused]] ProcessId id, [[maybe_unused]] bool thread) {
#ifdef __SANITIZE_THREAD__
  return nullptr;
#else
  std::string why;
  const ucx::UcpTable* const table = ucx::load_ucp(why);
  if (table == nullptr) return nullptr;
  ucx::UcxOptions options;
  options.worker.transports = "tcp";
  options.worker.devices = "lo";
  options.thread = thread;
  auto fabric = ucx::UcxFabric::create(*table, id, options, why);
  EXPECT_NE(fabric, nullptr) << why;
  return fabric;
#endif
}

class Conformance : public ::testing::TestWithParam<Setup> {
 protected:
  void SetUp() override {
    make_end(a_, {5, 0});
    if (a_.fabric == nullptr) GTEST_SKIP() << "this machine has no such device";
    if (!GetParam().to_itself) make_end(b_, {5, 1});
    std::string why;
    ASSERT_EQ(a_.fabric->why_unreachable(target().card), "");
    link_ = a_.fabric->connect(peer_, target().card, why);
    ASSERT_NE(link_, nullptr) << why;
  }
  void make_end(End& end, ProcessId id) {
    end.fabric = GetParam().make(id);
    if (end.fabric == nullptr) return;
    end.card = Card::of_this_process(id, HostIdentity::read());
    end.card.addresses.emplace(end.fabric->name(), end.fabric->address());
    end.fabric->set_own_card(end.card.encode());
  }
  End& target() { return GetParam().to_itself ? a_ : b_; }
  void poll() {
    a_.fabric->poll(a_.sink);
    if (!GetParam().to_itself) b_.fabric->poll(b_.sink);
  }

  // So much is known of the peer when large messages travel.
  void say_a_word() {
    bool is_sent = false;
    wait_until([&] {
      is_sent = is_sent || a_.fabric->send(*link_, {}, {}) == Post::kDone;
      return !target().sink.messages.empty();
    });
    target().sink.messages.clear();
  }

  // Polls until it holds, or for longer than anything here may take.
  void wait_until(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition() && std::chrono::steady_clock::now() < end) poll();
  }

  End a_, b_;
  Peer peer_;
  Link* link_ = nullptr;
};

TEST_P(Conformance, MessagesOfAllSizesArriveOnceAndInOrder) {
  Random random(11);
  const FabricLimits limits = a_.fabric->limits();
  constexpr std::size_t kCount = 5000;
  std::vector<Sink::Message> sent;
  std::size_t refused = 0;
  while (sent.size() < kCount) {
    Sink::Message message;
    message.head.resize(random.below(limits.max_head_bytes + 1));
    message.body.resize(random.one_in(5) ? random.below(limits.max_body_bytes + 1)
                                         : random.below(150));
    for (std::byte& byte : message.head) byte = static_cast<std::byte>(random.below(256));
    for (std::byte& byte : message.body) byte = static_cast<std::byte>(random.below(256));
    switch (a_.fabric->send(*link_, message.head, message.body)) {
      case Post::kDone:
        sent.push_back(std::move(message));
        break;
      case Post::kNoCredit:
        ++refused;
        poll();
        break;
      default:
        FAIL() << "send() neither sent nor asked to wait";
    }
    if (random.one_in(50)) poll();
  }
  wait_until([&] { return target().sink.messages.size() >= kCount; });
  ASSERT_EQ(target().sink.messages.size(), kCount);
  for (std::size_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(target().sink.messages[i].head, sent[i].head) << i;
    ASSERT_EQ(target().sink.messages[i].body, sent[i].body) << i;
  }
  wait_until([&] { return a_.fabric->drained(); });
  EXPECT_TRUE(a_.fabric->drained());
  if (!GetParam().to_itself) {
    EXPECT_EQ(target().sink.contacts, 1);
    EXPECT_EQ(target().sink.last_card, a_.card.encode());
  }
}

TEST_P(Conformance, LentMessagesKeepTheirOrderAndComeBackOnce) {
  Random random(13);
  const FabricLimits limits = a_.fabric->limits();
  constexpr std::uint32_t kCount = 300;
  std::vector<std::vector<std::byte>> bodies;
  std::vector<std::uint32_t> lent;
  for (std::uint32_t i = 0; i < kCount; ++i) {
    auto& body = bodies.emplace_back(random.below(limits.max_body_bytes + 1));
    for (std::byte& byte : body) byte = static_cast<std::byte>(random.below(256));
    const bool is_lent = random.one_in(2);
    Post posted = Post::kNoCredit;
    while (posted == Post::kNoCredit) {
      const auto head = std::as_bytes(std::span(&i, 1));
      posted = is_lent ? a_.fabric->lend(*link_, head, body, i + 1)
                       : a_.fabric->send(*link_, head, body);
      if (posted == Post::kNoCredit) poll();
    }
    ASSERT_TRUE(posted == Post::kDone || (is_lent && posted == Post::kPending));
    if (posted == Post::kPending) lent.push_back(i + 1);
  }
  wait_until([&] {
    return target().sink.messages.size() >= kCount && a_.sink.completed.size() >= lent.size();
  });
  ASSERT_EQ(target().sink.messages.size(), kCount);
  for (std::uint32_t i = 0; i < kCount; ++i) {
    const auto& message = target().sink.messages[i];
    ASSERT_EQ(message.head.size(), sizeof i);
    ASSERT_EQ(std::memcmp(message.head.data(), &i, sizeof i), 0);
    ASSERT_EQ(message.body, bodies[i]) << i;
  }
  ASSERT_EQ(a_.sink.completed.size(), lent.size());
  std::ranges::sort(a_.sink.completed);
  for (std::size_t i = 0; i < lent.size(); ++i) {
    EXPECT_EQ(a_.sink.completed[i], (std::pair<std::uint32_t, bool>(lent[i], true)));
  }
}

TEST_P(Conformance, GetCopiesExactlyWhatWasAskedFor) {
  say_a_word();
  if (!link_->can_get()) GTEST_SKIP() << "this link cannot get";
  Random random(12);
  for (const std::size_t size : {1UL, 4096UL, 100000UL, 131072UL, 400001UL, 5000000UL}) {
    std::vector<std::byte> source(size + 2);
    for (std::byte& byte : source) byte = static_cast<std::byte>(random.below(256));
    std::vector<std::byte> target_memory(size + 2, std::byte{0x5a});
    std::uint64_t key = 0;
    void* const exposure = target().fabric->expose(std::span(source).subspan(1, size), key);
    ASSERT_NE(exposure, nullptr);
    const Post posted =
        a_.fabric->get(*link_, DataView::bytes_at(target_memory.data() + 1, size),
                       {reinterpret_cast<std::uint64_t>(source.data() + 1), key}, size, 77);
    if (posted == Post::kPending) {
      wait_until([&] { return !a_.sink.completed.empty(); });
      ASSERT_EQ(a_.sink.completed.size(), 1U);
      EXPECT_EQ(a_.sink.completed[0], (std::pair<std::uint32_t, bool>(77, true)));
      a_.sink.completed.clear();
    } else {
      ASSERT_EQ(posted, Post::kDone);
    }
    target().fabric->conceal(exposure);
    EXPECT_EQ(target_memory.front(), std::byte{0x5a});
    EXPECT_EQ(target_memory.back(), std::byte{0x5a});
    EXPECT_TRUE(std::equal(source.begin() + 1, source.end() - 1, target_memory.begin() + 1));
  }
}

TEST_P(Conformance, PutIsThereWhenItsMessageIs) {
  say_a_word();
  if (!link_->can_put()) GTEST_SKIP() << "this link cannot put";
  Random random(14);
  std::uint32_t op = 100;
  for (const std::size_t size : {1UL, 4096UL, 100000UL, 400001UL, 5000000UL}) {
    // The source has gaps, which the fabric may refuse, or has none.
    for (const bool gaps : {false, true}) {
      const Layout layout = gaps ? Layout({{0, 6000}}, 0, 7000) : Layout::dense(1);
      std::vector<std::byte> source(size * 2 + 14000);
      for (std::byte& byte : source) byte = static_cast<std::byte>(random.below(256));
      const DataView view =
          DataView::of(source.data() + 1, layout, (size + layout.size() - 1) / layout.size());
      std::vector<std::byte> expected(size);
      pack(view, 0, expected);
      std::vector<std::byte> memory(size + 2, std::byte{0x5a});
      std::uint64_t key = 0;
      void* const exposure = target().fabric->expose(std::span(memory).subspan(1, size), key);
      ASSERT_NE(exposure, nullptr);
      const auto head = std::as_bytes(std::span(&op, 1));
      const Post posted = a_.fabric->put(
          *link_, head, view, {reinterpret_cast<std::uint64_t>(memory.data() + 1), key}, size, op);
      ASSERT_TRUE(posted == Post::kPending || (gaps && posted == Post::kNoCredit));
      if (posted == Post::kPending) {
        wait_until([&] { return !target().sink.messages.empty(); });
        ASSERT_EQ(target().sink.messages.size(), 1U);
        EXPECT_TRUE(std::ranges::equal(target().sink.messages[0].head, head));
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), memory.begin() + 1));
        EXPECT_EQ(memory.front(), std::byte{0x5a});
        EXPECT_EQ(memory.back(), std::byte{0x5a});
        wait_until([&] { return !a_.sink.completed.empty(); });
        ASSERT_EQ(a_.sink.completed.size(), 1U);
        EXPECT_EQ(a_.sink.completed[0], (std::pair<std::uint32_t, bool>(op, true)));
        a_.sink.completed.clear();
        target().sink.messages.clear();
      }
      target().fabric->conceal(exposure);
      ++op;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Fabrics, Conformance,
    ::testing::Values(
        Setup{"self", [](ProcessId id) { return std::make_shared<LoopbackFabric>(id); }, true},
        Setup{"shm", [](ProcessId id) { return make_shm(id, true); }, false},
        Setup{"shm_without_single_copy", [](ProcessId id) { return make_shm(id, false); }, false},
        Setup{"verbs_on_fake_devices", make_fake_verbs, false},
        Setup{"verbs", [](ProcessId id) { return make_verbs(id, true); }, false},
        Setup{"verbs_without_thread", [](ProcessId id) { return make_verbs(id, false); }, false},
        Setup{"ucx", [](ProcessId id) { return make_ucx(id, true); }, false},
        Setup{"ucx_without_thread", [](ProcessId id) { return make_ucx(id, false); }, false}),
    [](const auto& setup) { return setup.param.name; });

TEST(ShmFabric, AForeignProcessBehindTheAddressIsRefused) {
  const auto fabric = make_shm({5, 0}, true);
  Card card = Card::of_this_process({5, 1}, HostIdentity::read());
  std::string why;
  Peer peer;
  for (const char* const address : {"1.0.1.0", "7fffffff.3.1.1", "garbage", ""}) {
    card.addresses["shm"] = address;
    EXPECT_EQ(fabric->connect(peer, card, why), nullptr);
    EXPECT_FALSE(why.empty());
  }
}

TEST(ShmFabric, OtherHostsAndContainersAreToldApart) {
  const auto fabric = make_shm({5, 0}, true);
  Card card = Card::of_this_process({5, 1}, HostIdentity::read());
  EXPECT_NE(fabric->why_unreachable(card).find("TERN_FABRIC"), std::string::npos);
  card.addresses["shm"] = "1.1.1.1";
  EXPECT_EQ(fabric->why_unreachable(card), "");
  card.host.pid_space += 1;
  EXPECT_NE(fabric->why_unreachable(card).find("container"), std::string::npos);
  card.host.boot_id = "another";
  EXPECT_NE(fabric->why_unreachable(card).find("another host"), std::string::npos);
}

}  // namespace
}  // namespace tern
