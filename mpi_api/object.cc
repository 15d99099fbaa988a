// mpi_api/object.cc - the arena that MPI objects live in, and the way from handles to objects.
//
// Address space is reserved in regions and made usable in chunks. A chunk holds slots of one size
// only and says so in its first line, so that a handle is checked against the slot grid without a
// table on the side. Free slots form one list per size: taking and giving back is a few
// instructions. Memory is never given back to the system: what was an object stays readable.
//
// Threading: two sets of free lists (pools). One is touched under the entry lock only, the other
// has a lock of its own; both grow under one lock. contains() may run beside all of it. Failure:
// nullptr when the system gives no more memory.
#include "mpi_api/object.h"

#include <sys/mman.h>

#include <array>
#include <mutex>

#include "core/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace tern::mpi {

Object* predefined_objects[4096];

namespace arena {
namespace {

constexpr std::size_t kUnit = 64;  // Slots are multiples of this, and aligned to it.
constexpr std::size_t kChunkBytes = 1 << 16;
constexpr std::size_t kChunkUnits = kChunkBytes / kUnit;
constexpr std::size_t kMaxUnits = kMaxObjectBytes / kUnit;
// Each region is twice as large as the one before: 64 MiB serve nearly every program and are little
// under a limit of the address space (ulimit -v); all ten together are 64 GiB, about 2^30 units.
constexpr std::size_t kFirstRegionBytes = std::size_t{64} << 20;
constexpr std::size_t kRegions = 10;
// Below this a region is not worth having.
constexpr std::size_t kSmallestRegionBytes = 4 * kChunkBytes;
// What a freed slot keeps readable for find_object(): the list's link and the object's kind.
constexpr std::size_t kFreedHeadBytes = 16;

struct FreeSlot {
  FreeSlot* next;
};

// The first line of a chunk.
struct Chunk {
  std::uint32_t slot_units;
  std::uint32_t reciprocal;  // Rounded up 2^16 / slot_units.
  std::uint32_t slots;
  std::atomic<std::uint32_t> handed_out;  // Slots 0..handed_out-1 have been objects.

  std::byte* slot(std::size_t index) {
    return reinterpret_cast<std::byte*>(this) + kUnit * (1 + index * slot_units);
  }
  // unit: distance from the chunk's start. Exact for 0 < unit < 1024 and slot_units <= 32, since
  // the reciprocal's error times unit stays below 2^16.
  bool holds(std::size_t unit) const {
    if (unit == 0) return false;
    const std::size_t index = (unit - 1) * reciprocal >> 16;
    return index * slot_units == unit - 1 && index < handed_out.load(std::memory_order_relaxed);
  }
};
static_assert(sizeof(Chunk) <= kUnit);
static_assert(kChunkUnits * kMaxUnits < (1 << 16));

struct Region {
  // Written once, before `usable` becomes more than 0.
  std::uintptr_t base = 0;
  std::size_t bytes = 0;
  std::size_t units_before = 0;        // In all regions before this one.
  std::atomic<std::size_t> usable{0};  // Bytes from base on that have been made chunks.
};

constinit std::array<Region, kRegions> regions;
constinit std::size_t region_in_use = 0;
constinit std::mutex growth;  // Guards the two above, except reads of a region that is usable.

// Reserves the address space of a region; as little as possible is asked for when there is little.
bool reserve(Region& region, std::size_t bytes, std::size_t units_before) {
  for (; bytes >= kSmallestRegionBytes; bytes /= 2) {
    // One chunk more than is used, to begin at a multiple of the chunk's size.
    void* const place = mmap(nullptr, bytes + kChunkBytes, PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) continue;
    region.base = (reinterpret_cast<std::uintptr_t>(place) + kChunkBytes - 1) & -kChunkBytes;
    region.bytes = bytes;
    region.units_before = units_before;
    return true;
  }
  return false;
}

// The region that the next chunk comes from; nullptr when all address space is used up.
Region* region_with_room() {
  while (true) {
    Region& region = regions[region_in_use];
    if (region.bytes == 0) {
      const Region* const last = region_in_use == 0 ? nullptr : &regions[region_in_use - 1];
      const std::size_t before = last == nullptr ? 0 : last->units_before + last->bytes / kUnit;
      if (!reserve(region, kFirstRegionBytes << region_in_use, before)) return nullptr;
    }
    if (region.usable.load(std::memory_order_relaxed) < region.bytes) return &region;
    if (region_in_use + 1 == kRegions) return nullptr;
    ++region_in_use;
  }
}

// A chunk for slots of that size; nullptr when there is no memory.
Chunk* new_chunk(std::size_t slot_units) {
  const std::lock_guard lock(growth);
  Region* const region = region_with_room();
  if (region == nullptr) return nullptr;
  const std::size_t used = region->usable.load(std::memory_order_relaxed);
  void* const place = reinterpret_cast<void*>(region->base + used);
  if (mprotect(place, kChunkBytes, PROT_READ | PROT_WRITE) != 0) return nullptr;
#if defined(__SANITIZE_ADDRESS__)
  __lsan_register_root_region(place, kChunkBytes);  // Objects own memory of the heap.
#endif
  auto* const chunk = ::new (place) Chunk;
  chunk->slot_units = static_cast<std::uint32_t>(slot_units);
  chunk->reciprocal = static_cast<std::uint32_t>((65536 + slot_units - 1) / slot_units);
  chunk->slots = static_cast<std::uint32_t>((kChunkUnits - 1) / slot_units);
  chunk->handed_out.store(0, std::memory_order_relaxed);
  // Pairs with the load in contains(), which reads the chunk's first line next.
  region->usable.store(used + kChunkBytes, std::memory_order_release);
  return chunk;
}

// Free slots, and the chunks that new slots are cut from, by size in units.
class Pool {
 public:
  void* take(std::size_t size) {
    const std::size_t units = (size + kUnit - 1) / kUnit;
    FreeSlot* const slot = free_[units];
    if (slot == nullptr) [[unlikely]]
      return cut(units);
    free_[units] = slot->next;
    ASAN_UNPOISON_MEMORY_REGION(slot, units * kUnit);
    return slot;
  }

