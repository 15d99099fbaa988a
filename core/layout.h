// core/layout.h - where the bytes of a message lie in memory.
//
// A Layout describes one element (an MPI datatype, normalised): the bytes that carry data, in
// type-map order, and the distance between consecutive elements. The engine sees Layouts and never
// MPI datatypes. Packing starts at any byte position in logarithmic time, so that fragments and
// rendezvous never need a staging copy of the whole message.
// Threading: immutable after construction, so shared freely; copies share the shape.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/layout_shape.h"

namespace tern {

struct Block {
  std::ptrdiff_t offset_bytes;  // From the element's origin; may be negative.
  std::size_t length_bytes;
};

class Layout {
 public:
  // size_bytes of data without gaps: the layout of every plain type.
  static Layout dense(std::size_t size_bytes) {
    return Layout({{0, size_bytes}}, 0, static_cast<std::ptrdiff_t>(size_bytes));
  }

  // Blocks are kept in the given order (the type map's order); neighbours that touch are merged.
  Layout(const std::vector<Block>& blocks, std::ptrdiff_t lower_bound, std::ptrdiff_t extent);
  Layout(Placed data, std::ptrdiff_t lower_bound, std::ptrdiff_t extent);

  std::size_t size() const { return size_; }         // Bytes of data in one element.
  std::ptrdiff_t extent() const { return extent_; }  // Distance between elements, bytes.
  std::ptrdiff_t lower_bound() const { return lower_bound_; }
  std::ptrdiff_t true_lower_bound() const {
    return data_.shape == nullptr ? 0 : data_.offset + data_.shape->low;
  }
  std::ptrdiff_t true_extent() const {
    return data_.shape == nullptr ? 0 : data_.shape->high - data_.shape->low;
  }
  const Placed& data() const { return data_; }
  // True when any count of elements is one run of bytes that begins at the origin.
  bool is_dense() const { return dense_; }
  // True when `count` elements are one run, which begins at run_offset().
  bool is_run(std::size_t count) const { return one_block_ && (count <= 1 || gapless_); }
  std::ptrdiff_t run_offset() const { return data_.offset; }

 private:
  std::size_t size_ = 0;
  std::ptrdiff_t extent_ = 0;
  bool dense_ = false;
  bool one_block_ = false;  // One element is a run of bytes,
  bool gapless_ = false;    // and so are several.
  std::ptrdiff_t lower_bound_ = 0;
  Placed data_;
};

// base + offset where base may be null (MPI_BOTTOM, offsets being addresses).
inline std::byte* displaced(std::byte* base, std::ptrdiff_t offset) {
  return reinterpret_cast<std::byte*>(reinterpret_cast<std::uintptr_t>(base) +
                                      static_cast<std::uintptr_t>(offset));
}

// count elements of layout, the first with its origin at base. Borrows both. Sends lend const
// memory: the engine writes only through views that a receive gave it.
struct DataView {
  std::byte* base = nullptr;
  const Layout* layout = nullptr;
  std::size_t count = 0;

  static DataView of(const void* base, const Layout& layout, std::size_t count) {
    return {static_cast<std::byte*>(const_cast<void*>(base)), &layout, count};
  }
  // Only for internal traffic of plain bytes.
  static DataView bytes_at(const void* base, std::size_t size_bytes);

  std::size_t bytes() const { return layout == nullptr ? 0 : layout->size() * count; }
  // The data as one run of bytes, or nullptr when it has gaps.
  std::byte* run() const {
    if (layout == nullptr || layout->is_dense()) [[likely]]
      return base;
    return layout->is_run(count) ? displaced(base, layout->run_offset()) : nullptr;
  }
};

// Copies out.size() bytes of data beginning at byte `position` of the message into `out`.
// Precondition: position + out.size() <= view.bytes().
void pack(const DataView& view, std::size_t position, std::span<std::byte> out);

// The reverse. Precondition: position + in.size() <= view.bytes().
void unpack(const DataView& view, std::size_t position, std::span<const std::byte> in);

// A run of bytes of a message's data.
struct Segment {
  std::byte* at;
  std::size_t size_bytes;
};

// The runs that hold the data from byte `position` on, in order: as many as `out` has room for, of
// up to size_bytes together. Returns how many. Precondition: position + size_bytes <= view.bytes().
std::size_t segments(const DataView& view, std::size_t position, std::size_t size_bytes,
                     std::span<Segment> out);

// From the first data byte to the last one, with the gaps. Precondition: there is data.
struct Reach {
  std::ptrdiff_t begin;  // In bytes from the origin of the first element.
  std::size_t size_bytes;
};
Reach reach(const Layout& layout, std::size_t count);
std::span<std::byte> reach(const DataView& view);

// Copies min(from.bytes(), to.bytes()) bytes between two layouts in this process.
void copy(const DataView& from, const DataView& to);

// Calls visit(context, tag, memory, size_bytes) for every block of the message's data, in order:
// for conversions, which need to know what the bytes are. Stops at the first visit that returns
// false, and returns whether there was none.
using BlockVisitor = bool(void* context, std::uint32_t tag, std::byte* memory,
                          std::size_t size_bytes);
bool visit_blocks(const DataView& view, BlockVisitor* visit, void* context);

}  // namespace tern
