// The UCX fabric where UCX or a peer fails. Two fabrics of this process meet over lo.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/peer.h"
#include "tests/unit/seed.h"
#include "ucx/address.h"
#include "ucx/fabric.h"

namespace tern::ucx {
namespace {

// What the table of a test does instead of UCX; see Faults.
std::function<std::optional<ucs_status_ptr_t>(const std::byte*&, std::size_t&)> on_send;
const UcpTable* real_table = nullptr;

ucs_status_ptr_t send_or_fail(ucp_ep_h ep, unsigned id, const void* header,
                              std::size_t header_bytes, const void* data, std::size_t bytes,
                              const ucp_request_param_t* param) {
  const auto* changed = static_cast<const std::byte*>(data);
  if (on_send != nullptr) {
    if (const auto result = on_send(changed, bytes)) return *result;
  }
  return real_table->am_send_nbx(ep, id, header, header_bytes, changed, bytes, param);
}

struct Sink final : FabricSink {
  Peer* on_contact(std::string_view card) override {
    ++contacts;
    last_card = card;
    return &peer;
  }
  void on_message(Peer&, std::span<const std::byte> head,
                  std::span<const std::byte> body) override {
    messages.emplace_back(head.size(), body.size());
  }
  void on_complete(std::uint32_t, bool ok) override {
    EXPECT_EQ(down, 0) << "the peer is down before its last completion";
    ++(ok ? completed : failed);
    if (on_completed != nullptr) on_completed();
  }
  void on_peer_down(Peer&, std::string_view reason) override {
    ++down;
    why = reason;
  }

  Peer peer;
  std::function<void()> on_completed;
  int contacts = 0;
  int down = 0;
  int completed = 0;
  int failed = 0;
  std::string why;
  std::string last_card;
  std::vector<std::pair<std::size_t, std::size_t>> messages;  // Bytes of head and body.
};

struct End {
  std::unique_ptr<UcxFabric> fabric;
  Sink sink;
  Card card;
};

class UcxFaults : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string why;
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "UCX is not instrumented: what its own thread does looks unordered";
#endif
    real_table = load_ucp(why);
    if (real_table == nullptr) GTEST_SKIP() << why;
    table_ = *real_table;
    table_.am_send_nbx = send_or_fail;
  }
  void TearDown() override { on_send = nullptr; }

  static UcxOptions options() {
    UcxOptions options;
    options.worker.transports = "tcp";
    options.worker.devices = "lo";
    return options;
  }
  void open(End& end, ProcessId id) {
    std::string why;
    end.fabric = UcxFabric::create(table_, id, options(), why);
    ASSERT_NE(end.fabric, nullptr) << why;
    end.card = Card::of_this_process(id, HostIdentity::read());
    end.card.addresses.emplace("ucx", end.fabric->address());
    end.fabric->set_own_card(end.card.encode());
  }
  // Two ends that have exchanged a message.
  void meet() {
    open(a_, {5, 0});
    open(b_, {5, 1});
    std::string why;
    link_ = a_.fabric->connect(peer_, b_.card, why);
    ASSERT_NE(link_, nullptr) << why;
    ASSERT_EQ(say(100), Post::kDone);
    ASSERT_TRUE(until([this] { return b_.sink.messages.size() == 1; }));
    back_ = b_.fabric->connect(b_.sink.peer, a_.card, why);
    ASSERT_NE(back_, nullptr) << why;
    ASSERT_TRUE(until([this] { return a_.sink.contacts == 1; }));
  }
  Post say(std::size_t bytes) {
    const std::vector<std::byte> head(8);
    return a_.fabric->send(*link_, head, std::vector<std::byte>(bytes));
  }
  bool until(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition() && std::chrono::steady_clock::now() < end) {
      a_.fabric->poll(a_.sink);
      if (b_.fabric != nullptr) b_.fabric->poll(b_.sink);
    }
    return condition();
  }

  UcpTable table_{};
  End a_, b_;
  Peer peer_;
  Link* link_ = nullptr;
  Link* back_ = nullptr;
};

