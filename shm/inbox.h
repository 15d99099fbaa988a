// shm/inbox.h - where other processes announce their rings; see layout.h for the queue's rules.
// Threading: any number of producers in any process; pop() by the owner only.
#pragma once
#include <optional>

#include "shm/layout.h"

namespace tern::shm {

void inbox_init(Inbox& inbox, std::uint64_t nonce);

// False when the queue is full; try again later.
bool inbox_push(Inbox& inbox, const RingOffer& offer);

// `position` counts the owner's pops; it is advanced by a successful one.
std::optional<RingOffer> inbox_pop(Inbox& inbox, std::uint64_t& position);

}  // namespace tern::shm
