// The registration cache against a plain model: what is handed out covers the buffer and is
// current, nothing in use is deregistered, bounds hold, and everything registered is deregistered
// once.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "core/registration.h"
#include "tests/unit/seed.h"

namespace tern {
namespace {

using test::Random;
constexpr std::uintptr_t kPage = 4096;

// Addresses are only numbers here. Each page has a content number that changes when it is mapped
// anew; a registration remembers those it has seen.
class FakeDevice final : public Registrar {
 public:
  bool add(Region& region, std::string& why) override {
    if (fail_next > 0) {
      --fail_next;
      why = "out of memory keys";
      return false;
    }
    EXPECT_EQ(region.begin % kPage, 0U);
    EXPECT_EQ(region.end % kPage, 0U);
    auto* const handle = new std::map<std::uintptr_t, int>;
    for (std::uintptr_t at = region.begin; at < region.end; at += kPage) (*handle)[at] = pages[at];
    region.handle = handle;
    region.local_key = ++keys;
    EXPECT_TRUE(live.insert(handle).second);
    return true;
  }
  void remove(Region& region) override {
    EXPECT_EQ(in_use.count(region.handle), 0U) << "deregistered while in use";
    EXPECT_EQ(live.erase(region.handle), 1U) << "deregistered twice";
    delete static_cast<std::map<std::uintptr_t, int>*>(region.handle);
    if (on_remove) on_remove();
  }
  bool is_current(const Region& region) override {
    return is_current(region, region.begin, region.end);
  }
  bool is_current(const Region& region, std::uintptr_t begin, std::uintptr_t end) {
    auto& seen = *static_cast<std::map<std::uintptr_t, int>*>(region.handle);
    for (std::uintptr_t at = begin; at < end; at += kPage) {
      if (seen.count(at) == 0 || seen[at] != pages[at]) return false;
    }
    return true;
  }

