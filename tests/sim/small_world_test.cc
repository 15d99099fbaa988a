// Two processes, and every order of what can happen between them: which datagram or message arrives
// next, which one is lost or doubled, when a timer fires, when an endpoint breaks, when a
// connection is closed for the budget. Up to a depth; then the rest happens in order and without
// faults, and in the end both have what was sent to them.
#include "tests/sim/node.h"

namespace tern::sim {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
constexpr std::size_t kLess = 2;  // Fewer choices, where code is slow.
#else
constexpr std::size_t kLess = 0;
#endif

// The choices of one run, and from those the ones of the next: counting with digits of changing
// base.
class Choices {
 public:
  Choices(std::size_t window_begin, std::size_t window) : begin_(window_begin), window_(window) {}
  // One of `options`. Outside of the window always 0, the ordinary one.
  std::size_t of(std::size_t options) {
    if (options <= 1) return 0;
    if (before_ < begin_) {
      ++before_;
      return 0;
    }
    if (position_ == window_) return 0;
    if (position_ == digits_.size()) digits_.push_back({0, options});
    EXPECT_EQ(digits_[position_].base, options) << "not the same run again";
    return digits_[position_++].value;
  }
  bool exhausted() const { return position_ == window_; }
  // Prepares the next run; false when there is none.
  bool next() {
    position_ = 0;
    before_ = 0;
    while (!digits_.empty() && digits_.back().value + 1 == digits_.back().base) digits_.pop_back();
    if (digits_.empty()) return false;
    ++digits_.back().value;
    return true;
  }
  std::string text() const {
    std::string text;
    for (const Digit& digit : digits_) text += std::to_string(digit.value) + " ";
    return text;
  }

 private:
  struct Digit {
    std::size_t value;
    std::size_t base;
  };
  std::size_t begin_;
  std::size_t window_;
  std::size_t before_ = 0;
  std::size_t position_ = 0;
  std::vector<Digit> digits_;
};

// What may go wrong, how often.
struct Allowance {
  int losses = 0;
  int doublings = 0;
  int breaks = 0;
  int closes = 0;
  int restarts = 0;
};

class SmallWorld final : public Network {
 public:
  SmallWorld(Choices& choices, const Allowance& allowance)
      : choices_(choices), allowance_(allowance) {
    for (NodeId node = 0; node < 2; ++node) start(node, 1);
  }
  ~SmallWorld() override {
    for (auto& node : nodes_) node.reset();
  }

  // Runs all until nothing is left to do but timers that nobody waits for. False: it never ends.
  bool run(std::uint64_t messages_a, std::uint64_t messages_b) {
    wanted_[0] = messages_a;
    wanted_[1] = messages_b;
    nodes_[0]->want(1, messages_a);
    if (messages_b > 0) nodes_[1]->want(0, messages_b);
    for (int step = 0; step < 400; ++step) {
      if (!act()) return true;
      check();
      if (::testing::Test::HasFailure()) return true;
    }
    return false;
  }
  void check_end() {
    for (NodeId node = 0; node < 2; ++node) {
      if (wanted_[node] == 0) continue;
      const Link* const to = nodes_[1 - node]->find(node);
      ASSERT_NE(to, nullptr);
      EXPECT_EQ(to->delivered, wanted_[node]) << "of node " << node;
    }
    for (auto& node : nodes_) node->leave();
  }
  std::string story;

  Micros now() const override { return now_; }

 private:
  struct Datagram {
    NodeId to;
    std::vector<std::byte> bytes;
  };
  struct InFlight {
    EndpointId from;
    Data data;
  };
  struct Soon {
    bool is_quiet;
    NodeId node;
  };

  void start(NodeId node, std::uint64_t life) {
    connect::Options options;
    options.connections_max = 1;
    lives_[node] = life;
    nodes_[node] = std::make_unique<Node>(*this, node, life, options, 2);
  }

