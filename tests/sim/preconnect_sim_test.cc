// Connecting in advance, all processes at once: the real Connector and the real schedule. Counts
// the datagrams of each process, and how many requests any process has to answer at a time.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <new>
#include <vector>

#include "core/connector.h"
#include "core/preconnect.h"
#include "tests/unit/seed.h"

namespace tern::sim {
namespace {

using connect::Connection;
using connect::Connector;
using connect::Down;
using connect::EndpointBlob;
using connect::Message;
using connect::Micros;
using connect::Resume;
using preconnect::Plan;
using preconnect::Rank;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
constexpr Rank kSmaller = 16;
#else
constexpr Rank kSmaller = 1;
#endif

constexpr std::size_t kUnderWay = 16;

// Nothing happens for a connection at rest, so one that both ends have up and that no datagram is
// under way for is dropped: 16 million records would only need memory.
class Job final : public connect::Driver {
 public:
  // Of the rounds (partners of each rank) every so-many-th.
  Job(const Plan& plan, Rank size, double loss, Rank every = 1)
      : size_(size), loss_(loss), random_(4) {
    processes_.resize(size);
    places_.resize(std::size_t{size} * (size - 1) / 2, kNew);
    for (Rank rank = 0; rank < size; ++rank) {
      connect::Options options;
      options.self = {1, rank};
      options.seed = test::seed() + rank;
      Process& process = processes_[rank];
      process.connector = std::make_unique<Connector>(options, *this);
      std::vector<Rank> partners;
      const std::vector<Rank> all = preconnect::partners(plan, rank, size, {}, {});
      for (std::size_t i = 0; i < all.size(); i += every) partners.push_back(all[i]);
      process.walk = std::make_unique<preconnect::Walk>(partners, rank, kUnderWay);
    }
    run();
  }
  ~Job() {
    for (Rank high = 1; high < size_; ++high) {
      for (Rank low = 0; low < high; ++low) {
        const std::uint32_t place = place_of(low, high);
        if (place != kNew && place != kAtRest) drop(pool_[place]);
      }
    }
  }

  std::uint64_t connected = 0;  // Pairs, up at both ends.
  std::uint64_t datagrams_most = 0;
  std::uint64_t datagrams_all = 0;
  std::uint64_t dials_most = 0;    // Of one process at a time,
  std::uint64_t answers_most = 0;  // likewise.
  Micros took_us = 0;

 private:
  struct Pair;
  struct Link final : Connection {
    Pair* pair = nullptr;
    Rank owner = 0;
    Rank peer = 0;
    bool walked = false;  // Counted by the process's walk.
    bool answering = false;
    bool up = false;
  };
  struct Pair {
    Link ends[2];
    std::uint32_t under_way = 0;  // Datagrams.
  };
  struct Process {
    std::unique_ptr<Connector> connector;
    std::unique_ptr<preconnect::Walk> walk;
    std::uint64_t datagrams = 0;
    std::uint64_t answering = 0;
  };
  struct Datagram {
    Link* to;
    std::size_t size;
    std::array<std::byte, Message::kHeadBytes + 8> bytes;
  };

