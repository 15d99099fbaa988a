// The verbs fabric on devices made of memory (fake_verbs.h): connecting, replaying, running out of
// everything. fabric_conformance_test.cc runs the contract of fabrics over them, too.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

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

using VerbsFabricTest = test::VerbsTest;

TEST_F(VerbsFabricTest, NothingIsMadeBeforeTheFirstMessage) {
  Process a(0), b(1);
  std::string why;
  ASSERT_TRUE(a.start(options_with(true), why) && b.start(options_with(true), why)) << why;
  ASSERT_NE(a.link_to(b, why), nullptr);
  for (int i = 0; i < 1000; ++i) a.fabric->poll(a);
  EXPECT_EQ(test::queue_pairs_alive(IBV_QPT_RC), 0);
  EXPECT_EQ(test::queue_pairs_alive(IBV_QPT_UD), 2);
  Random random(1);
  ASSERT_TRUE(wait_for([&] { return a.send(b, random); }, {&a, &b}));
  ASSERT_TRUE(wait_for([&] { return b.contacts[0].received == 1; }, {&a, &b}));
  EXPECT_EQ(test::queue_pairs_alive(IBV_QPT_RC), 2);
}

// The thread makes what all connections share before the first one, and all processes of a port are
// sent to by one address handle.
TEST_F(VerbsFabricTest, WhatConnectionsShareIsThereBeforeThem) {
  Process a(0), b(1), c(2);
  std::string why;
  ASSERT_TRUE(a.start(options_with(false), why)) << why;
  const int without = test::objects_alive();
  ASSERT_TRUE(b.start(options_with(true), why) && c.start(options_with(true), why)) << why;
  // Beside what a has: channel, completion and receive queue, three registrations, and the way to
  // who shares the port.
  EXPECT_TRUE(wait_for([&] { return test::objects_alive() == 3 * without + 2 * 7; }, {&a}));
  EXPECT_EQ(test::address_handles_alive(), 2);
  EXPECT_EQ(test::queue_pairs_alive(IBV_QPT_RC), 0);
  Random random(20);
  ASSERT_TRUE(wait_for([&] { return a.send(b, random); }, {&a, &b}));
  ASSERT_TRUE(wait_for([&] { return a.send(c, random); }, {&a, &c}));
  EXPECT_EQ(test::address_handles_alive(), 3);  // One of a's for both.
}

TEST_F(VerbsFabricTest, ARequestIsAnsweredWhileTheProgramComputes) {
  Process a(0), b(1);
  std::string why;
  ASSERT_TRUE(a.start(options_with(true), why) && b.start(options_with(true), why)) << why;
  Random random(2);
  // b is not polled: its thread alone answers.
  EXPECT_TRUE(wait_for([&] { return a.send(b, random); }, {&a}));
}