  // Everything that can happen now, in the order in which it ordinarily would.
  struct Happening {
    enum Kind : std::uint8_t {
      kSoon,
      kDeliver,
      kArrive,
      kTimer,
      kLose,
      kDouble,
      kBreak,
      kClose,
      kRestart
    } kind;
    std::size_t index;
  };
  std::vector<Happening> happenings() {
    using H = Happening;
    std::vector<H> all;
    for (std::size_t i = 0; i < soon_.size(); ++i) all.push_back({H::kSoon, i});
    // Messages of one endpoint arrive in order: the first of each may be next.
    for (std::size_t i = 0; i < in_flight_.size(); ++i) {
      bool is_first = true;
      for (std::size_t j = 0; j < i; ++j) is_first &= in_flight_[j].from != in_flight_[i].from;
      if (is_first) all.push_back({H::kArrive, i});
    }
    for (std::size_t i = 0; i < datagrams_.size(); ++i) all.push_back({H::kDeliver, i});
    // Late timers come after all else; during the choices they may come early.
    const bool is_free = !choices_.exhausted();
    if ((all.empty() || is_free) && next_time() != connect::kNever &&
        (timers_ < 3 || all.empty())) {
      all.push_back({H::kTimer, 0});
    }
    if (!is_free) return all;
    for (std::size_t i = 0; i < datagrams_.size(); ++i) {
      if (allowance_.losses > 0) all.push_back({H::kLose, i});
      if (allowance_.doublings > 0) all.push_back({H::kDouble, i});
    }
    for (NodeId node = 0; node < 2; ++node) {
      const Link* const link = nodes_[node]->find(1 - node);
      if (link == nullptr || link->endpoint == 0) continue;
      if (allowance_.breaks > 0) all.push_back({H::kBreak, node});
      if (allowance_.closes > 0 && link->is_up()) all.push_back({H::kClose, node});
    }
    if (allowance_.restarts > 0) all.push_back({H::kRestart, 1});
    return all;
  }

  bool act() {
    const std::vector<Happening> all = happenings();
    if (all.empty()) return false;
    const Happening what = all[choices_.of(all.size())];
    const std::size_t i = what.index;
    constexpr const char* kNames[] = {"soon",   "deliver", "arrive", "timer",  "lose",
                                      "double", "break",   "close",  "restart"};
    story += std::string(kNames[what.kind]) + " " + std::to_string(i) + ", ";
    ++now_;
    switch (what.kind) {
      case Happening::kSoon: {
        const Soon soon = soon_[i];
        soon_.erase(soon_.begin() + static_cast<long>(i));
        if (soon.is_quiet)
          nodes_[soon.node]->say_quiet(1 - soon.node);
        else
          nodes_[soon.node]->release(1 - soon.node);
        break;
      }
      case Happening::kDouble:
        --allowance_.doublings;
        datagrams_.push_back(datagrams_[i]);
        break;
      case Happening::kLose:
        --allowance_.losses;
        datagrams_.erase(datagrams_.begin() + static_cast<long>(i));
        break;
      case Happening::kDeliver: {
        const Datagram datagram = datagrams_[i];
        datagrams_.erase(datagrams_.begin() + static_cast<long>(i));
        nodes_[datagram.to]->receive(1 - datagram.to, datagram.bytes);
        break;
      }
      case Happening::kArrive:
        arrive(i);
        break;
      case Happening::kTimer:
        ++timers_;
        now_ = std::max(now_, next_time());
        for (auto& node : nodes_) node->connector().advance(now_);
        break;
      case Happening::kBreak: {
        --allowance_.breaks;
        const EndpointId end = nodes_[i]->find(static_cast<NodeId>(1 - i))->endpoint;
        lose_from(end);
        nodes_[i]->broke(end);
        break;
      }
      case Happening::kClose:
        --allowance_.closes;
        nodes_[i]->connector().close(*nodes_[i]->find(static_cast<NodeId>(1 - i)), now_);
        break;
      case Happening::kRestart:
        restart();
        break;
    }
    return true;
  }

  // Node 1 dies, and its next life has the same to say to node 0.
  void restart() {
    --allowance_.restarts;
    nodes_[1].reset();
    std::erase_if(soon_, [](const Soon& soon) { return soon.node == 1; });
    start(1, lives_[1] + 1);
    if (wanted_[1] > 0) nodes_[1]->want(0, wanted_[1]);
    wanted_[0] = 0;  // What node 0 had to say may have been for the old life.
  }

  void arrive(std::size_t i) {
    const InFlight message = in_flight_[i];
    in_flight_.erase(in_flight_.begin() + static_cast<long>(i));
    const Endpoint& sender = endpoint(message.from);
    if (!sender.alive || sender.broken) return;
    const NodeId source = sender.node;
    const EndpointId target_end = sender.remote;
    if (nodes_[sender.peer]->arrive(target_end, message.from, message.data)) {
      nodes_[source]->completed(message.from, message.data);
    } else {
      lose_from(message.from);
      nodes_[source]->broke(message.from);
    }
  }
  void lose_from(EndpointId end) {
    std::erase_if(in_flight_, [end](const InFlight& message) { return message.from == end; });
  }
  Micros next_time() {
    return std::min(nodes_[0]->connector().next_time(), nodes_[1]->connector().next_time());
  }

