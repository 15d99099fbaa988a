// tests/mpi/coll_data.cc - collectives that move data: barrier, bcast, gather, scatter, allgather,
// alltoall.
//
// Blocking and nonblocking, with and without MPI_IN_PLACE, v-forms with gaps and shuffled
// displacements, random communicators, roots, types and counts including zero. What rank a sends to
// rank b in operation `id` is a pure function of (id, a, b), so every receiver knows what to
// expect.
#include "buffer.h"
#include "comm_sample.h"

namespace {

using check::CommSample;
using check::Random;
using Bytes = std::vector<unsigned char>;

struct Case {
  int id;
  CommSample& comm;
  MPI_Datatype type;
  int width;  // Bytes of the type.
  int count;  // Elements per block.
  int root;
  bool in_place, blocking;

  int size() const { return comm.size(); }
  std::uint64_t key(int from, int to) const { return Random(50, id, from, to).next(); }
  void put(unsigned char* at, int elements, int from, int to) const {
    check::fill(at, std::size_t(elements) * width, key(from, to));
  }
  void expect(const unsigned char* at, int elements, int from, int to, const char* what) const {
    long bad = check::first_difference(at, std::size_t(elements) * width, key(from, to));
    EXPECT_MSG(bad < 0,
               "%s: block %d -> %d of %d elements is wrong at byte %ld (%d ranks, root %d%s%s)",
               what, from, to, elements, bad, size(), root, in_place ? ", in place" : "",
               blocking ? "" : ", nonblocking");
  }
};

// Completes what a nonblocking call started; the blocking calls leave the request null.
struct Pending {
  MPI_Request request = MPI_REQUEST_NULL;
  void wait() { EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE)); }
};

constexpr unsigned char kUntouched = 0xEE;

// Blocks of given lengths placed in shuffled order with random gaps: counts and displacements.
struct Layout {
  std::vector<int> counts, displacements;
  int total = 0;

  Layout(const Case& c, int salt, const std::vector<int>& lengths) : counts(lengths) {
    Random random(51, c.id, salt);
    std::vector<int> order(counts.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
    random.shuffle(order);
    displacements.resize(counts.size());
    for (int i : order) {
      total += random.below(4);
      displacements[i] = total;
      total += counts[i];
    }
    total += 3;
  }
  Bytes room(const Case& c) const { return Bytes(std::size_t(total) * c.width, kUntouched); }
  unsigned char* block(Bytes& bytes, const Case& c, int i) const {
    return bytes.data() + std::size_t(displacements[i]) * c.width;
  }
  // Gaps between the blocks are nobody's.
  void expect_gaps(const Bytes& bytes, const Case& c, const char* what) const {
    std::vector<bool> used(total);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      for (int k = 0; k < counts[i]; ++k) used[displacements[i] + k] = true;
    }
    for (int e = 0; e < total; ++e) {
      if (!used[e] && bytes[std::size_t(e) * c.width] != kUntouched) {
        EXPECT_MSG(false, "%s: element %d between the blocks was overwritten", what, e);
        return;
      }
    }
  }
};

// Uneven lengths known to all ranks.
std::vector<int> lengths_of(const Case& c, int salt) {
  std::vector<int> lengths(c.size());
  for (int i = 0; i < c.size(); ++i) {
    Random random(52, c.id, salt, i);
    lengths[i] = random.chance(20) ? 0 : random.below(2 * c.count + 1);
  }
  return lengths;
}
int pair_length(const Case& c, int from, int to) {
  Random random(53, c.id, from, to);
  return random.chance(20) ? 0 : random.below(2 * c.count + 1);
}

void bcast(const Case& c) {
  check::Buffer buffer(std::size_t(c.count) * c.width);
  if (c.comm.rank == c.root) c.put(buffer.data(), c.count, c.root, 0);
  Pending pending;
  EXPECT_OK(c.blocking ? MPI_Bcast(buffer.data(), c.count, c.type, c.root, c.comm.handle)
                       : MPI_Ibcast(buffer.data(), c.count, c.type, c.root, c.comm.handle,
                                    &pending.request));
  pending.wait();
  c.expect(buffer.data(), c.count, c.root, 0, "bcast");
  buffer.untouched_outside(buffer.size(), "bcast");
}

