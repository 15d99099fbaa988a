// core/layout.cc - packing and unpacking by byte position; see layout.h.
#include "core/layout.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/check.h"

namespace tern {
namespace {

// Calls visit(memory, offset_in_range, length) for each run of bytes that holds the message's
// bytes [position, position + length).
template <class Visit>
void for_each_run(const DataView& view, std::size_t position, std::size_t length, Visit visit) {
  if (length == 0) return;
  CHECK(position + length <= view.bytes());
  if (std::byte* const run = view.run()) {
    visit(run + position, std::size_t{0}, length);
    return;
  }
  const Layout& layout = *view.layout;
  std::size_t element = position / layout.size();
  std::size_t inside = position % layout.size();
  std::size_t block = layout.block_at(inside);
  std::size_t done = 0;
  while (done < length) {
    std::byte* const origin = view.base + static_cast<std::ptrdiff_t>(element) * layout.extent();
    for (; block < layout.blocks().size() && done < length; ++block) {
      const Block& current = layout.blocks()[block];
      const std::size_t skip = inside - layout.block_start(block);
      const std::size_t part = std::min(current.length_bytes - skip, length - done);
      visit(origin + current.offset_bytes + skip, done, part);
      done += part;
      inside += part;
    }
    block = 0;
    inside = 0;
    ++element;
  }
}

}  // namespace

Layout::Layout(const std::vector<Block>& blocks, std::ptrdiff_t lower_bound, std::ptrdiff_t extent)
    : lower_bound_(lower_bound), extent_(extent) {
  std::ptrdiff_t low = 0;
  std::ptrdiff_t high = 0;
  bool first = true;
  for (const Block& block : blocks) {
    if (block.length_bytes == 0) continue;
    const auto end = block.offset_bytes + static_cast<std::ptrdiff_t>(block.length_bytes);
    low = first ? block.offset_bytes : std::min(low, block.offset_bytes);
    high = first ? end : std::max(high, end);
    first = false;
    size_ += block.length_bytes;
    if (!blocks_.empty() &&
        blocks_.back().offset_bytes + static_cast<std::ptrdiff_t>(blocks_.back().length_bytes) ==
            block.offset_bytes) {
      blocks_.back().length_bytes += block.length_bytes;
    } else {
      blocks_.push_back(block);
    }
  }
  std::size_t before = 0;
  starts_.reserve(blocks_.size());
  for (const Block& block : blocks_) {
    starts_.push_back(before);
    before += block.length_bytes;
  }
  true_lower_bound_ = low;
  true_extent_ = high - low;
  dense_ = blocks_.empty() || (blocks_.size() == 1 && blocks_[0].offset_bytes == 0 &&
                               extent_ == static_cast<std::ptrdiff_t>(size_));
}

std::size_t Layout::block_at(std::size_t position) const {
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), position);
  return static_cast<std::size_t>(after - starts_.begin()) - 1;
}

DataView DataView::bytes_at(const void* base, std::size_t size_bytes) {
  static const Layout kByte = Layout::dense(1);
  return of(base, kByte, size_bytes);
}

void pack(const DataView& view, std::size_t position, std::span<std::byte> out) {
  for_each_run(view, position, out.size(),
               [&](const std::byte* run, std::size_t at, std::size_t length) {
                 std::memcpy(out.data() + at, run, length);
               });
}

void unpack(const DataView& view, std::size_t position, std::span<const std::byte> in) {
  for_each_run(view, position, in.size(), [&](std::byte* run, std::size_t at, std::size_t length) {
    std::memcpy(run, in.data() + at, length);
  });
}

void copy(const DataView& from, const DataView& to) {
  const std::size_t length = std::min(from.bytes(), to.bytes());
  if (const std::byte* const run = from.run()) return unpack(to, 0, {run, length});
  if (std::byte* const run = to.run()) return pack(from, 0, {run, length});
  std::array<std::byte, 4096> piece;
  for (std::size_t done = 0; done < length;) {
    const std::size_t part = std::min(piece.size(), length - done);
    pack(from, done, {piece.data(), part});
    unpack(to, done, {piece.data(), part});
    done += part;
  }
}

}  // namespace tern
