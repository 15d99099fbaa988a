// Matching against a plain list that is searched front to back: the definition of the order.
#include <gtest/gtest.h>

#include <deque>
#include <list>
#include <memory>
#include <vector>

#include "core/match.h"
#include "core/op_table.h"
#include "tests/unit/seed.h"

namespace tern {
namespace {

using test::Random;

bool matches(const Envelope& pattern, const Envelope& message) {
  return pattern.context == message.context &&
         (pattern.source == kAnySource || pattern.source == message.source) &&
         (pattern.tag == kAnyTag || pattern.tag == message.tag);
}

Envelope random_message(Random& random) {
  return {random.below(2) * 2, random.between(0, 3), random.between(0, 3)};
}

Envelope random_pattern(Random& random) {
  Envelope pattern = random_message(random);
  if (random.one_in(3)) pattern.source = kAnySource;
  if (random.one_in(3)) pattern.tag = kAnyTag;
  return pattern;
}

TEST(PostedQueue, MatchesInPostingOrderWithWildcards) {
  Random random(1);
  PostedQueue queue;
  std::list<std::unique_ptr<Request>> posted;
  for (int step = 0; step < 200000; ++step) {
    // Long phases of growing and shrinking, so that the table grows with entries in it.
    const bool grow = (step / 3000) % 2 == 0;
    if (random.one_in(grow ? 4 : 2)) {
      const Envelope message = random_message(random);
      auto expected = posted.begin();
      while (expected != posted.end() && !matches((*expected)->envelope, message)) ++expected;
      Request* const found = queue.match(message);
      ASSERT_EQ(found, expected == posted.end() ? nullptr : expected->get()) << "step " << step;
      if (expected != posted.end()) posted.erase(expected);
    } else if (!posted.empty() && random.one_in(20)) {
      auto victim = std::next(posted.begin(), static_cast<long>(random.below(posted.size())));
      queue.remove(**victim);
      posted.erase(victim);
    } else {
      posted.push_back(std::make_unique<Request>());
      posted.back()->envelope = random_pattern(random);
      queue.post(*posted.back());
    }
    ASSERT_EQ(queue.size(), posted.size());
  }
}

TEST(UnexpectedQueue, FindsTheEarliestArrival) {
  Random random(2);
  UnexpectedQueue queue;
  std::list<std::unique_ptr<UnexpectedMessage>> arrived;
  for (int step = 0; step < 200000; ++step) {
    const bool grow = (step / 3000) % 2 == 0;
    if (random.one_in(grow ? 4 : 2)) {
      const Envelope pattern = random_pattern(random);
      auto expected = arrived.begin();
      while (expected != arrived.end() && !matches(pattern, (*expected)->envelope)) ++expected;
      UnexpectedMessage* const found = queue.find(pattern);
      ASSERT_EQ(found, expected == arrived.end() ? nullptr : expected->get()) << "step " << step;
      if (found != nullptr) {
        queue.remove(*found);
        arrived.erase(expected);
      }
    } else {
      arrived.push_back(std::make_unique<UnexpectedMessage>());
      arrived.back()->envelope = random_message(random);
      queue.add(*arrived.back());
    }
    ASSERT_EQ(queue.size(), arrived.size());
  }
}

TEST(PostedQueue, KeepsThousandsOfDistinctKeysApart) {
  constexpr int kCount = 20000;
  PostedQueue queue;
  std::vector<Request> requests(kCount);
  for (int i = 0; i < kCount; ++i) {
    requests[static_cast<std::size_t>(i)].envelope = {2, i % 100, i};
    queue.post(requests[static_cast<std::size_t>(i)]);
  }
  for (int i = kCount - 1; i >= 0; --i) {
    EXPECT_EQ(queue.match({2, i % 100, i}), &requests[static_cast<std::size_t>(i)]);
  }
  EXPECT_EQ(queue.size(), 0U);
}

TEST(OpTable, StaleAndForgedKeysFindNothing) {
  Random random(3);
  OpTable table;
  std::vector<std::pair<std::uint32_t, Request*>> live;
  std::vector<std::uint32_t> dead;
  std::deque<Request> requests;
  for (int step = 0; step < 50000; ++step) {
    if (random.one_in(2) || live.empty()) {
      requests.emplace_back();
      const std::uint32_t key = table.add(requests.back());
      ASSERT_NE(key, 0U);
      live.emplace_back(key, &requests.back());
    } else {
      const std::size_t victim = random.below(live.size());
      table.remove(live[victim].first);
      // A key may come again after 4095 lives of its slot; remember only the recent ones.
      dead.push_back(live[victim].first);
      if (dead.size() > 1000) dead.erase(dead.begin());
      live[victim] = live.back();
      live.pop_back();
    }
  }
  for (const auto& [key, request] : live) EXPECT_EQ(table.find(key), request);
  for (const std::uint32_t key : dead) EXPECT_EQ(table.find(key), nullptr);
  EXPECT_EQ(table.find(0), nullptr);
  EXPECT_EQ(table.find(~0U), nullptr);
}

}  // namespace
}  // namespace tern
