// mpi_api/datatype_build.cc - what the constructors mean (MPI-5.0 sections 5.1.2 to 5.1.4 and
// 5.1.7); see datatype_build.h.
#include "mpi_api/datatype_build.h"

#include <algorithm>
#include <vector>

#include "core/check.h"

namespace tern::mpi {
namespace {

using Run = ShapeBuilder::Run;

// The numbers of a recipe in one row: integers, then addresses; or the large counts.
class Numbers {
 public:
  explicit Numbers(const Recipe& recipe) : recipe_(recipe) {}
  MPI_Count operator[](std::size_t i) const {
    if (recipe_.large) return recipe_.counts[i];
    const std::size_t integers = recipe_.integers.size();
    return i < integers ? recipe_.integers[i] : recipe_.addresses[i - integers];
  }
  std::size_t size_at(std::size_t i) const { return static_cast<std::size_t>((*this)[i]); }

 private:
  const Recipe& recipe_;
};

class Builder {
 public:
  explicit Builder(bool typed) : typed_(typed) {}

  Built old(const Datatype& type) const {
    const Layout& layout = typed_ ? type.typed() : type.layout();
    return {layout.data(), layout.lower_bound(), layout.lower_bound() + layout.extent(),
            type.traits(), ShapeBuilder::Problem::kNone};
  }

  static std::ptrdiff_t extent(const Built& part) { return part.upper_bound - part.lower_bound; }

  std::ptrdiff_t multiply(std::ptrdiff_t a, std::ptrdiff_t b) { return shapes_.multiply(a, b); }

  Built repeat(const Built& part, std::size_t count, std::ptrdiff_t stride) {
    if (count == 0 || part.traits.empty) return {};
    Built result = part;
    result.data = shapes_.repeat(part.data, count, stride);
    widen(result, count, stride);
    return result;
  }

  Built shift(Built part, std::ptrdiff_t distance) {
    if (part.traits.empty) return part;
    part.data = shapes_.shift(part.data, distance);
    part.lower_bound = shapes_.add(part.lower_bound, distance);
    part.upper_bound = shapes_.add(part.upper_bound, distance);
    return part;
  }

  // Runs of copies; the offsets are in bytes.
  Built indexed(const Built& part, const std::vector<Run>& runs) {
    Built result;
    if (part.traits.empty) return result;
    const std::ptrdiff_t step = extent(part);
    for (const Run& run : runs) {
      if (run.copies == 0) continue;
      Built bounds;
      bounds.lower_bound = part.lower_bound;
      bounds.upper_bound = part.upper_bound;
      bounds.traits = part.traits;
      widen(bounds, run.copies, step);
      unite(result, shift(bounds, run.offset));
    }
    result.data = shapes_.indexed(part.data, runs, step);
    return result;
  }

  Built sequence(const std::vector<Built>& parts) {
    Built result;
    std::vector<Placed> data;
    data.reserve(parts.size());
    for (const Built& part : parts) {
      unite(result, part);
      data.push_back(part.data);
    }
    result.data = shapes_.sequence(data);
    return result;
  }

  Built resized(Built part, std::ptrdiff_t lower_bound, std::ptrdiff_t new_extent) {
    part.lower_bound = lower_bound;
    part.upper_bound = shapes_.add(lower_bound, new_extent);
    part.traits.marked = true;
    part.traits.empty = false;
    return part;
  }

  // Bounds that nobody set end where the compiler would end a struct.
  Built finish(Built part) {
    std::ptrdiff_t extent_bytes = 0;
    if (__builtin_sub_overflow(part.upper_bound, part.lower_bound, &extent_bytes)) {
      shapes_.set_too_large();
    } else if (!part.traits.marked) {
      const auto alignment = static_cast<std::ptrdiff_t>(part.traits.alignment);
      const std::ptrdiff_t beyond = extent_bytes % alignment;
      if (beyond != 0) part.upper_bound = shapes_.add(part.upper_bound, alignment - beyond);
    }
    part.problem = shapes_.problem();
    return part;
  }

