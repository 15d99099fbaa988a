// shm/inbox.cc - see inbox.h.
#include "shm/inbox.h"

namespace tern::shm {

void inbox_init(Inbox& inbox, std::uint64_t nonce) {
  inbox.magic = kInboxMagic;
  inbox.nonce = nonce;
  for (std::size_t i = 0; i < kInboxSlots; ++i) {
    inbox.slots[i].sequence.store(i, std::memory_order_relaxed);
  }
  inbox.next_position.store(0, std::memory_order_release);
}

bool inbox_push(Inbox& inbox, const RingOffer& offer) {
  std::uint64_t position = inbox.next_position.load(std::memory_order_relaxed);
  while (true) {
    InboxSlot& slot = inbox.slots[position % kInboxSlots];
    const std::uint64_t sequence = slot.sequence.load(std::memory_order_acquire);
    if (sequence == position) {
      if (inbox.next_position.compare_exchange_weak(position, position + 1,
                                                    std::memory_order_relaxed)) {
        slot.offer = offer;
        slot.sequence.store(position + 1, std::memory_order_release);  // Pairs with inbox_pop.
        return true;
      }
    } else if (sequence < position) {
      return false;  // The slot's offer of the lap before is still there.
    } else {
      position = inbox.next_position.load(std::memory_order_relaxed);
    }
  }
}

std::optional<RingOffer> inbox_pop(Inbox& inbox, std::uint64_t& position) {
  InboxSlot& slot = inbox.slots[position % kInboxSlots];
  if (slot.sequence.load(std::memory_order_acquire) != position + 1) return std::nullopt;
  const RingOffer offer = slot.offer;
  slot.sequence.store(position + kInboxSlots, std::memory_order_release);
  ++position;
  return offer;
}

}  // namespace tern::shm
