// Two or more engines in one process, joined by a fabric of queues that is short of credit, slow
// and optionally unable to get(): every protocol and every pending queue is exercised, and the
// result is compared with what was sent.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "core/engine.h"
#include "core/meet.h"
#include "tests/unit/seed.h"

namespace tern {
namespace {

using test::Random;

struct Network;
enum class Way { kGet, kPut, kStream };  // Of large messages.

// Delivers through queues of bounded length.
class QueueFabric final : public Fabric {
 public:
  QueueFabric(Network& network, ProcessId self) : network_(network), self_(self) {}
  std::string_view name() const override { return "queue"; }
  FabricLimits limits() const override { return {64, 256, 100, 1000}; }
  std::string address() const override { return "q"; }
  void set_own_card(std::string_view card) override { own_card_ = card; }
  std::string why_unreachable(const Card& card) const override {
    return card.id == self_ ? "myself" : "";
  }
  Link* connect(Peer& peer, const Card& card, std::string&) override;
  Post send(Link& link, std::span<const std::byte> head, std::span<const std::byte> body) override;
  Post get(Link& link, const DataView& to, RemoteSpan from, std::size_t size,
           std::uint32_t op) override;
  Post put(Link& link, std::span<const std::byte> head, const DataView& from, RemoteSpan to,
           std::size_t size, std::uint32_t op) override;
  int poll(FabricSink& sink) override;
  bool drained() const override { return true; }

  struct Message {
    ProcessId from;
    std::vector<std::byte> head, body;
  };
  struct QueueLink final : Link {
    bool can_get() const override { return way == Way::kGet; }
    bool offers_get() const override { return way == Way::kGet; }
    bool can_put() const override { return way == Way::kPut; }
    ProcessId to;
    Way way = Way::kGet;
  };

  std::deque<Message> inbox;
  std::string own_card_;
  std::size_t credit = 4;

 private:
  Network& network_;
  ProcessId self_;
  std::vector<std::unique_ptr<QueueLink>> links_;
  std::map<std::uint64_t, Peer*> known_;
  std::vector<std::uint32_t> finished_;
};

struct Network {
  std::map<std::uint64_t, QueueFabric*> fabrics;
  Way way = Way::kGet;
};

Link* QueueFabric::connect(Peer&, const Card& card, std::string&) {
  links_.push_back(std::make_unique<QueueLink>());
  links_.back()->to = card.id;
  links_.back()->way = network_.way;
  return links_.back().get();
}

Post QueueFabric::send(Link& link, std::span<const std::byte> head,
                       std::span<const std::byte> body) {
  QueueFabric& target = *network_.fabrics.at(static_cast<QueueLink&>(link).to.rank);
  if (target.inbox.size() >= credit) return Post::kNoCredit;
  target.inbox.push_back({self_, {head.begin(), head.end()}, {body.begin(), body.end()}});
  return Post::kDone;
}

Post QueueFabric::get(Link&, const DataView& to, RemoteSpan from, std::size_t size,
                      std::uint32_t op) {
  if (to.run() == nullptr) return Post::kNoCredit;
  std::memcpy(to.run(), reinterpret_cast<const void*>(from.address), size);
  if (size % 2 == 0) return Post::kDone;
  finished_.push_back(op);
  return Post::kPending;
}

Post QueueFabric::put(Link& link, std::span<const std::byte> head, const DataView& from,
                      RemoteSpan to, std::size_t size, std::uint32_t op) {
  if (send(link, head, {}) != Post::kDone) return Post::kNoCredit;
  pack(from, 0, {reinterpret_cast<std::byte*>(to.address), size});
  finished_.push_back(op);
  return Post::kPending;
}

int QueueFabric::poll(FabricSink& sink) {
  int count = 0;
  for (const std::uint32_t op : std::exchange(finished_, {})) {
    sink.on_complete(op, true);
    ++count;
  }
  if (!inbox.empty()) {
    const Message message = std::move(inbox.front());
    inbox.pop_front();
    Peer*& peer = known_[message.from.rank];
    if (peer == nullptr) peer = sink.on_contact(network_.fabrics.at(message.from.rank)->own_card_);
    sink.on_message(*peer, message.head, message.body);
    ++count;
  }
  return count;
}

// Answers card requests some polls later.
class Cards final : public CardSource {
 public:
  void request_card(const ProcessId& id) override { wanted_.push_back(id); }
  int poll() override {
    if (wanted_.empty() || ++turn_ % 3 != 0) return 0;
    const ProcessId id = wanted_.front();
    wanted_.pop_front();
    const auto found = cards->find(id.rank);
    engine->on_card(id, found == cards->end() ? "" : found->second, "it does not exist");
    return 1;
  }
  int pending_fd() const override { return -1; }
  Engine* engine = nullptr;
  std::map<std::uint64_t, std::string>* cards = nullptr;

