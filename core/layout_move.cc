// core/layout_move.cc - the loops that pack and unpack; see layout.h.
//
// A range of the message's bytes is cut along the shape's tree: a part of the first child, whole
// children, a part of the last one. Whole repetitions of small blocks, the common case of derived
// datatypes (matrix columns, structs with padding, index lists), have loops of their own for the
// usual block sizes. Packing small structs moves more than is asked for (see wide_loop()), where
// that is the user's memory for certain. The data bytes of a layout that is unpacked into do not
// overlap (what MPI asks of a receive): which of several is written last is not defined. Threading:
// none needed. Failure: none.
#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "core/check.h"
#include "core/layout.h"
#include "core/small_copy.h"

namespace tern {
namespace {

using Form = Shape::Form;

constexpr std::size_t kFewBlocks = 12;
constexpr std::size_t kManyChildren = 4;  // Fewer do not pay for loops of their own.
constexpr std::size_t kTurnBytes = 4096;  // With its memory well inside the first cache.
constexpr std::size_t kWidePieces = 6;    // Their places have to fit the registers.
constexpr std::ptrdiff_t kPageBytes = 4096;

// Packing when kPacks, else unpacking: memory and stream change roles.
template <bool kPacks>
class Mover {
 public:
  explicit Mover(std::byte* stream) : stream_(stream) {}

  // All bytes of `count` children: what most messages are, without a division.
  void whole(const Shape& child, std::byte* origin, std::size_t count, std::ptrdiff_t stride) {
    // Vectors and lists of blocks, the most frequent ones: short ones spend as long on the way down
    // the tree.
    if (count == 1 && child.form == Form::kStrided && child.child->is_block()) {
      return strided_blocks(origin, child.count, child.stride, child.child->size);
    }
    if (count == 1 && child.form == Form::kIndexed) return all_indexed(child, origin);
    all_repeated(child, origin, count, stride);
  }

