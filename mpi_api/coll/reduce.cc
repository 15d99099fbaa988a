// mpi_api/coll/reduce.cc - everybody's input reduced, the result at the root.
#include <algorithm>
#include <vector>

#include "mpi_api/coll/fold.h"
#include "mpi_api/coll/pieces.h"
#include "mpi_api/coll/two_level.h"

namespace tern::mpi::coll {
namespace {

void flat(Schedule& s, const Operands& data, int root) {
  if (s.rank() == root) {
    receive_and_fold(s, data.from, data.to, data.count, 0, Order::kAny);
  } else {
    s.send(root, 0, elements(s, data.from, data.count));
  }
}

// Member i reduces block i and sends it to the root.
void direct(Schedule& s, const Operands& data, int root) {
  constexpr int kHalf = kSubTags / 2;
  const Pieces pieces(data.count, s.size());
  const std::vector<std::size_t> starts = pieces.starts();
  const auto rank = static_cast<std::size_t>(s.rank());
  if (s.rank() != root) {
    std::byte* const block = s.scratch_elements(pieces.size(s.rank()));
    const ScatteredFold fold = scatter_and_fold(s, data.from, block, starts, kHalf);
    int sub = kHalf;
    for (const Segment& segment : fold.segments) {
      s.send(root, sub++, elements(s, element(s, block, segment.begin), segment.count),
             {segment.ready});
    }
    return;
  }
  const ScatteredFold fold =
      scatter_and_fold(s, data.from, element(s, data.to, starts[rank]), starts, kHalf);
  const std::size_t cut = segment_elements(s, pieces.size(0), kHalf);
  for (int i = 1; i < s.size(); ++i) {
    const int owner = (root + i) % s.size();
    int sub = kHalf;
    for (std::size_t begin = 0; begin < pieces.size(owner); begin += cut) {
      const std::byte* const place = element(s, data.to, pieces.start(owner) + begin);
      const std::size_t count = std::min(cut, pieces.size(owner) - begin);
      // In place, the input has to leave before the result comes.
      s.receive(owner, sub++, elements(s, place, count),
                {data.from == data.to ? fold.sent : kNoStep});
    }
  }
}

}  // namespace

void reduce(Schedule& s, Algorithm algorithm, const Operands& data, int root) {
  switch (algorithm) {
    case Algorithm::kFlat:
      return flat(s, data, root);
    case Algorithm::kDirect:
      return direct(s, data, root);
    case Algorithm::kTwoLevel:
      return two_level::reduce(s, data, root);
    default:
      reduce_binomial(s, data, root, 0);
  }
}

}  // namespace tern::mpi::coll