void gather(const Case& c) {
  bool at_root = c.comm.rank == c.root;
  std::size_t block = std::size_t(c.count) * c.width;
  Bytes in(block + 1), out(at_root ? block * c.size() + 1 : 0, kUntouched);
  c.put(in.data(), c.count, c.comm.rank, 0);
  bool in_place = c.in_place && at_root;
  if (in_place) c.put(out.data() + block * c.root, c.count, c.root, 0);
  const void* from = in_place ? MPI_IN_PLACE : in.data();
  Pending pending;
  EXPECT_OK(c.blocking ? MPI_Gather(from, c.count, c.type, out.data(), c.count, c.type, c.root,
                                    c.comm.handle)
                       : MPI_Igather(from, c.count, c.type, out.data(), c.count, c.type, c.root,
                                     c.comm.handle, &pending.request));
  pending.wait();
  for (int i = 0; at_root && i < c.size(); ++i)
    c.expect(out.data() + block * i, c.count, i, 0, "gather");
  if (at_root) EXPECT_EQ(out.back(), kUntouched);
}

void gatherv(const Case& c) {
  bool at_root = c.comm.rank == c.root;
  Layout layout(c, 0, lengths_of(c, 0));
  int mine = layout.counts[c.comm.rank];
  Bytes in(std::size_t(mine) * c.width + 1), out = layout.room(c);
  c.put(in.data(), mine, c.comm.rank, 0);
  bool in_place = c.in_place && at_root;
  if (in_place) c.put(layout.block(out, c, c.root), mine, c.root, 0);
  const void* from = in_place ? MPI_IN_PLACE : in.data();
  const int *counts = at_root ? layout.counts.data() : nullptr,
            *places = at_root ? layout.displacements.data() : nullptr;
  Pending pending;
  EXPECT_OK(c.blocking ? MPI_Gatherv(from, mine, c.type, out.data(), counts, places, c.type, c.root,
                                     c.comm.handle)
                       : MPI_Igatherv(from, mine, c.type, out.data(), counts, places, c.type,
                                      c.root, c.comm.handle, &pending.request));
  pending.wait();
  if (!at_root) return;
  for (int i = 0; i < c.size(); ++i)
    c.expect(layout.block(out, c, i), layout.counts[i], i, 0, "gatherv");
  layout.expect_gaps(out, c, "gatherv");
}

void scatter(const Case& c) {
  bool at_root = c.comm.rank == c.root;
  std::size_t block = std::size_t(c.count) * c.width;
  Bytes in(at_root ? block * c.size() + 1 : 0), out(block + 1, kUntouched);
  for (int i = 0; at_root && i < c.size(); ++i) c.put(in.data() + block * i, c.count, c.root, i);
  bool in_place = c.in_place && at_root;
  void* to = in_place ? MPI_IN_PLACE : out.data();
  Pending pending;
  EXPECT_OK(c.blocking ? MPI_Scatter(in.data(), c.count, c.type, to, c.count, c.type, c.root,
                                     c.comm.handle)
                       : MPI_Iscatter(in.data(), c.count, c.type, to, c.count, c.type, c.root,
                                      c.comm.handle, &pending.request));
  pending.wait();
  if (in_place) {
    c.expect(in.data() + block * c.root, c.count, c.root, c.root, "scatter in place");
  } else {
    c.expect(out.data(), c.count, c.root, c.comm.rank, "scatter");
  }
  EXPECT_EQ(out.back(), kUntouched);
}

void scatterv(const Case& c) {
  bool at_root = c.comm.rank == c.root;
  Layout layout(c, 0, lengths_of(c, 0));
  int mine = layout.counts[c.comm.rank];
  Bytes in = layout.room(c), out(std::size_t(mine) * c.width + 1, kUntouched);
  for (int i = 0; at_root && i < c.size(); ++i)
    c.put(layout.block(in, c, i), layout.counts[i], c.root, i);
  bool in_place = c.in_place && at_root;
  void* to = in_place ? MPI_IN_PLACE : out.data();
  const int *counts = at_root ? layout.counts.data() : nullptr,
            *places = at_root ? layout.displacements.data() : nullptr;
  Pending pending;
  EXPECT_OK(c.blocking ? MPI_Scatterv(in.data(), counts, places, c.type, to, mine, c.type, c.root,
                                      c.comm.handle)
                       : MPI_Iscatterv(in.data(), counts, places, c.type, to, mine, c.type, c.root,
                                       c.comm.handle, &pending.request));
  pending.wait();
  if (!in_place) c.expect(out.data(), mine, c.root, c.comm.rank, "scatterv");
  EXPECT_EQ(out.back(), kUntouched);
}

