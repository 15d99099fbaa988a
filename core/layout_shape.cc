// core/layout_shape.cc - building compact shapes and counting in them; see layout_shape.h.
#include "core/layout_shape.h"

#include <algorithm>
#include <limits>

namespace tern {
namespace {

using Form = Shape::Form;

// Deeper trees would make the recursion over them a danger. Only what is nested this often with
// data on every level gets here: everything regular is merged.
constexpr std::uint16_t kDepthMax = 1000;
// A child with at most so many pieces is spliced into the list above it; larger ones are shared.
constexpr std::size_t kSpliceMax = 64;

std::ptrdiff_t signed_size(std::size_t size) { return static_cast<std::ptrdiff_t>(size); }

bool touches(const Placed& first, const Placed& second) {
  const Shape& a = *first.shape;
  const Shape& b = *second.shape;
  return a.is_block() && b.is_block() && a.tag == b.tag &&
         first.offset + signed_size(a.size) == second.offset;
}

// Whether base + stride * count is `place`; what does not fit is no place.
bool leads_to(std::ptrdiff_t base, std::ptrdiff_t stride, std::size_t count, std::ptrdiff_t place) {
  std::ptrdiff_t end = 0;
  return !__builtin_mul_overflow(stride, signed_size(count), &end) &&
         !__builtin_add_overflow(base, end, &end) && end == place;
}

// The distance between all neighbours, where it is the same.
bool constant_step(std::span<const std::ptrdiff_t> offsets, std::ptrdiff_t& step) {
  for (std::size_t i = 1; i < offsets.size(); ++i) {
    std::ptrdiff_t here = 0;
    if (__builtin_sub_overflow(offsets[i], offsets[i - 1], &here)) return false;
    if (i > 1 && here != step) return false;
    step = here;
  }
  return true;
}

bool all_narrow(std::span<const std::ptrdiff_t> offsets) {
  using Limits = std::numeric_limits<std::int32_t>;
  return std::all_of(offsets.begin(), offsets.end(), [](std::ptrdiff_t offset) {
    return offset >= Limits::min() && offset <= Limits::max();
  });
}

}  // namespace

std::size_t Shape::piece_at(std::size_t position) const {
  if (starts.empty()) return position / child->size;
  const auto after = std::upper_bound(starts.begin(), starts.end(), position);
  return static_cast<std::size_t>(after - starts.begin()) - 1;
}

std::ptrdiff_t ShapeBuilder::add(std::ptrdiff_t a, std::ptrdiff_t b) {
  std::ptrdiff_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) set_too_large();
  return sum;
}

std::ptrdiff_t ShapeBuilder::multiply(std::ptrdiff_t a, std::ptrdiff_t b) {
  std::ptrdiff_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) set_too_large();
  return product;
}

Placed ShapeBuilder::finish(Shape shape) {
  if (shape.depth > kDepthMax) problem_ = Problem::kTooDeep;
  std::ptrdiff_t span = 0;
  if (__builtin_sub_overflow(shape.high, shape.low, &span)) set_too_large();
  if (problem_ != Problem::kNone) return {};
  return {0, std::make_shared<const Shape>(std::move(shape))};
}

Placed ShapeBuilder::block(std::size_t size, std::uint32_t tag, std::size_t elements) {
  if (size == 0) return {};
  Shape shape;
  shape.tag = tag;
  shape.size = size;
  shape.elements = elements;
  shape.high = signed_size(size);
  return finish(std::move(shape));
}

Placed ShapeBuilder::shift(Placed part, std::ptrdiff_t distance) {
  if (part.shape == nullptr) return part;
  part.offset = add(part.offset, distance);
  // Where the data begins and ends has to fit, too.
  add(part.offset, part.shape->low);
  add(part.offset, part.shape->high);
  return part;
}

Placed ShapeBuilder::repeat(const Placed& part, std::size_t count, std::ptrdiff_t stride) {
  if (part.shape == nullptr || count == 0) return {};
  if (count == 1) return part;
  const Shape& shape = *part.shape;
  if (shape.is_block() && stride == signed_size(shape.size)) {
    const std::ptrdiff_t size = multiply(stride, signed_size(count));
    if (problem_ != Problem::kNone) return {};
    return shift(block(static_cast<std::size_t>(size), shape.tag, shape.elements * count),
                 part.offset);
  }
  if (shape.form == Form::kStrided && leads_to(0, shape.stride, shape.count, stride)) {
    const std::ptrdiff_t copies = multiply(signed_size(shape.count), signed_size(count));
    if (problem_ != Problem::kNone) return {};
    return strided({part.offset, shape.child}, static_cast<std::size_t>(copies), shape.stride);
  }
  return strided(part, count, stride);
}

