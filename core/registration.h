// core/registration.h - keeps memory registered with the network between uses (pinning a buffer
// costs as much as sending megabytes).
//
// The cache is pure: a Registrar registers and deregisters, and somebody who watches the process's
// address space calls invalidate(). Regions do not overlap-by-accident: a request that partly
// overlaps cached regions replaces them by one that covers all, so lookups find one region for a
// buffer. Bounded by bytes and count; the least recently used idle region goes first. Regions in
// use are never deregistered under their user: an invalidated one goes with its last user.
// Threading: all functions take the cache's lock, except invalidate(), which may be called from
// inside munmap() in any thread, also while that thread holds the lock (a Registrar that frees
// memory): it only notes the range, without lock or allocation, and the next call acts on it.
// Failure: acquire() returns nullptr with the Registrar's reason; nothing throws.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace tern {

// A piece of registered memory. `handle` and the keys are the Registrar's.
struct Region {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  void* handle = nullptr;
  std::uint32_t local_key = 0;
  std::uint32_t remote_key = 0;
  // The same of a second device, for those who use two; nullptr where it does not have the memory.
  void* second_handle = nullptr;
  std::uint32_t second_local_key = 0;
  std::uint32_t second_remote_key = 0;

  std::size_t size() const { return end - begin; }
  bool covers(std::uintptr_t from, std::uintptr_t to) const { return begin <= from && to <= end; }

 private:
  friend class RegistrationCache;
  std::uint32_t users_ = 0;
  bool cached_ = false;  // In the tree; else it goes with its last user.
  Region* newer_ = nullptr;
  Region* older_ = nullptr;
};

class Registrar {
 public:
  // Registers region.begin .. region.end and fills in handle and keys. False with a reason.
  virtual bool add(Region& region, std::string& why) = 0;
  virtual void remove(Region& region) = 0;
  // For the self-check: whether the registration still shows the memory that is at that address
  // now.
  virtual bool is_current(const Region& region) = 0;

 protected:
  ~Registrar() = default;
};

struct RegistrationOptions {
  std::size_t bytes_max = std::size_t{1} << 30;  // Of idle and used regions together.
  std::size_t regions_max = 4096;
  // Somebody calls invalidate() for all memory that goes away. Without, a region goes with its last
  // user: right, and slow.
  bool hooks = true;
  // Asks the Registrar on every hit whether the region is current; a stale one is counted, reported
  // by counters().stale and replaced. For tests and for doubts about the hooks.
  bool self_check = false;
};

class RegistrationCache {
 public:
  struct Counters {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t registered = 0;
    std::uint64_t deregistered = 0;
    std::uint64_t evicted = 0;      // For the bounds.
    std::uint64_t invalidated = 0;  // Because memory went away.
    std::uint64_t stale = 0;        // Found by the self-check: a hook has missed something.
  };

  RegistrationCache(const RegistrationOptions& options, Registrar& registrar);
  ~RegistrationCache();  // Precondition: no region is in use.
  RegistrationCache(const RegistrationCache&) = delete;
  RegistrationCache& operator=(const RegistrationCache&) = delete;

  // A region that covers the buffer (page by page), for use until release(); nullptr with a reason.
  // Precondition: size_bytes > 0.
  Region* acquire(const void* address, std::size_t size_bytes, std::string& why);
  void release(Region& region);

  // The memory is gone or will be before this returns to the program. Any thread, any place.
  void invalidate(const void* address, std::size_t size_bytes) noexcept;
  // Deregisters what is idle.
  void clear();

  Counters counters() const;
  std::size_t bytes() const;
  std::size_t regions() const;

 private:
  // Written by invalidate(): kFree -> kWriting -> kFull; act_on_notes() frees it again.
  struct Note {
    enum State : std::uint32_t { kFree, kWriting, kFull };
    std::atomic<std::uint32_t> state{kFree};
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
  };
  static constexpr std::size_t kNotes = 256;

  using Tree = std::map<std::uintptr_t, Region*>;  // By begin; regions in it do not overlap.

  void act_on_notes();
  bool try_add(Region& region, std::uintptr_t begin, std::uintptr_t end, std::string& why);
  std::pair<Tree::iterator, Tree::iterator> overlapping(std::uintptr_t begin, std::uintptr_t end);
  void drop_range(std::uintptr_t begin, std::uintptr_t end, std::uint64_t* counter);
  void drop_idle();
  void uncache(Region& region);
  void destroy(Region& region);
  void keep_bounds(std::size_t coming_bytes);
  Region* find(std::uintptr_t begin, std::uintptr_t end);
  void link_newest(Region& region);
  void unlink(Region& region);

  const RegistrationOptions options_;
  Registrar& registrar_;
  mutable std::mutex mutex_;
  Tree tree_;
  Region* newest_ = nullptr;  // Idle regions in the tree, by last use.
  Region* oldest_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t regions_ = 0;
  Counters counters_;
  std::array<Note, kNotes> notes_;
  std::atomic<bool> everything_{false};  // More notes than fit: nothing cached can be trusted.
  std::atomic<bool> noted_{false};
};

}  // namespace tern
