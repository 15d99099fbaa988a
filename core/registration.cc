// core/registration.cc - the cache of registered memory; see registration.h.
#include "core/registration.h"

#include <unistd.h>

#include <algorithm>

#include "core/check.h"

namespace tern {
namespace {

std::uintptr_t page_bytes() {
  static const auto value = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  return value;
}

std::uintptr_t page_begin(std::uintptr_t at) { return at & ~(page_bytes() - 1); }
std::uintptr_t page_end(std::uintptr_t at) { return page_begin(at + page_bytes() - 1); }

}  // namespace

RegistrationCache::RegistrationCache(const RegistrationOptions& options, Registrar& registrar)
    : options_(options), registrar_(registrar) {
  page_bytes();  // Known before invalidate() needs it.
}

RegistrationCache::~RegistrationCache() {
  clear();
  CHECK(regions_ == 0);  // Somebody still uses a region.
}

Region* RegistrationCache::acquire(const void* address, std::size_t size_bytes, std::string& why) {
  CHECK(size_bytes > 0);
  const auto from = reinterpret_cast<std::uintptr_t>(address);
  const std::uintptr_t begin = page_begin(from);
  const std::uintptr_t end = page_end(from + size_bytes);
  const std::lock_guard lock(mutex_);
  act_on_notes();
  Region* const known = find(begin, end);
  if (known != nullptr && options_.self_check && !registrar_.is_current(*known)) {
    ++counters_.stale;
    uncache(*known);
  } else if (known != nullptr) {
    ++counters_.hits;
    if (known->users_++ == 0) unlink(*known);
    return known;
  }
  ++counters_.misses;
  keep_bounds(end - begin);
  // One region for all that this one overlaps, as long as that fits; the old ones go with their
  // users.
  const auto [first, last] = overlapping(begin, end);
  std::uintptr_t whole_begin = begin;
  std::uintptr_t whole_end = end;
  if (first != last) {
    whole_begin = std::min(whole_begin, first->second->begin);
    whole_end = std::max(whole_end, std::prev(last)->second->end);
  }
  auto* const region = new Region;
  const bool joins = whole_end - whole_begin <= options_.bytes_max / 2 &&
                     try_add(*region, whole_begin, whole_end, why);
  if (!joins && !try_add(*region, begin, end, why)) {
    // Perhaps because of what idle regions hold.
    drop_idle();
    if (!try_add(*region, begin, end, why)) {
      delete region;
      return nullptr;
    }
  }
  drop_range(region->begin, region->end, nullptr);
  region->users_ = 1;
  region->cached_ = options_.hooks;
  if (region->cached_) tree_.emplace(region->begin, region);
  bytes_ += region->size();
  ++regions_;
  ++counters_.registered;
  return region;
}

bool RegistrationCache::try_add(Region& region, std::uintptr_t begin, std::uintptr_t end,
                                std::string& why) {
  region.begin = begin;
  region.end = end;
  return registrar_.add(region, why);
}

void RegistrationCache::release(Region& region) {
  const std::lock_guard lock(mutex_);
  CHECK(region.users_ > 0);
  if (--region.users_ == 0) {
    if (region.cached_)
      link_newest(region);
    else
      destroy(region);
  }
  act_on_notes();
  keep_bounds(0);
}

// Called where nothing is allowed: no lock, no allocation, no errno.
void RegistrationCache::invalidate(const void* address, std::size_t size_bytes) noexcept {
  if (size_bytes == 0) return;
  const auto from = reinterpret_cast<std::uintptr_t>(address);
  const std::uintptr_t to = from + size_bytes < from ? UINTPTR_MAX : from + size_bytes;
  for (Note& note : notes_) {
    std::uint32_t expected = Note::kFree;
    if (!note.state.compare_exchange_strong(expected, Note::kWriting, std::memory_order_acquire)) {
      continue;
    }
    note.begin = from;
    note.end = to;
    note.state.store(Note::kFull, std::memory_order_release);
    noted_.store(true, std::memory_order_release);  // Pairs with the exchange in act_on_notes().
    return;
  }
  everything_.store(true, std::memory_order_release);
  noted_.store(true, std::memory_order_release);
}

// Deregistering may free memory and so add notes; they are seen by the next turn.
void RegistrationCache::act_on_notes() {
  while (noted_.load(std::memory_order_relaxed)) [[unlikely]] {
      noted_.exchange(false, std::memory_order_acquire);
      if (everything_.exchange(false, std::memory_order_acquire)) {
        for (Note& note : notes_) {
          std::uint32_t expected = Note::kFull;
          note.state.compare_exchange_strong(expected, Note::kFree, std::memory_order_acq_rel);
        }
        drop_range(0, UINTPTR_MAX, &counters_.invalidated);
        continue;
      }
      for (Note& note : notes_) {
        if (note.state.load(std::memory_order_acquire) != Note::kFull) continue;
        const std::uintptr_t begin = note.begin;
        const std::uintptr_t end = note.end;
        note.state.store(Note::kFree, std::memory_order_release);
        drop_range(begin, end, &counters_.invalidated);
      }
    }
}

std::pair<RegistrationCache::Tree::iterator, RegistrationCache::Tree::iterator>
RegistrationCache::overlapping(std::uintptr_t begin, std::uintptr_t end) {
  auto first = tree_.lower_bound(begin);
  // Regions in the tree do not overlap, so only the one before can reach into the range.
  if (first != tree_.begin() && std::prev(first)->second->end > begin) --first;
  return {first, tree_.lower_bound(end)};
}

void RegistrationCache::drop_range(std::uintptr_t begin, std::uintptr_t end,
                                   std::uint64_t* counter) {
  while (true) {
    const auto [first, last] = overlapping(begin, end);
    if (first == last) return;
    if (counter != nullptr) ++*counter;
    uncache(*first->second);
  }
}

// Not to be found any more; deregistered now, or by its last user.
void RegistrationCache::uncache(Region& region) {
  tree_.erase(region.begin);
  region.cached_ = false;
  if (region.users_ > 0) return;
  unlink(region);
  destroy(region);
}

void RegistrationCache::destroy(Region& region) {
  registrar_.remove(region);
  bytes_ -= region.size();
  --regions_;
  ++counters_.deregistered;
  delete &region;
}

// Makes room for coming_bytes (and a region, when there are any) among the idle ones.
void RegistrationCache::keep_bounds(std::size_t coming_bytes) {
  const std::size_t coming = coming_bytes > 0 ? 1 : 0;
  while (oldest_ != nullptr &&
         (bytes_ + coming_bytes > options_.bytes_max || regions_ + coming > options_.regions_max)) {
    ++counters_.evicted;
    uncache(*oldest_);
  }
}

void RegistrationCache::drop_idle() {
  while (oldest_ != nullptr) uncache(*oldest_);
}

Region* RegistrationCache::find(std::uintptr_t begin, std::uintptr_t end) {
  auto after = tree_.upper_bound(begin);
  if (after == tree_.begin()) return nullptr;
  Region* const candidate = std::prev(after)->second;
  return candidate->covers(begin, end) ? candidate : nullptr;
}

void RegistrationCache::link_newest(Region& region) {
  region.newer_ = nullptr;
  region.older_ = newest_;
  (newest_ != nullptr ? newest_->newer_ : oldest_) = &region;
  newest_ = &region;
}

void RegistrationCache::unlink(Region& region) {
  (region.newer_ != nullptr ? region.newer_->older_ : newest_) = region.older_;
  (region.older_ != nullptr ? region.older_->newer_ : oldest_) = region.newer_;
}

void RegistrationCache::clear() {
  const std::lock_guard lock(mutex_);
  act_on_notes();
  drop_idle();
}

RegistrationCache::Counters RegistrationCache::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

std::size_t RegistrationCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

std::size_t RegistrationCache::regions() const {
  const std::lock_guard lock(mutex_);
  return regions_;
}

}  // namespace tern
