// mpi_api/coll/gather.cc - everybody's block to the root, and the reverse.
#include "mpi_api/coll/algorithms.h"
#include "mpi_api/coll/tree.h"
#include "mpi_api/coll/two_level.h"

namespace tern::mpi::coll {
namespace {

// The blocks of the own subtree, packed, in the order of places.
class SubtreeRun {
 public:
  SubtreeRun(Schedule& s, const Tree& tree, std::size_t block_bytes)
      : block_(block_bytes),
        first_(tree.place()),
        run_(s.scratch(block_ * static_cast<std::size_t>(tree.reach()))) {}

  DataView at(int place, int places) const {
    return DataView::bytes_at(run_ + block_ * static_cast<std::size_t>(place - first_),
                              block_ * static_cast<std::size_t>(places));
  }

 private:
  std::size_t block_;
  int first_;
  std::byte* run_;
};

void gather_binomial(Schedule& s, const DataView* own, const Blocks& all, int root) {
  const Tree tree(s.rank(), s.size(), root);
  const int place = tree.place();
  if (place != 0 && tree.reach() == 1) {
    s.send(tree.rank_at(tree.parent()), 0, *own);
    return;
  }
  const SubtreeRun run(s, tree, place == 0 ? all.bytes(root) : own->bytes());
  const Step here = s.join();
  tree.for_each_child([&](int child) {
    s.order(s.receive(tree.rank_at(child), 0, run.at(child, tree.reach_of(child))), here);
  });
  if (place != 0) {
    s.order(s.copy(*own, run.at(place, 1)), here);
    s.send(tree.rank_at(tree.parent()), 0, run.at(place, tree.reach()), {here});
    return;
  }
  if (own != nullptr) s.copy(*own, all[root]);
  for (int at = 1; at < s.size(); ++at) s.copy(run.at(at, 1), all[tree.rank_at(at)], {here});
}

void scatter_binomial(Schedule& s, const Blocks& all, const DataView* own, int root) {
  const Tree tree(s.rank(), s.size(), root);
  const int place = tree.place();
  if (place != 0 && tree.reach() == 1) {
    s.receive(tree.rank_at(tree.parent()), 0, *own);
    return;
  }
  const SubtreeRun run(s, tree, place == 0 ? all.bytes(root) : own->bytes());
  const Step here = place == 0
                        ? s.join()
                        : s.receive(tree.rank_at(tree.parent()), 0, run.at(place, tree.reach()));
  if (place == 0) {
    for (int at = 1; at < s.size(); ++at) {
      s.order(s.copy(all[tree.rank_at(at)], run.at(at, 1)), here);
    }
  }
  tree.for_each_child([&](int child) {
    s.send(tree.rank_at(child), 0, run.at(child, tree.reach_of(child)), {here});
  });
  if (place != 0) {
    s.copy(run.at(place, 1), *own, {here});
  } else if (own != nullptr) {
    s.copy(all[root], *own);
  }
}

// Members and root know a block's size alike, so that neither side needs a message for an empty
// one.
void gather_flat(Schedule& s, const DataView* own, const Blocks& all, int root) {
  if (s.rank() != root) {
    if (own->bytes() != 0) s.send(root, 0, *own);
    return;
  }
  for (int i = 1; i < s.size(); ++i) {
    const int from = (root + i) % s.size();
    if (const DataView block = all[from]; block.bytes() != 0) s.receive(from, 0, block);
  }
  if (own != nullptr) s.copy(*own, all[root]);
}

void scatter_flat(Schedule& s, const Blocks& all, const DataView* own, int root) {
  if (s.rank() != root) {
    if (own->bytes() != 0) s.receive(root, 0, *own);
    return;
  }
  for (int i = 1; i < s.size(); ++i) {
    const int to = (root + i) % s.size();
    if (const DataView block = all[to]; block.bytes() != 0) s.send(to, 0, block);
  }
  if (own != nullptr) s.copy(all[root], *own);
}

}  // namespace

void gather(Schedule& s, Algorithm algorithm, const DataView* own, const Blocks& all, int root) {
  if (algorithm == Algorithm::kBinomial) return gather_binomial(s, own, all, root);
  if (algorithm == Algorithm::kTwoLevel) return two_level::gather(s, own, all, root);
  gather_flat(s, own, all, root);
}

void scatter(Schedule& s, Algorithm algorithm, const Blocks& all, const DataView* own, int root) {
  if (algorithm == Algorithm::kBinomial) return scatter_binomial(s, all, own, root);
  if (algorithm == Algorithm::kTwoLevel) return two_level::scatter(s, all, own, root);
  scatter_flat(s, all, own, root);
}

}  // namespace tern::mpi::coll