 private:
  std::deque<ProcessId> wanted_;
  int turn_ = 0;
};

class World {
 public:
  explicit World(int size, Way way = Way::kGet) {
    network_.way = way;
    for (int rank = 0; rank < size; ++rank) {
      const ProcessId id{7, static_cast<std::uint64_t>(rank)};
      sources_.push_back(std::make_unique<Cards>());
      engines_.push_back(std::make_unique<Engine>(id, *sources_.back(), EngineOptions{}));
      sources_.back()->engine = engines_.back().get();
      sources_.back()->cards = &cards_;
      auto fabric = std::make_unique<QueueFabric>(network_, id);
      network_.fabrics[id.rank] = fabric.get();
      engines_.back()->add_fabric(std::move(fabric));
      cards_[id.rank] = engines_.back()->make_card(HostIdentity::read()).encode();
    }
  }
  Engine& operator[](int rank) { return *engines_[static_cast<std::size_t>(rank)]; }
  Peer& peer(int at, int rank) { return (*this)[at].peer({7, static_cast<std::uint64_t>(rank)}); }
  int turn() {
    int events = 0;
    for (const auto& engine : engines_) events += engine->progress();
    return events;
  }
  // Until `done`, at most so many turns.
  template <class Done>
  bool run(Done done) {
    for (int i = 0; i < 2000000; ++i) {
      if (done()) return true;
      turn();
    }
    return false;
  }

