// mpi_api/coll/allgather.cc - everybody's block to everybody.
#include <algorithm>

#include "mpi_api/coll/algorithms.h"
#include "mpi_api/coll/two_level.h"

namespace tern::mpi::coll {
namespace {

// Up to this many members, one that sends to all is faster than a tree.
constexpr int kFlatMax = 8;

// What this member contributes: its input, or its block where that is in place already.
DataView contribution(const Schedule& s, const DataView* own, const Blocks& all) {
  return own != nullptr ? *own : all[s.rank()];
}

void flat(Schedule& s, const DataView* own, const Blocks& all) {
  const int n = s.size();
  const DataView mine = contribution(s, own, all);
  for (int i = 1; i < n; ++i) {
    if (mine.bytes() != 0) s.send((s.rank() + i) % n, 0, mine);
    const int from = (s.rank() - i + n) % n;
    if (const DataView block = all[from]; block.bytes() != 0) s.receive(from, 0, block);
  }
  // Last: while it is copied, the others can read it already.
  if (own != nullptr) s.copy(*own, all[s.rank()]);
}

// In round k a member passes on to the next one what it received in round k - 1.
void ring(Schedule& s, const DataView* own, const Blocks& all) {
  const int n = s.size();
  const int next = (s.rank() + 1) % n;
  const int previous = (s.rank() - 1 + n) % n;
  DataView outgoing = contribution(s, own, all);
  Step arrived = kNoStep;
  Step sent = kNoStep;
  for (int round = 0; round < n - 1; ++round) {
    const DataView incoming = all[(s.rank() - round - 1 + n) % n];
    if (outgoing.bytes() != 0) sent = s.send(next, round, outgoing, {arrived, sent});
    if (incoming.bytes() != 0) arrived = s.receive(previous, round, incoming);
    outgoing = incoming;
  }
  if (own != nullptr) s.copy(*own, all[s.rank()]);
}

// Equal blocks. Before round k a member holds the blocks of the 2^k members from itself on, and
// gets those of the next 2^k.
void bruck(Schedule& s, const DataView* own, const Blocks& all) {
  const int n = s.size();
  const DataView mine = contribution(s, own, all);
  const std::size_t block = mine.bytes();
  std::byte* const held = s.scratch(block * static_cast<std::size_t>(n));
  const auto bytes = [&](int first, int count) {
    return DataView::bytes_at(held + block * static_cast<std::size_t>(first),
                              block * static_cast<std::size_t>(count));
  };
  Step ready = s.copy(mine, bytes(0, 1));
  Step sent = kNoStep;
  int round = 0;
  for (int have = 1; have < n; have *= 2, ++round) {
    const int count = std::min(have, n - have);
    // A send waits for the one before it and so for everything that had arrived by then.
    sent = s.send((s.rank() - have + n) % n, round, bytes(0, count), {ready, sent});
    ready = s.receive((s.rank() + have) % n, round, bytes(have, count));
  }
  const Step complete = s.join({ready, sent});
  // held[i] is the block of member rank + i.
  std::byte* const run = all.run();
  const int before_wrap = n - s.rank();
  if (run != nullptr) {
    const auto at = [&](int first, int count) {
      return DataView::bytes_at(run + block * static_cast<std::size_t>(first),
                                block * static_cast<std::size_t>(count));
    };
    s.copy(bytes(0, before_wrap), at(s.rank(), before_wrap), {complete});
    s.copy(bytes(before_wrap, s.rank()), at(0, s.rank()), {complete});
  } else {
    for (int i = 0; i < n; ++i) s.copy(bytes(i, 1), all[(s.rank() + i) % n], {complete});
  }
}

// All blocks, packed, through member 0. Its blocks are known to everybody, whatever their sizes.
void central(Schedule& s, const DataView* own, const Blocks& all) {
  const int n = s.size();
  std::size_t total = 0;
  for (int i = 0; i < n; ++i) total += all.bytes(i);
  std::byte* const run = all.run();
  std::byte* const packed = run != nullptr ? run : s.scratch(total);
  const DataView everything = DataView::bytes_at(packed, total);
  const DataView mine = contribution(s, own, all);
  Step gathered = kNoStep;
  if (s.rank() != 0) {
    // In place, the own block is read before the result overwrites it.
    if (mine.bytes() != 0) gathered = s.send(0, 0, mine);
  } else {
    gathered = s.join();
    std::size_t position = 0;
    for (int i = 0; i < n; position += all.bytes(i++)) {
      const DataView place = DataView::bytes_at(packed + position, all.bytes(i));
      if (place.bytes() == 0) continue;
      if (i != 0) {
        s.order(s.receive(i, 0, place), gathered);
      } else if (place.base != mine.base) {
        s.order(s.copy(mine, place), gathered);
      }
    }
  }
  const Step arrived = n <= kFlatMax ? bcast_flat(s, everything, 0, 1, gathered)
                                     : bcast_binomial(s, everything, 0, 1, gathered);
  if (run != nullptr) return;
  std::size_t position = 0;
  for (int i = 0; i < n; position += all.bytes(i++)) {
    s.copy(DataView::bytes_at(packed + position, all.bytes(i)), all[i], {arrived});
  }
}

}  // namespace

void allgather(Schedule& s, Algorithm algorithm, const DataView* own, const Blocks& all) {
  switch (algorithm) {
    case Algorithm::kCentral:
      return central(s, own, all);
    case Algorithm::kBruck:
      return bruck(s, own, all);
    case Algorithm::kRing:
      return ring(s, own, all);
    case Algorithm::kTwoLevel:
      return two_level::allgather(s, own, all);
    default:
      return flat(s, own, all);
  }
}

}  // namespace tern::mpi::coll
