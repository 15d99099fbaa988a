// The arena of MPI objects: memory is never shared, wrong handles are recognised, all of it for any
// history of creations and frees.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <set>
#include <thread>
#include <unordered_map>
#include <vector>

#include "mpi_api/object.h"
#include "seed.h"

namespace tern::mpi {
namespace {

std::uintptr_t handle_of(const Object* object) { return reinterpret_cast<std::uintptr_t>(object); }

// An object of a chosen size that knows whether somebody else has written to it.
template <std::size_t kBytes>
class Filled final : public Object {
 public:
  Filled(Kind kind, unsigned char value) : Object(kind) { fill_.fill(value); }
  bool is_filled_with(unsigned char value) const {
    return std::ranges::all_of(fill_, [value](unsigned char byte) { return byte == value; });
  }

 private:
  std::array<unsigned char, kBytes> fill_;
};

struct Live {
  Object* object;
  Kind kind;
  unsigned char fill;
  bool (*intact)(const Object*, unsigned char);
};

template <std::size_t kBytes>
Live create(Kind kind, unsigned char fill) {
  return {make<Filled<kBytes>>(kind, fill), kind, fill,
          [](const Object* object, unsigned char value) {
            return static_cast<const Filled<kBytes>*>(object)->is_filled_with(value);
          }};
}

Live create_any(test::Random& random) {
  constexpr std::array kKinds = {Kind::kComm, Kind::kGroup, Kind::kOp, Kind::kRequest};
  const Kind kind = kKinds[random.below(kKinds.size())];
  const auto fill = static_cast<unsigned char>(random.below(256));
  switch (random.below(5)) {
    case 0:
      return create<8>(kind, fill);
    case 1:
      return create<100>(kind, fill);
    case 2:
      return create<300>(kind, fill);
    case 3:
      return create<1000>(kind, fill);
    default:
      return create<2000>(kind, fill);
  }
}

Kind other_than(Kind kind) { return kind == Kind::kOp ? Kind::kGroup : Kind::kOp; }

TEST(Arena, AnyHistoryOfCreationsAndFreesKeepsObjectsApartAndRecognisesStaleHandles) {
  test::Random random;
  std::vector<Live> live;
  std::set<std::uintptr_t> freed;  // And not living again.
  for (int step = 0; step < 20000; ++step) {
    if (live.size() < 50 || (live.size() < 3000 && random.one_in(2))) {
      live.push_back(create_any(random));
      const Live& made = live.back();
      ASSERT_NE(made.object, nullptr);
      ASSERT_EQ(handle_of(made.object) % 64, 0U);
      freed.erase(handle_of(made.object));
    } else {
      const std::size_t victim = random.below(live.size());
      const Live gone = live[victim];
      ASSERT_TRUE(gone.intact(gone.object, gone.fill));
      freed.insert(handle_of(gone.object));
      gone.object->release();
      live[victim] = live.back();
      live.pop_back();
    }
    if (step % 500 != 0) continue;
    for (const Live& object : live) {
      ASSERT_EQ(find_object(handle_of(object.object), object.kind), object.object);
      ASSERT_EQ(find_object(handle_of(object.object), other_than(object.kind)), nullptr);
      ASSERT_TRUE(object.intact(object.object, object.fill));
    }
    for (const std::uintptr_t handle : freed) {
      for (const Kind kind : {Kind::kComm, Kind::kGroup, Kind::kOp, Kind::kRequest}) {
        ASSERT_EQ(find_object(handle, kind), nullptr) << "freed";
      }
    }
  }
  for (const Live& object : live) object.object->release();
}

TEST(Arena, NoAddressButAnObjectsOwnIsAHandle) {
  Object* const object = make<Filled<300>>(Kind::kOp, 0);
  const std::uintptr_t handle = handle_of(object);
  // Inside the object, and before it, whatever lies there.
  for (std::uintptr_t offset = 1; offset < 384; ++offset) {
    EXPECT_EQ(find_object(handle + offset, Kind::kOp), nullptr) << offset;
  }
  int on_stack = 0;
  const auto on_heap = std::make_unique<int>(0);
  for (const std::uintptr_t garbage :
       {std::uintptr_t{0}, std::uintptr_t{1}, std::uintptr_t{4095}, std::uintptr_t{4096},
        std::uintptr_t{64000}, ~std::uintptr_t{0}, ~std::uintptr_t{63},
        std::uintptr_t{0xdeadbeefdeadbe00}, reinterpret_cast<std::uintptr_t>(&on_stack),
        reinterpret_cast<std::uintptr_t>(on_heap.get())}) {
    EXPECT_EQ(find_object(garbage, Kind::kOp), nullptr) << garbage;
  }
  test::Random random;
  for (int i = 0; i < 100000; ++i) {
    // Near the arena, where a wrong answer is most likely; 64-byte aligned as handles are.
    const std::uintptr_t near = (handle & ~std::uintptr_t{63}) + 64 * random.below(1 << 20);
    Object* const found = find_object(near, Kind::kSession);
    EXPECT_EQ(found, nullptr);  // No session exists.
  }
  object->release();
}

TEST(Arena, IntegersNameLivingObjectsOneToOne) {
  std::unordered_map<int, Object*> named;
  for (int i = 0; i < 5000; ++i) {
    Object* const object = i % 2 == 0 ? static_cast<Object*>(make<Filled<8>>(Kind::kOp, 0))
                                      : make<Filled<500>>(Kind::kOp, 0);
    const int number = arena::to_int(object);
    EXPECT_GE(number, 4096) << "below are the predefined handles";
    EXPECT_TRUE(named.emplace(number, object).second);
    EXPECT_EQ(arena::from_int(number), handle_of(object));
    EXPECT_EQ(arena::to_int(object), number);
  }
  EXPECT_EQ(arena::from_int(-1), 0U);
  EXPECT_EQ(arena::from_int(0), 0U);
  EXPECT_EQ(arena::from_int(0x7fffffff), 0U);
  for (const auto& [number, object] : named) object->release();
}

TEST(Arena, GrowsBeyondItsFirstRegion) {
  // 2 KiB each: more than the 64 MiB of the first region.
  constexpr int kObjects = 40'000;
  std::vector<Object*> objects;
  objects.reserve(kObjects);
  for (int i = 0; i < kObjects; ++i) objects.push_back(make<Filled<2000>>(Kind::kOp, 0));
  ASSERT_TRUE(std::ranges::none_of(objects, [](Object* object) { return object == nullptr; }));
  std::vector<int> numbers;
  numbers.reserve(kObjects);
  for (Object* const object : objects) {
    ASSERT_EQ(find_object(handle_of(object), Kind::kOp), object);
    numbers.push_back(arena::to_int(object));
    ASSERT_EQ(arena::from_int(numbers.back()), handle_of(object));
  }
  std::ranges::sort(numbers);
  EXPECT_EQ(std::ranges::adjacent_find(numbers), numbers.end());
  for (Object* const object : objects) object->release();
}

TEST(Arena, RetainedObjectsOutliveTheHandlesReference) {
  Object* const object = make<Filled<8>>(Kind::kOp, 0);
  object->retain();
  object->release();
  EXPECT_EQ(find_object(handle_of(object), Kind::kOp), object);
  object->release();
  EXPECT_EQ(find_object(handle_of(object), Kind::kOp), nullptr);
}

TEST(Arena, PredefinedObjectsAreFoundByTheirNumberAndNeverDestroyedByRelease) {
  constexpr std::uintptr_t kUnused = 4000;
  Object* const object = make<Filled<8>>(Kind::kOp, 0);
  object->make_predefined(kUnused);
  EXPECT_EQ(find_object(kUnused, Kind::kOp), object);
  EXPECT_EQ(find_object(kUnused, Kind::kComm), nullptr);
  object->release();
  object->retain();
  EXPECT_EQ(find_object(kUnused, Kind::kOp), object);
  object->retire_predefined();
  EXPECT_EQ(find_object(kUnused, Kind::kOp), nullptr);
  object->release();
  EXPECT_EQ(find_object(handle_of(object), Kind::kOp), nullptr);
}

class Shared final : public SharedObject {
 public:
  explicit Shared(unsigned value) : SharedObject(Kind::kInfo), value_(value) {}
  unsigned value() const { return value_; }

