// core/layout_shape.h - the compact form of a layout: a tree of blocks, repetitions and lists.
//
// A Shape says where the data bytes of one element lie, relative to an origin, in the order of the
// type map. It is as small as the regularity of the data allows: a matrix column is one block and
// one repetition however many rows there are. ShapeBuilder makes shapes and merges what it can
// (blocks that touch, repetitions of repetitions, lists with constant steps). Every byte position
// can be found in O(depth * log(longest list)).
//
// A shape may be tagged: its blocks then remember which basic type they hold, and only blocks of
// equal tags are merged. Untagged shapes (tag 0) are the ones that move bytes fastest.
// Threading: shapes are immutable and shared freely. Failure: the builder notes numbers that do not
// fit 64 bits, and trees that are too deep, in problem(); memory that runs out throws bad_alloc.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace tern {

struct Shape;
using ShapePtr = std::shared_ptr<const Shape>;

struct Shape {
  enum class Form : std::uint8_t {
    kBlock,    // `size` bytes at the origin.
    kStrided,  // `count` children, `stride` bytes apart.
    kIndexed,  // Piece i: copies of the child, `stride` apart, the first at offsets[i].
    kMixed,    // Piece i: children[i] at offsets[i].
  };

  Form form = Form::kBlock;
  std::uint16_t depth = 0;   // Of the tree below.
  std::uint32_t tag = 0;     // Of blocks.
  std::size_t size = 0;      // Bytes of data.
  std::size_t elements = 0;  // Basic elements, where tagged.
  std::ptrdiff_t low = 0;    // Where the first data byte in memory is, from the origin,
  std::ptrdiff_t high = 0;   // and where the last one ends.
  std::size_t count = 0;
  std::ptrdiff_t stride = 0;
  ShapePtr child;
  std::vector<std::ptrdiff_t> offsets;
  // The offsets again, where all pieces are one block and the offsets fit: half the memory to read
  // beside the data.
  std::vector<std::int32_t> narrow_offsets;
  // Data bytes before piece i, and the total at the end. Empty where every piece is one child.
  std::vector<std::size_t> starts;
  std::vector<ShapePtr> children;

  bool is_block() const { return form == Form::kBlock; }
  // A list whose pieces are runs of bytes.
  bool has_dense_pieces() const {
    return child->is_block() &&
           (starts.empty() || stride == static_cast<std::ptrdiff_t>(child->size));
  }
  // The piece of a list that holds the data byte at `position`.
  std::size_t piece_at(std::size_t position) const;
  std::size_t piece_start(std::size_t piece) const {
    return starts.empty() ? piece * child->size : starts[piece];
  }
  std::size_t piece_size(std::size_t piece) const {
    return starts.empty() ? child->size : starts[piece + 1] - starts[piece];
  }
};

// A shape at a distance from the element's origin. No shape: no data.
struct Placed {
  std::ptrdiff_t offset = 0;
  ShapePtr shape;

  std::size_t size() const { return shape == nullptr ? 0 : shape->size; }
};

// The basic elements in the first `bytes` of a tagged shape's data, and whether they end exactly
// there.
struct ElementCount {
  std::size_t elements;
  bool whole;
};
ElementCount elements_in(const Shape& shape, std::size_t bytes);
// The bytes that the first `elements` of them take. Precondition: elements <= shape.elements.
std::size_t bytes_of_elements(const Shape& shape, std::size_t elements);

class ShapeBuilder {
 public:
  enum class Problem : std::uint8_t { kNone, kTooLarge, kTooDeep };
  Problem problem() const { return problem_; }
  // For callers whose own arithmetic did not fit.
  void set_too_large() { problem_ = Problem::kTooLarge; }

  // One run of `elements` basic elements.
  Placed block(std::size_t size, std::uint32_t tag = 0, std::size_t elements = 0);
  // `count` copies, `stride` bytes apart.
  Placed repeat(const Placed& part, std::size_t count, std::ptrdiff_t stride);
  // Runs of lengths[i] copies, `stride` apart within a run, that begin at offsets[i].
  struct Run {
    std::ptrdiff_t offset;
    std::size_t copies;
  };
  Placed indexed(const Placed& part, std::span<const Run> runs, std::ptrdiff_t stride);
  // One after the other.
  Placed sequence(std::span<const Placed> parts);
  Placed shift(Placed part, std::ptrdiff_t distance);

  // Exact, or noted as a problem.
  std::ptrdiff_t add(std::ptrdiff_t a, std::ptrdiff_t b);
  std::ptrdiff_t multiply(std::ptrdiff_t a, std::ptrdiff_t b);

 private:
  class Splicer;
  Placed strided(const Placed& part, std::size_t count, std::ptrdiff_t stride);
  Placed list(const Placed& part, std::vector<std::ptrdiff_t> offsets,
              std::vector<std::size_t> copies, std::ptrdiff_t stride);
  Placed blocks(std::span<const Placed> parts);
  Placed mixed(std::vector<Placed> parts);
  Placed finish(Shape shape);

  Problem problem_ = Problem::kNone;
};

}  // namespace tern
