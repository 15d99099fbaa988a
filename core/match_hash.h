// core/match_hash.h - an intrusive hash of FIFO chains, the building block of message matching.
//
// Entries carry their own links, so posting and matching allocate nothing (only growth does). An
// entry is found by its key in constant time however many others wait, and entries of one key come
// out in the order they went in.
// Threading: one thread at a time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/request.h"

namespace tern {

inline std::uint32_t hash_envelope(const Envelope& key) {
  std::uint64_t mixed = key.context * 0x9E3779B97F4A7C15ULL;
  mixed ^= (static_cast<std::uint64_t>(static_cast<std::uint32_t>(key.source)) << 32) |
           static_cast<std::uint32_t>(key.tag);
  mixed *= 0xD6E8FEB86659FD93ULL;
  return static_cast<std::uint32_t>(mixed >> 32);
}

// Traits: static T*& prev(T&), static T*& next(T&), static std::uint32_t& hash(T&) (of the key,
// kept by the entry so that it is computed once), static Envelope key(const T&).
template <class T, class Traits>
class MatchHash {
 public:
  MatchHash() : buckets_(kInitialBuckets), mask_(kInitialBuckets - 1) {}

  void append(T& entry) {
    if (count_ > mask_ * 2) [[unlikely]]
      grow();
    Traits::hash(entry) = hash_envelope(Traits::key(entry));
    append_to(buckets_[index(Traits::hash(entry))], entry);
    ++count_;
  }

  void remove(T& entry) { remove_from(buckets_[index(Traits::hash(entry))], entry); }

  // Removes and returns the oldest entry with this key; nullptr if there is none.
  T* take(const Envelope& key) {
    Bucket& bucket = buckets_[index(hash_envelope(key))];
    for (T* entry = bucket.first; entry != nullptr; entry = Traits::next(*entry)) {
      if (Traits::key(*entry) == key) {
        remove_from(bucket, *entry);
        return entry;
      }
    }
    return nullptr;
  }

  // The oldest entry with this key, or nullptr.
  T* find(const Envelope& key) const {
    for (T* entry = buckets_[index(hash_envelope(key))].first; entry != nullptr;
         entry = Traits::next(*entry)) {
      if (Traits::key(*entry) == key) return entry;
    }
    return nullptr;
  }

  std::size_t size() const { return count_; }

  template <class Select>
  T* find_if(Select select) const {
    for (const Bucket& bucket : buckets_) {
      for (T* entry = bucket.first; entry != nullptr; entry = Traits::next(*entry)) {
        if (select(*entry)) return entry;
      }
    }
    return nullptr;
  }

 private:
  static constexpr std::size_t kInitialBuckets = 64;
  struct Bucket {
    T* first = nullptr;
    T* last = nullptr;
  };

  std::size_t index(std::uint32_t hash) const { return hash & mask_; }

  void remove_from(Bucket& bucket, T& entry) {
    T* const prev = Traits::prev(entry);
    T* const next = Traits::next(entry);
    (prev != nullptr ? Traits::next(*prev) : bucket.first) = next;
    (next != nullptr ? Traits::prev(*next) : bucket.last) = prev;
    Traits::prev(entry) = Traits::next(entry) = nullptr;
    --count_;
  }

  static void append_to(Bucket& bucket, T& entry) {
    Traits::prev(entry) = bucket.last;
    Traits::next(entry) = nullptr;
    (bucket.last != nullptr ? Traits::next(*bucket.last) : bucket.first) = &entry;
    bucket.last = &entry;
  }

  // Moving chains front to back keeps the order within every key.
  void grow() {
    std::vector<Bucket> old(buckets_.size() * 4);
    old.swap(buckets_);
    mask_ = buckets_.size() - 1;
    for (const Bucket& bucket : old) {
      for (T* entry = bucket.first; entry != nullptr;) {
        T* const next = Traits::next(*entry);
        append_to(buckets_[index(Traits::hash(*entry))], *entry);
        entry = next;
      }
    }
  }

  std::vector<Bucket> buckets_;
  std::size_t mask_;  // Of a hash: their number, a power of two, less one.
  std::size_t count_ = 0;
};

}  // namespace tern
