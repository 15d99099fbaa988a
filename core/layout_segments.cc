// core/layout_segments.cc - a message's data as a list of runs, for devices that gather and
// scatter; see layout.h. For few and long runs: each is looked up from the root of the shape's
// tree. Threading: none needed. Failure: none.
#include <algorithm>
#include <cstdlib>

#include "core/check.h"
#include "core/layout.h"

namespace tern {
namespace {

// The run from the data byte `position` of a shape on.
Segment segment_at(const Shape* shape, std::byte* origin, std::size_t position) {
  // Copies of the child, `stride` apart: the one that holds the byte.
  const auto enter_copy = [&] {
    const std::size_t copy = position / shape->child->size;
    origin = displaced(origin, static_cast<std::ptrdiff_t>(copy) * shape->stride);
    position -= copy * shape->child->size;
    shape = shape->child.get();
  };
  while (true) {
    switch (shape->form) {
      case Shape::Form::kBlock:
        return {displaced(origin, static_cast<std::ptrdiff_t>(position)), shape->size - position};
      case Shape::Form::kStrided:
        enter_copy();
        break;
      case Shape::Form::kIndexed: {
        const std::size_t piece = shape->piece_at(position);
        position -= shape->piece_start(piece);
        origin = displaced(origin, shape->offsets[piece]);
        if (shape->has_dense_pieces()) {
          return {displaced(origin, static_cast<std::ptrdiff_t>(position)),
                  shape->piece_size(piece) - position};
        }
        enter_copy();
        break;
      }
      case Shape::Form::kMixed: {
        const std::size_t piece = shape->piece_at(position);
        position -= shape->piece_start(piece);
        origin = displaced(origin, shape->offsets[piece]);
        shape = shape->children[piece].get();
        break;
      }
    }
  }
}

}  // namespace

std::size_t segments(const DataView& view, std::size_t position, std::size_t size_bytes,
                     std::span<Segment> out) {
  CHECK(position + size_bytes <= view.bytes());
  std::byte* const run = view.run();
  std::size_t count = 0;
  while (size_bytes > 0 && count < out.size()) {
    Segment next{};
    if (run != nullptr) {
      next = {displaced(run, static_cast<std::ptrdiff_t>(position)), size_bytes};
    } else {
      const Placed& data = view.layout->data();
      const std::size_t element = position / data.shape->size;
      const auto distance = static_cast<std::ptrdiff_t>(element) * view.layout->extent();
      next = segment_at(data.shape.get(), displaced(view.base, data.offset + distance),
                        position - element * data.shape->size);
      next.size_bytes = std::min(next.size_bytes, size_bytes);
    }
    out[count++] = next;
    position += next.size_bytes;
    size_bytes -= next.size_bytes;
  }
  return count;
}

Reach reach(const Layout& layout, std::size_t count) {
  // A negative extent puts the last element first.
  const auto last = static_cast<std::ptrdiff_t>(count - 1) * layout.extent();
  return {layout.true_lower_bound() + std::min<std::ptrdiff_t>(last, 0),
          static_cast<std::size_t>(layout.true_extent() + std::abs(last))};
}

std::span<std::byte> reach(const DataView& view) {
  const auto [begin, size_bytes] = reach(*view.layout, view.count);
  return {displaced(view.base, begin), size_bytes};
}

}  // namespace tern