 private:
  unsigned value_;
};

TEST(Arena, SharedObjectsComeAndGoOnSeveralThreadsAtOnce) {
  Shared* const common = make<Shared>(0U);
  std::vector<std::thread> threads;
  for (unsigned id = 1; id <= 4; ++id) {
    threads.emplace_back([id, common] {
      std::vector<Shared*> mine;
      for (unsigned i = 0; i < 3000; ++i) {
        mine.push_back(make<Shared>(id));
        common->retain();
        if (i % 3 == 0) continue;
        EXPECT_EQ(mine.back()->value(), id);
        EXPECT_EQ(find_object(handle_of(mine.back()), Kind::kInfo), mine.back());
        mine.back()->release();
        mine.pop_back();
        common->release();
      }
      for (Shared* const object : mine) {
        EXPECT_EQ(object->value(), id);
        object->release();
        common->release();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(find_object(handle_of(common), Kind::kInfo), common);
  common->release();
  EXPECT_EQ(find_object(handle_of(common), Kind::kInfo), nullptr);
}

// Exits with 0 when the arena lives with `extra` bytes of address space, and says "no" when it is
// full.
void fill_under_limit(rlim_t extra) {
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t now = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
  const rlimit limit{now + extra, now + extra};
  if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(3);
  std::size_t count = 0;
  while (make<Filled<500>>(Kind::kOp, 0) != nullptr) ++count;
  const std::size_t bytes = count * 576;
  _exit(bytes >= extra / 4 && bytes <= extra ? 0 : 4);
}

TEST(ArenaDeathTest, LivesWithLittleAddressSpaceAndSaysWhenItIsFull) {
  // A process of its own, in which the arena has reserved nothing yet.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(fill_under_limit(16 << 20), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace tern::mpi
