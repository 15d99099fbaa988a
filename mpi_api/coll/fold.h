// mpi_api/coll/fold.h - parts that reductions are made of.
//
// They apply the operation in the order of ranks, x_0 op (x_1 op (... op x_n-1)), whatever order
// the messages arrive in: one code serves operations that commute and those that do not, and
// results are the same in every run.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

#include "mpi_api/coll/algorithms.h"

namespace tern::mpi::coll {

inline DataView elements(const Schedule& s, const std::byte* base, std::size_t count) {
  return DataView::of(base, s.type().layout(), count);
}
inline std::byte* element(const Schedule& s, const std::byte* base, std::size_t index) {
  return const_cast<std::byte*>(base) + static_cast<std::ptrdiff_t>(index) * s.type().extent();
}

// Elements of a reduction per message where the messages are cut: long enough that a message costs
// little beside its bytes, short enough to be in cache still when it is reduced. `count` is that of
// the whole message that is cut, of which no more than sub_tags pieces are made.
std::size_t segment_elements(const Schedule& s, std::size_t count, int sub_tags);

// kByRank: all members get the same bits from the same input, whoever computes. kAny: the operands
// of an operation that commutes may be swapped, where that saves a copy; for results that one
// member computes for all.
enum class Order { kByRank, kAny };

// Receives `count` elements from every other member and folds them and the own ones into result.
// own == result: in place. Nothing may read `own` in place at the same time.
Step receive_and_fold(Schedule& s, const std::byte* own, std::byte* result, std::size_t count,
                      int sub, Order order);

// Sends block i of `from` to member i and folds what comes for the own block into `result`, both in
// segments with sub-tags from 0 to sub_tags - 1. starts[i]..starts[i + 1] are the elements of
// block i. Returns the step after which each segment of the result is there.
struct Segment {
  std::size_t begin;  // Element of the own block.
  std::size_t count;
  Step ready;
};
struct ScatteredFold {
  std::vector<Segment> segments;
  Step sent = kNoStep;  // Nothing reads `from` any more.
};
ScatteredFold scatter_and_fold(Schedule& s, const std::byte* from, std::byte* result,
                               std::span<const std::size_t> starts, int sub_tags);

// A tree to `root`, with sub-tags sub and sub + 1. In place (from == to) where `to` holds the
// input; elsewhere than at the root `to` is only used when it does. Returns the step after which
// the result is at the root, and after which other members' input may be overwritten.
Step reduce_binomial(Schedule& s, const Operands& data, int root, int sub);

}  // namespace tern::mpi::coll
