// core/layout.cc - layouts, and visiting their blocks; see layout.h. Moving bytes: layout_move.cc.
#include "core/layout.h"

#include <algorithm>
#include <array>

#include "core/check.h"

namespace tern {
namespace {

Placed place(const std::vector<Block>& blocks) {
  ShapeBuilder builder;
  std::vector<ShapeBuilder::Run> runs;
  runs.reserve(blocks.size());
  for (const Block& block : blocks) runs.push_back({block.offset_bytes, block.length_bytes});
  Placed data = builder.indexed(builder.block(1), runs, 1);
  CHECK(builder.problem() ==
        ShapeBuilder::Problem::kNone);  // The caller has these bytes in memory.
  return data;
}

struct Visit {
  BlockVisitor* function;
  void* context;

  bool repeated(const Shape& child, std::byte* origin, std::size_t count,
                std::ptrdiff_t stride) const {
    for (std::size_t i = 0; i < count; ++i) {
      if (!all(child, displaced(origin, static_cast<std::ptrdiff_t>(i) * stride))) return false;
    }
    return true;
  }

  bool all(const Shape& shape, std::byte* origin) const {
    switch (shape.form) {
      case Shape::Form::kBlock:
        return function(context, shape.tag, origin, shape.size);
      case Shape::Form::kStrided:
        return repeated(*shape.child, origin, shape.count, shape.stride);
      case Shape::Form::kIndexed:
        for (std::size_t i = 0; i < shape.offsets.size(); ++i) {
          if (!repeated(*shape.child, displaced(origin, shape.offsets[i]),
                        shape.piece_size(i) / shape.child->size, shape.stride)) {
            return false;
          }
        }
        return true;
      case Shape::Form::kMixed:
        for (std::size_t i = 0; i < shape.offsets.size(); ++i) {
          if (!all(*shape.children[i], displaced(origin, shape.offsets[i]))) return false;
        }
        return true;
    }
    return true;
  }
};

}  // namespace

Layout::Layout(const std::vector<Block>& blocks, std::ptrdiff_t lower_bound, std::ptrdiff_t extent)
    : Layout(place(blocks), lower_bound, extent) {}

Layout::Layout(Placed data, std::ptrdiff_t lower_bound, std::ptrdiff_t extent)
    : size_(data.size()), extent_(extent), lower_bound_(lower_bound), data_(std::move(data)) {
  one_block_ = data_.shape == nullptr || data_.shape->is_block();
  gapless_ = one_block_ && (size_ == 0 || extent_ == static_cast<std::ptrdiff_t>(size_));
  dense_ = gapless_ && data_.offset == 0;
}

DataView DataView::bytes_at(const void* base, std::size_t size_bytes) {
  static const Layout kByte = Layout::dense(1);
  return of(base, kByte, size_bytes);
}

void copy(const DataView& from, const DataView& to) {
  const std::size_t length = std::min(from.bytes(), to.bytes());
  if (const std::byte* const run = from.run()) return unpack(to, 0, {run, length});
  if (std::byte* const run = to.run()) return pack(from, 0, {run, length});
  std::array<std::byte, 16384> piece;
  for (std::size_t done = 0; done < length;) {
    const std::size_t part = std::min(piece.size(), length - done);
    pack(from, done, {piece.data(), part});
    unpack(to, done, {piece.data(), part});
    done += part;
  }
}

bool visit_blocks(const DataView& view, BlockVisitor* visit, void* context) {
  const Placed& data = view.layout->data();
  if (data.shape == nullptr) return true;
  return Visit{visit, context}.repeated(*data.shape, displaced(view.base, data.offset), view.count,
                                        view.layout->extent());
}

}  // namespace tern
