// RDMA reads and writes of the verbs fabric: gets and puts of memory with and without gaps, over
// queue pairs that break, on devices that cannot do everything, with calls that fail.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "tests/unit/fake_verbs.h"
#include "tests/unit/seed.h"
#include "tests/unit/verbs_process.h"
#include "verbs/fabric.h"

namespace tern {
namespace {

using test::options_with;
using test::Process;
using test::Random;
using test::wait_for;

using VerbsTransferTest = test::VerbsTest;

// Memory of one side of a transfer, in one piece or in blocks.
struct Buffer {
  Buffer(Random& random, std::size_t size_bytes, bool gaps)
      : layout(gaps ? Layout({{16, kBlockBytes + random.below(100)}}, 0, kStrideBytes)
                    : Layout::dense(1)) {
    count = (size_bytes + layout.size() - 1) / layout.size();
    memory.resize(gaps ? count * static_cast<std::size_t>(kStrideBytes) : count);
    bytes = std::min(size_bytes, count * layout.size());
  }
  DataView view() { return DataView::of(memory.data(), layout, count); }
  void fill(const std::vector<std::byte>& data) { unpack(view(), 0, std::span(data).first(bytes)); }
  std::vector<std::byte> data() {
    std::vector<std::byte> all(bytes);
    pack(view(), 0, all);
    return all;
  }

  static constexpr std::size_t kBlockBytes = 1500;
  static constexpr std::ptrdiff_t kStrideBytes = 2500;
  Layout layout;
  std::size_t count = 0;
  std::size_t bytes = 0;
  std::vector<std::byte> memory;
};

std::vector<std::byte> random_bytes(Random& random, std::size_t size) {
  std::vector<std::byte> data(size);
  std::uint64_t word = random.below(UINT64_MAX);
  for (std::byte& byte : data) {
    word = word * 6364136223846793005 + 1442695040888963407;
    byte = static_cast<std::byte>(word >> 56);
  }
  return data;
}

// From a to b, one after the other and some at a time. When b hears that the data are there, it
// looks, and puts its memory to another use, as a program does; when a hears that it may, it does
// so with its own. So what is written too late, or again, is noticed.
class Puts {
 public:
  Puts(Process& a, Process& b, Random& random, std::size_t size_max)
      : a_(a), b_(b), random_(random), size_max_(size_max) {
    b.on_notice = [this](std::uint64_t number) { arrived(number); };
  }
  ~Puts() {
    for (const auto& one : all_) {
      if (one->exposure != nullptr) b_.fabric->conceal(one->exposure);
    }
  }
  Puts(const Puts&) = delete;
  Puts& operator=(const Puts&) = delete;

  // False: the fabric does not want it.
  bool start() {
    const std::size_t size = 1 + random_.below(random_.one_in(4) ? size_max_ : size_max_ / 30);
    auto one = std::make_unique<Put>(random_, size);
    one->data = random_bytes(random_, size);
    one->source.fill(one->data);
    std::uint64_t key = 0;
    one->exposure = b_.fabric->expose(one->target, key);
    if (one->exposure == nullptr) return false;
    const std::uint64_t number = all_.size();
    const auto op = static_cast<std::uint32_t>(number);
    const Post posted = a_.fabric->put(
        *a_.contacts[1].link, std::as_bytes(std::span(&number, 1)), one->source.view(),
        {reinterpret_cast<std::uint64_t>(one->target.data()), key}, size, op);
    if (posted != Post::kPending) b_.fabric->conceal(std::exchange(one->exposure, nullptr));
    if (posted == Post::kPending) all_.push_back(std::move(one));
    return posted == Post::kPending;
  }
  // What a has been told since the last time.
  void look() {
    for (; finished_ < all_.size() && a_.completed.contains(finished_); ++finished_) {
      if (!a_.completed[finished_]) continue;
      Put& one = *all_[finished_];
      std::fill(one.source.memory.begin(), one.source.memory.end(), std::byte{0xaa});
    }
  }
  std::size_t under_way() const { return all_.size() - finished_; }
  std::size_t started() const { return all_.size(); }
  std::size_t arrived() const { return arrived_; }
  // Nothing was written after b had been told that all was there.
  void expect_untouched() const {
    for (const auto& one : all_) {
      EXPECT_TRUE(!one->has_arrived || std::ranges::all_of(one->target, [](std::byte byte) {
        return byte == std::byte{0x55};
      }));
    }
  }