// Messages both ways and reads, while queue pairs are put into error.
void exchange_over_broken_queue_pairs(const verbs::IbvTable& table, std::uint32_t count) {
  Random random(3);
  for (const bool thread : {true, false}) {
    Process a(0), b(1);
    std::string why;
    ASSERT_TRUE(a.start(options_with(thread), why, table) &&
                b.start(options_with(thread), why, table))
        << why;
    std::vector<std::byte> source(300000, std::byte{7});
    std::vector<std::byte> target(source.size());
    std::uint64_t key = 0;
    void* const exposure = b.fabric->expose(source, key);
    ASSERT_NE(exposure, nullptr);
    const counters::FabricCounters& counted = counters::of_fabric("verbs");
    const std::uint64_t opened_before = counted.opened.get();
    const std::uint64_t replayed_before = counted.replayed.get();
    std::uint32_t op = 0;
    std::uint32_t break_at = 20;
    const bool done = wait_for(
        [&] {
          for (int i = 0; i < 4; ++i) {
            if (a.contacts[1].sent < count) a.send(b, random);
            if (b.contacts[0].sent < count) b.send(a, random);
          }
          // Something has to get through in between, or the peer would be given up.
          const std::uint32_t arrived = a.contacts[1].received + b.contacts[0].received;
          if (arrived >= break_at && a.contacts[1].link != nullptr &&
              a.fabric->break_link(*a.contacts[1].link)) {
            break_at = arrived + 1 + static_cast<std::uint32_t>(random.below(count / 5));
          }
          if (random.one_in(50) && a.contacts[1].link != nullptr && op == a.completed.size()) {
            std::fill(target.begin(), target.end(), std::byte{0});
            EXPECT_EQ(a.fabric->get(
                          *a.contacts[1].link, DataView::bytes_at(target.data(), target.size()),
                          {reinterpret_cast<std::uint64_t>(source.data()), key}, target.size(), op),
                      Post::kPending);
            ++op;
          }
          return a.contacts[1].received == count && b.contacts[0].received == count &&
                 op == a.completed.size() && a.fabric->drained() && b.fabric->drained();
        },
        {&a, &b});
    EXPECT_TRUE(done) << a.contacts[1].received << " and " << b.contacts[0].received;
    for (const auto& [number, ok] : a.completed) EXPECT_TRUE(ok) << number;
    EXPECT_TRUE(op == 0 || source == target);
    EXPECT_GT(a.fabric->counters().lost, 0U);
    EXPECT_EQ(counted.opened.get() - opened_before,
              a.fabric->counters().opened + b.fabric->counters().opened);
    EXPECT_GT(counted.replayed.get(), replayed_before);
    EXPECT_GT(counted.handshake_us_max.get(), 0U);
    b.fabric->conceal(exposure);
  }
}

TEST_F(VerbsFabricTest, BrokenQueuePairsAndLostDatagramsLoseNothing) {
  test::FakeFaults lossy;
  lossy.datagram_loss = 0.3;
  test::set_faults(lossy);
  exchange_over_broken_queue_pairs(test::fake_verbs(), 3000);
}

TEST_F(VerbsFabricTest, BrokenQueuePairsOfARealDeviceLoseNothing) {
  std::string why;
  const verbs::IbvTable* const table = verbs::load_ibv(why);
  if (table == nullptr) GTEST_SKIP() << why;
  exchange_over_broken_queue_pairs(*table, 400);
}

TEST_F(VerbsFabricTest, AReadThatTheDeviceWronglyReportsAsDoneIsRepeated) {
  test::FakeFaults faults;
  faults.false_reads = 0.2;
  test::set_faults(faults);
  Process a(0), b(1);
  std::string why;
  ASSERT_TRUE(a.start(options_with(true), why) && b.start(options_with(true), why)) << why;
  Link* const link = a.link_to(b, why);
  ASSERT_NE(link, nullptr) << why;
  Random random(4);
  std::vector<std::byte> source(3500000);  // Up to four pieces.
  for (std::byte& byte : source) byte = static_cast<std::byte>(1 + random.below(255));
  std::vector<std::byte> target(source.size());
  std::uint64_t key = 0;
  void* const exposure = b.fabric->expose(source, key);
  ASSERT_NE(exposure, nullptr);
  constexpr std::uint32_t kReads = 60;
  for (std::uint32_t op = 0; op < kReads; op += 2) {
    // Two at a time, one behind the other in the memory.
    std::fill(target.begin(), target.end(), std::byte{0});
    const std::size_t sizes[] = {1 + random.below(random.one_in(4) ? 3000000 : 70000),
                                 1 + random.below(70000)};
    const auto from = reinterpret_cast<std::uint64_t>(source.data());
    ASSERT_EQ(a.fabric->get(*link, DataView::bytes_at(target.data(), sizes[0]), {from, key},
                            sizes[0], op),
              Post::kPending);
    ASSERT_EQ(a.fabric->get(*link, DataView::bytes_at(target.data() + sizes[0], sizes[1]),
                            {from + sizes[0], key}, sizes[1], op + 1),
              Post::kPending);
    ASSERT_TRUE(wait_for([&] { return a.completed.size() == op + 2; }, {&a, &b}));
    ASSERT_TRUE(a.completed[op] && a.completed[op + 1]) << a.why_down;
    const auto size = static_cast<std::ptrdiff_t>(sizes[0] + sizes[1]);
    ASSERT_TRUE(std::equal(target.begin(), target.begin() + size, source.begin()))
        << sizes[0] << " and " << sizes[1] << " bytes, operation " << op;
  }
  EXPECT_GT(a.fabric->counters().lost, 5U) << "no queue pair broke";
  b.fabric->conceal(exposure);
}

