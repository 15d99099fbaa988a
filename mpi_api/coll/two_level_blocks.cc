// mpi_api/coll/two_level_blocks.cc - those collectives in two levels that have a block per member.
//
// A leader keeps the blocks of its host as one run of bytes, and runs are listed host by host: that
// is the order of ranks only where HostMap::in_order().
#include <vector>

#include "mpi_api/coll/levels.h"
#include "mpi_api/coll/two_level.h"

namespace tern::mpi::coll::two_level {
namespace {

// Exchanges between leaders that are in flight at a time.
constexpr int kWindow = 8;

const Datatype& byte_type() {
  static const Datatype type(Layout::dense(1), Basic::kByte, "byte");
  return type;
}

// Equal blocks, one after another.
class Run {
 public:
  Run(std::byte* base, std::size_t block_bytes) : base_(base), block_(block_bytes) {}
  DataView at(int first, int count) const {
    return DataView::bytes_at(base_ + block_ * static_cast<std::size_t>(first),
                              block_ * static_cast<std::size_t>(count));
  }

 private:
  std::byte* base_;
  std::size_t block_;
};

Run scratch_run(Schedule& s, std::size_t block_bytes, int blocks) {
  return {s.scratch(block_bytes * static_cast<std::size_t>(blocks)), block_bytes};
}

// At the root: where the blocks of a host arrive, or leave from. They lie in the user's buffer
// already where that is one run in the right order.
struct RootRuns {
  RootRuns(Schedule& s, const HostMap& hosts, const Blocks& all, int root)
      : in_place(hosts.in_order() && all.run() != nullptr),
        run(in_place ? Run(all.run(), all.bytes(root))
                     : scratch_run(s, all.bytes(root), s.size())) {}
  bool in_place;
  Run run;
};

}  // namespace

void gather(Schedule& s, const DataView* own, const Blocks& all, int root) {
  const Levels levels(s, root);
  if (s.out_of_memory()) return;  // The root may not lead its host then, and has no block.
  const HostMap& hosts = levels.map();
  if (!levels.leads()) {
    s.send(levels.leader(), 0, *own);
    return;
  }
  if (s.rank() != root) {
    const Run run = scratch_run(s, own->bytes(), hosts.size_of(hosts.host()));
    const Step here = s.join({s.copy(*own, run.at(hosts.place(), 1))});
    for (int i = 0; i < hosts.size_of(hosts.host()); ++i) {
      if (i == hosts.place()) continue;
      s.order(s.receive(levels.members()[static_cast<std::size_t>(i)], 0, run.at(i, 1)), here);
    }
    s.send(root, 0, run.at(0, hosts.size_of(hosts.host())), {here});
    return;
  }
  const RootRuns runs(s, hosts, all, root);
  for (int host = 0; host < hosts.hosts(); ++host) {
    if (host == hosts.host()) continue;
    const int first = hosts.start(host);
    const int count = hosts.size_of(host);
    const Step here =
        s.receive(levels.leaders()[static_cast<std::size_t>(host)], 0, runs.run.at(first, count));
    if (runs.in_place) continue;
    for (int i = first; i < first + count; ++i) {
      s.copy(runs.run.at(i, 1), all[hosts.rank_at(i)], {here});
    }
  }
  for (const int member : levels.members()) {
    if (member != root) s.receive(member, 0, all[member]);
  }
  if (own != nullptr) s.copy(*own, all[root]);
}

void scatter(Schedule& s, const Blocks& all, const DataView* own, int root) {
  const Levels levels(s, root);
  if (s.out_of_memory()) return;  // The root may not lead its host then, and has no block.
  const HostMap& hosts = levels.map();
  if (!levels.leads()) {
    s.receive(levels.leader(), 0, *own);
    return;
  }
  if (s.rank() != root) {
    const Run run = scratch_run(s, own->bytes(), hosts.size_of(hosts.host()));
    const Step here = s.receive(root, 0, run.at(0, hosts.size_of(hosts.host())));
    for (int i = 0; i < hosts.size_of(hosts.host()); ++i) {
      if (i == hosts.place()) continue;
      s.send(levels.members()[static_cast<std::size_t>(i)], 0, run.at(i, 1), {here});
    }
    s.copy(run.at(hosts.place(), 1), *own, {here});
    return;
  }
  const RootRuns runs(s, hosts, all, root);
  for (int host = 0; host < hosts.hosts(); ++host) {
    if (host == hosts.host()) continue;
    const int first = hosts.start(host);
    const int count = hosts.size_of(host);
    const Step here = s.join();
    for (int i = first; i < first + count && !runs.in_place; ++i) {
      s.order(s.copy(all[hosts.rank_at(i)], runs.run.at(i, 1)), here);
    }
    s.send(levels.leaders()[static_cast<std::size_t>(host)], 0, runs.run.at(first, count), {here});
  }
  for (const int member : levels.members()) {
    if (member != root) s.send(member, 0, all[member]);
  }
  if (own != nullptr) s.copy(all[root], *own);
}

void allgather(Schedule& s, const DataView* own, const Blocks& all) {
  const Levels levels(s);
  const HostMap& hosts = levels.map();
  const int n = s.size();
  // Where the blocks lie, listed host by host, in one run of bytes.
  const std::span<MPI_Count> starts = s.scratch_array<MPI_Count>(static_cast<std::size_t>(n) + 1);
  const auto host_count = static_cast<std::size_t>(hosts.hosts());
  const std::span<MPI_Count> host_starts = s.scratch_array<MPI_Count>(host_count);
  const std::span<MPI_Count> host_bytes = s.scratch_array<MPI_Count>(host_count);
  if (s.out_of_memory()) return;
  starts[0] = 0;
  for (int i = 0; i < n; ++i) {
    const auto bytes = static_cast<MPI_Count>(all.bytes(hosts.rank_at(i)));
    starts[static_cast<std::size_t>(i) + 1] = starts[static_cast<std::size_t>(i)] + bytes;
  }
  for (int host = 0; host < hosts.hosts(); ++host) {
    const auto index = static_cast<std::size_t>(host);
    host_starts[index] = starts[static_cast<std::size_t>(hosts.start(host))];
    host_bytes[index] =
        starts[static_cast<std::size_t>(hosts.start(host + 1))] - host_starts[index];
  }
  const auto total = static_cast<std::size_t>(starts.back());
  std::byte* const ordered = hosts.in_order() ? all.run() : nullptr;
  std::byte* const run = ordered != nullptr ? ordered : s.scratch(total);
  const auto block = [&](int i) {
    const auto index = static_cast<std::size_t>(i);
    return DataView::bytes_at(run + starts[index],
                              static_cast<std::size_t>(starts[index + 1] - starts[index]));
  };

  const DataView mine = own != nullptr ? *own : all[s.rank()];
  Step ready = kNoStep;
  if (levels.leads()) {
    ready = s.join();
    for (int i = 0; i < hosts.size_of(hosts.host()); ++i) {
      const DataView place = block(hosts.start(hosts.host()) + i);
      const int member = levels.members()[static_cast<std::size_t>(i)];
      if (place.bytes() == 0) continue;
      if (member != s.rank()) {
        s.order(s.receive(member, 0, place), ready);
      } else if (place.base != mine.base) {
        s.order(s.copy(mine, place), ready);
      }
    }
    Schedule::Part part(s, levels.leaders(), levels.host(), ready);
    const Blocks by_host(run, IntArray{host_bytes.data(), true}, IntArray{host_starts.data(), true},
                         byte_type());
    coll::allgather(s, select(Collective::kAllgatherv, s.size(), total), nullptr, by_host);
    ready = part.end();
  } else if (mine.bytes() != 0) {
    ready = s.send(levels.leader(), 0, mine);
  }
  Step arrived = kNoStep;
  {
    Schedule::Part part(s, levels.members(), levels.place(), ready);
    coll::bcast(s, select(Collective::kBcast, s.size(), total), DataView::bytes_at(run, total), 0);
    arrived = part.end();
  }
  for (int i = 0; i < n && run != ordered; ++i) {
    s.copy(block(i), all[hosts.rank_at(i)], {arrived});
  }
}

namespace {

// All blocks that the members of this host have for others, and those that they get: a row per
// member, in which the other side is listed host by host.
struct Table {
  Table(Schedule& s, const HostMap& map, std::size_t block_bytes)
      : hosts(map),
        block(block_bytes),
        columns(s.size()),
        base(s.scratch(block * static_cast<std::size_t>(columns) * map.members().size())) {}