 private:
  // The bounds of several copies.
  void widen(Built& part, std::size_t count, std::ptrdiff_t stride) {
    const std::ptrdiff_t span = multiply(static_cast<std::ptrdiff_t>(count) - 1, stride);
    part.lower_bound = shapes_.add(part.lower_bound, std::min<std::ptrdiff_t>(0, span));
    part.upper_bound = shapes_.add(part.upper_bound, std::max<std::ptrdiff_t>(0, span));
  }

  // Bounds that were set hide those that follow from data.
  static void unite(Built& to, const Built& part) {
    if (part.traits.empty) return;
    const std::size_t alignment = std::max(to.traits.alignment, part.traits.alignment);
    if (to.traits.empty || (part.traits.marked && !to.traits.marked)) {
      to.lower_bound = part.lower_bound;
      to.upper_bound = part.upper_bound;
      to.traits = part.traits;
    } else if (part.traits.marked == to.traits.marked) {
      to.lower_bound = std::min(to.lower_bound, part.lower_bound);
      to.upper_bound = std::max(to.upper_bound, part.upper_bound);
    }
    to.traits.alignment = alignment;
  }

  bool typed_;
  ShapeBuilder shapes_;
};

Built build_vector(Builder& to, const Recipe& recipe, bool in_bytes) {
  const Numbers numbers(recipe);
  const Built old = to.old(*recipe.types[0]);
  const std::ptrdiff_t stride =
      in_bytes ? numbers[2] : to.multiply(numbers[2], Builder::extent(old));
  return to.repeat(to.repeat(old, numbers.size_at(1), Builder::extent(old)), numbers.size_at(0),
                   stride);
}

// one_length: all blocks have the same.
Built build_indexed(Builder& to, const Recipe& recipe, bool in_bytes, bool one_length) {
  const Numbers numbers(recipe);
  const Built old = to.old(*recipe.types[0]);
  const std::size_t count = numbers.size_at(0);
  std::vector<Run> runs;
  runs.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t length = numbers.size_at(one_length ? 1 : 1 + i);
    const std::ptrdiff_t displacement = numbers[(one_length ? 2 : 1 + count) + i];
    const bool used = length != 0;  // The displacement of nothing need not fit.
    runs.push_back(
        {in_bytes || !used ? displacement : to.multiply(displacement, Builder::extent(old)),
         length});
  }
  return to.indexed(old, runs);
}

Built build_struct(Builder& to, const Recipe& recipe) {
  const Numbers numbers(recipe);
  const std::size_t count = numbers.size_at(0);
  std::vector<Built> parts;
  parts.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const Built old = to.old(*recipe.types[i]);
    parts.push_back(to.shift(to.repeat(old, numbers.size_at(1 + i), Builder::extent(old)),
                             numbers[1 + count + i]));
  }
  return to.sequence(parts);
}

// Calls visit(dimension) from the one that varies fastest in memory to the slowest.
template <class Visit>
void for_each_dimension(std::size_t dimensions, int order, Visit visit) {
  for (std::size_t i = 0; i < dimensions; ++i) {
    visit(order == MPI_ORDER_C ? dimensions - 1 - i : i);
  }
}

Built build_subarray(Builder& to, const Recipe& recipe) {
  const auto dimensions = static_cast<std::size_t>(recipe.integers[0]);
  const auto number = [&](std::size_t list, std::size_t i) -> MPI_Count {
    const std::size_t at = list * dimensions + i;
    return recipe.large ? recipe.counts[at] : recipe.integers[1 + at];
  };
  Built part = to.old(*recipe.types[0]);
  std::ptrdiff_t stride = Builder::extent(part);
  for_each_dimension(dimensions, recipe.integers.back(), [&](std::size_t i) {
    part = to.repeat(part, static_cast<std::size_t>(number(1, i)), stride);
    part = to.shift(part, to.multiply(number(2, i), stride));
    stride = to.multiply(stride, number(0, i));
  });
  return to.resized(part, 0, stride);
}

