// verbs/constants.h - sizes, and why they are what they are.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/connector.h"
#include "core/replay.h"
#include "core/wire.h"
#include "verbs/wire.h"

namespace tern::verbs {

// A receive slot, and the largest message of a queue pair: one packet of the usual largest MTU.
inline constexpr std::size_t kSlotBytes = 4096;
inline constexpr std::size_t kBodyBytesMax = kSlotBytes - sizeof(MessageHead) - wire::kMaxHeadBytes;
// Small messages wait for their acknowledgement in small slots.
inline constexpr std::size_t kSmallSlotBytes = 256;
inline constexpr std::size_t kSmallSlotsPerChunk = 64;
inline constexpr std::size_t kLargeSlotsPerChunk = 16;
// A mailbox has a cache line of its own: the device writes there while the processor looks.
inline constexpr std::size_t kMailboxBytes = 64;
inline constexpr std::size_t kMailboxesPerChunk = 64;

// Messages that a peer may have under way: one at first, so that a connection costs three receive
// slots and no more, and doubled for a peer that keeps sending.
inline constexpr std::uint32_t kWindowFirst = 1;
inline constexpr std::uint32_t kWindowMax = 32;
inline constexpr std::size_t kReceivesPerChunk = 32;
// Receive slots are posted again in batches of this many, which nobody has been promised: an answer
// need not wait for that.
inline constexpr std::uint32_t kReturnBatch = 16;

// A queue pair's send queue: a full window, its acknowledgements, pieces of reads and of writes,
// and mail. Every kSignalEvery entries one reports that they are free again.
inline constexpr std::uint32_t kTransfersMax = 4;
inline constexpr std::uint32_t kMailMax = 4;
inline constexpr std::uint32_t kQueueEntries =
    kWindowMax + replay::ReceiveWindow::kBareMax + 2 * kTransfersMax + kMailMax + 6;
inline constexpr std::uint32_t kSignalEvery = 8;
// What messages leave to the others.
inline constexpr std::uint32_t kQueueMessages = kWindowMax + 6;
static_assert(kQueueEntries >= 2 * kSignalEvery, "there is always one that reports under way");
inline constexpr std::uint32_t kInlineBytesMax = 256;

// The shared receive queue; 3 slots per peer that has a small window leave room for 2700 peers. A
// device that can make it larger later begins with less: entries cost time and memory.
inline constexpr std::uint32_t kReceiveQueueEntries = 8192;
inline constexpr std::uint32_t kReceiveQueueEntriesFirst = 512;

// Piece by piece, so that several transfers share the link and a broken one repeats little.
inline constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
// Soft-RoCE gives up a write after a few packets out of order, wherever it had got to: that of 16
// packets comes to an end also on a bad network.
inline constexpr std::size_t kSoftWriteBytes = std::size_t{1} << 16;
inline constexpr std::size_t kConfirmingBytes = 1;  // See transfers.cc.
// Blocks of memory with gaps that one request gathers or scatters; a list of so many takes no more
// of the send queue's memory than kInlineBytesMax does. Shorter blocks are packed: fewer bytes in a
// request than in a message (kSlotBytes) do not pay. So are those with long gaps, which would be
// registered, too.
inline constexpr std::size_t kSegmentsMax = 16;
inline constexpr std::size_t kSegmentBytesMin = 1024;
inline constexpr std::size_t kReachPerByteMax = 8;

// A second port (rail.h) takes its share of transfers from this size on: below, waiting for both
// costs more than it saves. It is left alone for a peer once it has failed so often there. Its key
// of exposed memory is the upper half of RemoteSpan::key.
inline constexpr std::size_t kStripeBytesMin = std::size_t{256} << 10;
inline constexpr unsigned kSecondKeyShift = 32;
inline constexpr std::uint32_t kRailFailuresMax = 2;
inline constexpr std::uint32_t kRailQueueEntries = 2 * kTransfersMax;
inline constexpr std::uint32_t kRailEntriesFirst = 8 * kRailQueueEntries;

// Above this a message is not copied: about where a copy costs what a round trip does.
inline constexpr std::size_t kEagerBytesMax = 16384;

// The device gives up by itself after about half a second (timeout 4.1 us * 2^14 = 67 ms, seven
// tries); 7 retries would mean for ever to some devices. Then the queue pair is made anew.
inline constexpr std::uint8_t kAckTimeout = 14;
inline constexpr std::uint8_t kRetries = 6;
// Receive slots are promised before use, so that this should never count.
inline constexpr std::uint8_t kReceiverRetries = 6;
inline constexpr std::uint8_t kReceiverRetryTimer = 12;  // 0.64 ms

// What a peer has not been told to have arrived is told after this long without a better occasion.
inline constexpr connect::Micros kAckDelayUs = 1000;

// A silent peer is looked after this many times in TERN_PEER_TIMEOUT, and not less often than that.
inline constexpr connect::Micros kProbesPerTimeout = 32;
inline constexpr connect::Micros kProbeUsMin = 50'000;
inline constexpr connect::Micros kProbeUsMax = 2'000'000;
// A program that waits in MPI awaits something from anybody: all are looked after, less often.
inline constexpr connect::Micros kProbesLessOften = 4;
// It sleeps for less than this at a time (core/wait.h).
inline constexpr connect::Micros kWaitingUs = 1'000'000;

// wr_id: the kind above, then what it is about. A receive: the slot's address.
inline constexpr std::uint64_t kKindShift = 60;
inline constexpr std::uint64_t kKindReceive = 1;
inline constexpr std::uint64_t kKindSend = 2;
inline constexpr std::uint64_t kKindRead = 3;
inline constexpr std::uint64_t kKindWrite = 4;
inline constexpr std::uint64_t kAddressMask = (std::uint64_t{1} << 48) - 1;

// Others: kind 4 bits, entries that it frees 8 bits, the link's life 24 bits, its index 24.
inline constexpr std::uint64_t send_id(std::uint64_t kind, std::uint32_t index, std::uint32_t life,
                                       std::uint32_t entries) {
  return kind << kKindShift | std::uint64_t{entries & 0xff} << 48 |
         std::uint64_t{life & 0xffffff} << 24 | (index & 0xffffff);
}

}  // namespace tern::verbs
