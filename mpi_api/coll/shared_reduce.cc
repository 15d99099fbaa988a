// mpi_api/coll/shared_reduce.cc - the collectives that reduce, through shared memory; see shared.h.
//
// Contributions are folded where they lie, in the order of ranks: x_0 op (x_1 op (... op x_n-1)),
// chunk by chunk while their members still write them. Long prefix reductions are a chain instead.
#include <algorithm>
#include <cstring>

#include "core/small_copy.h"
#include "mpi_api/coll/pieces.h"
#include "mpi_api/coll/shared.h"
#include "mpi_api/op.h"

namespace tern::mpi::coll {
namespace {

// Up to this many bytes everybody folds everything: one hop.
constexpr std::size_t kWholeBytes = 2048;
// Pieces of longer ones; a block of one is never longer.
constexpr std::size_t kPieceBytes = std::size_t{64} << 10;

std::size_t size_of(const SharedGroup::Reduction& r) { return r.type.layout().size(); }

DataView view_of(const SharedGroup::Reduction& r, const std::byte* base, std::size_t first,
                 std::size_t count) {
  return DataView::bytes_at(base + first * size_of(r), count * size_of(r));
}

std::size_t chunk_of(const SharedGroup::Reduction& r) {
  return std::max<std::size_t>(1, kChunkBytes / std::max<std::size_t>(1, size_of(r)));
}

}  // namespace

// The contributions of members `first` to `last` to one fold. Of each, bytes from `offset` on are
// used; the own one is in the user's memory.
struct SharedGroup::Fold {
  struct Part {
    Incoming in{};
    std::size_t offset = 0;
    bool usable = true;
  };
  explicit Fold(const Reduction& reduction) : r(reduction) {}
  Part& part(int rank) { return parts[static_cast<std::size_t>(rank)]; }