 private:
  Network network_;
  std::map<std::uint64_t, std::string> cards_;
  std::vector<std::unique_ptr<Cards>> sources_;
  std::vector<std::unique_ptr<Engine>> engines_;
};

struct Transfer {
  Request send, receive;
  std::vector<std::byte> out, in;
  std::size_t length = 0;
};

// Both ends of each pair have counted all of these messages, by the protocol of their size.
void expect_counted(World& world, int size, const std::vector<std::unique_ptr<Transfer>>& all) {
  using counters::Protocol;
  for (int from = 0; from < size; ++from) {
    for (int to = 0; to < size; ++to) {
      const Peer& receiver = world.peer(from, to);
      counters::Volume small, large;
      for (const auto& transfer : all) {
        if (transfer->send.peer != &receiver) continue;
        counters::Volume& volume = transfer->length > receiver.eager_max_bytes ? large : small;
        volume = volume + counters::Volume{1, transfer->length};
      }
      const auto expect = [](const counters::Volume& counted, const counters::Volume& expected) {
        EXPECT_EQ(counted.messages, expected.messages);
        EXPECT_EQ(counted.bytes, expected.bytes);
      };
      const counters::Volumes sent = Engine::traffic_with(receiver);
      const counters::Volumes got = Engine::traffic_with(world.peer(to, from));
      expect(sent[static_cast<int>(Protocol::kEager)], small);
      expect(sent[static_cast<int>(Protocol::kRendezvous)], large);
      expect(got[static_cast<int>(Protocol::kFetched)] + got[static_cast<int>(Protocol::kStreamed)],
             large);
    }
  }
}

class EngineTraffic : public ::testing::TestWithParam<Way> {};

// Random sizes over all protocols, random moments of posting, padded and plain layouts, messages to
// oneself; every message must arrive whole in the receive that its order determines.
TEST_P(EngineTraffic, EverythingArrivesWholeAndInOrder) {
  Random random(7);
  const int size = 3;
  World world(size, GetParam());
  const Layout plain = Layout::dense(1);
  const Layout padded({{0, 3}, {4, 2}}, 0, 8);
  std::vector<std::unique_ptr<Transfer>> transfers;
  struct Pair {
    std::deque<Transfer*> unreceived;  // Sent, receive not yet posted.
  };
  std::map<std::pair<int, int>, Pair> pairs;
  std::size_t posted = 0;
  const int count = 3000;
  const auto post_receive = [&](int from, int to) {
    Pair& pair = pairs[{from, to}];
    if (pair.unreceived.empty()) return;
    Transfer& transfer = *pair.unreceived.front();
    pair.unreceived.pop_front();
    const bool gaps = transfer.length % 5 == 0 && random.one_in(2);
    const Layout& layout = gaps ? padded : plain;
    const std::size_t elements = gaps ? transfer.length / 5 : transfer.length;
    transfer.in.assign(gaps ? elements * 8 : elements, std::byte{0});
    const Envelope pattern{2, from, random.one_in(3) ? kAnyTag : 9};
    world[to].receive(pattern, DataView::of(transfer.in.data(), layout, elements),
                      transfer.receive);
    ++posted;
  };
  for (int i = 0; i < count; ++i) {
    const int from = random.between(0, size - 1);
    const int to = random.between(0, size - 1);
    transfers.push_back(std::make_unique<Transfer>());
    Transfer& transfer = *transfers.back();
    constexpr std::size_t kBounds[] = {1, 50, 300, 1100, 5000};
    transfer.length = random.below(kBounds[random.below(5)]);
    const bool gaps = random.one_in(3);
    const std::size_t elements = gaps ? transfer.length / 5 : transfer.length;
    if (gaps) transfer.length = elements * 5;
    transfer.out.resize(gaps ? elements * 8 : elements);
    for (std::byte& byte : transfer.out) byte = static_cast<std::byte>(random.below(256));
    world[from].send(world.peer(from, to), {2, from, 9},
                     DataView::of(transfer.out.data(), gaps ? padded : plain, elements),
                     random.one_in(4) ? SendMode::kSynchronous : SendMode::kStandard,
                     transfer.send);
    transfer.send.remote_key =
        gaps ? 1 : 0;  // Unused by sends: remembers the layout for the check.
    pairs[{from, to}].unreceived.push_back(&transfer);
    while (random.one_in(2)) post_receive(random.between(0, size - 1), random.between(0, size - 1));
    while (random.one_in(2)) world.turn();
  }
  for (auto& [key, pair] : pairs) {
    while (!pair.unreceived.empty()) post_receive(key.first, key.second);
  }
  ASSERT_EQ(posted, transfers.size());
  ASSERT_TRUE(world.run([&] {
    return std::all_of(transfers.begin(), transfers.end(),
                       [](const auto& t) { return t->send.done && t->receive.done; });
  }));
  for (const auto& transfer : transfers) {
    ASSERT_EQ(transfer->receive.outcome, Outcome::kOk);
    ASSERT_EQ(transfer->receive.bytes, transfer->length);
    std::vector<std::byte> sent(transfer->length);
    std::vector<std::byte> got(transfer->length);
    pack(transfer->send.data, 0, sent);
    pack(transfer->receive.data, 0, got);
    ASSERT_EQ(sent, got);
  }
  expect_counted(world, size, transfers);
  for (int rank = 0; rank < size; ++rank) {
    EXPECT_EQ(world[rank].dropped_messages(), 0U);
    EXPECT_EQ(world[rank].unexpected_count(), 0U);
    EXPECT_EQ(world[rank].posted_count(), 0U);
  }
}

INSTANTIATE_TEST_SUITE_P(AllWays, EngineTraffic,
                         ::testing::Values(Way::kGet, Way::kPut, Way::kStream));

// Each rank's part of a plan for all pairs; `absent` takes no part. The time is the number of
// turns.
class Meetings {
 public:
  Meetings(World& world, preconnect::Rank size, preconnect::Rank absent = ~0U)
      : world_(world), size_(size), absent_(absent), all_(size) {}
  bool run() {
    for (preconnect::Rank rank = 0; rank < size_; ++rank) {
      if (rank != absent_) start(rank);
    }
    return wait();
  }
  void start(preconnect::Rank rank) {
    preconnect::Plan plan;
    plan.kind = preconnect::Plan::Kind::kAll;
    const int at = static_cast<int>(rank);
    all_[rank] = std::make_unique<Meeting>(
        world_[at], preconnect::partners(plan, rank, size_, {}, {}), rank,
        [this, at](preconnect::Rank other) -> Peer& {
          return world_.peer(at, static_cast<int>(other));
        },
        5000);
  }
  bool wait() {
    return world_.run([&] {
      ++now_;
      bool over = true;
      for (const auto& meeting : all_) {
        if (meeting != nullptr && !meeting->advance(now_)) over = false;
      }
      return over;
    });
  }
  const Meeting& of(preconnect::Rank rank) const { return *all_[rank]; }

