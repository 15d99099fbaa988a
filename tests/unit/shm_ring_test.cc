// The ring between two threads, and what the consumer does with damaged contents.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "shm/inbox.h"
#include "shm/ring.h"
#include "tests/unit/seed.h"

namespace tern::shm {
namespace {

using test::Random;

std::unique_ptr<Ring> new_ring() { return std::unique_ptr<Ring>(new Ring()); }

std::byte pattern(std::uint64_t message, std::size_t i) {
  return static_cast<std::byte>(message * 31 + i * 7);
}

TEST(Ring, EverySizeArrivesInOrderAcrossThreads) {
  const auto ring = new_ring();
  constexpr std::uint64_t kMessages = 60000;
  Random sizes(9);
  std::vector<std::size_t> bodies(kMessages);
  for (std::size_t& size : bodies) {
    size = sizes.below(sizes.one_in(10) ? kMaxBodyBytes + 1 : 200);
  }
  std::thread producer([&] {
    Producer out(*ring);
    std::vector<std::byte> body(kMaxBodyBytes);
    for (std::uint64_t m = 0; m < kMessages; ++m) {
      const std::size_t head = m % 49;
      std::byte head_bytes[48];
      for (std::size_t i = 0; i < head; ++i) head_bytes[i] = pattern(m, i);
      for (std::size_t i = 0; i < bodies[m]; ++i) body[i] = pattern(m, i + 1);
      while (!out.push(CellKind::kMessage, {head_bytes, head}, {body.data(), bodies[m]})) {
        std::this_thread::yield();
      }
    }
  });
  Consumer in(*ring);
  std::uint64_t wrong = 0;
  for (std::uint64_t m = 0; m < kMessages; ++m) {
    while (!in.ready()) std::this_thread::yield();
    Consumer::Message message;
    EXPECT_TRUE(in.read(message));
    if (message.head.size() != m % 49 || message.body.size() != bodies[m]) ++wrong;
    for (std::size_t i = 0; i < message.head.size(); ++i) wrong += message.head[i] != pattern(m, i);
    for (std::size_t i = 0; i < message.body.size(); ++i) {
      wrong += message.body[i] != pattern(m, i + 1);
    }
    in.pop();
  }
  producer.join();
  EXPECT_EQ(wrong, 0U);
  EXPECT_FALSE(in.ready());
}

// Pushes and pops in runs of random length: the ends turn between the zones in every state.
TEST(Ring, EveryMixOfRunningAheadAndCatchingUpKeepsTheOrder) {
  Random random(11);
  const auto ring = new_ring();
  Producer out(*ring);
  Consumer in(*ring);
  const std::vector<std::byte> body(4096);
  std::uint64_t sent = 0;
  std::uint64_t taken = 0;
  std::size_t most = 0;
  for (int run = 0; run < 20000; ++run) {
    for (std::size_t n = random.below(random.one_in(8) ? 400 : 40); n > 0; --n) {
      const auto number = std::as_bytes(std::span(&sent, 1));
      const std::size_t size = random.one_in(6) ? random.below(body.size()) : 8;
      const bool pushed = random.one_in(2)
                              ? out.push(CellKind::kMessage, number, {body.data(), size})
                              : out.push_eager(sent, 0, body.data(), size);
      if (!pushed) break;
      ++sent;
    }
    most = std::max(most, static_cast<std::size_t>(sent - taken));
    for (std::size_t n = random.below(random.one_in(8) ? 400 : 40); n > 0 && in.ready(); --n) {
      Consumer::Message message;
      ASSERT_TRUE(in.read(message));
      const std::size_t at = message.head.size() == sizeof taken ? 0 : 8;
      ASSERT_EQ(std::memcmp(message.head.data() + at, &taken, sizeof taken), 0);
      in.pop();
      ++taken;
    }
    ASSERT_EQ(in.ready(), taken < sent);
  }
  EXPECT_GT(most, kZoneCells[1]);
}

TEST(Ring, AFullRingRefusesAndRecovers) {
  const auto ring = new_ring();
  Producer out(*ring);
  Consumer in(*ring);
  const std::vector<std::byte> body(kMaxBodyBytes);
  std::size_t pushed = 0;
  while (out.push(CellKind::kMessage, {}, body)) ++pushed;
  EXPECT_EQ(pushed, kZoneBytes[0] / kMaxBodyBytes + kZoneBytes[1] / kMaxBodyBytes);
  for (std::size_t i = 0; i < pushed; ++i) {
    Consumer::Message message;
    ASSERT_TRUE(in.ready());
    ASSERT_TRUE(in.read(message));
    in.pop();
  }
  EXPECT_TRUE(out.push(CellKind::kMessage, {}, body));
}

// How far into the data area a producer gets whose consumer leaves `lag` messages.
std::size_t reach(std::size_t lag, std::size_t body_bytes) {
  const auto ring = new_ring();
  Producer out(*ring);
  Consumer in(*ring);
  const std::vector<std::byte> body(body_bytes, std::byte{7});
  std::size_t furthest = 0;
  std::size_t waiting = 0;
  for (std::uint64_t sent = 0, taken = 0; sent < 5000; ++sent) {
    EXPECT_TRUE(out.push(CellKind::kMessage, std::as_bytes(std::span(&sent, 1)), body));
    for (++waiting; waiting > lag; --waiting, ++taken) {
      Consumer::Message message;
      EXPECT_TRUE(in.ready() && in.read(message));
      EXPECT_EQ(std::memcmp(message.head.data(), &taken, sizeof taken), 0);
      EXPECT_TRUE(std::ranges::equal(message.body, body));
      const auto end = static_cast<std::size_t>(message.body.data() - ring->data) + body_bytes;
      furthest = std::max(furthest, end);
      in.pop();
    }
  }
  return furthest;
}

TEST(Ring, AProducerWhoseConsumerKeepsUpStaysWhereTheCachesAre) {
  EXPECT_LE(reach(0, 2048), kZoneBytes[0]);
  EXPECT_LE(reach(2, 2048), kZoneBytes[0]);
  EXPECT_GT(reach(20, 2048), kZoneBytes[0] + kZoneBytes[1] / 2);
}

TEST(Ring, DamagedCellsAreReportedOrHarmless) {
  Random random(10);
  for (int round = 0; round < 20000; ++round) {
    const auto ring = new_ring();
    Cell& cell = ring->cells[0];
    auto* const raw = reinterpret_cast<std::byte*>(&cell);
    for (std::size_t i = 0; i < sizeof cell; ++i)
      raw[i] = static_cast<std::byte>(random.below(256));
    CellHeader header = std::bit_cast<CellHeader>(cell.header.load());
    header.sequence = 1;
    cell.header.store(std::bit_cast<std::uint64_t>(header));
    Consumer in(*ring);
    ASSERT_TRUE(in.ready());
    Consumer::Message message;
    if (!in.read(message)) continue;
    // Whatever was accepted lies inside the ring.
    const auto* const begin = reinterpret_cast<const std::byte*>(ring.get());
    const auto* const end = begin + sizeof(Ring);
    ASSERT_GE(message.head.data(), begin);
    ASSERT_LE(message.head.data() + message.head.size(), end);
    ASSERT_GE(message.body.data(), begin);
    ASSERT_LE(message.body.data() + message.body.size(), end);
  }
}

TEST(Ring, EagerMessagesOfEverySizeLookAsPushMakesThem) {
  const auto ring = new_ring();
  Producer out(*ring);
  Consumer in(*ring);
  std::vector<std::byte> body(kMaxBodyBytes);
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = pattern(5, i);
  for (std::size_t size = 0; size <= 300; ++size) {
    ASSERT_TRUE(out.push_eager(size * 4, wire::source_and_tag(-3, 77), body.data(), size));
    Consumer::Message message;
    ASSERT_TRUE(in.ready() && in.read(message));
    wire::EnvelopeHead head;
    ASSERT_EQ(message.head.size(), sizeof head);
    std::memcpy(&head, message.head.data(), sizeof head);
    EXPECT_EQ(head.type, wire::Type::kEager);
    EXPECT_EQ(head.context, size * 4);
    EXPECT_EQ(head.source, -3);
    EXPECT_EQ(head.tag, 77);
    ASSERT_EQ(message.body.size(), size);
    EXPECT_TRUE(std::equal(message.body.begin(), message.body.end(), body.begin())) << size;
    in.pop();
  }
}

TEST(Nearness, ChangesByAgreementAndNotByOneInterruption) {
  constexpr std::uint64_t kFast = 300, kSlow = 1500, kInterrupted = 5000000;  // ns for 2 KiB
  Nearness nearness;
  EXPECT_TRUE(nearness.near());
  for (int i = 0; i < 100; ++i) nearness.add(2048, i % 3 == 0 ? kInterrupted : kFast);
  EXPECT_TRUE(nearness.near());
  for (int i = 0; i < 100; ++i) nearness.add(2048, kSlow);
  EXPECT_FALSE(nearness.near());
  nearness.add(2048, kFast);
  EXPECT_FALSE(nearness.near());
  for (int i = 0; i < 100; ++i) nearness.add(2048, kFast);
  EXPECT_TRUE(nearness.near());
  int timed = 0;
  for (int i = 0; i < 80; ++i) timed += nearness.wants(Nearness::kMinBytes) ? 1 : 0;
  EXPECT_EQ(timed, 10);
  EXPECT_FALSE(nearness.wants(Nearness::kMinBytes - 1));
}

TEST(Inbox, ManyProducersLoseNothing) {
  auto inbox = std::make_unique<Inbox>();
  inbox_init(*inbox, 1);
  constexpr std::uint32_t kThreads = 4;
  constexpr std::uint32_t kOffers = 20000;
  std::vector<std::thread> producers;
  for (std::uint32_t t = 0; t < kThreads; ++t) {
    producers.emplace_back([&, t] {
      for (std::uint32_t i = 0; i < kOffers; ++i) {
        while (!inbox_push(*inbox, {t, i, 0})) std::this_thread::yield();
      }
    });
  }
  std::vector<std::uint32_t> next(kThreads, 0);
  std::uint64_t position = 0;
  for (std::uint32_t got = 0; got < kThreads * kOffers;) {
    const auto offer = inbox_pop(*inbox, position);
    if (!offer) continue;
    ASSERT_LT(offer->pid, kThreads);
    ASSERT_EQ(offer->fd, next[offer->pid]++);
    ++got;
  }
  for (std::thread& producer : producers) producer.join();
}

}  // namespace
}  // namespace tern::shm
