// mpi_api/coll/bcast.cc - the root's data to everybody.
#include <algorithm>

#include "mpi_api/coll/algorithms.h"
#include "mpi_api/coll/pieces.h"
#include "mpi_api/coll/tree.h"
#include "mpi_api/coll/two_level.h"

namespace tern::mpi::coll {
namespace {

// The message as one run of bytes: the user's memory where it is one, else a copy in scratch.
struct Run {
  std::byte* bytes;
  Step ready;  // The root's copy is made.
};

Run begin_run(Schedule& s, const DataView& data, bool root) {
  if (std::byte* const run = data.run()) return {run, kNoStep};
  std::byte* const run = s.scratch(data.bytes());
  return {run, root ? s.copy(data, DataView::bytes_at(run, data.bytes())) : kNoStep};
}

void end_run(Schedule& s, const Run& run, const DataView& data, bool root, Step arrived) {
  if (root || data.run() != nullptr) return;
  s.copy(DataView::bytes_at(run.bytes, data.bytes()), data, {arrived});
}

// Root to the next member to the next, in segments: every link is busy at the same time.
void chain(Schedule& s, const DataView& data, int root) {
  const int n = s.size();
  const int place = (s.rank() - root + n) % n;
  const Run run = begin_run(s, data, place == 0);
  const Step all = s.join({run.ready});
  const std::size_t total = data.bytes();
  const std::size_t segment = std::max(kSegmentBytes, (total + kSubTags - 1) / kSubTags);
  int sub = 0;
  for (std::size_t begin = 0; begin < total; begin += segment, ++sub) {
    const DataView piece = DataView::bytes_at(run.bytes + begin, std::min(segment, total - begin));
    Step here = run.ready;
    if (place != 0) {
      here = s.receive((s.rank() - 1 + n) % n, sub, piece);
      s.order(here, all);
    }
    if (place != n - 1) s.send((s.rank() + 1) % n, sub, piece, {here});
  }
  end_run(s, run, data, place == 0, all);
}

// Piece i of the message to member i down a binomial tree, then all pieces around a ring.
void scatter_allgather(Schedule& s, const DataView& data, int root) {
  const int n = s.size();
  const Tree tree(s.rank(), n, root);
  const int place = tree.place();
  const Run run = begin_run(s, data, place == 0);
  const Pieces pieces(data.bytes(), n);
  const auto bytes = [&](int first, int count) {
    return DataView::bytes_at(run.bytes + pieces.start(first),
                              pieces.start(first + count) - pieces.start(first));
  };
  Step here = run.ready;
  if (place != 0) here = s.receive(tree.rank_at(tree.parent()), 0, bytes(place, tree.reach()));
  tree.for_each_child([&](int child) {
    s.send(tree.rank_at(child), 0, bytes(child, tree.reach_of(child)), {here});
  });
  // Around the ring, a piece goes to the next member in the round after it arrived; nobody is sent
  // what the tree has brought already.
  const auto has = [&](int at, int piece) { return piece >= at && piece < at + tree.reach_of(at); };
  const int next = (place + 1) % n;
  const Step all = s.join({here});
  Step arrived = here;
  Step sent = kNoStep;
  for (int round = 0; round < n - 1; ++round) {
    const int outgoing = (place - round + n) % n;
    const int incoming = (place - round - 1 + n) % n;
    if (!has(next, outgoing)) {
      sent = s.send(tree.rank_at(next), 1 + round, bytes(outgoing, 1), {arrived, sent});
    }
    arrived = here;
    if (!has(place, incoming)) {
      arrived = s.receive(tree.rank_at(place - 1), 1 + round, bytes(incoming, 1));
      s.order(arrived, all);
    }
  }
  end_run(s, run, data, place == 0, all);
}

}  // namespace

Step bcast_flat(Schedule& s, const DataView& data, int root, int sub, Step after) {
  if (s.rank() != root) return s.receive(root, sub, data, {after});
  const int n = s.size();
  for (int i = 1; i < n; ++i) s.send((root + i) % n, sub, data, {after});
  return after;
}

Step bcast_binomial(Schedule& s, const DataView& data, int root, int sub, Step after) {
  const Tree tree(s.rank(), s.size(), root);
  Step here = after;
  if (tree.place() != 0) here = s.receive(tree.rank_at(tree.parent()), sub, data, {after});
  tree.for_each_child([&](int child) { s.send(tree.rank_at(child), sub, data, {here}); });
  return here;
}

void bcast(Schedule& s, Algorithm algorithm, const DataView& data, int root) {
  if (s.size() == 1) return;
  switch (algorithm) {
    case Algorithm::kFlat:
      bcast_flat(s, data, root, 0, kNoStep);
      return;
    case Algorithm::kChain:
      return chain(s, data, root);
    case Algorithm::kScatterAllgather:
      return scatter_allgather(s, data, root);
    case Algorithm::kTwoLevel:
      return two_level::bcast(s, data, root);
    default:
      bcast_binomial(s, data, root, 0, kNoStep);
  }
}

}  // namespace tern::mpi::coll