  DataView row(int i) const { return Run(base, block).at(i * columns, columns); }

  // What goes to a host: a piece of every row.
  DataView outgoing(Schedule& s, int host) const {
    const std::size_t bytes = block * static_cast<std::size_t>(hosts.size_of(host));
    std::vector<Block> runs;
    runs.reserve(hosts.members().size());
    for (int row = 0; row < rows(); ++row) runs.push_back({place(row, hosts.start(host)), bytes});
    return DataView::of(base, s.keep(Layout(std::move(runs), 0, 0)), 1);
  }
  // What comes from a host, a member's blocks after another's: columns.
  DataView incoming(Schedule& s, int host) const {
    std::vector<Block> runs;
    for (int i = 0; i < hosts.size_of(host); ++i) {
      for (int row = 0; row < rows(); ++row) {
        runs.push_back({place(row, hosts.start(host) + i), block});
      }
    }
    return DataView::of(base, s.keep(Layout(std::move(runs), 0, 0)), 1);
  }

  const HostMap& hosts;
  std::size_t block;
  int columns;
  std::byte* base;

 private:
  int rows() const { return static_cast<int>(hosts.members().size()); }
  std::ptrdiff_t place(int row, int column) const {
    return static_cast<std::ptrdiff_t>(block) * (std::ptrdiff_t{row} * columns + column);
  }
};

// Leaders exchange what the members of their hosts have for each other.
Step exchange(Schedule& s, const Levels& levels, const Table& out, const Table& in, Step ready) {
  const int n = levels.map().hosts();
  const Step done =
      s.join({s.copy(out.outgoing(s, levels.host()), in.incoming(s, levels.host()), {ready})});
  std::vector<Step> rounds;
  for (int i = 1; i < n; ++i) {
    const int to = (levels.host() + i) % n;
    const int from = (levels.host() - i + n) % n;
    const Step before = i > kWindow ? rounds[static_cast<std::size_t>(i - 1 - kWindow)] : ready;
    const Step received = s.receive(levels.leaders()[static_cast<std::size_t>(from)], 1,
                                    in.incoming(s, from), {before});
    const Step sent =
        s.send(levels.leaders()[static_cast<std::size_t>(to)], 1, out.outgoing(s, to), {before});
    rounds.push_back(s.join({sent, received, before}));
    s.order(rounds.back(), done);
  }
  return done;
}

}  // namespace

void alltoall(Schedule& s, const Blocks* from, const Blocks& to) {
  const Levels levels(s);
  const HostMap& hosts = levels.map();
  const Blocks& input = from != nullptr ? *from : to;
  const std::size_t block = to.bytes(0);
  const Run sent = scratch_run(s, block, s.size());
  const Run received = scratch_run(s, block, s.size());
  Step ready = s.join();
  for (int i = 0; i < s.size(); ++i) {
    s.order(s.copy(input[hosts.rank_at(i)], sent.at(i, 1)), ready);
  }
  Step arrived = kNoStep;
  if (levels.leads()) {
    const Table out(s, hosts, block);
    const Table in(s, hosts, block);
    const auto rows = static_cast<int>(hosts.members().size());
    const Step all = s.join({s.copy(sent.at(0, s.size()), out.row(0), {ready})});
    for (int i = 1; i < rows; ++i) {
      s.order(s.receive(hosts.members()[static_cast<std::size_t>(i)], 0, out.row(i)), all);
    }
    const Step exchanged = exchange(s, levels, out, in, all);
    for (int i = 1; i < rows; ++i) {
      s.send(hosts.members()[static_cast<std::size_t>(i)], 2, in.row(i), {exchanged});
    }
    arrived = s.copy(in.row(0), received.at(0, s.size()), {exchanged});
  } else {
    s.send(levels.leader(), 0, sent.at(0, s.size()), {ready});
    arrived = s.receive(levels.leader(), 2, received.at(0, s.size()), {ready});
  }
  for (int i = 0; i < s.size(); ++i) {
    s.copy(received.at(i, 1), to[hosts.rank_at(i)], {arrived});
  }
}

}  // namespace tern::mpi::coll::two_level
