// Memory that goes away and comes back with other contents is noticed, whatever way it goes.
#include <gtest/gtest.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "verbs/memory_hooks.h"

namespace tern::verbs {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kSize = 16 * kPage;

// As a device does: what it would send is what was in the memory when it was registered.
class Snapshots final : public Registrar {
 public:
  bool add(Region& region, std::string&) override {
    region.handle = new std::string(reinterpret_cast<const char*>(region.begin), region.size());
    ++count;
    return true;
  }
  void remove(Region& region) override {
    delete static_cast<std::string*>(region.handle);
    --count;
  }
  bool is_current(const Region&) override { return true; }
  int count = 0;
};

char* map(void* where = nullptr) {
  void* const memory =
      mmap(where, kSize, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | (where != nullptr ? MAP_FIXED : 0), -1, 0);
  EXPECT_NE(memory, MAP_FAILED);
  return static_cast<char*>(memory);
}

class MemoryHooks : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    struct sigaction before {};
    struct sigaction after {};
    sigaction(SIGSEGV, nullptr, &before);
    is_watching_ = watch_memory(cache, why);
    sigaction(SIGSEGV, nullptr, &after);
    EXPECT_EQ(before.sa_handler, after.sa_handler) << "signals are the program's";
#if defined(__SANITIZE_THREAD__)
    ASSERT_FALSE(is_watching_);
    GTEST_SKIP() << why;
#endif
    ASSERT_TRUE(is_watching_) << why;
  }
  void TearDown() override { unwatch_memory(cache); }

  // What a peer would get of this memory.
  char first_byte(const char* memory) {
    std::string why;
    Region* const region = cache.acquire(memory, kSize, why);
    const auto offset = reinterpret_cast<std::uintptr_t>(memory) - region->begin;
    const char value = (*static_cast<std::string*>(region->handle))[offset];
    cache.release(*region);
    return value;
  }
  // Registers memory full of 'a', has it changed, and looks again.
  void expect_noticed(const std::function<char*(char*)>& change) {
    char* const memory = map();
    std::memset(memory, 'a', kSize);
    EXPECT_EQ(first_byte(memory), 'a');
    EXPECT_EQ(cache.counters().hits, 0U);
    EXPECT_EQ(first_byte(memory), 'a');
    EXPECT_EQ(cache.counters().hits, 1U);
    char* const changed = change(memory);
    ASSERT_EQ(changed, memory);
    std::memset(memory, 'b', kSize);
    EXPECT_EQ(first_byte(memory), 'b');
    EXPECT_EQ(cache.counters().hits, 1U);
    munmap(memory, kSize);
  }

  Snapshots device;
  RegistrationCache cache{{}, device};
  bool is_watching_ = false;
};

TEST_F(MemoryHooks, UnmappedAndMappedAgain) {
  expect_noticed([](char* memory) {
    munmap(memory, kSize);
    return map(memory);
  });
}

TEST_F(MemoryHooks, MappedOver) {
  expect_noticed([](char* memory) { return map(memory); });
}

TEST_F(MemoryHooks, MovedAwayAndMappedAgain) {
  expect_noticed([](char* memory) {
    void* const moved = mremap(memory, kSize, 4 * kSize, MREMAP_MAYMOVE);
    EXPECT_NE(moved, MAP_FAILED);
    if (moved != memory) {
      munmap(moved, 4 * kSize);
      return map(memory);
    }
    munmap(moved, 4 * kSize);
    return map(memory);
  });
}

TEST_F(MemoryHooks, PagesGivenBack) {
  expect_noticed([](char* memory) {
    EXPECT_EQ(madvise(memory, kSize, MADV_DONTNEED), 0);
    return memory;
  });
}

TEST_F(MemoryHooks, OnlyWhatIsUnmappedIsDropped) {
  char* const kept = map();
  char* const gone = map();
  std::memset(kept, 'a', kSize);
  std::memset(gone, 'a', kSize);
  first_byte(kept);
  first_byte(gone);
  const std::uint64_t hits = cache.counters().hits;
  std::memset(kept, 'k', kSize);
  munmap(gone, kSize);
  EXPECT_EQ(first_byte(kept), 'a') << "still the first registration";
  EXPECT_EQ(cache.counters().hits, hits + 1);
  EXPECT_EQ(cache.counters().invalidated, 1U);
  munmap(kept, kSize);
}

TEST_F(MemoryHooks, FreedByTheAllocator) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer's allocator keeps what is freed";
#endif
  // Large enough to be mapped by malloc(), and unmapped by free().
  constexpr std::size_t kLarge = std::size_t{64} << 20;
  auto* const memory = static_cast<char*>(malloc(kLarge));
  std::memset(memory, 'a', kSize);
  first_byte(memory);
  free(memory);
  std::string why;
  char* const other = map();
  Region* const region = cache.acquire(other, kSize, why);
  cache.release(*region);
  EXPECT_GE(cache.counters().invalidated, 1U);
  munmap(other, kSize);
}

// The end of the heap, which goes and comes back without munmap() and mmap().
TEST_F(MemoryHooks, GivenBackAtTheEndOfTheHeap) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer's allocator has no such heap";
#endif
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  constexpr std::size_t kOnHeap = 400 * 1024;
  for (int round = 0; round < 3; ++round) {
    auto* const memory = static_cast<char*>(malloc(kOnHeap));
    std::memset(memory, 'a' + round, kOnHeap);
    EXPECT_EQ(first_byte(memory + kOnHeap / 2), 'a' + round);
    const std::uint64_t before = cache.counters().invalidated;
    free(memory);
    malloc_trim(0);
    char other = 0;  // The next use of the cache acts on what it was told.
    std::string why;
    cache.release(*cache.acquire(&other, 1, why));
    EXPECT_GT(cache.counters().invalidated, before);
  }
}

TEST_F(MemoryHooks, ThreadsUnmapWhileOthersRegister) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 300; ++i) {
        char* const memory = map();
        memory[0] = static_cast<char>(i);
        EXPECT_EQ(first_byte(memory), static_cast<char>(i));
        munmap(memory, kSize);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(MemoryHooksMissing, SaysWhy) {
  Snapshots device;
  RegistrationCache cache({}, device);
  std::string why;
  // The library that is there has been loaded by the tests above, or is now.
  RegistrationCache other({}, device);
  if (!watch_memory(other, why)) GTEST_SKIP() << why;
  EXPECT_FALSE(watch_memory(cache, why));
  EXPECT_EQ(why, "another registration cache is watching already");
  unwatch_memory(cache);  // Does nothing: it is not the one.
  unwatch_memory(other);
  EXPECT_TRUE(watch_memory(cache, why)) << why;
  unwatch_memory(cache);
}

}  // namespace
}  // namespace tern::verbs