  void run() {
    for (Rank rank = 0; rank < size_; ++rank) dial_more(rank);
    // A datagram takes 1 to kSlots - 1 microseconds.
    while (under_way_ > 0 || !all_done()) {
      ++now_;
      std::vector<Datagram>& arriving = slots_[now_ % kSlots];
      for (const Datagram& datagram : arriving) deliver(datagram);
      arriving.clear();
      if (under_way_ == 0 || now_ % 10'000 == 0) advance_all();
      ASSERT_LT(now_, Micros{60'000'000}) << "somebody waits for ever";
    }
    took_us = now_;
    for (const Process& process : processes_) {
      datagrams_most = std::max(datagrams_most, process.datagrams);
      datagrams_all += process.datagrams;
    }
  }
  bool all_done() const {
    return std::all_of(processes_.begin(), processes_.end(),
                       [](const Process& process) { return process.walk->done(); });
  }
  void advance_all() {
    Micros next = connect::kNever;
    for (const Process& process : processes_) {
      next = std::min(next, process.connector->next_time());
    }
    if (under_way_ == 0 && next != connect::kNever) now_ = std::max(now_, next);
    for (const Process& process : processes_) {
      if (process.connector->next_time() <= now_) process.connector->advance(now_);
    }
    dial_where_finished();
  }
  void dial_more(Rank rank) {
    Process& process = processes_[rank];
    Rank partner = 0;
    bool dial = false;
    while (process.walk->next(partner, dial)) {
      Link* const link = link_of(rank, partner);
      if (link == nullptr || link->up) {  // It was quicker.
        process.walk->finished();
        continue;
      }
      link->walked = true;
      if (dial) process.connector->dial(*link, now_);
    }
    dials_most = std::max<std::uint64_t>(dials_most, process.connector->dials());
  }
  void dial_where_finished() {
    while (!finished_.empty()) {
      const Rank rank = finished_.back();
      finished_.pop_back();
      processes_[rank].walk->finished();
      dial_more(rank);
    }
  }
  void deliver(const Datagram& datagram) {
    --under_way_;
    Link& link = *datagram.to;
    --link.pair->under_way;
    Process& process = processes_[link.owner];
    const std::optional<Message> message =
        Message::decode(std::span(datagram.bytes).first(datagram.size));
    ASSERT_TRUE(message);
    process.connector->receive(link, *message, now_);
    answers_most = std::max(answers_most, process.answering);
    Pair& pair = *link.pair;
    if (pair.ends[0].up && pair.ends[1].up && pair.under_way == 0) {
      ++connected;
      drop(pair);
    }
    dial_where_finished();
  }
  void drop(Pair& pair) {
    is_silent_ = true;
    for (Link& link : pair.ends) processes_[link.owner].connector->detach(link, now_);
    is_silent_ = false;
    std::uint32_t& place = place_of(pair.ends[0].owner, pair.ends[1].owner);
    free_places_.push_back(place);
    place = kAtRest;
    pair.~Pair();
    new (&pair) Pair;
  }
  // nullptr: at rest.
  Link* link_of(Rank owner, Rank peer) {
    const Rank low = std::min(owner, peer);
    const Rank high = std::max(owner, peer);
    std::uint32_t& place = place_of(low, high);
    if (place == kAtRest) return nullptr;
    if (place == kNew) {
      if (free_places_.empty()) {
        pool_.emplace_back();
        free_places_.push_back(static_cast<std::uint32_t>(pool_.size() - 1));
      }
      place = free_places_.back();
      free_places_.pop_back();
      Pair& pair = pool_[place];
      for (const bool second : {false, true}) {
        Link& link = pair.ends[second];
        link.pair = &pair;
        link.owner = second ? high : low;
        link.peer = second ? low : high;
        processes_[link.owner].connector->attach(link, {1, link.peer});
      }
    }
    return &pool_[place].ends[owner == high];
  }
  std::uint32_t& place_of(Rank low, Rank high) {
    return places_[std::size_t{high} * (high - 1) / 2 + low];
  }

  // --- Driver ---
  static Link& of(Connection& connection) { return static_cast<Link&>(connection); }
  bool create_endpoint(Connection&) override { return true; }
  void describe_endpoint(const Connection&, EndpointBlob& own) override {
    own.size_bytes = 8;
    std::memset(own.bytes.data(), 7, 8);
  }
  bool activate_endpoint(Connection& connection, const EndpointBlob&) override {
    Link& link = of(connection);
    if (link.owner < link.peer) return true;  // It dials.
    link.answering = true;
    ++processes_[link.owner].answering;
    return true;
  }
  void destroy_endpoint(Connection&) override {}
  void send(Connection& connection, std::span<const std::byte> bytes) override {
    if (is_silent_) return;
    Link& link = of(connection);
    ++processes_[link.owner].datagrams;
    if (loss_ > 0 && random_.below(1000) < static_cast<std::uint64_t>(loss_ * 1000)) return;
    Datagram datagram{&link.pair->ends[link.owner < link.peer], bytes.size(), {}};
    ASSERT_LE(bytes.size(), datagram.bytes.size());
    std::memcpy(datagram.bytes.data(), bytes.data(), bytes.size());
    slots_[(now_ + 1 + random_.below(kSlots - 1)) % kSlots].push_back(datagram);
    ++link.pair->under_way;
    ++under_way_;
  }
  void up(Connection& connection, const Resume&) override {
    Link& link = of(connection);
    link.up = true;
    if (link.answering) --processes_[link.owner].answering;
    link.answering = false;
    if (link.walked) finished_.push_back(link.owner);
  }
  void quiesce(Connection&) override {}
  bool down(Connection&, Down) override {
    ADD_FAILURE() << "a connection went down";
    return false;
  }
  bool probe(Connection&) override { return false; }
  Resume resume(const Connection&) override { return {}; }
  void acknowledged(Connection&, std::uint64_t) override {}
  std::uint64_t activity(const Connection&) override { return 0; }

  static constexpr std::size_t kSlots = 64;
  Rank size_;
  double loss_;
  test::Random random_;
  std::vector<Process> processes_;
  std::array<std::vector<Datagram>, kSlots> slots_;
  std::vector<Rank> finished_;
  // Where the pair is in the pool, by its two ranks.
  static constexpr std::uint32_t kNew = ~std::uint32_t{0};
  static constexpr std::uint32_t kAtRest = kNew - 1;
  std::vector<std::uint32_t> places_;
  std::deque<Pair> pool_;
  std::vector<std::uint32_t> free_places_;
  std::uint64_t under_way_ = 0;
  Micros now_ = 1;
  bool is_silent_ = false;
};

Plan plan(Plan::Kind kind, Rank neighbors = 0) {
  Plan plan;
  plan.kind = kind;
  plan.neighbors = neighbors;
  return plan;
}

void print(const char* name, const Job& job) {
  std::cout << name << ": " << job.connected << " pairs in " << job.took_us / 1000
            << " ms of simulated time; a process sent at most " << job.datagrams_most
            << " datagrams, dialed at most " << job.dials_most << " and answered at most "
            << job.answers_most << " at a time\n";
}

// All to all: three datagrams a pair and nothing more, a bounded number of dials under way, and no
// process is stormed by requests.
void all_to_all(Rank size, Rank every = 1) {
  const Job job(plan(Plan::Kind::kAll), size, 0, every);
  print("all", job);
  const Rank rounds = (size - 1 + every - 1) / every;
  const std::uint64_t pairs = std::uint64_t{size} * rounds / 2;
  EXPECT_EQ(job.connected, pairs);
  EXPECT_EQ(job.datagrams_all, 3 * pairs);
  EXPECT_LE(job.datagrams_most, 2 * rounds);
  EXPECT_LE(job.dials_most, kUnderWay);
  EXPECT_LE(job.answers_most, 4 * kUnderWay);
}

TEST(PreconnectSim, AllToAllOfFiveHundred) { all_to_all(512 / kSmaller); }

// All rounds, 8 million pairs, take a minute: TERN_TEST_FULL=1. Without, every 16th round: as many
// processes, each with partners from all over the job.
TEST(PreconnectSim, AllToAllOfFourThousand) {
  all_to_all(4096 / kSmaller, std::getenv("TERN_TEST_FULL") != nullptr ? 1 : 16);
}

TEST(PreconnectSim, AllToAllWithLosses) {
  const Rank size = 300 / kSmaller;
  const Job job(plan(Plan::Kind::kAll), size, 0.05);
  print("all, 5 % lost", job);
  const std::uint64_t pairs = std::uint64_t{size} * (size - 1) / 2;
  EXPECT_EQ(job.connected, pairs);
  EXPECT_LE(job.datagrams_all, 4 * pairs);
  EXPECT_LE(job.datagrams_most, 4 * (size - 1));
  EXPECT_LE(job.dials_most, kUnderWay);
}

TEST(PreconnectSim, Neighbors) {
  const Rank size = 2048 / kSmaller;
  const Job job(plan(Plan::Kind::kNeighbors, 3), size, 0);
  print("neighbors:3", job);
  EXPECT_EQ(job.connected, std::uint64_t{size} * 3);
  EXPECT_LE(job.datagrams_most, 12U);
}

}  // namespace
}  // namespace tern::sim
