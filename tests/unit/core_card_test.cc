// Business cards: what is written is read back; whatever else comes is refused with a reason; a
// process that opens another fabric has another card.
#include <gtest/gtest.h>

#include "core/card.h"
#include "core/engine.h"
#include "tests/unit/seed.h"

namespace tern {
namespace {

Card sample() {
  Card card = Card::of_this_process({0x123456789abcdef0, 42}, HostIdentity::read());
  card.addresses.emplace("shm", "1f.3.dead.beef");
  card.addresses.emplace("verbs", "fe80::1,17");
  return card;
}

TEST(Card, ReadsBackWhatWasWritten) {
  const Card card = sample();
  std::string why;
  const auto read = Card::decode(card.encode(), why);
  ASSERT_TRUE(read) << why;
  EXPECT_EQ(read->id, card.id);
  EXPECT_EQ(read->host.boot_id, card.host.boot_id);
  EXPECT_EQ(read->host.pid_space, card.host.pid_space);
  EXPECT_EQ(read->host.host_name, card.host.host_name);
  EXPECT_EQ(read->os, "Linux");
  EXPECT_EQ(read->addresses, card.addresses);
}

TEST(Card, AnotherWireVersionIsRefusedByName) {
  Card card = sample();
  card.wire_version = kWireVersion + 1;
  std::string why;
  EXPECT_FALSE(Card::decode(card.encode(), why));
  EXPECT_NE(why.find("wire version " + std::to_string(kWireVersion + 1)), std::string::npos) << why;
}

TEST(Card, FieldsOfLaterVersionsAreSkipped) {
  std::string why;
  EXPECT_TRUE(Card::decode(sample().encode() + ";rail=2", why)) << why;
}

TEST(Card, GarbageIsRefusedAndNeverRead) {
  test::Random random(6);
  const std::string good = sample().encode();
  for (int round = 0; round < 20000; ++round) {
    std::string text = good;
    const int edits = random.between(1, 4);
    for (int i = 0; i < edits; ++i) {
      const std::size_t at = random.below(text.size());
      if (random.one_in(2)) {
        text[at] = static_cast<char>(random.below(256));
      } else {
        text.erase(at, random.below(8));
        if (text.empty()) text = ";";
      }
    }
    std::string why;
    // Either it is still a card, or there is a reason.
    const bool accepted = Card::decode(text, why).has_value();
    EXPECT_TRUE(accepted || !why.empty());
  }
  std::string why;
  EXPECT_FALSE(Card::decode("", why));
  EXPECT_FALSE(why.empty());
}

// Gives the same card to everybody who asks.
class Desk final : public CardSource {
 public:
  void request_card(const ProcessId& id) override { engine->on_card(id, card, "there is none"); }
  int poll() override { return 0; }
  int pending_fd() const override { return -1; }
  Engine* engine = nullptr;
  std::string card;
};

class Shown final : public Fabric {
 public:
  Shown(std::string_view name, std::vector<std::string>& cards) : name_(name), cards_(cards) {}
  std::string_view name() const override { return name_; }
  FabricLimits limits() const override { return {64, 256, 100, 1000}; }
  std::string address() const override { return "at-" + std::string(name_); }
  void set_own_card(std::string_view card) override { cards_.emplace_back(card); }
  std::string why_unreachable(const Card& card) const override {
    return card.addresses.contains(name_) ? "" : "it is elsewhere";
  }
  Link* connect(Peer&, const Card&, std::string&) override { return &link_; }
  Post send(Link&, std::span<const std::byte>, std::span<const std::byte>) override {
    return Post::kDone;
  }
  Post get(Link&, const DataView&, RemoteSpan, std::size_t, std::uint32_t) override {
    return Post::kDone;
  }
  int poll(FabricSink&) override { return 0; }
  bool drained() const override { return true; }

 private:
  struct AnyLink final : Link {
    bool can_get() const override { return false; }
  } link_;
  std::string_view name_;
  std::vector<std::string>& cards_;
};

// A fabric that is opened later: its address goes into the card, those that are preferred to it are
// shown with it and those behind are not, and the ones before hear nothing of it.
TEST(Card, GrowsWithFabricsThatAreOpenedLater) {
  std::vector<std::string> shown;
  Desk cards;
  Engine engine({7, 0}, cards, {});
  cards.engine = &engine;
  engine.add_fabric(std::make_unique<Shown>("near", shown));
  EXPECT_FALSE(engine.make_card(HostIdentity::read()).addresses.contains("far"));
  engine.set_absent_fabrics("far: no device");
  Card other = Card::of_this_process({7, 1}, HostIdentity::read());
  other.addresses = {{"far", "at-far"}};
  cards.card = other.encode();
  const auto send_to = [&](std::uint64_t rank) -> Peer& {
    Peer& peer = engine.peer({7, rank});
    Request request;
    engine.send(peer, {0, 0, 0}, DataView::bytes_at(nullptr, 0), SendMode::kStandard, request);
    for (int i = 0; i < 10 && !request.done; ++i) engine.progress();
    return peer;
  };
  // Not reached, with all that is to be known about it.
  EXPECT_EQ(send_to(1).state, Peer::State::kFailed);
  EXPECT_NE(engine.peer({7, 1}).why.find("near: it is elsewhere; far: no device"),
            std::string::npos)
      << engine.peer({7, 1}).why;

  engine.add_fabric(std::make_unique<Shown>("far", shown));
  engine.add_fabric(std::make_unique<Shown>("farther", shown));
  EXPECT_EQ(engine.show_card().addresses.size(), 3U);
  ASSERT_EQ(shown.size(), 3U);
  std::string why;
  const auto addresses = [&](std::size_t which) {
    return Card::decode(shown[which], why)->addresses;
  };
  EXPECT_EQ(addresses(0).size(), 1U);
  EXPECT_EQ(addresses(1).size(), 2U);
  EXPECT_EQ(addresses(1)["far"], "at-far");
  EXPECT_EQ(addresses(2).size(), 3U);
  EXPECT_EQ(send_to(2).state, Peer::State::kReady);
}

}  // namespace
}  // namespace tern