void allgather(const Case& c) {
  std::size_t block = std::size_t(c.count) * c.width;
  Bytes in(block + 1), out(block * c.size() + 1, kUntouched);
  c.put(c.in_place ? out.data() + block * c.comm.rank : in.data(), c.count, c.comm.rank, 0);
  const void* from = c.in_place ? MPI_IN_PLACE : in.data();
  Pending pending;
  EXPECT_OK(c.blocking
                ? MPI_Allgather(from, c.count, c.type, out.data(), c.count, c.type, c.comm.handle)
                : MPI_Iallgather(from, c.count, c.type, out.data(), c.count, c.type, c.comm.handle,
                                 &pending.request));
  pending.wait();
  for (int i = 0; i < c.size(); ++i) c.expect(out.data() + block * i, c.count, i, 0, "allgather");
  EXPECT_EQ(out.back(), kUntouched);
}

void allgatherv(const Case& c) {
  if (c.size() == 1 && check::library_is("MPICH")) return;  // 4.0 ignores the displacement there.
  // Each rank may lay its results out differently; the lengths are agreed.
  Layout layout(c, c.comm.rank, lengths_of(c, 0));
  int mine = layout.counts[c.comm.rank];
  Bytes in(std::size_t(mine) * c.width + 1), out = layout.room(c);
  c.put(c.in_place ? layout.block(out, c, c.comm.rank) : in.data(), mine, c.comm.rank, 0);
  const void* from = c.in_place ? MPI_IN_PLACE : in.data();
  Pending pending;
  EXPECT_OK(c.blocking ? MPI_Allgatherv(from, mine, c.type, out.data(), layout.counts.data(),
                                        layout.displacements.data(), c.type, c.comm.handle)
                       : MPI_Iallgatherv(from, mine, c.type, out.data(), layout.counts.data(),
                                         layout.displacements.data(), c.type, c.comm.handle,
                                         &pending.request));
  pending.wait();
  for (int i = 0; i < c.size(); ++i)
    c.expect(layout.block(out, c, i), layout.counts[i], i, 0, "allgatherv");
  layout.expect_gaps(out, c, "allgatherv");
}

void alltoall(const Case& c) {
  std::size_t block = std::size_t(c.count) * c.width;
  Bytes in(block * c.size() + 1), out(block * c.size() + 1, kUntouched);
  unsigned char* start = c.in_place ? out.data() : in.data();
  for (int i = 0; i < c.size(); ++i) c.put(start + block * i, c.count, c.comm.rank, i);
  const void* from = c.in_place ? MPI_IN_PLACE : in.data();
  Pending pending;
  EXPECT_OK(c.blocking
                ? MPI_Alltoall(from, c.count, c.type, out.data(), c.count, c.type, c.comm.handle)
                : MPI_Ialltoall(from, c.count, c.type, out.data(), c.count, c.type, c.comm.handle,
                                &pending.request));
  pending.wait();
  for (int i = 0; i < c.size(); ++i)
    c.expect(out.data() + block * i, c.count, i, c.comm.rank, "alltoall");
  EXPECT_EQ(out.back(), kUntouched);
}

void alltoallv(const Case& c) {
  int me = c.comm.rank;
  std::vector<int> sent(c.size()), received(c.size());
  for (int i = 0; i < c.size(); ++i) {
    // In place both directions of a pair have one length.
    sent[i] = c.in_place ? pair_length(c, std::min(me, i), std::max(me, i)) : pair_length(c, me, i);
    received[i] = c.in_place ? sent[i] : pair_length(c, i, me);
  }
  Layout out_layout(c, 100 + me, sent), in_layout(c, 200 + me, received);
  Bytes in = out_layout.room(c), out = in_layout.room(c);
  for (int i = 0; i < c.size(); ++i) {
    c.put(c.in_place ? in_layout.block(out, c, i) : out_layout.block(in, c, i), sent[i], me, i);
  }
  const void* from = c.in_place ? MPI_IN_PLACE : in.data();
  Pending pending;
  EXPECT_OK(c.blocking ? MPI_Alltoallv(from, sent.data(), out_layout.displacements.data(), c.type,
                                       out.data(), received.data(), in_layout.displacements.data(),
                                       c.type, c.comm.handle)
                       : MPI_Ialltoallv(from, sent.data(), out_layout.displacements.data(), c.type,
                                        out.data(), received.data(), in_layout.displacements.data(),
                                        c.type, c.comm.handle, &pending.request));
  pending.wait();
  for (int i = 0; i < c.size(); ++i)
    c.expect(in_layout.block(out, c, i), received[i], i, me, "alltoallv");
  in_layout.expect_gaps(out, c, "alltoallv");
}

