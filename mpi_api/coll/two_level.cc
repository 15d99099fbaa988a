// mpi_api/coll/two_level.cc - see two_level.h. Those with a block per member: two_level_blocks.cc.
#include "mpi_api/coll/two_level.h"

#include "mpi_api/coll/levels.h"
#include "mpi_api/coll/tree.h"
#include "mpi_api/op.h"

namespace tern::mpi::coll::two_level {
namespace {

// Between hosts a message of that size costs by its bytes, and a smaller one by its hops.
constexpr std::size_t kManyBytes = 16 << 10;
// From here on, a root that sends everything to several hosts takes longer than pieces that go
// around.
constexpr std::size_t kTreeBytesMax = 512 << 10;

// Up to this many members of a host tell one of them, above it is a tree.
constexpr int kFlatMax = 16;

// Member 0 of the part has heard of all of them.
Step hear_all(Schedule& s) {
  const bool flat = s.size() <= kFlatMax;
  const Step all = s.join();
  if (flat && s.rank() == 0) {
    for (int i = 1; i < s.size(); ++i) s.order(s.receive(i, 0, kNoData), all);
  }
  if (flat) return s.rank() == 0 ? all : s.send(0, 0, kNoData);
  const Tree tree(s.rank(), s.size(), 0);
  tree.for_each_child([&](int child) { s.order(s.receive(child, 0, kNoData), all); });
  return tree.place() == 0 ? all : s.send(tree.parent(), 0, kNoData, {all});
}

std::size_t bytes_of(const Schedule& s, std::size_t count) {
  return count * s.type().layout().size();
}

// Reduces inside the host to its leader; the result is at `to` there.
Step reduce_inside(Schedule& s, const Levels& levels, const std::byte* from, std::byte* to,
                   std::size_t count) {
  Schedule::Part part(s, levels.members(), levels.place());
  const Algorithm algorithm =
      select(Collective::kReduce, s.size(), bytes_of(s, count), s.op().commutative());
  coll::reduce(s, algorithm, {from, levels.leads() ? to : nullptr, count}, levels.leader_place());
  return part.end();
}

}  // namespace

Algorithm bcast_between(int hosts, std::size_t bytes) {
  return hosts == 2 || bytes <= kTreeBytesMax ? Algorithm::kBinomial : Algorithm::kScatterAllgather;
}

Algorithm allreduce_between(std::size_t bytes, bool commutative) {
  if (bytes <= kManyBytes) return Algorithm::kDoubling;
  return commutative ? Algorithm::kHalving : Algorithm::kBinomial;
}

void barrier(Schedule& s) {
  const Levels levels(s);
  Step ready = kNoStep;
  {
    Schedule::Part part(s, levels.members(), levels.place());
    ready = hear_all(s);
  }
  if (levels.leads()) {
    Schedule::Part part(s, levels.leaders(), levels.host(), ready);
    coll::barrier(s, kBarrierBetween);
    ready = part.end();
  }
  Schedule::Part part(s, levels.members(), levels.place(), ready);
  coll::bcast(s, select(Collective::kBcast, s.size(), 0), kNoData, 0);
}

void bcast(Schedule& s, const DataView& data, int root) {
  const Levels levels(s, root);
  Step here = kNoStep;
  if (levels.leads()) {
    Schedule::Part part(s, levels.leaders(), levels.host());
    const Algorithm algorithm = bcast_between(s.size(), data.bytes());
    const int root_host = levels.map().host_of(root);
    if (algorithm == Algorithm::kBinomial) {
      here = bcast_binomial(s, data, root_host, 0, kNoStep);
    } else {
      coll::bcast(s, algorithm, data, root_host);
      here = part.end();
    }
  }
  Schedule::Part part(s, levels.members(), levels.place(), here);
  coll::bcast(s, select(Collective::kBcast, s.size(), data.bytes()), data, levels.leader_place());
}

void reduce(Schedule& s, const Operands& data, int root) {
  const Levels levels(s, root);
  const bool at_root = s.rank() == root;
  const std::byte* value = data.from;
  Step ready = kNoStep;
  if (levels.members().size() > 1) {
    std::byte* sum = nullptr;
    if (levels.leads()) sum = at_root ? data.to : s.scratch_elements(data.count);
    ready = reduce_inside(s, levels, data.from, sum, data.count);
    value = sum;
  }
  if (!levels.leads()) return;
  Schedule::Part part(s, levels.leaders(), levels.host(), ready);
  coll::reduce(s, kReduceBetween, {value, at_root ? data.to : nullptr, data.count},
               levels.map().host_of(root));
}

void allreduce(Schedule& s, const Operands& data) {
  const Levels levels(s);
  const std::byte* value = data.from;
  Step ready = kNoStep;
  if (levels.members().size() > 1) {
    // Not where the result will be: an operand that stays saves the next step a copy.
    std::byte* const sum = levels.leads() ? s.scratch_elements(data.count) : nullptr;
    ready = reduce_inside(s, levels, data.from, sum, data.count);
    value = sum;
  }
  const std::size_t bytes = bytes_of(s, data.count);
  if (levels.leads()) {
    Schedule::Part part(s, levels.leaders(), levels.host(), ready);
    coll::allreduce(s, allreduce_between(bytes, s.op().commutative()),
                    {value, data.to, data.count});
    ready = part.end();
  }
  Schedule::Part part(s, levels.members(), levels.place(), ready);
  coll::bcast(s, select(Collective::kBcast, s.size(), bytes),
              DataView::of(data.to, s.type().layout(), data.count), 0);
}

}  // namespace tern::mpi::coll::two_level