Placed ShapeBuilder::strided(const Placed& part, std::size_t count, std::ptrdiff_t stride) {
  const Shape& child = *part.shape;
  Shape shape;
  shape.form = Form::kStrided;
  shape.depth = static_cast<std::uint16_t>(child.depth + 1);
  shape.size = static_cast<std::size_t>(multiply(signed_size(child.size), signed_size(count)));
  shape.elements = child.elements * count;  // No more than bytes.
  const std::ptrdiff_t span = multiply(signed_size(count) - 1, stride);
  shape.low = add(child.low, std::min<std::ptrdiff_t>(0, span));
  shape.high = add(child.high, std::max<std::ptrdiff_t>(0, span));
  shape.count = count;
  shape.stride = stride;
  shape.child = part.shape;
  return shift(finish(std::move(shape)), part.offset);
}

Placed ShapeBuilder::indexed(const Placed& part, std::span<const Run> runs, std::ptrdiff_t stride) {
  if (part.shape == nullptr) return {};
  std::vector<std::ptrdiff_t> offsets;
  std::vector<std::size_t> copies;
  offsets.reserve(runs.size());
  copies.reserve(runs.size());
  for (const Run& run : runs) {
    if (run.copies == 0) continue;
    const std::ptrdiff_t offset = add(part.offset, run.offset);
    if (!offsets.empty() && leads_to(offsets.back(), stride, copies.back(), offset)) {
      copies.back() += run.copies;
    } else {
      offsets.push_back(offset);
      copies.push_back(run.copies);
    }
  }
  if (problem_ != Problem::kNone || offsets.empty()) return {};
  if (offsets.size() == 1) return shift(repeat({0, part.shape}, copies[0], stride), offsets[0]);
  return list({0, part.shape}, std::move(offsets), std::move(copies), stride);
}

// At least two runs, none of them empty, and no two of them touch.
Placed ShapeBuilder::list(const Placed& part, std::vector<std::ptrdiff_t> offsets,
                          std::vector<std::size_t> copies, std::ptrdiff_t stride) {
  const bool uniform = std::all_of(copies.begin(), copies.end(),
                                   [&](std::size_t number) { return number == copies[0]; });
  Placed child = part;
  if (uniform) {
    child = repeat(part, copies[0], stride);
    if (child.shape == nullptr) return {};
    std::ptrdiff_t step = 0;
    if (constant_step(offsets, step)) {
      return shift(repeat(child, offsets.size(), step), offsets[0]);
    }
  }
  Shape shape;
  shape.form = Form::kIndexed;
  shape.depth = static_cast<std::uint16_t>(child.shape->depth + 1);
  shape.stride = stride;
  shape.child = child.shape;
  if (!uniform) shape.starts.reserve(copies.size() + 1);
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    const std::size_t number = uniform ? 1 : copies[i];
    const std::ptrdiff_t span = uniform ? 0 : multiply(stride, signed_size(number) - 1);
    const std::ptrdiff_t low =
        add(offsets[i], add(child.shape->low, std::min<std::ptrdiff_t>(0, span)));
    const std::ptrdiff_t high =
        add(offsets[i], add(child.shape->high, std::max<std::ptrdiff_t>(0, span)));
    shape.low = i == 0 ? low : std::min(shape.low, low);
    shape.high = i == 0 ? high : std::max(shape.high, high);
    if (!uniform) shape.starts.push_back(shape.size);
    const std::ptrdiff_t bytes = multiply(signed_size(child.size()), signed_size(number));
    shape.size = static_cast<std::size_t>(add(signed_size(shape.size), bytes));
    shape.elements += child.shape->elements * number;
  }
  if (!uniform) shape.starts.push_back(shape.size);
  if (uniform && shape.child->is_block() && all_narrow(offsets)) {
    shape.narrow_offsets.assign(offsets.begin(), offsets.end());
  }
  shape.offsets = std::move(offsets);
  return finish(std::move(shape));
}

// Collects parts, taking apart the small lists among them and joining blocks that touch.
class ShapeBuilder::Splicer {
 public:
  explicit Splicer(ShapeBuilder& builder) : builder_(builder) {}