  void check() {
    Link* const a = nodes_[0]->find(1);
    Link* const b = nodes_[1]->find(0);
    if (a == nullptr || b == nullptr || !a->is_up() || !b->is_up()) return;
    const bool mine = endpoint(a->endpoint).remote == b->endpoint;
    const bool yours = endpoint(b->endpoint).remote == a->endpoint;
    EXPECT_EQ(mine, yours) << "they disagree";
  }

  // --- Network ---
  void datagram(NodeId, NodeId to, std::span<const std::byte> bytes) override {
    datagrams_.push_back({to, {bytes.begin(), bytes.end()}});
  }
  void post(EndpointId from, const Data& data) override { in_flight_.push_back({from, data}); }
  void destroyed(EndpointId end) override { lose_from(end); }
  void quiet_soon(NodeId node, NodeId) override { soon_.push_back({true, node}); }
  void release_soon(NodeId node, NodeId) override { soon_.push_back({false, node}); }
  bool endpoint_available(NodeId) override { return true; }
  std::uint32_t held_at(NodeId node, NodeId peer) override {
    Link* const link = nodes_[node] == nullptr ? nullptr : nodes_[node]->find(peer);
    return link == nullptr ? 0 : link->held;
  }

  Choices& choices_;
  Allowance allowance_;
  std::unique_ptr<Node> nodes_[2];
  std::uint64_t lives_[2] = {1, 1};
  std::uint64_t wanted_[2] = {0, 0};
  std::deque<Datagram> datagrams_;
  std::deque<InFlight> in_flight_;
  std::deque<Soon> soon_;
  Micros now_ = 1000;
  int timers_ = 0;
};

// Returns the number of orders that were tried.
std::uint64_t try_window(const Allowance& allowance, std::uint64_t messages_a,
                         std::uint64_t messages_b, std::size_t begin, std::size_t window) {
  Choices choices(begin, window);
  std::uint64_t runs = 0;
  do {
    SmallWorld world(choices, allowance);
    const bool ended = world.run(messages_a, messages_b);
    ++runs;
    EXPECT_TRUE(ended) << "it never ends";
    if (ended && !::testing::Test::HasFailure()) world.check_end();
    if (::testing::Test::HasFailure()) {
      ADD_FAILURE() << "window at " << begin << ", run " << runs << ", choices " << choices.text()
                    << ":\n"
                    << world.story;
      return runs;
    }
  } while (choices.next());
  return runs;
}

void try_all(const Allowance& allowance, std::uint64_t messages_a, std::uint64_t messages_b,
             std::size_t window) {
  std::uint64_t runs = try_window(allowance, messages_a, messages_b, 0, window - kLess);
  for (std::size_t begin = 2; begin < 24 && !::testing::Test::HasFailure(); begin += 2) {
    runs += try_window(allowance, messages_a, messages_b, begin, window - kLess - 1);
  }
  std::cout << runs << " orders\n";
}

TEST(SmallWorld, EveryOrderOfOneDial) { try_all({}, 3, 0, 8); }

TEST(SmallWorld, EveryOrderOfTwoDialsAtOnce) { try_all({}, 2, 1, 7); }

TEST(SmallWorld, OneLossAndOneDoubling) {
  try_all({.losses = 1, .doublings = 1}, 1, 0, 5);
  try_all({.losses = 1, .doublings = 1}, 1, 1, 5);
}

TEST(SmallWorld, TwoLosses) { try_all({.losses = 2}, 1, 1, 5); }

TEST(SmallWorld, EndpointsBreak) {
  try_all({.breaks = 1}, 3, 0, 6);
  try_all({.breaks = 2}, 2, 2, 5);
}

// An endpoint breaks, and the word that it has is lost: the other side has nothing on its way that
// could fail, and waits for room or for an acknowledgement that nobody is going to send.
TEST(SmallWorld, NobodyHearsThatAnEndpointBroke) {
  try_all({.losses = 1, .breaks = 1}, 3, 0, 6);
  try_all({.losses = 1, .breaks = 1}, 2, 2, 5);
}

TEST(SmallWorld, ClosedWhileInUse) {
  try_all({.closes = 1}, 2, 1, 6);
  try_all({.losses = 1, .closes = 2}, 2, 2, 5);
}

TEST(SmallWorld, Everything) {
  try_all({.losses = 1, .doublings = 1, .breaks = 1, .closes = 1}, 1, 1, 5);
}

TEST(SmallWorld, TheOtherDiesAndReturns) { try_all({.losses = 1, .restarts = 1}, 1, 1, 5); }

}  // namespace
}  // namespace tern::sim