// Memory that b exposes and a reads, mapped at an address of its own.
class ExposedMemory {
 public:
  ExposedMemory() : memory_(map(nullptr)) {}
  ~ExposedMemory() { munmap(memory_, kBytes); }
  ExposedMemory(const ExposedMemory&) = delete;
  ExposedMemory& operator=(const ExposedMemory&) = delete;

  void fill(int value) { std::memset(memory_, value, kBytes); }
  // Other memory takes the place of this one.
  void replace() {
    munmap(memory_, kBytes);
    memory_ = map(memory_);
  }
  // The same, unseen by whoever watches the C library.
  void replace_secretly() {
    syscall(SYS_munmap, memory_, kBytes);
    memory_ = reinterpret_cast<std::byte*>(
        syscall(SYS_mmap, memory_, kBytes, kProtection, kFlags | MAP_FIXED_NOREPLACE, -1, 0));
  }
  // What a gets of it; -1: not the same everywhere.
  int read(Process& a, Process& b) {
    std::uint64_t key = 0;
    void* const exposure = b.fabric->expose({memory_, kBytes}, key);
    if (exposure == nullptr) return -1;
    std::vector<std::byte> target(kBytes);
    const std::size_t before = a.completed.size();
    const auto op = static_cast<std::uint32_t>(before);
    EXPECT_EQ(a.fabric->get(*a.contacts[1].link, DataView::bytes_at(target.data(), kBytes),
                            {reinterpret_cast<std::uint64_t>(memory_), key}, kBytes, op),
              Post::kPending);
    EXPECT_TRUE(wait_for([&] { return a.completed.size() > before; }, {&a, &b}));
    b.fabric->conceal(exposure);
    const bool same = std::ranges::all_of(target, [&](auto byte) { return byte == target[0]; });
    return a.completed[op] && same ? static_cast<int>(target[0]) : -1;
  }

 private:
  static constexpr std::size_t kBytes = 64 * 4096;
  static constexpr int kProtection = PROT_READ | PROT_WRITE;
  static constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS;
  static std::byte* map(void* where) {
    void* const memory = mmap(where, kBytes, kProtection,
                              kFlags | (where != nullptr ? MAP_FIXED_NOREPLACE : 0), -1, 0);
    EXPECT_TRUE(memory != MAP_FAILED && (where == nullptr || memory == where));
    return static_cast<std::byte*>(memory);
  }
  std::byte* memory_;
};

// Registered once, again when other memory has come to its place, and for each use without a cache.
void read_replaced_memory(const verbs::IbvTable& table) {
  Random random(9);
  for (const bool cached : {true, false}) {
    Process a(0), b(1);
    std::string why;
    verbs::VerbsOptions options = options_with(true);
    options.registration.hooks = cached;
    ASSERT_TRUE(b.start(options, why, table)) << why;
    options.registration.hooks = false;
    ASSERT_TRUE(a.start(options, why, table)) << why;
    ASSERT_TRUE(wait_for([&] { return a.send(b, random); }, {&a, &b}));
    ExposedMemory memory;
    for (int value = 1; value < 20; value += 2) {
      memory.fill(value);
      EXPECT_EQ(memory.read(a, b), value);
      memory.fill(value + 1);
      EXPECT_EQ(memory.read(a, b), value + 1);
      memory.replace();
    }
    const RegistrationCache::Counters counters = b.fabric->registrations();
#if defined(__SANITIZE_THREAD__)
    EXPECT_EQ(counters.hits, 0U) << "memory cannot be watched, so nothing may be kept";
#else
    EXPECT_EQ(counters.hits, cached ? 10U : 0U);
    EXPECT_EQ(counters.registered, cached ? 10U : 20U);
#endif
  }
}

TEST_F(VerbsFabricTest, MemoryStaysRegisteredUntilItIsReplaced) {
  read_replaced_memory(test::fake_verbs());
}

