// mpi_api/coll/reduce_scatter.cc - everybody's input reduced, a block of the result to each.
#include <vector>

#include "mpi_api/coll/fold.h"

namespace tern::mpi::coll {
namespace {

// Everybody sends block i to member i, which reduces it: one hop.
void direct(Schedule& s, const Operands& data, std::span<const std::size_t> starts) {
  const auto rank = static_cast<std::size_t>(s.rank());
  const std::size_t mine = starts[rank + 1] - starts[rank];
  if (data.from != data.to) {
    scatter_and_fold(s, data.from, data.to, starts, kSubTags);
    return;
  }
  // The result goes where other members' input is until it has left.
  std::byte* const result = s.scratch_elements(mine);
  const ScatteredFold fold = scatter_and_fold(s, data.from, result, starts, kSubTags);
  const Step reduced = s.join({fold.sent});
  for (const Segment& segment : fold.segments) s.order(segment.ready, reduced);
  s.copy(elements(s, result, mine), elements(s, data.to, mine), {reduced});
}

// Everything reduced at member 0, then scattered.
void central(Schedule& s, const Operands& data, std::span<const std::size_t> starts) {
  constexpr int kResult = 2;
  const std::size_t total = starts.back();
  const auto block = [&](const std::byte* base, int i) {
    const auto index = static_cast<std::size_t>(i);
    return elements(s, element(s, base, starts[index]), starts[index + 1] - starts[index]);
  };
  const DataView mine = elements(s, data.to, block(data.to, s.rank()).count);
  if (s.rank() != 0) {
    const Step sent = reduce_binomial(s, {data.from, data.to, total}, 0, 0);
    if (mine.count != 0) s.receive(0, kResult, mine, {sent});
    return;
  }
  // In place there is room for the whole result; otherwise only for the own block.
  const bool in_place = data.from == data.to;
  std::byte* const result = in_place ? data.to : s.scratch_elements(total);
  const Step reduced = reduce_binomial(s, {data.from, result, total}, 0, 0);
  for (int i = 1; i < s.size(); ++i) {
    if (const DataView theirs = block(result, i); theirs.count != 0) {
      s.send(i, kResult, theirs, {reduced});
    }
  }
  if (!in_place) s.copy(block(result, 0), mine, {reduced});
}

}  // namespace

void reduce_scatter(Schedule& s, Algorithm algorithm, const Operands& data,
                    std::span<const std::size_t> starts) {
  if (algorithm == Algorithm::kCentral) return central(s, data, starts);
  direct(s, data, starts);
}

}  // namespace tern::mpi::coll