  std::map<std::uintptr_t, int> pages;
  std::set<void*> live;
  std::multiset<void*> in_use;
  std::uint32_t keys = 0;
  int fail_next = 0;
  std::function<void()> on_remove;
};

const void* at(std::uintptr_t address) { return reinterpret_cast<const void*>(address); }

struct Use {
  Region* region;
  std::uintptr_t begin, end;
};

void random_operations(const RegistrationOptions& options, std::uint64_t stream) {
  Random random(stream);
  FakeDevice device;
  RegistrationCache cache(options, device);
  std::vector<Use> uses;
  std::string why;
  for (int step = 0; step < 8000; ++step) {
    const std::uintptr_t address = 0x10000 + random.below(200 * kPage);
    const std::uintptr_t size = 1 + random.below(random.one_in(4) ? 40 * kPage : 2 * kPage);
    const std::uint64_t choice = random.below(10);
    if (choice < 5 && uses.size() < 20) {
      device.fail_next = random.one_in(30) ? random.between(1, 3) : 0;
      Region* const region = cache.acquire(at(address), size, why);
      if (region == nullptr) {
        ASSERT_EQ(why, "out of memory keys");
        continue;
      }
      ASSERT_TRUE(region->covers(address, address + size));
      // What counts: the device sees the memory that the program sees.
      ASSERT_TRUE(device.is_current(*region, address / kPage * kPage, address + size));
      device.in_use.insert(region->handle);
      uses.push_back({region, address, address + size});
    } else if (choice < 9 && !uses.empty()) {
      const auto victim = uses.begin() + static_cast<long>(random.below(uses.size()));
      device.in_use.erase(device.in_use.find(victim->region->handle));
      cache.release(*victim->region);
      uses.erase(victim);
    } else if (choice == 9) {
      // A program does not unmap what it has given to MPI, but pages beside it.
      const std::uintptr_t begin = address / kPage * kPage;
      const std::uintptr_t end = begin + (size + kPage - 1) / kPage * kPage;
      bool is_used = false;
      for (const Use& use : uses) is_used |= use.begin < end && begin < use.end;
      if (is_used) continue;
      for (std::uintptr_t page = begin; page < end; page += kPage) ++device.pages[page];
      if (options.hooks) cache.invalidate(at(begin), end - begin);
    }
    std::size_t used_bytes = 0;
    for (void* const handle : std::set<void*>(device.in_use.begin(), device.in_use.end())) {
      used_bytes += static_cast<std::map<std::uintptr_t, int>*>(handle)->size() * kPage;
    }
    ASSERT_LE(cache.bytes(), std::max(options.bytes_max, used_bytes + 42 * kPage) + used_bytes);
    ASSERT_EQ(cache.regions(), device.live.size());
  }
  for (const Use& use : uses) {
    device.in_use.erase(device.in_use.find(use.region->handle));
    cache.release(*use.region);
  }
  EXPECT_LE(cache.bytes(), options.bytes_max);
  EXPECT_LE(cache.regions(), options.regions_max);
  const RegistrationCache::Counters counters = cache.counters();
  if (options.hooks) {
    EXPECT_GT(counters.hits, 0U);
    EXPECT_GT(counters.invalidated, 0U);
  } else {
    EXPECT_EQ(cache.regions(), 0U);
  }
  cache.clear();
  EXPECT_EQ(cache.regions(), 0U);
  EXPECT_EQ(cache.bytes(), 0U);
  EXPECT_TRUE(device.live.empty());
}

TEST(Registration, RandomOperationsWithHooks) {
  random_operations({.bytes_max = 60 * kPage, .regions_max = 12}, 1);
}
TEST(Registration, RandomOperationsWithRoomForAll) { random_operations({}, 2); }
TEST(Registration, RandomOperationsWithoutHooks) {
  random_operations({.bytes_max = 60 * kPage, .regions_max = 12, .hooks = false}, 3);
}

TEST(Registration, UsesOneRegionAgainForPartsOfIt) {
  FakeDevice device;
  RegistrationCache cache({}, device);
  std::string why;
  Region* const whole = cache.acquire(at(0x10000), 10 * kPage, why);
  Region* const part = cache.acquire(at(0x10000 + 5 * kPage + 7), 100, why);
  EXPECT_EQ(whole, part);
  cache.release(*whole);
  cache.release(*part);
  EXPECT_EQ(cache.counters().registered, 1U);
  EXPECT_EQ(cache.counters().hits, 1U);
}

TEST(Registration, LeastRecentlyUsedGoesFirst) {
  FakeDevice device;
  RegistrationCache cache({.bytes_max = std::size_t{1} << 30, .regions_max = 3}, device);
  std::string why;
  const auto use = [&](std::uintptr_t page) {
    const std::uint64_t before = cache.counters().registered;
    cache.release(*cache.acquire(at(0x10000 + 2 * page * kPage), 10, why));
    return cache.counters().registered != before;  // True: it was not there.
  };
  EXPECT_TRUE(use(1));
  EXPECT_TRUE(use(2));
  EXPECT_TRUE(use(3));
  EXPECT_FALSE(use(1));
  EXPECT_TRUE(use(4));  // 2 goes.
  EXPECT_FALSE(use(1));
  EXPECT_FALSE(use(3));
  EXPECT_TRUE(use(2));
}

TEST(Registration, SelfCheckFindsWhatAHookMissed) {
  FakeDevice device;
  RegistrationCache cache({.self_check = true}, device);
  std::string why;
  cache.release(*cache.acquire(at(0x10000), kPage, why));
  ++device.pages[0x10000];  // Mapped anew, and nobody said so.
  Region* const region = cache.acquire(at(0x10000), kPage, why);
  EXPECT_TRUE(device.is_current(*region));
  EXPECT_EQ(cache.counters().stale, 1U);
  cache.release(*region);
}

TEST(Registration, InvalidationFromInsideDeregistration) {
  FakeDevice device;
  RegistrationCache cache({}, device);
  std::string why;
  cache.release(*cache.acquire(at(0x10000), kPage, why));
  cache.release(*cache.acquire(at(0x20000), kPage, why));
  int calls = 0;
  // As a driver that frees memory while the cache's lock is held.
  device.on_remove = [&] {
    if (++calls == 1) cache.invalidate(at(0x20000), kPage);
  };
  cache.invalidate(at(0x10000), kPage);
  cache.release(*cache.acquire(at(0x30000), kPage, why));
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(cache.counters().invalidated, 2U);
}

TEST(Registration, MoreInvalidationsThanCanBeNoted) {
  FakeDevice device;
  RegistrationCache cache({}, device);
  std::string why;
  for (std::uintptr_t i = 0; i < 50; ++i) {
    cache.release(*cache.acquire(at(0x10000 + 2 * i * kPage), kPage, why));
  }
  for (std::uintptr_t i = 0; i < 5000; ++i) cache.invalidate(at(0x90000000 + i * kPage), kPage);
  cache.release(*cache.acquire(at(0x10000), kPage, why));
  EXPECT_EQ(cache.counters().invalidated, 50U);  // All of them, to be sure.
}

// Threads that register, use and unmap: for ThreadSanitizer, and nothing is left.
TEST(Registration, Threads) {
  FakeDevice device;
  RegistrationCache cache({.bytes_max = 20 * kPage, .regions_max = 8}, device);
  std::vector<std::thread> threads;
  for (std::uintptr_t t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, t] {
      std::string why;
      for (std::uintptr_t i = 0; i < 3000; ++i) {
        const std::uintptr_t address = 0x10000 + (t * 64 + i % 16) * kPage;
        Region* const region = cache.acquire(at(address), kPage, why);
        ASSERT_NE(region, nullptr);
        cache.release(*region);
        if (i % 7 == 0) cache.invalidate(at(address), kPage);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  cache.clear();
  EXPECT_TRUE(device.live.empty());
}

}  // namespace
}  // namespace tern
