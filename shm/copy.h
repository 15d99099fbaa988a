// shm/copy.h - large messages in one copy, between the address spaces of two processes.
//
// process_vm_readv/writev move the bytes straight from the sender's buffer to the receiver's. The
// process that gets the data writes down the copy as chunks on a ticket in shared memory and
// invites the other side; whoever has time claims the next chunk. So two waiting processes copy
// with two cores, and a busy one costs nothing. Threading: one thread per process.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "shm/layout.h"

namespace tern::shm {

// Lets processes of the same user copy from and to this one where the Yama security module (scope
// 1, the default of some distributions) would allow only its ancestors. Harmless elsewhere.
void allow_single_copy();

// 0 or errno.
int copy_from_process(std::uint32_t pid, std::byte* to, std::uint64_t from, std::size_t size);
int copy_to_process(std::uint32_t pid, std::uint64_t to, const std::byte* from, std::size_t size);

// Below this a second core saves little (handing over the invitation and the result), and costs
// bandwidth when many messages are on their way.
inline constexpr std::size_t kShareFromBytes = 393216;

// Chunks large enough to amortise the system call, small enough that both sides finish together.
inline std::size_t chunk_bytes(std::size_t size) { return size < (1U << 20) ? 32768 : 131072; }
inline std::uint32_t chunk_count(std::size_t size) {
  return static_cast<std::uint32_t>((size + chunk_bytes(size) - 1) / chunk_bytes(size));
}

// Starts a new copy on the ticket; returns its generation.
std::uint32_t open_ticket(CopyTicket& ticket);
// The next chunk of that generation, or -1 when none is left (or the ticket is another copy's).
std::int64_t claim_chunk(CopyTicket& ticket, std::uint32_t generation, std::uint32_t chunks);

}  // namespace tern::shm