  const Reduction& r;
  int first = 0;
  int last = 0;
  std::array<Part, kSharedMembersMax> parts;
  // The own contribution when the result overwrites it.
  alignas(64) std::byte aside[kChunkBytes];
};

// Counts that differ are the program's mistake: the call fails, but nothing is read that is not
// there, and the other members get what they wait for.
bool SharedGroup::open(Fold& fold, std::uint64_t number, int rank, std::size_t bytes) {
  Fold::Part& part = fold.part(rank);
  if (!open(part.in, number, rank)) return false;
  part.usable = part.in.bytes == bytes;
  if (!part.usable) too_long_rank_ = rank;
  return true;
}

// bytes: what each must contribute.
bool SharedGroup::open_all(Fold& fold, std::uint64_t number, int first, int last,
                           std::size_t bytes) {
  fold.first = first;
  fold.last = last;
  for (int i = first; i <= last; ++i) {
    if (i != rank_ && !open(fold, number, i, bytes)) return false;
  }
  return true;
}

// result[begin...] = the fold of `count` elements from `begin` on, `own` being this member's.
bool SharedGroup::fold(Fold& fold, const std::byte* own, std::byte* result, std::size_t begin,
                       std::size_t count) {
  const std::size_t size = size_of(fold.r);
  const std::size_t length = count * size;
  std::byte* const to = result + begin * size;
  const std::byte* mine = own + begin * size;
  const bool stays = mine == to && rank_ == fold.last;
  if (rank_ >= fold.first && !stays && mine < to + length && to < mine + length) {
    std::memcpy(fold.aside, mine, length);
    mine = fold.aside;
  }
  for (int i = fold.last; i >= fold.first; --i) {
    const std::byte* source = mine;
    if (Fold::Part& part = fold.part(i); i != rank_ && part.usable) {
      const std::size_t start = part.offset + begin * size;
      if (!reach(part.in, start + length)) return false;
      source = part.in.data + start;
    }
    if (i != fold.last) {
      fold.r.op.apply(source, to, static_cast<MPI_Count>(count), fold.r.type);
    } else if (source != to) {
      small_copy(to, source, length);
    }
    if (const Fold::Part& part = fold.part(i); source != mine) {
      take_over(part.in, part.offset + begin * size, length);
    }
  }
  return true;
}

template <class Piece>
int SharedGroup::in_pieces(const Reduction& r, Piece piece) {
  const std::size_t most = std::max<std::size_t>(1, kPieceBytes / size_of(r));
  for (std::size_t done = 0; done < r.data.count; done += most) {
    const std::size_t count = std::min(most, r.data.count - done);
    const std::size_t skipped = done * size_of(r);
    std::byte* const to = r.data.to == nullptr ? nullptr : r.data.to + skipped;
    if (!piece(Reduction{r.op, r.type, {r.data.from + skipped, to, count}})) break;
  }
  return result();
}

// --- reduce ---

bool SharedGroup::reduce_piece(const Reduction& r, int root) {
  const std::uint64_t number = begin();
  if (rank_ != root) {
    if (!write(number, view_of(r, r.data.from, 0, r.data.count), root)) return false;
  } else {
    Fold all(r);
    if (!open_all(all, number, 0, size_ - 1, r.data.count * size_of(r))) return false;
    const std::size_t chunk = chunk_of(r);
    for (std::size_t begin = 0; begin < r.data.count; begin += chunk) {
      const std::size_t count = std::min(chunk, r.data.count - begin);
      if (!fold(all, r.data.from, r.data.to, begin, count)) return false;
    }
  }
  end(number);
  return true;
}

int SharedGroup::reduce(const Reduction& r, int root) {
  return in_pieces(r, [&](const Reduction& piece) { return reduce_piece(piece, root); });
}

// --- allreduce ---

bool SharedGroup::allreduce_whole(const Reduction& r) {
  const std::uint64_t number = begin();
  if (!write(number, view_of(r, r.data.from, 0, r.data.count), kAll)) return false;
  Fold all(r);
  if (!open_all(all, number, 0, size_ - 1, r.data.count * size_of(r)) ||
      !fold(all, r.data.from, r.data.to, 0, r.data.count)) {
    return false;
  }
  end(number);
  return true;
}

namespace {

// What member `of` gives to the others: their blocks, beginning with the next member's. Where the
// one for `to` begins, in elements.
std::size_t place_of(std::span<const std::size_t> starts, int of, int to) {
  const std::size_t behind = starts[static_cast<std::size_t>(of) + 1];
  const std::size_t start = starts[static_cast<std::size_t>(to)];
  return to > of ? start - behind : starts.back() - behind + start;
}

std::size_t count_of(std::span<const std::size_t> starts, int of) {
  return starts[static_cast<std::size_t>(of) + 1] - starts[static_cast<std::size_t>(of)];
}

}  // namespace

bool SharedGroup::send_blocks(std::uint64_t number, const Reduction& r,
                              std::span<const std::size_t> starts) {
  const std::size_t size = size_of(r);
  Outgoing out;
  if (!open(out, number, (starts.back() - count_of(starts, rank_)) * size, kAll, kForOne)) {
    return false;
  }
  for (int i = 1; i < size_; ++i) {
    const int to = other(i);
    const std::size_t count = count_of(starts, to);
    append(out, place_of(starts, rank_, to) * size,
           view_of(r, r.data.from, starts[static_cast<std::size_t>(to)], count), 0, count * size);
  }
  if (out.ready == nullptr) filled(out, out.bytes);
  return true;
}

// Folds the own block into `result`, and, where there is one, writes it to `copy` as well.
bool SharedGroup::fold_block(std::uint64_t number, const Reduction& r,
                             std::span<const std::size_t> starts, std::byte* result,
                             Outgoing* copy) {
  const std::size_t size = size_of(r);
  Fold all(r);
  all.last = size_ - 1;
  const std::size_t total = count_of(starts, rank_);
  // Who gets nothing waits for nobody.
  for (int i = 0; i < size_ && total > 0; ++i) {
    if (i == rank_) continue;
    all.part(i).offset = place_of(starts, i, rank_) * size;
    if (!open(all, number, i, (starts.back() - count_of(starts, i)) * size)) return false;
  }
  const std::byte* const own = r.data.from + starts[static_cast<std::size_t>(rank_)] * size;
  const std::size_t chunk = chunk_of(r);
  for (std::size_t begin = 0; begin < total; begin += chunk) {
    const std::size_t count = std::min(chunk, total - begin);
    if (!fold(all, own, result, begin, count)) return false;
    if (copy != nullptr) {
      append(*copy, begin * size, view_of(r, result, begin, count), 0, count * size);
    }
  }
  if (copy != nullptr && copy->ready == nullptr) filled(*copy, copy->bytes);
  return true;
}

// Member i reduces block i, and the others read the result from its lane.
bool SharedGroup::allreduce_blocks(const Reduction& r) {
  const std::size_t size = size_of(r);
  const Pieces pieces(r.data.count, size_);
  std::array<std::size_t, kSharedMembersMax + 1> bounds{};
  for (int i = 0; i <= size_; ++i) bounds[static_cast<std::size_t>(i)] = pieces.start(i);
  const std::span<const std::size_t> starts(bounds.data(), static_cast<std::size_t>(size_) + 1);
  const std::uint64_t inputs = begin();
  const std::uint64_t results = begin();
  Outgoing out;
  if (!send_blocks(inputs, r, starts) || !open(out, results, pieces.size(rank_) * size, kAll) ||
      !fold_block(inputs, r, starts, r.data.to + pieces.start(rank_) * size, &out)) {
    return false;
  }
  end(inputs);
  for (int i = 1; i < size_; ++i) {
    const int from = other(i);
    Incoming in;
    if (!open(in, results, from) ||
        !read_piece(in, from, view_of(r, r.data.to, pieces.start(from), pieces.size(from)), 0)) {
      return false;
    }
  }
  end(results);
  return true;
}

int SharedGroup::allreduce(const Reduction& r) {
  if (r.data.count * size_of(r) <= kWholeBytes) {
    allreduce_whole(r);
    return result();
  }
  return in_pieces(r, [&](const Reduction& piece) { return allreduce_blocks(piece); });
}

int SharedGroup::reduce_scatter(const Reduction& r, std::span<const std::size_t> starts) {
  const std::uint64_t number = begin();
  // In place, the result goes to the beginning of the input, which has been sent by then, except
  // for the own block: that is read ahead of where the result is written.
  if (send_blocks(number, r, starts) && fold_block(number, r, starts, r.data.to, nullptr)) {
    end(number);
  }
  return result();
}

// --- scan ---

bool SharedGroup::scan_whole(const Reduction& r, bool exclusive) {
  const std::uint64_t number = begin();
  if (rank_ < size_ - 1 && !write(number, view_of(r, r.data.from, 0, r.data.count), kAll)) {
    return false;
  }
  const int last = exclusive ? rank_ - 1 : rank_;
  Fold before(r);
  if (last >= 0 && (!open_all(before, number, 0, last, r.data.count * size_of(r)) ||
                    !fold(before, r.data.from, r.data.to, 0, r.data.count))) {
    return false;
  }
  end(number);
  return true;
}

// Everybody adds its own to what the member before it has, and passes that on.
bool SharedGroup::scan_chain(const Reduction& r, bool exclusive) {
  const std::uint64_t number = begin();
  const std::size_t size = size_of(r);
  const std::size_t bytes = r.data.count * size;
  const bool passes = rank_ < size_ - 1;
  Outgoing out;
  Incoming in;
  if (passes && !open(out, number, bytes, rank_ + 1)) return false;
  if (rank_ > 0 && !open(in, number, rank_ - 1)) return false;
  bool before = rank_ > 0;
  if (before && in.bytes != bytes) {
    too_long_rank_ = rank_ - 1;
    before = false;
  }
  const std::size_t chunk = chunk_of(r);
  for (std::size_t begin = 0; begin < r.data.count; begin += chunk) {
    const std::size_t count = std::min(chunk, r.data.count - begin);
    const std::size_t start = begin * size;
    const std::size_t length = count * size;
    const std::byte* const own = r.data.from + start;
    std::byte* const to = r.data.to + start;
    if (before && !reach(in, start + length)) return false;
    if (!exclusive && own != to) std::memcpy(to, own, length);
    if (!exclusive && before) {
      r.op.apply(in.data + start, to, static_cast<MPI_Count>(count), r.type);
    }
    if (passes) {
      std::memcpy(out.data + start, exclusive ? own : to, length);
      if (exclusive && before) {
        r.op.apply(in.data + start, out.data + start, static_cast<MPI_Count>(count), r.type);
      }
      filled(out, start + length);
    }
    if (exclusive && before) std::memcpy(to, in.data + start, length);
    if (before) take_over(in, start, length);
  }
  end(number);
  return true;
}

int SharedGroup::scan(const Reduction& r, bool exclusive) {
  if (r.data.count * size_of(r) <= kWholeBytes) {
    scan_whole(r, exclusive);
    return result();
  }
  return in_pieces(r, [&](const Reduction& piece) { return scan_chain(piece, exclusive); });
}

}  // namespace tern::mpi::coll