  // The bytes [begin, end) of `count` children.
  void repeated(const Shape& child, std::byte* origin, std::ptrdiff_t stride, std::size_t begin,
                std::size_t end) {
    std::size_t index = begin == 0 ? 0 : begin / child.size;
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
  static void move(std::byte* memory, std::byte* stream, std::size_t size) {
    if constexpr (kPacks) {
      small_copy(stream, memory, size);
    } else {
      small_copy(memory, stream, size);
    }
  }

  // Calls loop with the size as a constant where it is a usual one, else with the constant 0.
  template <class Loop>
  static void with_constant(std::size_t size, Loop loop) {
    switch (size) {
#define TERN_CASE(kBytes) \
  case kBytes:            \
    return loop(std::integral_constant<std::size_t, kBytes>())
      TERN_CASE(1);
      TERN_CASE(2);
      TERN_CASE(3);
      TERN_CASE(4);
      TERN_CASE(8);
      TERN_CASE(12);
      TERN_CASE(16);
      TERN_CASE(24);
      TERN_CASE(32);
      TERN_CASE(40);
      TERN_CASE(48);
      TERN_CASE(64);
#undef TERN_CASE
      default:
        return loop(std::integral_constant<std::size_t, 0>());
    }
  }

  // Of kBytes, or of `size` bytes where kBytes is 0.
  template <std::size_t kBytes>
  static void move_block(std::byte* memory, std::byte* stream, std::size_t size) {
    if constexpr (kBytes == 0) {
      move(memory, stream, size);
    } else {
      std::memcpy(kPacks ? stream : memory, kPacks ? memory : stream, kBytes);
    }
  }

  void run(std::byte* memory, std::size_t size) {
    move(memory, stream_, size);
    stream_ += size;
  }

  // Everything in parameters and locals: what is stored could be a member, for all the compiler
  // knows, and would make it read members again.
  template <std::size_t kBytes>
  static void strided_loop(std::byte* memory, std::ptrdiff_t stride, std::byte* stream,
                           std::size_t step, std::size_t count, std::size_t size) {
#pragma GCC unroll 4
    for (std::size_t i = 0; i < count; ++i) {
      move_block<kBytes>(memory, stream, size);
      memory += stride;
      stream += step;
    }
  }

  template <std::size_t kBytes, class Offset>
  static void indexed_loop(std::byte* origin, const Offset* offsets, std::byte* stream,
                           std::size_t count, std::size_t size) {
    const std::size_t step = kBytes == 0 ? size : kBytes;
#pragma GCC unroll 4
    for (std::size_t i = 0; i < count; ++i) {
      move_block<kBytes>(displaced(origin, offsets[i]), stream, size);
      stream += step;
    }
  }

  // `step` apart in the stream, which does not move on.
  static void spread_blocks(std::byte* memory, std::ptrdiff_t stride, std::byte* stream,
                            std::size_t step, std::size_t count, std::size_t size) {
    with_constant(
        size, [=](auto bytes) { strided_loop<bytes>(memory, stride, stream, step, count, size); });
  }

  void strided_blocks(std::byte* memory, std::size_t count, std::ptrdiff_t stride,
                      std::size_t size) {
    std::byte* const stream = stream_;
    with_constant(size, [=](auto bytes) {
      strided_loop<bytes>(memory, stride, stream, bytes == 0 ? size : bytes, count, size);
    });
    stream_ += count * size;
  }

  template <class Offset>
  void indexed_blocks(std::byte* origin, const std::vector<Offset>& offsets, std::size_t size) {
    std::byte* const stream = stream_;
    const Offset* const list = offsets.data();
    const std::size_t count = offsets.size();
    with_constant(size,
                  [=](auto bytes) { indexed_loop<bytes>(origin, list, stream, count, size); });
    stream_ += count * size;
  }

  // Not memcpy(), which sanitizers look at wherever it is called.
  template <std::size_t kUnit>
  [[gnu::always_inline, gnu::no_sanitize("address", "thread")]] static void move_wide(
      std::byte* to, const std::byte* from) {
    constexpr std::size_t kAtATime = std::min<std::size_t>(kUnit, 16);
    using Word [[gnu::vector_size(kAtATime), gnu::aligned(1), gnu::may_alias]] = char;
    for (std::size_t at = 0; at < kUnit; at += kAtATime) {
      *reinterpret_cast<Word*>(to + at) = *reinterpret_cast<const Word*>(from + at);
    }
  }

  // Packs `count` children of kPieces short blocks, each with one move of kUnit bytes. What is too
  // much lies in the gap behind the block, and in the stream is overwritten by the next block: the
  // caller sees to it that there are both. (Reading a gap is of no consequence, but not what
  // sanitizers expect.)
  template <std::size_t kUnit, std::size_t kPieces>
  [[gnu::no_sanitize("address", "thread")]] static void wide_loop(
      const std::byte* memory, std::ptrdiff_t stride, std::byte* stream, std::size_t step,
      std::size_t count, const std::ptrdiff_t* offsets, const std::size_t* starts) {
    // From the first block, so that it needs no number of its own.
    std::ptrdiff_t from[kPieces];
    std::size_t to[kPieces];
    for (std::size_t i = 0; i < kPieces; ++i) {
      from[i] = offsets[i] - offsets[0];
      to[i] = starts[i];
    }
    memory += offsets[0];
    for (std::size_t done = 0; done < count; ++done) {
      move_wide<kUnit>(stream, memory);
#pragma GCC unroll 8
      for (std::size_t i = 1; i < kPieces; ++i) {
        move_wide<kUnit>(stream + to[i], memory + from[i]);
      }
      memory += stride;
      stream += step;
    }
  }

  template <std::size_t kUnit, std::size_t... kPieces>
  static auto* wide_loop_of(std::size_t pieces, std::index_sequence<kPieces...>) {
    using Loop = decltype(&wide_loop<kUnit, 1>);
    static constexpr Loop kLoops[] = {&wide_loop<kUnit, kPieces + 1>...};
    return kLoops[pieces - 1];
  }

  // Packs `count` children in that way; false where it is not possible.
  bool pack_wide(const Shape& child, std::byte* origin, std::size_t count, std::ptrdiff_t stride) {
    const std::size_t pieces = child.offsets.size();
    // Between two data bytes that are no farther apart than a page there is no other page.
    if (child.form != Form::kIndexed || pieces > kWidePieces || stride <= 0 ||
        stride > kPageBytes) {
      return false;
    }
    std::size_t starts[kWidePieces];
    std::size_t longest = 0;
    for (std::size_t i = 0; i < pieces; ++i) {
      starts[i] = child.piece_start(i);
      longest = std::max(longest, child.piece_size(i));
    }
    if (longest > 32) return false;
    const std::size_t unit = longest <= 8 ? 8 : longest <= 16 ? 16 : 32;
    // So many children have to follow, in memory and in the stream.
    const std::size_t least = std::min(static_cast<std::size_t>(stride), child.size);
    const std::size_t behind = unit <= least ? 1 : unit / least + 1;
    if (count <= behind) return false;
    constexpr std::make_index_sequence<kWidePieces> kAll;
    auto* const loop = unit == 8    ? wide_loop_of<8>(pieces, kAll)
                       : unit == 16 ? wide_loop_of<16>(pieces, kAll)
                                    : wide_loop_of<32>(pieces, kAll);
    const std::size_t wide = count - behind;
    loop(origin, stride, stream_, child.size, wide, child.offsets.data(), starts);
    stream_ += wide * child.size;
    for (std::size_t i = wide; i < count; ++i) {
      std::byte* const at = displaced(origin, static_cast<std::ptrdiff_t>(i) * stride);
      for (std::size_t piece = 0; piece < pieces; ++piece) {
        run(displaced(at, child.offsets[piece]), child.piece_size(piece));
      }
    }
    return true;
  }

  // A child of a few blocks: the first block of many children, then the second of as many, and so
  // on, so that each loop has one size.
  static bool has_few_blocks(const Shape& child) {
    if (child.form == Form::kStrided) return child.count <= kFewBlocks && child.child->is_block();
    return child.form == Form::kIndexed && child.offsets.size() <= kFewBlocks &&
           child.has_dense_pieces();
  }

  void few_blocks_repeated(const Shape& child, std::byte* origin, std::size_t count,
                           std::ptrdiff_t stride) {
    const std::size_t turn = std::max<std::size_t>(1, kTurnBytes / child.size);
    for (std::size_t done = 0; done < count;) {
      const std::size_t now = std::min(turn, count - done);
      if (child.form == Form::kStrided) {
        const std::size_t size = child.child->size;
        for (std::size_t i = 0; i < child.count; ++i) {
          const auto offset = static_cast<std::ptrdiff_t>(i) * child.stride;
          spread_blocks(displaced(origin, offset), stride, stream_ + i * size, child.size, now,
                        size);
        }
      } else {
        for (std::size_t i = 0; i < child.offsets.size(); ++i) {
          spread_blocks(displaced(origin, child.offsets[i]), stride, stream_ + child.piece_start(i),
                        child.size, now, child.piece_size(i));
        }
      }
      stream_ += now * child.size;
      origin = displaced(origin, static_cast<std::ptrdiff_t>(now) * stride);
      done += now;
    }
  }

  void all_repeated(const Shape& child, std::byte* origin, std::size_t count,
                    std::ptrdiff_t stride) {
    if (child.is_block()) return strided_blocks(origin, count, stride, child.size);
    if (count >= kManyChildren && has_few_blocks(child)) {
      if (kPacks && pack_wide(child, origin, count, stride)) return;
      return few_blocks_repeated(child, origin, count, stride);
    }
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
      if (shape.narrow_offsets.empty()) return indexed_blocks(origin, shape.offsets, child.size);
      return indexed_blocks(origin, shape.narrow_offsets, child.size);
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
  const std::size_t bytes = view.bytes();
  CHECK(position + size <= bytes);
  if (std::byte* const run = view.run()) {
    std::memcpy(kPacks ? stream : run + position, kPacks ? run + position : stream, size);
    return;
  }
  const Placed& data = view.layout->data();
  Mover<kPacks> mover(stream);
  std::byte* const origin = displaced(view.base, data.offset);
  const std::ptrdiff_t extent = view.layout->extent();
  if (size == bytes) return mover.whole(*data.shape, origin, view.count, extent);
  mover.repeated(*data.shape, origin, extent, position, position + size);
}

}  // namespace

void pack(const DataView& view, std::size_t position, std::span<std::byte> out) {
  move_range<true>(view, position, out.data(), out.size());
}

void unpack(const DataView& view, std::size_t position, std::span<const std::byte> in) {
  move_range<false>(view, position, const_cast<std::byte*>(in.data()), in.size());
}

}  // namespace tern
