// shm/layout.h - everything that two processes see in shared memory.
//
// Two kinds of segment, both memfds that vanish with the last process that maps them:
//  - the inboxes of a process: its doorbell and, per lane, a queue where others offer rings;
//  - the ring, one per direction of a pair that talks, created by the sender at its first message.
// Offsets only, no pointers. Who writes what is said per field. The reader trusts nothing: it
// checks every size and offset that the other side wrote against constants of its own.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/doorbell.h"

namespace tern::shm {

inline constexpr std::uint64_t kInboxMagic = 0x7465726e2d696e62;  // "tern-inb"
inline constexpr std::uint64_t kRingMagic = 0x7465726e2d726e67;   // "tern-rng"

// --- inbox ---

// "I have made a ring to you: it is my descriptor `fd`, and begins with `nonce`."
struct RingOffer {
  std::uint32_t pid;
  std::uint32_t fd;
  std::uint64_t nonce;
};

// A bounded queue of many producers and one consumer. sequence == position: free for the producer
// that draws that position; == position + 1: filled; the consumer sets position + kInboxSlots.
struct InboxSlot {
  std::atomic<std::uint64_t> sequence;
  RingOffer offer;
};

inline constexpr std::size_t kInboxSlots = 64;

struct Inbox {
  std::uint64_t magic;  // 0: the lane is not in use.
  std::uint64_t
      nonce;  // As in the owner's business card: proves that the descriptor is the right one.
  // Lane 0's is the process's. armed/needs_fence: the owner; armed is cleared by whoever rings.
  DoorbellWord bell;
  // Set by the owner when it ends in good order: nobody waits for it any more. Lane 0's counts.
  std::atomic<std::uint32_t> left;
  alignas(64) std::atomic<std::uint64_t> next_position;  // Producers.
  alignas(64) InboxSlot slots[kInboxSlots];
};
static_assert(sizeof(Inbox) <= 4096, "one page each");

// A lane is a set of rings of its own, for threads that send and receive at the same time. Lane 0
// is that of every process; the pages of lanes that are not used take no memory.
inline constexpr unsigned kLanes = 9;
struct Inboxes {
  struct alignas(4096) Page {
    Inbox inbox;
  };
  Page lanes[kLanes];

  // Whichever lane a message comes by.
  DoorbellWord& bell() { return lanes[0].inbox.bell; }
};

// --- ring ---

// One message, or one fragment as the engine made it: two cache lines, of which a small message
// fills only the first. Lines come in pairs because the hardware prefetches them in pairs.
inline constexpr std::size_t kCellBytes = 128;
inline constexpr std::size_t kCellHeaderBytes = 8;
inline constexpr std::size_t kInlineBytes = kCellBytes - kCellHeaderBytes;
// Behind the head there is room for the place of a body in the data area.
inline constexpr std::size_t kMaxHeadBytes = kInlineBytes - 16;

struct CellHeader {
  // Low 32 bits of the cell's position in its zone + 1: a value that no earlier lap wrote.
  std::uint32_t sequence;
  std::uint8_t kind;         // CellKind, and kTurn.
  std::uint8_t head_bytes;   // The head lies first in the cell's `bytes`, the body behind it if it
  std::uint16_t body_bytes;  // fits; else its BodyPlace does.
};
static_assert(sizeof(CellHeader) == sizeof(std::uint64_t));

struct alignas(kCellBytes) Cell {
  // CellHeader as one word. The producer stores it last (release), the consumer's load of it
  // (acquire) pairs with that.
  std::atomic<std::uint64_t> header;
  std::byte bytes[kInlineBytes];
};
static_assert(sizeof(Cell) == kCellBytes);

// kGoodbye: nothing follows; the consumer lets the ring go.
enum class CellKind : std::uint8_t { kMessage = 1, kHelp = 2, kGoodbye = 3 };
// Added to the kind: the next cell is in the other zone.
inline constexpr std::uint8_t kTurn = 0x80;

// Cells and bodies let a producer run ahead. Both come in two zones, each a ring of its own, and go
// to the first one whenever it has room: it is so small that its lines stay in the caches closest
// to the cores as long as the consumer keeps up. Memory is touched only as far as it is used. All
// sizes are powers of two.
inline constexpr std::size_t kZones = 2;
inline constexpr std::size_t kZoneCells[kZones] = {64, 256};
inline constexpr std::size_t kCells = kZoneCells[0] + kZoneCells[1];
inline constexpr std::size_t kZoneBytes[kZones] = {8192, 65536};
inline constexpr std::size_t kZoneOffset[kZones] = {0, kZoneBytes[0]};
inline constexpr std::size_t kDataBytes = kZoneBytes[0] + kZoneBytes[1];

// Where a body lies in the data area: a position that counts up for ever, in one of the zones.
struct BodyPlace {
  std::uint64_t position;
  std::uint64_t zone;

  std::size_t in_zone() const { return position & (kZoneBytes[zone] - 1); }
  std::size_t offset() const { return kZoneOffset[zone] + in_zone(); }
};

// The longest body of one cell: small enough for producer and consumer to overlap.
inline constexpr std::size_t kMaxBodyBytes = 8192;

// A copy that both ends of a pair share, chunk by chunk. Lies in the ring of the process that gets
// the data (towards the process that has it).
struct alignas(64) CopyTicket {
  // Generation (high half) and next chunk to copy (low half): claimed by compare-and-swap, so that
  // a late helper of an earlier copy claims nothing.
  std::atomic<std::uint64_t> claim;
  std::atomic<std::uint32_t> helper_done;    // Chunks that the helper has finished.
  std::atomic<std::uint32_t> helper_failed;  // The helper's copy was refused by the kernel.
};
inline constexpr std::size_t kTickets = 16;

// Body of a kHelp cell: the copy that ticket `ticket` stands for.
struct HelpRequest {
  std::uint64_t source;       // In the helper's memory.
  std::uint64_t destination;  // In the asker's memory.
  std::uint64_t size;
  std::uint32_t ticket;
  std::uint32_t generation;
};

inline constexpr std::size_t kCardBytes = 1024;

static_assert(sizeof(BodyPlace) + kMaxHeadBytes == kInlineBytes);

enum class Attachment : std::uint32_t { kOffered = 0, kAttached = 1, kRefused = 2 };

struct Ring {
  std::uint64_t magic;
  std::uint64_t nonce;
  std::uint32_t card_bytes;
  char card[kCardBytes];  // The producer's business card.

  // Written by the consumer, in batches; read by the producer when it runs out.
  struct alignas(128) Consumed {
    std::atomic<std::uint64_t> cells[kZones];
    std::atomic<std::uint64_t> bodies[kZones];
    std::atomic<std::uint32_t> attachment;  // Attachment
  } consumed;

  CopyTicket tickets[kTickets];
  alignas(4096) Cell cells[kCells];  // The first zone's, then the second's.
  alignas(4096) std::byte data[kDataBytes];
};

}  // namespace tern::shm
