// verbs/slots.h - registered memory in pieces of equal size, for messages on their way.
//
// Grows by chunks, each registered once; nothing is given back before the end. Threading: one
// thread at a time. Failure: grow() says why not; get() returns nullptr.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/replay.h"
#include "verbs/table.h"

namespace tern::verbs {

class SlotPool;

// A piece; as a record of the replay window it is a message that is not acknowledged yet.
struct Slot : replay::SendRecord {
  std::byte* memory = nullptr;
  std::uint32_t local_key = 0;
  std::uint32_t remote_key = 0;
  std::uint32_t bytes = 0;       // Used.
  std::uint16_t head_bytes = 0;  // Of those, the engine's head.
  SlotPool* pool = nullptr;
};

class SlotPool {
 public:
  // access: IBV_ACCESS_... for the registration.
  SlotPool(const IbvTable& table, ibv_pd* pd, std::size_t slot_bytes, std::size_t chunk_slots,
           int access)
      : table_(table),
        pd_(pd),
        slot_bytes_(slot_bytes),
        chunk_slots_(chunk_slots),
        access_(access) {}
  ~SlotPool();  // Precondition: the device uses none of it any more.
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;

  std::size_t slot_bytes() const { return slot_bytes_; }
  std::size_t chunk_slots() const { return chunk_slots_; }
  // A free piece; makes more when there is none. nullptr when that fails.
  Slot* get() {
    if (free_ == nullptr) [[unlikely]] {
      std::string why;
      if (!grow(why)) return nullptr;
    }
    Slot* const slot = free_;
    free_ = static_cast<Slot*>(slot->next);
    return slot;
  }
  void put(Slot& slot) {
    slot.next = free_;
    free_ = &slot;
  }
  bool grow(std::string& why);
  // Sees to it that the next get() need not make more.
  bool reserve(std::string& why) { return free_ != nullptr || grow(why); }
  // Bytes registered.
  std::size_t bytes() const { return chunks_.size() * chunk_slots_ * slot_bytes_; }

 private:
  struct Chunk {
    std::byte* memory;
    ibv_mr* region;
    std::vector<Slot> slots;
  };
  const IbvTable& table_;
  ibv_pd* pd_;
  std::size_t slot_bytes_;
  std::size_t chunk_slots_;
  int access_;
  std::vector<Chunk> chunks_;
  Slot* free_ = nullptr;
};

// What a failed registration most often means, and the remedy.
std::string registration_problem(std::size_t bytes, int error);

}  // namespace tern::verbs