 private:
  struct Put {
    Put(Random& random, std::size_t size) : source(random, size, random.one_in(2)), target(size) {}
    Buffer source;
    std::vector<std::byte> target;
    std::vector<std::byte> data;
    void* exposure = nullptr;
    bool has_arrived = false;
  };

  void arrived(std::uint64_t number) {
    ASSERT_LT(number, all_.size());
    Put& one = *all_[number];
    ASSERT_FALSE(one.has_arrived) << "told twice";
    one.has_arrived = true;
    ++arrived_;
    EXPECT_TRUE(one.target == one.data) << "put " << number << " of " << one.data.size();
    std::fill(one.target.begin(), one.target.end(), std::byte{0x55});
  }

  Process& a_;
  Process& b_;
  Random& random_;
  std::size_t size_max_;
  std::vector<std::unique_ptr<Put>> all_;
  std::uint32_t finished_ = 0;
  std::size_t arrived_ = 0;
};

// Puts and messages both ways while queue pairs are put into error.
void put_over_broken_queue_pairs(const verbs::IbvTable& table, std::size_t puts,
                                 std::size_t size_max, const char* devices = "") {
  Random random(21);
  for (const bool thread : {true, false}) {
    Process a(0), b(1);
    std::string why;
    verbs::VerbsOptions options = options_with(thread);
    options.port.devices = devices;
    ASSERT_TRUE(a.start(options, why, table) && b.start(options, why, table)) << why;
    ASSERT_NE(a.link_to(b, why), nullptr) << why;
    Puts all(a, b, random, size_max);
    std::uint32_t break_at = 3;
    const bool done = wait_for(
        [&] {
          all.look();
          if (all.started() < puts && all.under_way() < 3) {
            EXPECT_TRUE(all.start());
          }
          if (random.one_in(3)) a.send(b, random);
          if (random.one_in(3)) b.send(a, random);
          // Something has to get through in between, or the peer would be given up.
          const std::uint32_t arrived = a.contacts[1].received + b.contacts[0].received;
          if (arrived >= break_at && a.fabric->break_link(*a.contacts[1].link))
            break_at = arrived + 1 + static_cast<std::uint32_t>(random.below(30));
          return all.arrived() == puts && all.under_way() == 0 && a.fabric->drained() &&
                 b.fabric->drained();
        },
        {&a, &b});
    EXPECT_TRUE(done) << all.arrived() << " of " << puts << " arrived, " << all.under_way()
                      << " under way";
    EXPECT_GT(a.fabric->counters().lost, 0U);
    all.expect_untouched();
  }
}

TEST_F(VerbsTransferTest, PutsOverBrokenQueuePairsArriveOnce) {
  test::FakeFaults lossy;
  lossy.datagram_loss = 0.3;
  test::set_faults(lossy);
  put_over_broken_queue_pairs(test::fake_verbs(), 150, 3500000);
}

TEST_F(VerbsTransferTest, PutsOverBrokenQueuePairsOfARealDevice) {
  std::string why;
  const verbs::IbvTable* const table = verbs::load_ibv(why);
  if (table == nullptr) GTEST_SKIP() << why;
  put_over_broken_queue_pairs(*table, 12, 300000);
}

verbs::VerbsOptions options_with_two_ports() {
  verbs::VerbsOptions options = options_with(false);
  options.port.devices = "fake0,fake1";
  return options;
}

TEST_F(VerbsTransferTest, PutsOverTwoPortsArriveOnce) {
  test::FakeFaults lossy;
  lossy.datagram_loss = 0.3;
  test::set_faults(lossy);
  put_over_broken_queue_pairs(test::fake_verbs(), 150, 3500000, "fake0,fake1");
}

// Each port takes its share both ways; a peer with one port is served by one.
TEST_F(VerbsTransferTest, TwoPortsShareLargeTransfers) {
  Random random(26);
  for (const bool both_have_two : {true, false}) {
    Process a(0), b(1);
    std::string why;
    const verbs::VerbsOptions two = options_with_two_ports();
    ASSERT_TRUE(a.start(two, why)) << why;
    ASSERT_TRUE(b.start(both_have_two ? two : options_with(false), why)) << why;
    ASSERT_NE(a.fabric->second_port_text().find("fake1"), std::string::npos);
    ASSERT_TRUE(wait_for([&] { return a.send(b, random); }, {&a, &b}));
    EXPECT_EQ(test::queue_pairs_alive(IBV_QPT_RC), both_have_two ? 4 : 3);
    constexpr std::size_t kBytes = 3000000;
    const std::uint64_t before[] = {test::bytes_moved(0), test::bytes_moved(1)};
    for (std::uint32_t op = 0; op < 5; ++op) {
      const std::vector<std::byte> source = random_bytes(random, kBytes);
      Buffer target(random, kBytes, op % 2 == 1);
      std::uint64_t key = 0;
      void* const exposure = b.fabric->expose(source, key);
      ASSERT_EQ(a.fabric->get(*a.contacts[1].link, target.view(),
                              {reinterpret_cast<std::uint64_t>(source.data()), key}, kBytes, op),
                Post::kPending);
      EXPECT_TRUE(wait_for([&] { return a.completed.contains(op); }, {&a, &b}));
      EXPECT_EQ(target.data(), source);
      b.fabric->conceal(exposure);
    }
    const std::uint64_t moved[] = {test::bytes_moved(0) - before[0],
                                   test::bytes_moved(1) - before[1]};
    EXPECT_NEAR(static_cast<double>(moved[1]), both_have_two ? 5 * kBytes / 2.0 : 0, 5000 * 5.0);
    EXPECT_GE(moved[0] + moved[1], 5 * kBytes);
  }
}

// The second port's network goes down for good: the first one does all.
TEST_F(VerbsTransferTest, ASecondPortThatFailsIsLeftOut) {
  Random random(27);
  Process a(0), b(1);
  std::string why;
  ASSERT_TRUE(a.start(options_with_two_ports(), why) && b.start(options_with_two_ports(), why))
      << why;
  ASSERT_TRUE(wait_for([&] { return a.send(b, random); }, {&a, &b}));
  Puts puts(a, b, random, 3000000);
  test::FakeFaults faults;
  faults.second_device_down = true;
  test::set_faults(faults);
  constexpr std::size_t kPuts = 30;
  EXPECT_TRUE(wait_for(
      [&] {
        puts.look();
        if (puts.started() < kPuts && puts.under_way() < 3) {
          EXPECT_TRUE(puts.start());
        }
        return puts.arrived() == kPuts && puts.under_way() == 0;
      },
      {&a, &b}))
      << puts.arrived() << " arrived, " << puts.under_way() << " under way";
  EXPECT_EQ(a.fabric->counters().lost, 2U);
  EXPECT_LE(test::queue_pairs_alive(IBV_QPT_RC), 3);
  puts.expect_untouched();
}

// Into memory with gaps and out of it, by as many segments as the device takes.
TEST_F(VerbsTransferTest, MemoryWithGapsIsGatheredAndScattered) {
  Random random(22);
  for (const int segments_max : {1, 2, 5, 30}) {
    test::FakeFaults device;
    device.segments_max = segments_max;
    test::set_faults(device);
    Process a(0), b(1);
    std::string why;
    ASSERT_TRUE(a.start(options_with(false), why) && b.start(options_with(false), why)) << why;
    Link* const link = a.link_to(b, why);
    ASSERT_NE(link, nullptr) << why;
    for (std::uint32_t op = 0; op < 20; ++op) {
      const std::vector<std::byte> source = random_bytes(random, 1 + random.below(200000));
      Buffer target(random, source.size(), true);
      std::uint64_t key = 0;
      void* const exposure = b.fabric->expose(source, key);
      ASSERT_NE(exposure, nullptr);
      const Post posted =
          a.fabric->get(*link, target.view(), {reinterpret_cast<std::uint64_t>(source.data()), key},
                        source.size(), op);
      if (segments_max == 1 && target.count > 1) {
        EXPECT_EQ(posted, Post::kNoCredit);
      } else {
        EXPECT_EQ(posted, Post::kPending);
        EXPECT_TRUE(wait_for([&] { return a.completed.contains(op); }, {&a, &b}));
        EXPECT_EQ(target.data(), source);
        const std::size_t gaps = target.memory.size() - target.count * target.layout.size();
        EXPECT_GE(std::ranges::count(target.memory, std::byte{0}), static_cast<long>(gaps));
      }
      b.fabric->conceal(exposure);
    }
    // Short blocks, and long gaps, are for the processor.
    const Layout short_blocks({{0, 100}}, 0, 200);
    const Layout long_gaps({{0, 2000}}, 0, 40000);
    std::vector<std::byte> memory(400000);
    for (const Layout* const layout : {&short_blocks, &long_gaps}) {
      EXPECT_EQ(a.fabric->get(*link, DataView::of(memory.data(), *layout, 10), {}, 1000, 99),
                Post::kNoCredit);
    }
  }
}

TEST_F(VerbsTransferTest, TheWayOfLargeMessagesIsTheDevicesOrTheUsers) {
  using verbs::Rendezvous;
  struct Case {
    bool no_reads;
    Rendezvous wanted;
    bool reads;
  };
  for (const Case& one :
       {Case{false, Rendezvous::kRead, true}, Case{false, Rendezvous::kWrite, false},
        Case{true, Rendezvous::kRead, false}, Case{true, Rendezvous::kWrite, false}}) {
    test::FakeFaults device;
    device.no_reads = one.no_reads;
    test::set_faults(device);
    Process a(0), b(1);
    std::string why;
    verbs::VerbsOptions options = options_with(false);
    options.rendezvous = one.wanted;
    ASSERT_TRUE(a.start(options, why) && b.start(options, why)) << why;
    Link* const link = a.link_to(b, why);
    Random random(23);
    ASSERT_TRUE(wait_for([&] { return a.send(b, random); }, {&a, &b}));
    EXPECT_EQ(link->can_get(), one.reads);
    EXPECT_EQ(link->offers_get(), one.reads);
    EXPECT_TRUE(link->can_put());
    Puts puts(a, b, random, 100000);
    EXPECT_TRUE(puts.start());
    EXPECT_TRUE(wait_for([&] { return puts.arrived() == 1; }, {&a, &b}));
  }
}

// The connection is closed for others while puts want to leave.
TEST_F(VerbsTransferTest, PutsOutliveConnectionsThatMakeRoom) {
  Random random(24);
  Process a(0), b(1), c(2);
  std::string why;
  verbs::VerbsOptions options = options_with(true);
  options.connections_max = 1;
  ASSERT_TRUE(a.start(options, why) && b.start(options, why) && c.start(options, why)) << why;
  ASSERT_NE(a.link_to(b, why), nullptr) << why;
  Puts puts(a, b, random, 2000000);
  constexpr std::size_t kPuts = 40;
  EXPECT_TRUE(wait_for(
      [&] {
        puts.look();
        if (puts.started() < kPuts && puts.under_way() < 2) {
          EXPECT_TRUE(puts.start());
        }
        if (c.contacts[0].received < 10 && a.contacts[2].sent <= c.contacts[0].received)
          a.send(c, random);
        return puts.arrived() == kPuts && puts.under_way() == 0 && c.contacts[0].received == 10;
      },
      {&a, &b, &c}))
      << puts.arrived() << " arrived, " << puts.under_way() << " under way, "
      << c.contacts[0].received;
  puts.expect_untouched();
}

TEST_F(VerbsTransferTest, EveryCallMayFailOnce) {
  Random random(25);
  for (const std::string& call : test::fault_names()) {
    for (const int after : {0, 1, 2, 4, 9, 25}) {
      test::FakeFaults fault;
      fault.call = call;
      fault.after = after;
      test::set_faults(fault);
      Process a(0), b(1);
      verbs::VerbsOptions options = options_with(after % 2 == 0);
      options.peer_timeout_s = 3;
      if (after % 3 != 0) options.port.devices = "fake0,fake1";
      std::string why;
      if (!a.start(options, why) || !b.start(options, why)) continue;
      if (a.link_to(b, why) == nullptr) continue;
      Puts puts(a, b, random, 1000000);
      constexpr std::size_t kPuts = 10;
      std::size_t tries = 0;
      EXPECT_TRUE(wait_for(
          [&] {
            puts.look();
            // One that cannot be had now may be had later.
            if (puts.started() < kPuts && puts.under_way() < 2 && tries < 100) {
              ++tries;
              (void)puts.start();
            }
            const bool over = puts.arrived() == kPuts && puts.under_way() == 0;
            return over || a.contacts[1].down || b.contacts[0].down;
          },
          {&a, &b}))
          << call << " after " << after << ": " << puts.arrived() << " arrived, "
          << puts.under_way() << " under way";
      puts.expect_untouched();
    }
  }
}

}  // namespace
}  // namespace tern
