// core/layout_move.cc - the loops that pack and unpack; see layout.h.
//
// A range of the message's bytes is cut along the shape's tree: a part of the first child, whole
// children, a part of the last one. Whole repetitions of small blocks, the common case of derived
// datatypes (matrix columns, structs with padding, index lists), have loops of their own for the
// usual block sizes. Threading: none needed. Failure: none.
#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/layout.h"
#include "core/small_copy.h"

namespace tern {
namespace {

using Form = Shape::Form;

// Packing when kPacks, else unpacking: memory and stream change roles.
template <bool kPacks>
class Mover {
 public:
  explicit Mover(std::byte* stream) : stream_(stream) {}

  // The bytes [begin, end) of `count` children.
  void repeated(const Shape& child, std::byte* origin, std::ptrdiff_t stride, std::size_t begin,
                std::size_t end) {
    std::size_t index = begin / child.size;
    const std::size_t skipped = begin - index * child.size;
    std::byte* at = displaced(origin, static_cast<std::ptrdiff_t>(index) * stride);
    if (skipped != 0) {
      const std::size_t stop = std::min(child.size, end - index * child.size);
      part(child, at, skipped, stop);
      ++index;
      at = displaced(at, stride);
    }
    if (index * child.size >= end) return;
    const std::size_t whole = (end - index * child.size) / child.size;
    all_repeated(child, at, whole, stride);
    index += whole;
    if (const std::size_t rest = end - index * child.size; rest != 0) {
      part(child, displaced(at, static_cast<std::ptrdiff_t>(whole) * stride), 0, rest);
    }
  }

 private:
  template <std::size_t kBytes>
  static void move_fixed(std::byte* memory, std::byte* stream) {
    struct Piece {
      std::byte bytes[kBytes];
    };
    Piece piece;
    std::memcpy(&piece, kPacks ? memory : stream, kBytes);
    std::memcpy(kPacks ? stream : memory, &piece, kBytes);
  }

  static void move(std::byte* memory, std::byte* stream, std::size_t size) {
    if constexpr (kPacks) {
      small_copy(stream, memory, size);
    } else {
      small_copy(memory, stream, size);
    }
  }

  template <std::size_t kBytes>
  void strided_fixed(std::byte* memory, std::size_t count, std::ptrdiff_t stride) {
    std::byte* stream = stream_;
    for (std::size_t i = 0; i < count; ++i) {
      move_fixed<kBytes>(memory, stream);
      memory += stride;
      stream += kBytes;
    }
    stream_ = stream;
  }

  template <std::size_t kBytes>
  void indexed_fixed(std::byte* origin, const std::vector<std::ptrdiff_t>& offsets) {
    std::byte* stream = stream_;
    for (const std::ptrdiff_t offset : offsets) {
      move_fixed<kBytes>(displaced(origin, offset), stream);
      stream += kBytes;
    }
    stream_ = stream;
  }

  void run(std::byte* memory, std::size_t size) {
    move(memory, stream_, size);
    stream_ += size;
  }

  void strided_blocks(std::byte* memory, std::size_t count, std::ptrdiff_t stride,
                      std::size_t size) {
    switch (size) {
      case 1:
        return strided_fixed<1>(memory, count, stride);
      case 2:
        return strided_fixed<2>(memory, count, stride);
      case 4:
        return strided_fixed<4>(memory, count, stride);
      case 8:
        return strided_fixed<8>(memory, count, stride);
      case 12:
        return strided_fixed<12>(memory, count, stride);
      case 16:
        return strided_fixed<16>(memory, count, stride);
      case 24:
        return strided_fixed<24>(memory, count, stride);
      case 32:
        return strided_fixed<32>(memory, count, stride);
      default:
        for (std::size_t i = 0; i < count; ++i) {
          run(memory, size);
          memory += stride;
        }
    }
  }

