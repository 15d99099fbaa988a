// core/op_table.h - names for operations that travel in messages.
//
// A message never carries a pointer that its receiver would follow: it carries a 32-bit key of this
// table (index and generation). A stale, duplicated or forged key finds nothing.
// Threading: one thread at a time.
#pragma once
#include <cstdint>
#include <vector>

#include "core/request.h"

namespace tern {

class OpTable {
 public:
  // Never returns 0, which messages use for "none". At most 2^20 operations at a time; returns 0
  // beyond that.
  std::uint32_t add(Request& request) {
    std::uint32_t index = free_;
    if (index != kEnd) {
      free_ = slots_[index].next_free;
    } else {
      if (slots_.size() >= (1U << kIndexBits)) return 0;
      index = static_cast<std::uint32_t>(slots_.size());
      slots_.push_back({});
    }
    Slot& slot = slots_[index];
    slot.request = &request;
    return (slot.generation << kIndexBits) | index;
  }

  Request* find(std::uint32_t key) const {
    const std::uint32_t index = key & ((1U << kIndexBits) - 1);
    if (index >= slots_.size()) return nullptr;
    const Slot& slot = slots_[index];
    return slot.generation == key >> kIndexBits ? slot.request : nullptr;
  }

  void remove(std::uint32_t key) {
    const std::uint32_t index = key & ((1U << kIndexBits) - 1);
    if (find(key) == nullptr) return;
    Slot& slot = slots_[index];
    slot.request = nullptr;
    slot.generation = slot.generation >= kLastGeneration ? 1 : slot.generation + 1;
    slot.next_free = free_;
    free_ = index;
  }

  // The operations that wait for something from `peer` (to fail them when it is lost).
  std::vector<Request*> of_peer(const Peer& peer) const {
    std::vector<Request*> found;
    for (const Slot& slot : slots_) {
      if (slot.request != nullptr && slot.request->peer == &peer) found.push_back(slot.request);
    }
    return found;
  }

 private:
  static constexpr std::uint32_t kIndexBits = 20;
  static constexpr std::uint32_t kLastGeneration = (1U << (32 - kIndexBits)) - 1;
  static constexpr std::uint32_t kEnd = ~0U;
  struct Slot {
    Request* request = nullptr;
    std::uint32_t generation = 1;  // Starts at 1, so that no key is 0.
    std::uint32_t next_free = kEnd;
  };
  std::vector<Slot> slots_;
  std::uint32_t free_ = kEnd;
};

}  // namespace tern
