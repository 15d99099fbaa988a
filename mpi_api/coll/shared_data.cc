// mpi_api/coll/shared_data.cc - barrier and the collectives that move data through shared memory;
// see shared.h.
#include <algorithm>
#include <cstring>

#include "core/small_copy.h"
#include "mpi_api/coll/execution.h"
#include "mpi_api/coll/shared.h"

namespace tern::mpi::coll {
namespace {

// What one member gives to each of the others begins with where each one's part ends, counted from
// the beginning of the first one.
using Ends = std::array<std::uint32_t, kSharedMembersMax>;
std::size_t ends_bytes(int size) { return sizeof(std::uint32_t) * static_cast<std::size_t>(size); }

// Where the parts begin: large ones on a cache line, for copies are much slower elsewhere.
constexpr std::size_t kAligned = 64;
static_assert(sizeof(Ends) <= kAligned);
constexpr std::size_t kAlignFromBytes = 1024;

// What one member contributes at a time where longer data go in pieces.
constexpr std::size_t kPiece = std::size_t{64} << 10;
// The longest block of an all-to-all of more than two.
constexpr std::size_t kDealtMax = std::size_t{32} << 10;

// Of `all` bytes those that a piece has which begins at `done`.
std::size_t part_of(std::size_t all, std::size_t done, std::size_t piece) {
  return std::min(piece, all - std::min(all, done));
}

// Copies a piece of the own data, so that it is done when the others' pieces are.
void copy_part(const DataView& from, const DataView& to, std::size_t done, std::size_t piece) {
  std::byte* const target = to.run();
  const std::byte* const source = from.run();
  if (target != nullptr && source != nullptr) {
    const std::size_t size = part_of(std::min(from.bytes(), to.bytes()), done, piece);
    small_copy(target + done, source + done, size);
  } else if (done == 0) {
    copy(from, to);
  }
}

}  // namespace

bool SharedGroup::arrive(std::uint64_t number, int reader) {
  Outgoing out;
  if (!open(out, number, 0, reader)) return false;
  filled(out, 0);
  return true;
}

bool SharedGroup::have_arrived(std::uint64_t number) {
  for (int i = 1; i < size_; ++i) {
    if (!await(lanes_[other(i)].heads[number % kHeads].number, number)) return false;
  }
  return true;
}

int SharedGroup::barrier() {
  const std::uint64_t number = begin();
  bool passed = false;
  if (!crowded_) {
    passed = arrive(number, kAll) && have_arrived(number);
  } else if (rank_ == 0) {
    // Where members share cores, the one that leaves first goes on while the others still wait for
    // their turn. Let that be rank 0, which they most likely depend on next: they find there what
    // they need, and do not have to give their turn away again.
    passed = have_arrived(number) && arrive(number, kAll);
  } else {
    passed = arrive(number, 0) && await(lanes_[0].heads[number % kHeads].number, number);
  }
  if (!passed) return result();
  end(number);
  return MPI_SUCCESS;
}

int SharedGroup::bcast(const DataView& data, int root) {
  const std::size_t total = data.bytes();
  bool more = true;
  for (std::size_t done = 0; more; done += kPiece) {
    const std::uint64_t number = begin();
    if (rank_ == root) {
      const std::size_t size = part_of(total, done, kPiece);
      more = done + size < total;
      Outgoing out;
      if (!open(out, number, size, kAll, more ? kMore : 0)) return result();
      append(out, 0, data, done, size);
      if (out.ready == nullptr) filled(out, size);
    } else {
      Incoming in;
      if (!open(in, number, root)) return result();
      more = (in.flags & kMore) != 0;
      if (!read_piece(in, root, data, done)) return result();
    }
    end(number);
  }
  return result();
}

// What is too long for a lane. Whether there is any only the two concerned know.
template <class Build>
int SharedGroup::by_messages(bool needed, Build build) {
  if (needed) return launch(comm_, {}, {}, build);
  (void)comm_.next_collective_tag();  // As everybody does who has something to send or to receive.
  return MPI_SUCCESS;
}

int SharedGroup::gather(const DataView* own, const Blocks& all, int root) {
  const std::uint64_t number = begin();
  int error = MPI_SUCCESS;
  if (rank_ != root) {
    const bool fits = own->bytes() <= kBigBytes;
    Outgoing out;
    if (!open(out, number, fits ? own->bytes() : 0, root, fits ? 0 : kByMessage)) return result();
    if (fits) append(out, 0, *own, 0, out.bytes);
    if (out.ready == nullptr) filled(out, out.bytes);
    error = by_messages(!fits, [&](Schedule& s) { s.send(root, 0, *own); });
  } else {
    if (own != nullptr) copy(*own, all[root]);
    std::array<bool, kSharedMembersMax> late{};
    for (int i = 1; i < size_; ++i) {
      const int from = other(i);
      Incoming in;
      if (!open(in, number, from) || !read_piece(in, from, all[from], 0)) return result();
      late[static_cast<std::size_t>(from)] = (in.flags & kByMessage) != 0;
    }
    const bool needed = std::find(late.begin(), late.end(), true) != late.end();
    error = by_messages(needed, [&](Schedule& s) {
      for (int i = 0; i < size_; ++i) {
        if (late[static_cast<std::size_t>(i)]) s.receive(i, 0, all[i]);
      }
    });
  }
  end(number);
  return result(error);
}

int SharedGroup::allgather(const DataView* own, const Blocks& all) {
  const DataView mine = own != nullptr ? *own : all[rank_];
  bool more = true;
  for (std::size_t done = 0; more; done += kPiece) {
    const std::uint64_t number = begin();
    const std::size_t size = part_of(mine.bytes(), done, kPiece);
    more = done + size < mine.bytes();
    Outgoing out;
    if (!open(out, number, size, kAll, more ? kMore : 0)) return result();
    append(out, 0, mine, done, size);
    if (out.ready == nullptr) filled(out, size);
    if (own != nullptr) copy_part(*own, all[rank_], done, kPiece);
    for (int i = 1; i < size_; ++i) {
      const int from = other(i);
      Incoming in;
      if (!open(in, number, from) || !read_piece(in, from, all[from], done)) return result();
      more = more || (in.flags & kMore) != 0;
    }
    end(number);
  }
  return result();
}

// Gives everybody its block, or the piece of it that begins at `done`.
bool SharedGroup::deal(std::uint64_t number, const Blocks& from, std::size_t done,
                       std::size_t piece, std::uint32_t flags) {
  Ends ends{};
  std::size_t total = 0;
  for (int i = 0; i < size_; ++i) {
    if (i != rank_) total += part_of(from.bytes(i), done, piece);
    ends[static_cast<std::size_t>(i)] = static_cast<std::uint32_t>(total);
  }
  const std::size_t first = total < kAlignFromBytes ? ends_bytes(size_) : kAligned;
  Outgoing out;
  if (!open(out, number, first + total, kAll, flags | kForOne)) return false;
  std::memcpy(out.data, ends.data(), ends_bytes(size_));
  if (out.ready != nullptr) filled(out, first);
  std::size_t position = first;
  for (int i = 0; i < size_; ++i) {
    if (i == rank_) continue;
    const DataView block = from[i];
    const std::size_t size = part_of(block.bytes(), done, piece);
    append(out, position, block, done, size);
    position += size;
  }
  if (out.ready == nullptr) filled(out, out.bytes);
  return true;
}

bool SharedGroup::take_dealt(Incoming& in, int rank, const DataView& to, std::size_t done) {
  const std::size_t ends = ends_bytes(size_);
  if (in.bytes < ends) return true;
  if (!reach(in, ends)) return false;
  std::uint32_t total = 0;
  std::memcpy(&total, in.data + ends - sizeof total, sizeof total);
  const std::size_t first = std::min(in.bytes, total < kAlignFromBytes ? ends : kAligned);
  std::uint32_t part[2] = {0, 0};
  const auto index = static_cast<std::size_t>(rank_);
  if (rank_ == 0) {
    std::memcpy(&part[1], in.data, sizeof part[1]);
  } else {
    std::memcpy(part, in.data + (index - 1) * sizeof part[0], sizeof part);
  }
  // No more than there is, whatever the list says.
  const std::size_t end = std::min<std::size_t>(part[1], in.bytes - first);
  const std::size_t begin = std::min<std::size_t>(part[0], end);
  const std::size_t size = part_of(to.bytes(), done, end - begin);
  if (size < end - begin) too_long_rank_ = rank;
  return read(in, first + begin, size, to, done);
}

int SharedGroup::scatter(const Blocks& all, const DataView* own, int root) {
  const std::uint64_t number = begin();
  bool by_message = false;
  if (rank_ == root) {
    std::size_t total = 0;
    for (int i = 1; i < size_; ++i) total += all.bytes(other(i));
    by_message = total > kPiece;
    if (!deal(number, all, 0, by_message ? 0 : kPiece, by_message ? kByMessage : 0)) {
      return result();
    }
    if (own != nullptr) copy(all[root], *own);
  } else {
    Incoming in;
    if (!open(in, number, root) || !take_dealt(in, root, *own, 0)) return result();
    by_message = (in.flags & kByMessage) != 0;
  }
  const int error = by_messages(by_message, [&](Schedule& s) {
    if (rank_ != root) {
      s.receive(root, 0, *own);
      return;
    }
    for (int i = 1; i < size_; ++i) s.send(other(i), 0, all[other(i)]);
  });
  end(number);
  return result(error);
}

int SharedGroup::alltoall(const Blocks& from, const Blocks& to) {
  // The pieces for all others fit together.
  const std::size_t piece = kPiece / static_cast<std::size_t>(size_ - 1) / kAligned * kAligned;
  std::size_t longest = 0;
  for (int i = 0; i < size_; ++i) longest = std::max(longest, from.bytes(i));
  // One copy by the kernel is better than two of long blocks, except between two.
  const bool by_message = size_ > 2 && longest > kDealtMax;
  std::array<bool, kSharedMembersMax> late{};
  bool more = true;
  for (std::size_t done = 0; more; done += piece) {
    const std::uint64_t number = begin();
    more = !by_message && done + piece < longest;
    const std::uint32_t flags = (more ? kMore : 0) | (by_message ? kByMessage : 0);
    if (!deal(number, from, done, by_message ? 0 : piece, flags)) return result();
    copy_part(from[rank_], to[rank_], done, more ? piece : longest);
    for (int i = 1; i < size_; ++i) {
      const int rank = other(i);
      Incoming in;
      if (!open(in, number, rank) || !take_dealt(in, rank, to[rank], done)) return result();
      more = more || (in.flags & kMore) != 0;
      if ((in.flags & kByMessage) != 0) late[static_cast<std::size_t>(rank)] = true;
    }
    end(number);
  }
  const bool needed = by_message || std::find(late.begin(), late.end(), true) != late.end();
  return result(by_messages(needed, [&](Schedule& s) {
    for (int i = 1; i < size_; ++i) {
      const int rank = other(size_ - i);
      if (by_message) s.send(other(i), 0, from[other(i)]);
      if (late[static_cast<std::size_t>(rank)]) s.receive(rank, 0, to[rank]);
    }
  }));
}

}  // namespace tern::mpi::coll