TEST_F(VerbsFabricTest, MemoryThatIsReplacedOnARealDevice) {
  std::string why;
  const verbs::IbvTable* const table = verbs::load_ibv(why);
  if (table == nullptr) GTEST_SKIP() << why;
  read_replaced_memory(*table);

  // What the hooks do not see is found by the self-check.
  if (!verbs::VerbsRegistrar::may_see_frames()) return;
  Random random(10);
  Process a(0), b(1);
  verbs::VerbsOptions options = options_with(true);
  ASSERT_TRUE(a.start(options, why, *table)) << why;
  options.registration.self_check = true;
  ASSERT_TRUE(b.start(options, why, *table)) << why;
  ASSERT_TRUE(wait_for([&] { return a.send(b, random); }, {&a, &b}));
  ExposedMemory memory;
  memory.fill(1);
  EXPECT_EQ(memory.read(a, b), 1);
  memory.replace_secretly();
  memory.fill(2);
  EXPECT_EQ(memory.read(a, b), 2);
  EXPECT_EQ(b.fabric->registrations().stale, 1U);
}

// While the network is down each request that is sent breaks the queue pair for signalling, too.
TEST_F(VerbsFabricTest, SignallingOutlivesANetworkThatIsDown) {
  Random random(7);
  for (const bool thread : {true, false}) {
    Process a(0), b(1);
    std::string why;
    ASSERT_TRUE(a.start(options_with(thread), why) && b.start(options_with(thread), why)) << why;
    for (std::uint32_t round = 1; round <= 3; ++round) {
      const auto exchanged = [&] {
        if (a.contacts[1].sent < round) a.send(b, random);
        if (b.contacts[0].sent < round) b.send(a, random);
        return a.contacts[1].received == round && b.contacts[0].received == round;
      };
      if (round > 1) {
        test::set_network_down(true);
        const std::uint64_t before = a.fabric->counters().repeated;
        ASSERT_TRUE(wait_for(
            [&] { return exchanged() || a.fabric->counters().repeated >= before + 3; }, {&a, &b}));
        test::set_network_down(false);
      }
      EXPECT_TRUE(wait_for(exchanged, {&a, &b})) << "round " << round;
    }
  }
}

// The end of a connection that has nothing to send breaks, and its word of that gets lost: the
// other side, which waits for an acknowledgement, finds out by itself. So does one that only waits.
TEST_F(VerbsFabricTest, ASilentPeerIsLookedAfter) {
  Random random(8);
  for (const bool only_waits : {false, true}) {
    Process a(0), b(1);
    std::string why;
    verbs::VerbsOptions options = options_with(true);
    options.peer_timeout_s = 1;
    ASSERT_TRUE(a.start(options, why) && b.start(options, why)) << why;
    ASSERT_TRUE(wait_for([&] { return a.send(b, random); }, {&a, &b}));
    ASSERT_TRUE(
        wait_for([&] { return b.contacts[0].received == 1 && a.fabric->drained(); }, {&a, &b}));
    ASSERT_TRUE(only_waits || wait_for([&] { return a.send(b, random); }, {&a}));
    test::FakeFaults deaf;
    deaf.datagram_loss = 1;
    test::set_faults(deaf);
    ASSERT_TRUE(b.fabric->break_link(*b.contacts[0].link));
    b.fabric.reset();  // Says goodbye, which nobody hears.
    const std::uint64_t before = a.fabric->counters().lost;
    EXPECT_TRUE(wait_for(
        [&] {
          (void)a.fabric->before_sleep();
          return a.fabric->counters().lost > before && a.contacts[1].down;
        },
        {&a}));
    test::set_faults({});
  }
}

