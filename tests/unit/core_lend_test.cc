// What the engine lends to a fabric, and when it is the user's again.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/engine.h"

namespace tern {
namespace {

// Knows the peer, at once.
class OneCard final : public CardSource {
 public:
  void request_card(const ProcessId& id) override { wanted_.push_back(id); }
  int poll() override {
    if (wanted_.empty()) return 0;
    const ProcessId id = wanted_.back();
    wanted_.pop_back();
    engine->on_card(id, Card::of_this_process(id, HostIdentity::read()).encode(), {});
    return 1;
  }
  int pending_fd() const override { return -1; }
  Engine* engine = nullptr;

 private:
  std::vector<ProcessId> wanted_;
};

// Takes what is sent without copying it, and gives it back when it is told to.
class Borrower final : public Fabric {
 public:
  std::string_view name() const override { return "borrower"; }
  FabricLimits limits() const override { return {64, 256, 100, 1000, 10}; }
  std::string address() const override { return "b"; }
  void set_own_card(std::string_view) override {}
  std::string why_unreachable(const Card&) const override { return {}; }
  Link* connect(Peer&, const Card&, std::string&) override { return &link_; }
  Post send(Link&, std::span<const std::byte>, std::span<const std::byte>) override {
    return Post::kDone;
  }
  Post lend(Link&, std::span<const std::byte>, std::span<const std::byte>,
            std::uint32_t op) override {
    if (lent.size() == room) return Post::kNoCredit;
    lent.push_back(op);
    return Post::kPending;
  }
  Post get(Link&, const DataView&, RemoteSpan, std::size_t, std::uint32_t) override {
    return Post::kNoCredit;
  }
  int poll(FabricSink& sink) override {
    if (!gives_back || lent.empty()) return 0;
    sink.on_complete(lent.front(), false);
    lent.pop_front();
    return 1;
  }
  bool drained() const override { return lent.empty(); }

  std::deque<std::uint32_t> lent;
  std::size_t room = 100;
  bool gives_back = false;

 private:
  struct BorrowerLink final : Link {
    bool can_get() const override { return false; }
  } link_;
};

// The user may free the memory of a send that has ended, so a loss does not end it before the
// fabric has let go of it.
TEST(EngineLending, ASendToALostPeerKeepsItsMemoryUntilTheFabricReturnsIt) {
  for (const std::size_t room : {std::size_t{100}, std::size_t{3}}) {  // All lent, or some waiting.
    OneCard cards;
    Engine engine({7, 0}, cards, EngineOptions{});
    cards.engine = &engine;
    auto owned = std::make_unique<Borrower>();
    Borrower& fabric = *owned;
    fabric.room = room;
    engine.add_fabric(std::move(owned));
    engine.make_card(HostIdentity::read());
    Peer& peer = engine.peer({7, 1});
    std::vector<std::byte> data(700);
    Request send;
    engine.send(peer, {2, 0, 1}, DataView::bytes_at(data.data(), data.size()), SendMode::kStandard,
                send);
    for (int i = 0; i < 20; ++i) engine.progress();
    ASSERT_EQ(fabric.lent.size(), std::min<std::size_t>(room, 7));
    ASSERT_FALSE(send.done);
    engine.lose(peer, "it is lost");
    for (int i = 0; i < 20; ++i) engine.progress();
    EXPECT_FALSE(send.done);
    EXPECT_FALSE(engine.forget(peer));
    fabric.gives_back = true;
    for (int i = 0; i < 20; ++i) engine.progress();
    EXPECT_TRUE(send.done);
    EXPECT_EQ(send.outcome, Outcome::kPeerLost);
    EXPECT_TRUE(engine.drained());
  }
}

}  // namespace
}  // namespace tern
