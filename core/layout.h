// core/layout.h - where the bytes of a message lie in memory.
//
// A Layout describes one element (an MPI datatype, normalised): the blocks of bytes that carry
// data, in type-map order, and the distance between consecutive elements. The engine sees Layouts
// and never MPI datatypes. Packing is resumable at any byte position, so that fragments and
// rendezvous never need a staging copy of the whole message.
// Threading: immutable after construction, so shared freely.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

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

  std::size_t size() const { return size_; }         // Bytes of data in one element.
  std::ptrdiff_t extent() const { return extent_; }  // Distance between elements, bytes.
  std::ptrdiff_t lower_bound() const { return lower_bound_; }
  std::ptrdiff_t true_lower_bound() const { return true_lower_bound_; }
  std::ptrdiff_t true_extent() const { return true_extent_; }
  std::span<const Block> blocks() const { return blocks_; }
  // True when any count of elements is one run of bytes that begins at the origin.
  bool is_dense() const { return dense_; }

  // Byte position inside one element's data -> index of the block that holds it.
  std::size_t block_at(std::size_t position) const;
  std::size_t block_start(std::size_t block) const { return starts_[block]; }

 private:
  std::vector<Block> blocks_;
  std::vector<std::size_t> starts_;  // Data bytes before each block.
  std::size_t size_ = 0;
  std::ptrdiff_t lower_bound_ = 0;
  std::ptrdiff_t extent_ = 0;
  std::ptrdiff_t true_lower_bound_ = 0;
  std::ptrdiff_t true_extent_ = 0;
  bool dense_ = false;
};

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
    if (layout == nullptr || layout->is_dense()) return base;
    return count <= 1 && layout->blocks().size() == 1 ? base + layout->blocks()[0].offset_bytes
                                                      : nullptr;
  }
};

// Copies out.size() bytes of data beginning at byte `position` of the message into `out`.
// Precondition: position + out.size() <= view.bytes().
void pack(const DataView& view, std::size_t position, std::span<std::byte> out);

// The reverse. Precondition: position + in.size() <= view.bytes().
void unpack(const DataView& view, std::size_t position, std::span<const std::byte> in);

// Copies min(from.bytes(), to.bytes()) bytes between two layouts in this process.
void copy(const DataView& from, const DataView& to);

}  // namespace tern