  void give(void* object, std::size_t size) noexcept {
    const std::size_t units = (size + kUnit - 1) / kUnit;
    auto* const slot = static_cast<FreeSlot*>(object);
    slot->next = free_[units];
    free_[units] = slot;
    ASAN_POISON_MEMORY_REGION(static_cast<std::byte*>(object) + kFreedHeadBytes,
                              units * kUnit - kFreedHeadBytes);
  }

 private:
  [[gnu::noinline]] void* cut(std::size_t units) {
    CHECK(units > 0 && units <= kMaxUnits);
    Chunk* chunk = chunks_[units];
    if (chunk == nullptr || chunk->handed_out.load(std::memory_order_relaxed) == chunk->slots) {
      chunk = new_chunk(units);
      if (chunk == nullptr) return nullptr;
      chunks_[units] = chunk;
    }
    const std::uint32_t index = chunk->handed_out.load(std::memory_order_relaxed);
    chunk->handed_out.store(index + 1, std::memory_order_relaxed);
    return chunk->slot(index);
  }

  std::array<FreeSlot*, kMaxUnits + 1> free_{};
  std::array<Chunk*, kMaxUnits + 1> chunks_{};
};

constinit Pool pool;         // Under the entry lock.
constinit Pool shared_pool;  // Under shared_lock.
constinit std::mutex shared_lock;

}  // namespace

void* allocate(std::size_t size) { return pool.take(size); }
void deallocate(void* object, std::size_t size) noexcept { pool.give(object, size); }

void* allocate_shared(std::size_t size) {
  const std::lock_guard lock(shared_lock);
  return shared_pool.take(size);
}

void deallocate_shared(void* object, std::size_t size) noexcept {
  const std::lock_guard lock(shared_lock);
  shared_pool.give(object, size);
}

bool contains(std::uintptr_t handle) {
  if (handle % kUnit != 0) return false;
  for (const Region& region : regions) {
    const std::size_t usable = region.usable.load(std::memory_order_acquire);
    if (usable == 0) return false;  // Regions are used one after the other.
    const std::uintptr_t offset = handle - region.base;
    if (offset < usable) {
      const auto* const chunk = reinterpret_cast<const Chunk*>(handle & -kChunkBytes);
      return chunk->holds(offset % kChunkBytes / kUnit);
    }
  }
  return false;
}

// Handle integers below this are the predefined handles' own values.
constexpr std::size_t kFirstInt = 4096;

int to_int(const void* object) {
  const auto address = reinterpret_cast<std::uintptr_t>(object);
  for (const Region& region : regions) {
    const std::uintptr_t offset = address - region.base;
    if (offset < region.usable.load(std::memory_order_acquire)) {
      return static_cast<int>(kFirstInt + region.units_before + offset / kUnit);
    }
  }
  return 0;
}

std::uintptr_t from_int(int value) {
  if (value < static_cast<int>(kFirstInt)) return 0;
  const std::size_t unit = static_cast<std::size_t>(value) - kFirstInt;
  for (const Region& region : regions) {
    const std::size_t usable = region.usable.load(std::memory_order_acquire);
    if (unit >= region.units_before && unit - region.units_before < usable / kUnit) {
      return region.base + (unit - region.units_before) * kUnit;
    }
  }
  return 0;
}

}  // namespace arena

void Object::make_predefined(std::uintptr_t handle) {
  CHECK(handle > 0 && handle < std::size(predefined_objects));
  handle_ = handle;
  predefined_objects[handle] = this;
}

void Object::retire_predefined() {
  predefined_objects[handle_] = nullptr;
  handle_ = 0;
}

// What may be a freed object is asked for its kind, so no check of its virtual table here either.
__attribute__((no_sanitize("vptr"))) Object* find_object(std::uintptr_t handle, Kind kind) {
  Object* object = nullptr;
  if (handle < std::size(predefined_objects)) {
    object = predefined_objects[handle];
  } else if (arena::contains(handle)) {
    object = reinterpret_cast<Object*>(handle);
  }
  return object != nullptr && object->kind() == kind ? object : nullptr;
}

__attribute__((no_sanitize("vptr"))) int find_wrong_request(const MPI_Request handles[],
                                                            int count) {
  // Sends that have left at once have one request together: neighbours are often the same.
  MPI_Request good = MPI_REQUEST_NULL;
  for (int i = 0; i < count; ++i) {
    auto* const handle = handles[i];
    if (handle == good || handle == MPI_REQUEST_NULL) continue;
    if (find_object(reinterpret_cast<std::uintptr_t>(handle), Kind::kRequest) == nullptr) return i;
    good = handle;
  }
  return count;
}

}  // namespace tern::mpi