TEST_F(VerbsFabricTest, ABudgetOfOneConnectionServesEverybody) {
  Random random(4);
  std::vector<std::unique_ptr<Process>> processes;
  std::vector<Process*> all;
  std::string why;
  verbs::VerbsOptions options = options_with(true);
  options.connections_max = 1;
  for (std::uint64_t rank = 0; rank < 4; ++rank) {
    all.push_back(processes.emplace_back(std::make_unique<Process>(rank)).get());
    ASSERT_TRUE(all.back()->start(options, why)) << why;
  }
  constexpr std::uint32_t kCount = 20;
  EXPECT_TRUE(wait_for(
      [&] {
        bool finished = true;
        for (Process* const from : all) {
          for (Process* const to : all) {
            if (from == to) continue;
            if (from->contacts[to->id.rank].sent < kCount) from->send(*to, random);
            finished = finished && to->contacts[from->id.rank].received == kCount;
          }
        }
        EXPECT_LE(test::queue_pairs_alive(IBV_QPT_RC), 4);
        return finished;
      },
      all));
}

// So many that the shared receive queue has to be made larger while they send.
void receive_from_many(const verbs::IbvTable& table, std::uint64_t senders, std::uint32_t count) {
  Random random(11);
  std::vector<std::unique_ptr<Process>> processes;
  std::vector<Process*> all;
  std::string why;
  for (std::uint64_t rank = 0; rank <= senders; ++rank) {
    all.push_back(processes.emplace_back(std::make_unique<Process>(rank)).get());
    ASSERT_TRUE(all.back()->start(options_with(false), why, table)) << why;
  }
  Process& receiver = *all[0];
  EXPECT_TRUE(wait_for(
      [&] {
        bool finished = true;
        for (std::uint64_t rank = 1; rank <= senders; ++rank) {
          while (all[rank]->contacts[0].sent < count && all[rank]->send(receiver, random)) {
          }
          finished = finished && receiver.contacts[rank].received == count;
        }
        return finished;
      },
      all));
}

TEST_F(VerbsFabricTest, ManyBusyPeersShareOneReceiveQueue) {
  receive_from_many(test::fake_verbs(), 24, 500);
  test::FakeFaults fault;
  fault.call = "modify_srq";
  test::set_faults(fault);
  receive_from_many(test::fake_verbs(), 24, 500);
  EXPECT_TRUE(test::fault_happened());
}

TEST_F(VerbsFabricTest, ManyBusyPeersOnARealDevice) {
  std::string why;
  const verbs::IbvTable* const table = verbs::load_ibv(why);
  if (table == nullptr) GTEST_SKIP() << why;
  receive_from_many(*table, 20, 300);
}

// Of the hub: the others have what a further connection takes from the first one.
TEST_F(VerbsFabricTest, AConnectedPeerCostsLittleMemory) {
  constexpr std::size_t kPeers = 128;
  constexpr std::size_t kBytesMax = 16384;
  Random random(8);
  Process hub(0), first(1);
  std::string why;
  ASSERT_TRUE(hub.start(options_with(false), why) && first.start(options_with(false), why)) << why;
  ASSERT_TRUE(wait_for([&] { return hub.send(first, random); }, {&hub, &first}));
  std::vector<std::unique_ptr<Process>> others;
  for (std::size_t i = 0; i < kPeers; ++i) {
    Process& other = *others.emplace_back(std::make_unique<Process>(2 + i));
    ASSERT_TRUE(other.start(options_with(false), why)) << why;
    ASSERT_TRUE(wait_for([&] { return other.send(first, random); }, {&other, &first}));
  }
  const counters::FabricCounters& counted = counters::of_fabric("verbs");
  const std::uint64_t before = counted.memory_bytes.get();
  for (const auto& other : others) {
    ASSERT_TRUE(wait_for([&] { return hub.send(*other, random); }, {&hub, other.get()}));
    ASSERT_TRUE(wait_for([&] { return other->contacts[0].received == 1; }, {&hub, other.get()}));
  }
  const std::uint64_t registered = (counted.memory_bytes.get() - before) / kPeers;
  const std::size_t objects = sizeof(verbs::VerbsLink) + sizeof(Peer) + hub.card.encode().size();
  EXPECT_LE(registered + objects, kBytesMax) << registered << " of them registered";
}