  void add(const Placed& part) {
    if (part.shape == nullptr) return;
    const Shape& shape = *part.shape;
    const bool small = shape.offsets.size() <= kSpliceMax;
    if (shape.form == Form::kMixed && small) {
      for (std::size_t i = 0; i < shape.offsets.size(); ++i) {
        add(builder_.shift({shape.offsets[i], shape.children[i]}, part.offset));
      }
    } else if (shape.form == Form::kIndexed && small && shape.has_dense_pieces()) {
      for (std::size_t i = 0; i < shape.offsets.size(); ++i) {
        const Placed unit{0, shape.child};
        const std::size_t copies = shape.piece_size(i) / shape.child->size;
        add(builder_.shift(builder_.repeat(unit, copies, shape.stride),
                           builder_.add(part.offset, shape.offsets[i])));
      }
    } else if (!parts.empty() && touches(parts.back(), part)) {
      const Shape& before = *parts.back().shape;
      const std::ptrdiff_t size = builder_.add(signed_size(before.size), signed_size(shape.size));
      parts.back() = builder_.shift(builder_.block(static_cast<std::size_t>(size), shape.tag,
                                                   before.elements + shape.elements),
                                    parts.back().offset);
      if (parts.back().shape == nullptr) parts.pop_back();  // A problem was noted.
    } else {
      parts.push_back(part);
    }
  }

  std::vector<Placed> parts;

 private:
  ShapeBuilder& builder_;
};

Placed ShapeBuilder::sequence(std::span<const Placed> parts) {
  Splicer splicer(*this);
  splicer.parts.reserve(parts.size());
  for (const Placed& part : parts) splicer.add(part);
  if (problem_ != Problem::kNone || splicer.parts.empty()) return {};
  if (splicer.parts.size() == 1) return splicer.parts[0];
  const bool alike =
      std::all_of(splicer.parts.begin(), splicer.parts.end(), [&](const Placed& part) {
        const Shape& first = *splicer.parts[0].shape;
        return part.shape->is_block() && part.shape->tag == first.tag;
      });
  return alike ? blocks(splicer.parts) : mixed(std::move(splicer.parts));
}

// Blocks of one tag, at least two of them.
Placed ShapeBuilder::blocks(std::span<const Placed> parts) {
  const Shape& first = *parts[0].shape;
  const std::size_t unit_size = first.elements == 0 ? 1 : first.size / first.elements;
  const Placed unit = block(unit_size, first.tag, first.elements == 0 ? 0 : 1);
  std::vector<std::ptrdiff_t> offsets;
  std::vector<std::size_t> copies;
  offsets.reserve(parts.size());
  copies.reserve(parts.size());
  for (const Placed& part : parts) {
    offsets.push_back(part.offset);
    copies.push_back(part.shape->size / unit_size);
  }
  return list(unit, std::move(offsets), std::move(copies), signed_size(unit_size));
}

Placed ShapeBuilder::mixed(std::vector<Placed> parts) {
  Shape shape;
  shape.form = Form::kMixed;
  shape.low = std::numeric_limits<std::ptrdiff_t>::max();
  shape.high = std::numeric_limits<std::ptrdiff_t>::min();
  shape.offsets.reserve(parts.size());
  shape.starts.reserve(parts.size() + 1);
  shape.children.reserve(parts.size());
  for (Placed& part : parts) {
    const Shape& child = *part.shape;
    shape.low = std::min(shape.low, add(part.offset, child.low));
    shape.high = std::max(shape.high, add(part.offset, child.high));
    shape.depth = std::max<std::uint16_t>(shape.depth, static_cast<std::uint16_t>(child.depth + 1));
    shape.starts.push_back(shape.size);
    shape.size = static_cast<std::size_t>(add(signed_size(shape.size), signed_size(child.size)));
    shape.elements += child.elements;
    shape.offsets.push_back(part.offset);
    shape.children.push_back(std::move(part.shape));
  }
  shape.starts.push_back(shape.size);
  return finish(std::move(shape));
}

ElementCount elements_in(const Shape& shape, std::size_t bytes) {
  if (bytes >= shape.size) return {shape.elements, bytes == shape.size};
  if (shape.is_block()) {
    const std::size_t unit = shape.size / shape.elements;
    return {bytes / unit, bytes % unit == 0};
  }
  if (shape.form == Form::kMixed) {
    const std::size_t piece = shape.piece_at(bytes);
    ElementCount inside = elements_in(*shape.children[piece], bytes - shape.starts[piece]);
    for (std::size_t i = 0; i < piece; ++i) inside.elements += shape.children[i]->elements;
    return inside;
  }
  // Whole children come first, wherever they lie.
  ElementCount inside = elements_in(*shape.child, bytes % shape.child->size);
  inside.elements += bytes / shape.child->size * shape.child->elements;
  return inside;
}

std::size_t bytes_of_elements(const Shape& shape, std::size_t elements) {
  if (shape.is_block()) return elements * (shape.size / shape.elements);
  if (shape.form != Form::kMixed) {
    return elements / shape.child->elements * shape.child->size +
           bytes_of_elements(*shape.child, elements % shape.child->elements);
  }
  std::size_t bytes = 0;
  for (const ShapePtr& child : shape.children) {
    if (elements < child->elements) return bytes + bytes_of_elements(*child, elements);
    elements -= child->elements;
    bytes += child->size;
  }
  return bytes;
}

}  // namespace tern