// One dimension of a distributed array: the elements that coordinate `place` of `places` owns, in
// cycles of `block` elements.
Built distribute(Builder& to, const Built& part, MPI_Count length, MPI_Count block, MPI_Count place,
                 MPI_Count places, std::ptrdiff_t stride) {
  const MPI_Count begin = place * block;  // At most the length plus a block.
  if (begin >= length) return {};
  const MPI_Count cycle = to.multiply(block, places);
  const MPI_Count whole = (length - begin) / cycle;
  const MPI_Count rest = std::min(block, (length - begin) % cycle);
  const Built one = to.repeat(part, static_cast<std::size_t>(block), stride);
  std::vector<Built> parts = {
      to.repeat(one, static_cast<std::size_t>(whole), to.multiply(cycle, stride)),
      to.shift(to.repeat(part, static_cast<std::size_t>(rest), stride),
               to.multiply(to.multiply(whole, cycle), stride))};
  return to.shift(to.sequence(parts), to.multiply(begin, stride));
}

Built build_darray(Builder& to, const Recipe& recipe) {
  // integers: size, rank, ndims, then lists; with large counts the first list is there.
  const std::vector<int>& integers = recipe.integers;
  const auto dimensions = static_cast<std::size_t>(integers[2]);
  const auto list = [&](std::size_t which, std::size_t i) {  // distribs, dargs, psizes
    return integers[3 + (which + (recipe.large ? 0 : 1)) * dimensions + i];
  };
  // The ranks of the process grid are in row-major order, whatever the array's order is.
  std::vector<MPI_Count> coordinates(dimensions);
  int rank = integers[1];
  for (std::size_t i = dimensions; i-- > 0;) {
    coordinates[i] = rank % list(2, i);
    rank /= list(2, i);
  }
  Built part = to.old(*recipe.types[0]);
  std::ptrdiff_t stride = Builder::extent(part);
  for_each_dimension(dimensions, integers.back(), [&](std::size_t i) {
    const MPI_Count length = recipe.large ? recipe.counts[i] : integers[3 + i];
    const MPI_Count places = list(2, i);
    MPI_Count block = list(1, i);
    if (list(0, i) == MPI_DISTRIBUTE_NONE) {
      block = length;
    } else if (block == MPI_DISTRIBUTE_DFLT_DARG) {
      block = list(0, i) == MPI_DISTRIBUTE_CYCLIC ? 1 : length / places + (length % places != 0);
    }
    part = distribute(to, part, length, block, coordinates[i], places, stride);
    stride = to.multiply(stride, length);
  });
  return to.resized(part, 0, stride);
}

Built build_unfinished(Builder& to, const Recipe& recipe) {
  const Numbers numbers(recipe);
  switch (recipe.combiner) {
    case MPI_COMBINER_DUP:
      return to.old(*recipe.types[0]);
    case MPI_COMBINER_CONTIGUOUS: {
      const Built old = to.old(*recipe.types[0]);
      return to.repeat(old, numbers.size_at(0), Builder::extent(old));
    }
    case MPI_COMBINER_VECTOR:
      return build_vector(to, recipe, false);
    case MPI_COMBINER_HVECTOR:
      return build_vector(to, recipe, true);
    case MPI_COMBINER_INDEXED:
      return build_indexed(to, recipe, false, false);
    case MPI_COMBINER_HINDEXED:
      return build_indexed(to, recipe, true, false);
    case MPI_COMBINER_INDEXED_BLOCK:
      return build_indexed(to, recipe, false, true);
    case MPI_COMBINER_HINDEXED_BLOCK:
      return build_indexed(to, recipe, true, true);
    case MPI_COMBINER_STRUCT:
      return build_struct(to, recipe);
    case MPI_COMBINER_SUBARRAY:
      return build_subarray(to, recipe);
    case MPI_COMBINER_DARRAY:
      return build_darray(to, recipe);
    default:
      CHECK(recipe.combiner == MPI_COMBINER_RESIZED);
      return to.resized(to.old(*recipe.types[0]), numbers[0], numbers[1]);
  }
}

}  // namespace

Built build(const Recipe& recipe, bool typed) {
  Builder builder(typed);
  return builder.finish(build_unfinished(builder, recipe));
}

}  // namespace tern::mpi