  void indexed_blocks(std::byte* origin, const std::vector<std::ptrdiff_t>& offsets,
                      std::size_t size) {
    switch (size) {
      case 4:
        return indexed_fixed<4>(origin, offsets);
      case 8:
        return indexed_fixed<8>(origin, offsets);
      case 16:
        return indexed_fixed<16>(origin, offsets);
      case 24:
        return indexed_fixed<24>(origin, offsets);
      default:
        for (const std::ptrdiff_t offset : offsets) run(displaced(origin, offset), size);
    }
  }

  void all_repeated(const Shape& child, std::byte* origin, std::size_t count,
                    std::ptrdiff_t stride) {
    if (child.is_block()) return strided_blocks(origin, count, stride, child.size);
    for (std::size_t i = 0; i < count; ++i) {
      all(child, origin);
      origin = displaced(origin, stride);
    }
  }

  void all(const Shape& shape, std::byte* origin) {
    switch (shape.form) {
      case Form::kBlock:
        return run(origin, shape.size);
      case Form::kStrided:
        return all_repeated(*shape.child, origin, shape.count, shape.stride);
      case Form::kIndexed:
        return all_indexed(shape, origin);
      case Form::kMixed:
        for (std::size_t i = 0; i < shape.offsets.size(); ++i) {
          all(*shape.children[i], displaced(origin, shape.offsets[i]));
        }
    }
  }

  void all_indexed(const Shape& shape, std::byte* origin) {
    const Shape& child = *shape.child;
    if (shape.starts.empty() && child.is_block()) {
      return indexed_blocks(origin, shape.offsets, child.size);
    }
    const bool dense = shape.has_dense_pieces();
    for (std::size_t i = 0; i < shape.offsets.size(); ++i) {
      std::byte* const at = displaced(origin, shape.offsets[i]);
      if (dense) {
        run(at, shape.piece_size(i));
      } else {
        all_repeated(child, at, shape.piece_size(i) / child.size, shape.stride);
      }
    }
  }

  // The bytes [begin, end) of a shape, not empty.
  void part(const Shape& shape, std::byte* origin, std::size_t begin, std::size_t end) {
    switch (shape.form) {
      case Form::kBlock:
        return run(origin + begin, end - begin);
      case Form::kStrided:
        return repeated(*shape.child, origin, shape.stride, begin, end);
      default:
        return part_of_list(shape, origin, begin, end);
    }
  }

  void part_of_list(const Shape& shape, std::byte* origin, std::size_t begin, std::size_t end) {
    const bool dense = shape.form == Form::kIndexed && shape.has_dense_pieces();
    for (std::size_t piece = shape.piece_at(begin); begin < end; ++piece) {
      const std::size_t start = shape.piece_start(piece);
      const std::size_t size =
          shape.form == Form::kIndexed ? shape.piece_size(piece) : shape.children[piece]->size;
      const std::size_t stop = std::min(size, end - start);
      std::byte* const at = displaced(origin, shape.offsets[piece]);
      if (dense) {
        run(at + (begin - start), stop - (begin - start));
      } else if (shape.form == Form::kIndexed) {
        repeated(*shape.child, at, shape.stride, begin - start, stop);
      } else if (begin == start && stop == size) {
        all(*shape.children[piece], at);
      } else {
        part(*shape.children[piece], at, begin - start, stop);
      }
      begin = start + stop;
    }
  }

  std::byte* stream_;
};

template <bool kPacks>
void move_range(const DataView& view, std::size_t position, std::byte* stream, std::size_t size) {
  if (size == 0) return;
  CHECK(position + size <= view.bytes());
  if (std::byte* const run = view.run()) {
    std::memcpy(kPacks ? stream : run + position, kPacks ? run + position : stream, size);
    return;
  }
  const Placed& data = view.layout->data();
  Mover<kPacks>(stream).repeated(*data.shape, displaced(view.base, data.offset),
                                 view.layout->extent(), position, position + size);
}

}  // namespace

void pack(const DataView& view, std::size_t position, std::span<std::byte> out) {
  move_range<true>(view, position, out.data(), out.size());
}

void unpack(const DataView& view, std::size_t position, std::span<const std::byte> in) {
  move_range<false>(view, position, const_cast<std::byte*>(in.data()), in.size());
}

}  // namespace tern