TEST_F(UcxFaults, WhatUcxRefusesIsASentence) {
  std::string why;
  UcpTable table = table_;
  table.init_version = [](unsigned, unsigned, const ucp_params_t*, const ucp_config_t*,
                          ucp_context_h*) { return UCS_ERR_NO_DEVICE; };
  EXPECT_EQ(UcxFabric::create(table, {5, 0}, options(), why), nullptr);
  EXPECT_NE(why.find("No such device"), std::string::npos) << why;
  EXPECT_NE(why.find("TERN_UCX_NET_DEVICES"), std::string::npos) << why;

  table = table_;
  table.worker_create = [](ucp_context_h, const ucp_worker_params_t*, ucp_worker_h*) {
    return UCS_ERR_NO_MEMORY;
  };
  EXPECT_EQ(UcxFabric::create(table, {5, 0}, options(), why), nullptr);
  EXPECT_NE(why.find("worker"), std::string::npos) << why;

  table = table_;
  table.worker_query = [](ucp_worker_h worker, ucp_worker_attr_t* attributes) {
    const ucs_status_t status = real_table->worker_query(worker, attributes);
    attributes->address_length = 5000;
    return status;
  };
  EXPECT_EQ(UcxFabric::create(table, {5, 0}, options(), why), nullptr);
  EXPECT_NE(why.find("5000"), std::string::npos) << why;

  table = table_;
  table.ep_create = [](ucp_worker_h, const ucp_ep_params_t*, ucp_ep_h*) {
    return UCS_ERR_UNREACHABLE;
  };
  table_ = table;
  open(a_, {5, 0});
  open(b_, {5, 1});
  EXPECT_EQ(a_.fabric->connect(peer_, b_.card, why), nullptr);
  EXPECT_NE(why.find("network in common"), std::string::npos) << why;
}

TEST_F(UcxFaults, DamagedAddressesAreRefused) {
  open(a_, {5, 0});
  Card card = Card::of_this_process({5, 1}, HostIdentity::read());
  EXPECT_NE(a_.fabric->why_unreachable(card).find("TERN_FABRIC"), std::string::npos);
  for (const char* const text :
       {"", "ucp/", "ucp/AAAA", "ucp/*%$", "garbage that is long enough ="}) {
    card.addresses["ucx"] = text;
    EXPECT_NE(a_.fabric->why_unreachable(card).find("damaged"), std::string::npos) << text;
  }
  card.addresses["ucx"] = a_.fabric->address();
  EXPECT_EQ(a_.fabric->why_unreachable(card), "");
  card.id = {5, 0};
  EXPECT_NE(a_.fabric->why_unreachable(card), "");
}

TEST_F(UcxFaults, AddressesSurviveBeingText) {
  test::Random random(21);
  for (std::size_t size = 16; size < 400; ++size) {
    std::vector<std::byte> address(size);
    for (std::byte& byte : address) byte = static_cast<std::byte>(random.below(256));
    const std::string text = encode_address(address);
    EXPECT_EQ(decode_address(text), address);
    EXPECT_EQ(decode_address(std::string_view(text).substr(text.find('/') + 1)), address);
    EXPECT_EQ(text.find_first_of("=;:+ "), std::string::npos);
  }
}

TEST_F(UcxFaults, AFullNetworkIsNoCreditAndLosesNothing) {
  meet();
  if (HasFatalFailure()) return;
  on_send = [](const std::byte*&, std::size_t&) { return UCS_STATUS_PTR(UCS_ERR_NO_RESOURCE); };
  EXPECT_EQ(say(10), Post::kNoCredit);
  EXPECT_EQ(say(50000), Post::kNoCredit);
  EXPECT_EQ(a_.fabric->lend(*link_, {}, {}, 7), Post::kNoCredit);
  EXPECT_TRUE(a_.fabric->drained());
  on_send = nullptr;
  EXPECT_EQ(say(50000), Post::kDone);
  ASSERT_TRUE(until([this] { return b_.sink.messages.size() == 2; }));
  EXPECT_EQ(b_.sink.messages.back(), std::pair(std::size_t{8}, std::size_t{50000}));
}

TEST_F(UcxFaults, GarbageIsDropped) {
  meet();
  if (HasFatalFailure()) return;
  test::Random random(22);
  std::vector<std::byte> garbage(4096);
  on_send = [&](const std::byte*& data, std::size_t& bytes) {
    if (random.one_in(2)) {  // All of it, or the end of the true message with its token.
      for (std::byte& byte : garbage) byte = static_cast<std::byte>(random.below(256));
      data = garbage.data();
      bytes = random.below(garbage.size());
    } else {
      bytes = random.below(24);  // The message has 16 bytes, then 8 of the engine's.
    }
    return std::optional<ucs_status_ptr_t>();
  };
  for (int i = 0; i < 500; ++i) {
    while (say(1000) == Post::kNoCredit) a_.fabric->poll(a_.sink);
  }
  on_send = nullptr;
  ASSERT_EQ(say(3), Post::kDone);
  ASSERT_TRUE(until([this] { return b_.sink.messages.back().second == 3; }));
  EXPECT_EQ(b_.sink.messages.size(), 2U);
  EXPECT_EQ(b_.sink.down, 0);
}