TEST_F(VerbsFabricTest, ADeviceThatIsTakenAwayIsNamedAndNotUsedAgain) {
  Random random(7);
  for (const bool thread : {true, false}) {
    test::set_devices_gone(false);
    Process a(0), b(1), c(2);
    std::string why;
    for (Process* const process : {&a, &b, &c}) {
      ASSERT_TRUE(process->start(options_with(thread), why)) << why;
    }
    ASSERT_TRUE(wait_for([&] { return a.send(b, random); }, {&a, &b}));
    ASSERT_TRUE(wait_for([&] { return b.contacts[0].received == 1; }, {&a, &b}));
    test::set_devices_gone(true);
    // Without anything to send: who waits must hear of it, too.
    ASSERT_TRUE(wait_for([&] { return a.contacts[1].down && b.contacts[0].down; }, {&a, &b}));
    EXPECT_NE(a.why_down.find("rank 1 on host node"), std::string::npos) << a.why_down;
    EXPECT_NE(a.why_down.find("device fake0, port 1"), std::string::npos) << a.why_down;
    EXPECT_NE(a.why_down.find("is gone or has failed"), std::string::npos) << a.why_down;
    // The engine tries the next fabric.
    EXPECT_EQ(a.link_to(c, why), nullptr);
    EXPECT_NE(why.find("is gone or has failed"), std::string::npos) << why;
  }
}

TEST_F(VerbsFabricTest, APeerThatIsGoneIsGivenUpWithAReason) {
  Random random(5);
  Process a(0);
  std::string why;
  verbs::VerbsOptions options = options_with(true);
  options.peer_timeout_s = 4;
  ASSERT_TRUE(a.start(options, why)) << why;
  {
    Process b(1);
    ASSERT_TRUE(b.start(options, why)) << why;
    ASSERT_TRUE(wait_for([&] { return a.send(b, random); }, {&a, &b}));
    ASSERT_TRUE(
        wait_for([&] { return b.contacts[0].received == 1 && a.fabric->drained(); }, {&a, &b}));
  }
  Process b(1);  // Only for its name.
  b.card = Card::of_this_process(b.id, {});
  EXPECT_TRUE(wait_for(
      [&] {
        (void)a.send(b, random);
        return a.contacts[1].down;
      },
      {&a}));
  for (const char* const what : {"rank 1 on host node", "device fake0, port 1", "ACTIVE"}) {
    EXPECT_NE(a.why_down.find(what), std::string::npos) << a.why_down;
  }
}

TEST_F(VerbsFabricTest, EveryCallMayFailOnce) {
  Random random(6);
  for (const std::string& call : test::fault_names()) {
    bool happened = false;
    for (const int after : {0, 1, 2, 3, 5, 20}) {
      test::FakeFaults fault;
      fault.call = call;
      fault.after = after;
      test::set_faults(fault);
      Process a(0), b(1), c(2);
      verbs::VerbsOptions options = options_with(after % 2 == 0);
      options.peer_timeout_s = 3;
      std::string why;
      if (!a.start(options, why) || !b.start(options, why) || !c.start(options, why)) {
        EXPECT_FALSE(why.empty()) << call << " failed without a reason";
        happened = true;
        continue;
      }
      constexpr std::uint32_t kCount = 100;
      EXPECT_TRUE(wait_for(
          [&] {
            if (a.contacts[1].sent < kCount) a.send(b, random);
            if (b.contacts[0].sent < kCount) b.send(a, random);
            if (a.contacts[2].sent < kCount) a.send(c, random);
            const bool with_b =
                a.contacts[1].down || b.contacts[0].down ||
                (a.contacts[1].received == kCount && b.contacts[0].received == kCount);
            const bool with_c =
                a.contacts[2].down || c.contacts[0].down || c.contacts[0].received == kCount;
            return with_b && with_c;
          },
          {&a, &b, &c}))
          << call << " after " << after << ": " << a.contacts[1].received << " and "
          << b.contacts[0].received;
      EXPECT_EQ(a.contacts[1].down || a.contacts[2].down, !a.why_down.empty()) << call;
      EXPECT_EQ(b.contacts[0].down, !b.why_down.empty()) << call;
      happened = happened || test::fault_happened();
    }
    EXPECT_TRUE(happened) << call << " was never called";
  }
}

}  // namespace
}  // namespace tern
