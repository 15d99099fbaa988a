// mpi_api/coll/shared_layout.h - what the members of a communicator see in the memory they share.
//
// One lane per member, filled by that member alone and read by the others. Offsets only, no
// pointers. A lane has a ring of heads, one per collective, and memory for what does not fit a
// head: small pieces, which are there when the head is, and large ones, which readers follow while
// they are written.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tern::mpi::coll {

inline constexpr std::uint64_t kArenaMagic = 0x7465726e2d617265;  // "tern-are"
// Beyond that, everybody looking at everybody's flag takes longer than messages in rounds.
inline constexpr int kSharedMembersMax = 16;

// So many collectives one member may be ahead of another.
inline constexpr std::size_t kHeads = 16;
inline constexpr std::size_t kSmalls = 8;
inline constexpr std::size_t kSmallBytes = 4096;
// Writing a line that other cores have read takes many times as long as reading it. So one that has
// a single reader is taken over by that reader (see take_over()), and comes back quickly; pieces
// that all read are many, so that they have left the readers' caches when it is their turn again.
inline constexpr std::size_t kBigsForOne = 4;
inline constexpr std::size_t kBigs = 16;
inline constexpr std::size_t kBigBytes = 68 << 10;  // 64 KiB and who gets what of them.
// So many calls ahead of another, a member's marks can still be read.
inline constexpr std::size_t kCalls = 64;
// How far a reader of a large piece lags behind its writer: half of a core's first cache.
inline constexpr std::size_t kChunkBytes = 8 << 10;

// Flags of a head.
inline constexpr std::uint32_t kMore = 1;       // Another piece follows, with the next number.
inline constexpr std::uint32_t kByMessage = 2;  // Too long: the data come by a message.
inline constexpr std::uint32_t kForOne = 4;     // Each byte is read by one member only.

// Two cache lines, of which a contribution of few bytes fills only the first. Lines come in pairs
// because the hardware fetches them in pairs.
struct alignas(128) Head {
  std::atomic<std::uint64_t> number;  // Stored last (release); a reader's load (acquire) pairs.
  std::uint32_t bytes;
  std::uint16_t place;  // 0: in `data`; 1..kSmalls: that small piece; above: that large one.
  std::uint16_t flags;
  std::byte data[112];
};
static_assert(sizeof(Head) == 128);
inline constexpr std::size_t kHeadBytes = sizeof(Head::data);

struct alignas(128) Word {
  std::atomic<std::uint64_t> value;
};

// What Lane::ready holds: the collective and how many bytes of its contribution are there.
inline constexpr unsigned kReadyBits = 20;
static_assert(kBigBytes < std::size_t{1} << kReadyBits);
inline std::uint64_t ready_value(std::uint64_t number, std::size_t bytes) {
  return number << kReadyBits | bytes;
}

struct Lane {
  Head heads[kHeads];
  Word left;  // The number of the last collective that the member has left.
  Word ready[kBigs];
  // Marks of the member's latest calls (SharedGroup::mark_of), by number.
  alignas(128) std::atomic<std::uint64_t> calls[kCalls];
  alignas(4096) std::byte small[kSmalls][kSmallBytes];
  alignas(4096) std::byte big[kBigs][kBigBytes];
};

// At the beginning of the segment; the lanes follow on the next page.
struct ArenaHead {
  std::uint64_t magic;
  std::uint64_t context;  // Of the communicator.
  std::uint64_t crowded;  // 1: to rank 0's knowledge members share cores.
};
inline constexpr std::size_t kLanesOffset = 4096;
inline std::size_t arena_bytes(int members) {
  return kLanesOffset + sizeof(Lane) * static_cast<std::size_t>(members);
}

}  // namespace tern::mpi::coll