TEST_F(UcxFaults, APeerThatEndsIsReportedAfterWhatWasLentToIt) {
  meet();
  if (HasFatalFailure()) return;
  // More than the kernel takes when nobody reads.
  const std::vector<std::byte> body(a_.fabric->limits().max_body_bytes);
  int lent = 0;
  Post posted = Post::kDone;
  while (posted != Post::kNoCredit) {
    posted = a_.fabric->lend(*link_, {}, body, 7);
    ASSERT_NE(posted, Post::kPeerDown);
    if (posted == Post::kPending) ++lent;
    if (lent == 0) a_.fabric->poll(a_.sink);
  }
  EXPECT_FALSE(a_.fabric->drained());
  b_.fabric.reset();
  ASSERT_TRUE(until([this] { return a_.sink.down > 0; }));
  EXPECT_EQ(a_.sink.down, 1);
  EXPECT_EQ(a_.sink.completed + a_.sink.failed, lent);
  EXPECT_NE(a_.sink.why.find("rank 1 on host " + HostIdentity::read().host_name), std::string::npos)
      << a_.sink.why;
  EXPECT_EQ(say(1), Post::kPeerDown);
  EXPECT_TRUE(a_.fabric->drained());
  EXPECT_TRUE(a_.fabric->release(peer_, true));
}

// What is done about one that has come back may give others back at once.
TEST_F(UcxFaults, LentMessagesComeBackOnceEachWhenThePeerIsReleasedMeanwhile) {
  meet();
  if (HasFatalFailure()) return;
  const std::vector<std::byte> body(60000);
  int lent = 0;
  Post posted = Post::kDone;
  while (posted != Post::kNoCredit) {
    posted = a_.fabric->lend(*link_, {}, body, 7);
    if (posted == Post::kPending) ++lent;
    if (lent == 0) a_.fabric->poll(a_.sink);
  }
  a_.sink.on_completed = [this] { (void)a_.fabric->release(peer_, true); };
  ASSERT_TRUE(until([&] { return a_.sink.completed + a_.sink.failed >= lent; }));
  for (int i = 0; i < 1000; ++i) a_.fabric->poll(a_.sink);
  EXPECT_EQ(a_.sink.completed + a_.sink.failed, lent);
  EXPECT_EQ(a_.sink.down, 0);
  EXPECT_TRUE(a_.fabric->drained());
}

TEST_F(UcxFaults, ARefusedSendIsAPeerThatIsDown) {
  meet();
  if (HasFatalFailure()) return;
  on_send = [](const std::byte*&, std::size_t&) {
    return UCS_STATUS_PTR(UCS_ERR_CONNECTION_RESET);
  };
  EXPECT_EQ(say(1), Post::kNoCredit);  // Until it is known why.
  on_send = nullptr;
  EXPECT_EQ(say(1), Post::kNoCredit);
  ASSERT_TRUE(until([this] { return a_.sink.down > 0; }));
  EXPECT_EQ(say(1), Post::kPeerDown);
  EXPECT_NE(a_.sink.why.find("its process has ended"), std::string::npos) << a_.sink.why;
}

TEST_F(UcxFaults, LinksEndInAgreementAndComeAgain) {
  for (int round = 0; round < 3; ++round) {
    if (round == 0) {
      meet();
    } else {
      std::string why;
      link_ = a_.fabric->connect(peer_, b_.card, why);
      ASSERT_NE(link_, nullptr) << why;
      back_ = b_.fabric->connect(b_.sink.peer, a_.card, why);
      ASSERT_NE(back_, nullptr) << why;
    }
    if (HasFatalFailure()) return;
    ASSERT_EQ(say(77), Post::kDone);
    // Each side's sends go on until it has said goodbye itself.
    ASSERT_TRUE(until([this] { return a_.fabric->close(*link_); }));
    ASSERT_TRUE(until([this] { return b_.fabric->release(b_.sink.peer, false); }));
    EXPECT_EQ(b_.sink.messages.back().second, 77U);
    const std::size_t heard = a_.sink.messages.size();
    const std::vector<std::byte> body(33);
    ASSERT_EQ(b_.fabric->send(*back_, std::span(body).first(8), body), Post::kDone);
    ASSERT_TRUE(until([&] { return a_.sink.messages.size() > heard; }));
    EXPECT_FALSE(a_.fabric->release(a_.sink.peer, false));
    ASSERT_TRUE(until([this] { return b_.fabric->close(*back_); }));
    ASSERT_TRUE(until([this] { return a_.fabric->release(a_.sink.peer, false); }));
  }
  EXPECT_EQ(a_.sink.down, 0);
  EXPECT_EQ(b_.sink.down, 0);
}

TEST_F(UcxFaults, SettingsOfTheUserStay) {
  ASSERT_EQ(setenv("UCX_TERN_UNIT_TEST", "1", 1), 0);
  EXPECT_TRUE(user_has_set("TERN_UNIT_TEST"));
  EXPECT_FALSE(user_has_set("TERN_UNIT"));
  unsetenv("UCX_TERN_UNIT_TEST");
  EXPECT_FALSE(user_has_set("TERN_UNIT_TEST"));
}

}  // namespace
}  // namespace tern::ucx