constexpr void (*kCollectives[])(const Case&) = {
    bcast, gather, gatherv, scatter, scatterv, allgather, allgatherv, alltoall, alltoallv};

Case draw(check::CommSamples& comms, Random& random, int id, int count) {
  struct {
    MPI_Datatype type;
    int width;
  } types[] = {{MPI_BYTE, 1},   {MPI_SHORT, 2}, {MPI_INT, 4},
               {MPI_DOUBLE, 8}, {MPI_2INT, 8},  {MPI_C_DOUBLE_COMPLEX, 16}};
  auto& type = types[random.below(6)];
  CommSample& comm = comms.pick(random);
  int root = comm.size() ? random.below(1000) % comm.size() : 0;
  bool in_place = random.chance(30), blocking = random.chance(50);
  return {id, comm, type.type, type.width, count, root, in_place, blocking};
}

void random_collectives() {
  check::CommSamples comms(4);
  for (int id = 0; id < 250; ++id) {
    Random random(60, id);
    auto collective = kCollectives[random.below(std::size(kCollectives))];
    int count = random.chance(10) ? 0 : random.chance(80) ? random.below(60) : random.below(3000);
    Case c = draw(comms, random, id, count);
    if (c.comm.handle != MPI_COMM_NULL) collective(c);
  }
}

void every_collective_with_many_counts() {
  check::CommSamples comms(2);
  int id = 1000;
  for (auto collective : kCollectives) {
    for (int count : {0, 1, 2, 5, 13, 32, 100, 255, 257, 1025, 4097, 16384, 20001}) {
      Random random(61, ++id);
      Case c = draw(comms, random, id, count);
      if (c.comm.handle != MPI_COMM_NULL) collective(c);
    }
  }
}

void large_blocks() {
  check::CommSamples comms(0);
  int id = 2000;
  for (auto collective : kCollectives) {
    Random random(62, ++id);
    Case c = draw(comms, random, id, 0);
    c.type = MPI_BYTE;
    c.width = 1;
    c.count = (2 << 20) / check::size + 1;
    collective(c);
  }
}

// Nobody leaves a barrier before everybody has entered: what was sent before it is there after it.
void barriers_separate() {
  check::CommSamples comms(2);
  for (int round = 0; round < 30; ++round) {
    Random random(63, round);
    CommSample& comm = comms.pick(random);
    if (comm.handle == MPI_COMM_NULL) continue;
    MPI_Request request;
    if (random.chance(50)) {
      EXPECT_OK(MPI_Barrier(comm.handle));
    } else {  // A nonblocking barrier stays open while one rank has not come.
      int late = random.below(1000) % comm.size(), done = 0;
      if (comm.rank == late) {
        for (int i = 0; i < comm.size(); ++i) {
          if (i == late) continue;  // All others have started theirs and found it incomplete.
          EXPECT_OK(MPI_Recv(nullptr, 0, MPI_INT, i, 1, comm.handle, MPI_STATUS_IGNORE));
        }
        EXPECT_OK(MPI_Ibarrier(comm.handle, &request));
      } else {
        EXPECT_OK(MPI_Ibarrier(comm.handle, &request));
        for (int look = 0; look < 20; ++look) {
          EXPECT_OK(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
          if (!EXPECT_MSG(!done, "barrier completed before rank %d entered", late)) break;
        }
        EXPECT_OK(MPI_Send(nullptr, 0, MPI_INT, late, 1, comm.handle));
      }
      EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv,
                     {{"random_collectives", random_collectives},
                      {"every_collective_with_many_counts", every_collective_with_many_counts},
                      {"large_blocks", large_blocks},
                      {"barriers_separate", barriers_separate}});
}
