// mpi_api/coll/inter.cc - collectives on intercommunicators; see inter.h.
#include "mpi_api/coll/inter.h"

#include "mpi.h"
#include "mpi_api/coll/fold.h"

namespace tern::mpi::coll::inter {
namespace {

// Sub-tags of messages inside the group; those between the groups have tags of their own.
constexpr int kReduce = 0;  // And the next one.
constexpr int kTell = 2;

int remote(const Schedule& s, int rank) { return s.size() + rank; }

// Swaps whole vectors of a reduction between the first members: returns the step after which
// `theirs` is there. Only at the first member.
Step swap(Schedule& s, const std::byte* mine, std::byte* theirs, std::size_t count, Step reduced) {
  s.send(remote(s, 0), 0, elements(s, mine, count), {reduced});
  return s.receive(remote(s, 0), 0, elements(s, theirs, count));
}

}  // namespace

Side side_of(int root) {
  if (root == MPI_ROOT) return Side::kRoot;
  return root == MPI_PROC_NULL ? Side::kBeside : Side::kMember;
}

void barrier(Schedule& s) {
  if (s.rank() != 0) {
    s.send(0, kReduce, kNoData);
    s.receive(0, kTell, kNoData);
    return;
  }
  const Step all_here = s.join();
  for (int i = 1; i < s.size(); ++i) s.order(s.receive(i, kReduce, kNoData), all_here);
  s.send(remote(s, 0), 0, kNoData, {all_here});
  const Step all_there = s.receive(remote(s, 0), 0, kNoData);
  // The first member of the other group speaks when its group is complete, whoever waits here.
  for (int i = 1; i < s.size(); ++i) s.send(i, kTell, kNoData, {all_here, all_there});
}

void bcast(Schedule& s, const DataView& data, int root) {
  switch (side_of(root)) {
    case Side::kRoot:
      s.send(remote(s, 0), 0, data);
      return;
    case Side::kBeside:
      return;
    case Side::kMember:
      break;
  }
  const Step here = s.rank() == 0 ? s.receive(remote(s, root), 0, data) : kNoStep;
  bcast_binomial(s, data, 0, kTell, here);
}

void gather(Schedule& s, const DataView* own, const Blocks& all, int remote_size, int root) {
  const Side side = side_of(root);
  if (side == Side::kMember && own->bytes() != 0) s.send(remote(s, root), 0, *own);
  if (side != Side::kRoot) return;
  for (int i = 0; i < remote_size; ++i) {
    if (const DataView block = all[i]; block.bytes() != 0) s.receive(remote(s, i), 0, block);
  }
}

void scatter(Schedule& s, const Blocks& all, const DataView* own, int remote_size, int root) {
  const Side side = side_of(root);
  if (side == Side::kMember && own->bytes() != 0) s.receive(remote(s, root), 0, *own);
  if (side != Side::kRoot) return;
  for (int i = 0; i < remote_size; ++i) {
    if (const DataView block = all[i]; block.bytes() != 0) s.send(remote(s, i), 0, block);
  }
}

// Members begin with different partners, so that nobody is sent everything at once.
void allgather(Schedule& s, const DataView& own, const Blocks& all, int remote_size) {
  for (int i = 0; i < remote_size; ++i) {
    const int partner = (s.rank() + i) % remote_size;
    if (const DataView block = all[partner]; block.bytes() != 0) {
      s.receive(remote(s, partner), 0, block);
    }
    if (own.bytes() != 0) s.send(remote(s, partner), 0, own);
  }
}

void alltoall(Schedule& s, const Blocks& from, const Blocks& to, int remote_size) {
  for (int i = 0; i < remote_size; ++i) {
    const int partner = (s.rank() + i) % remote_size;
    if (const DataView block = to[partner]; block.bytes() != 0) {
      s.receive(remote(s, partner), 0, block);
    }
    if (const DataView block = from[partner]; block.bytes() != 0) {
      s.send(remote(s, partner), 0, block);
    }
  }
}

void reduce(Schedule& s, const Operands& data, int root) {
  switch (side_of(root)) {
    case Side::kRoot:
      s.receive(remote(s, 0), 0, elements(s, data.to, data.count));
      return;
    case Side::kBeside:
      return;
    case Side::kMember:
      break;
  }
  std::byte* const result = s.rank() == 0 ? s.scratch_elements(data.count) : nullptr;
  const Step reduced = reduce_binomial(s, {data.from, result, data.count}, 0, kReduce);
  if (s.rank() == 0) s.send(remote(s, root), 0, elements(s, result, data.count), {reduced});
}

void allreduce(Schedule& s, const Operands& data) {
  const bool first = s.rank() == 0;
  std::byte* const own_result = first ? s.scratch_elements(data.count) : nullptr;
  const Step reduced = reduce_binomial(s, {data.from, own_result, data.count}, 0, kReduce);
  const Step arrived = first ? swap(s, own_result, data.to, data.count, reduced) : kNoStep;
  bcast_binomial(s, elements(s, data.to, data.count), 0, kTell, arrived);
}

void reduce_scatter(Schedule& s, const Operands& data, std::span<const std::size_t> starts) {
  const auto block = [&](std::byte* base, int i) {
    const auto index = static_cast<std::size_t>(i);
    return elements(s, element(s, base, starts[index]), starts[index + 1] - starts[index]);
  };
  const std::size_t total = starts.back();
  const bool first = s.rank() == 0;
  std::byte* const own_result = first ? s.scratch_elements(total) : nullptr;
  const Step reduced = reduce_binomial(s, {data.from, own_result, total}, 0, kReduce);
  if (!first) {
    const std::size_t mine = block(data.to, s.rank()).count;
    if (mine != 0) s.receive(0, kTell, elements(s, data.to, mine));
    return;
  }
  std::byte* const theirs = s.scratch_elements(total);
  const Step arrived = swap(s, own_result, theirs, total, reduced);
  for (int i = 1; i < s.size(); ++i) {
    if (const DataView part = block(theirs, i); part.count != 0) s.send(i, kTell, part, {arrived});
  }
  const DataView mine = block(theirs, 0);
  s.copy(mine, elements(s, data.to, mine.count), {arrived});
}

}  // namespace tern::mpi::coll::inter