 private:
  World& world_;
  preconnect::Rank size_;
  preconnect::Rank absent_;
  std::vector<std::unique_ptr<Meeting>> all_;
  std::uint64_t now_ = 1;
};

TEST(Meeting, AllMeetAndNothingOfItIsCountedAsMessages) {
  constexpr int kSize = 23;  // More than are under way at a time.
  World world(kSize);
  for (int round = 0; round < 3; ++round) {
    Meetings meetings(world, kSize);
    ASSERT_TRUE(meetings.run());
    for (int rank = 0; rank < kSize; ++rank) {
      EXPECT_EQ(meetings.of(static_cast<preconnect::Rank>(rank)).met(), kSize - 1U);
      EXPECT_EQ(meetings.of(static_cast<preconnect::Rank>(rank)).missing(), 0U);
      EXPECT_EQ(world[rank].peers_connected(), kSize - 1U);
      EXPECT_TRUE(world[rank].drained());
      EXPECT_EQ(world[rank].unexpected_count(), 0U);
      for (int other = 0; other < kSize; ++other) {
        for (const counters::Volume& volume : Engine::traffic_with(world.peer(rank, other))) {
          EXPECT_EQ(volume.messages, 0U);
        }
      }
    }
  }
}

// Who waits for somebody who takes no part gives up; the latecomer meets them all, as their engines
// answer.
TEST(Meeting, NobodyWaitsForEver) {
  constexpr preconnect::Rank kSize = 20;
  World world(kSize);
  Meetings meetings(world, kSize, 0);
  ASSERT_TRUE(meetings.run());
  for (preconnect::Rank rank = 1; rank < kSize; ++rank) {
    EXPECT_EQ(meetings.of(rank).met(), kSize - 2);
    EXPECT_EQ(meetings.of(rank).missing(), 1U);
    EXPECT_EQ(meetings.of(rank).first_missing(), 0U);
    EXPECT_NE(meetings.of(rank).why().find("heard"), std::string::npos);
  }
  meetings.start(0);
  ASSERT_TRUE(meetings.wait());
  EXPECT_EQ(meetings.of(0).met(), kSize - 1);
}

TEST(Meeting, WhoCannotBeReachedIsMissingWithTheReason) {
  World world(2);
  Meetings meetings(world, 3, 2);  // There is no third process.
  ASSERT_TRUE(meetings.run());
  for (const preconnect::Rank rank : {0U, 1U}) {
    EXPECT_EQ(meetings.of(rank).met(), 1U);
    EXPECT_EQ(meetings.of(rank).first_missing(), 2U);
    EXPECT_NE(meetings.of(rank).why().find("it does not exist"), std::string::npos);
  }
}

TEST(Engine, OpensNothingBeforeTheFirstSend) {
  World world(2);
  Request receive;
  std::vector<std::byte> memory(8);
  world[1].receive({2, kAnySource, kAnyTag}, DataView::bytes_at(memory.data(), 8), receive);
  for (int i = 0; i < 100; ++i) world.turn();
  EXPECT_EQ(world[0].peers_connected(), 0U);
  EXPECT_EQ(world[1].peers_connected(), 0U);
}

TEST(Engine, TooLongMessagesAreTruncatedAndTrafficGoesOn) {
  World world(2);
  for (const std::size_t length : {std::size_t{20}, std::size_t{700}, std::size_t{4000}}) {
    std::vector<std::byte> out(length, std::byte{5});
    std::vector<std::byte> in(10);
    std::vector<std::byte> guard(64, std::byte{9});
    Request send, receive;
    world[0].send(world.peer(0, 1), {2, 0, 1}, DataView::bytes_at(out.data(), length),
                  SendMode::kStandard, send);
    world[1].receive({2, 0, 1}, DataView::bytes_at(in.data(), in.size()), receive);
    ASSERT_TRUE(world.run([&] { return send.done && receive.done; }));
    EXPECT_EQ(send.outcome, Outcome::kOk);
    EXPECT_EQ(receive.outcome, Outcome::kTruncated);
    EXPECT_EQ(receive.bytes, length);
    EXPECT_EQ(in[9], std::byte{5});
  }
}

TEST(Engine, AnUnknownPeerIsAnOutcomeWithAReason) {
  World world(1);
  Request send;
  Peer& nobody = world.peer(0, 99);
  world[0].send(nobody, {2, 0, 1}, DataView::bytes_at(nullptr, 0), SendMode::kStandard, send);
  ASSERT_TRUE(world.run([&] { return send.done; }));
  EXPECT_EQ(send.outcome, Outcome::kPeerLost);
  EXPECT_EQ(nobody.why, "it does not exist");
}

TEST(Engine, CancelledReceivesDoNotTakeMessages) {
  World world(2);
  std::byte in{};
  const std::byte out{3};
  Request first, second, send;
  world[1].receive({2, 0, 1}, DataView::bytes_at(&in, 1), first);
  EXPECT_TRUE(world[1].cancel_receive(first));
  EXPECT_EQ(first.outcome, Outcome::kCancelled);
  world[1].receive({2, 0, 1}, DataView::bytes_at(&in, 1), second);
  world[0].send(world.peer(0, 1), {2, 0, 1}, DataView::bytes_at(&out, 1), SendMode::kStandard,
                send);
  ASSERT_TRUE(world.run([&] { return second.done; }));
  EXPECT_EQ(in, out);
  EXPECT_FALSE(world[1].cancel_receive(second));
}

// Whatever bytes a peer sends, the engine drops what makes no sense and lives on.
TEST(Engine, ForgedMessagesAreDropped) {
  class Forger final : public Fabric {
   public:
    explicit Forger(std::string card) : card_(std::move(card)) {}
    std::string_view name() const override { return "forger"; }
    FabricLimits limits() const override { return {64, 256, 100, 1000}; }
    std::string address() const override { return "f"; }
    void set_own_card(std::string_view) override {}
    std::string why_unreachable(const Card& card) const override {
      return card.id.rank == 1 ? "" : "not the forger";
    }
    Link* connect(Peer&, const Card&, std::string&) override { return &link_; }
    Post send(Link&, std::span<const std::byte>, std::span<const std::byte>) override {
      return Post::kDone;
    }
    Post get(Link&, const DataView&, RemoteSpan, std::size_t, std::uint32_t) override {
      return Post::kDone;
    }
    int poll(FabricSink& sink) override {
      if (peer_ == nullptr) peer_ = sink.on_contact(card_);
      std::vector<std::byte> head(random_.below(60)), body(random_.below(200));
      for (std::byte& byte : head) byte = static_cast<std::byte>(random_.below(256));
      if (!head.empty()) head[0] = static_cast<std::byte>(random_.below(12));
      // Keys and lengths that are sometimes small, so that they sometimes fit.
      if (random_.one_in(2)) {
        for (std::size_t i = 1; i < head.size(); ++i) head[i] &= std::byte{1};
      }
      sink.on_message(*peer_, head, body);
      return 1;
    }
    bool drained() const override { return true; }

   private:
    struct ForgerLink final : Link {
      bool can_get() const override { return false; }
    } link_;
    std::string card_;
    Peer* peer_ = nullptr;
    Random random_{8};
  };
  Cards cards;
  std::map<std::uint64_t, std::string> none;
  Engine engine({7, 0}, cards, {});
  cards.engine = &engine;
  cards.cards = &none;
  const Card forged = Card::of_this_process({7, 1}, HostIdentity::read());
  engine.add_fabric(std::make_unique<Forger>(forged.encode()));
  engine.make_card(HostIdentity::read());
  std::vector<std::byte> memory(64);
  std::deque<Request> receives;
  std::deque<Request> sends;
  for (int i = 0; i < 20000; ++i) {
    if (i % 10 == 0) {
      receives.emplace_back();
      engine.receive({0, kAnySource, kAnyTag}, DataView::bytes_at(memory.data(), 64),
                     receives.back());
    }
    if (i % 100 == 0) {
      sends.emplace_back();
      engine.send(engine.peer({7, 1}), {0, 0, 0}, DataView::bytes_at(memory.data(), 64),
                  SendMode::kSynchronous, sends.back());
    }
    engine.progress();
  }
  EXPECT_GT(engine.dropped_messages(), 1000U);
}

// Many tasks, each with a round trip in every step, beside a program that only progresses: what
// they keep on their stacks stays, and one that never gets an answer is dropped.
TEST(EngineTasks, GoOnWhereTheyWaited) {
  World world(2);
  const int tasks = 50;
  const int rounds = 20;
  int over = 0;
  for (int task = 0; task < 2 * tasks; ++task) {
    const int me = task % 2;  // The two ends of a pair count up in turns.
    ASSERT_TRUE(world[me].start_task([&world, &over, me, pair = task / 2, rounds] {
      Engine& engine = world[me];
      for (int round = 0; round < rounds; ++round) {
        int out = 1000 * pair + round;
        int in = -1;
        const int tag = pair;
        Request send;
        Request receive;
        engine.receive({1, 1 - me, tag}, DataView::bytes_at(&in, sizeof in), receive);
        engine.send(world.peer(me, 1 - me), {1, me, tag}, DataView::bytes_at(&out, sizeof out),
                    SendMode::kStandard, send);
        engine.wait_until([&] { return send.done && receive.done; });
        EXPECT_EQ(in, out);
      }
      ++over;
    }));
  }
  bool done_at_once = false;
  ASSERT_TRUE(world[0].start_task([&] { done_at_once = true; }));
  EXPECT_TRUE(done_at_once);
  ASSERT_TRUE(world[0].start_task([&world] { world[0].wait_until([] { return false; }); }));
  EXPECT_TRUE(world.run([&] { return over == 2 * tasks; }));
}

}  // namespace
}  // namespace tern
