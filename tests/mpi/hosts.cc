// tests/mpi/hosts.cc - every collective in every form, over and over: hosts_test.py looks at who
// sent messages to whom while this runs on several hosts.
//
// Argument: the root. Checks the numbers; exits with 1 when one is wrong. For MPI 4 and newer.
#include <mpi.h>

#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

#if MPI_VERSION < 4
int main() { return 77; }
#else
namespace {

constexpr int kRounds = 4;

enum Form { kBlocking, kNonblocking, kPersistent };

struct World {
  int rank, size, root;
  int wrong = 0;
};

// Runs an operation in one of its forms, `kRounds` times; check() looks at the result.
template <class Blocking, class Nonblocking, class Persistent, class Check>
void run(World& world, Form form, Blocking blocking, Nonblocking nonblocking, Persistent persistent,
         Check check) {
  MPI_Request request = MPI_REQUEST_NULL;
  if (form == kPersistent) persistent(&request);
  for (int round = 0; round < kRounds; ++round) {
    if (form == kBlocking) {
      blocking();
    } else {
      if (form == kPersistent) {
        MPI_Start(&request);
      } else {
        nonblocking(&request);
      }
      MPI_Wait(&request, MPI_STATUS_IGNORE);
    }
    if (!check()) ++world.wrong;
  }
  if (form == kPersistent) MPI_Request_free(&request);
}

void one_value(World& world, Form form) {
  const MPI_Comm comm = MPI_COMM_WORLD;
  const int root = world.root;
  const int sum = world.size * (world.size - 1) / 2;
  run(
      world, form, [&] { MPI_Barrier(comm); }, [&](MPI_Request* r) { MPI_Ibarrier(comm, r); },
      [&](MPI_Request* r) { MPI_Barrier_init(comm, MPI_INFO_NULL, r); }, [] { return true; });
  int value = world.rank == root ? 77 : 0;
  run(
      world, form, [&] { MPI_Bcast(&value, 1, MPI_INT, root, comm); },
      [&](MPI_Request* r) { MPI_Ibcast(&value, 1, MPI_INT, root, comm, r); },
      [&](MPI_Request* r) { MPI_Bcast_init(&value, 1, MPI_INT, root, comm, MPI_INFO_NULL, r); },
      [&] { return value == 77; });
  int total = 0;
  run(
      world, form, [&] { MPI_Reduce(&world.rank, &total, 1, MPI_INT, MPI_SUM, root, comm); },
      [&](MPI_Request* r) { MPI_Ireduce(&world.rank, &total, 1, MPI_INT, MPI_SUM, root, comm, r); },
      [&](MPI_Request* r) {
        MPI_Reduce_init(&world.rank, &total, 1, MPI_INT, MPI_SUM, root, comm, MPI_INFO_NULL, r);
      },
      [&] { return world.rank != root || total == sum; });
  run(
      world, form, [&] { MPI_Allreduce(&world.rank, &total, 1, MPI_INT, MPI_SUM, comm); },
      [&](MPI_Request* r) { MPI_Iallreduce(&world.rank, &total, 1, MPI_INT, MPI_SUM, comm, r); },
      [&](MPI_Request* r) {
        MPI_Allreduce_init(&world.rank, &total, 1, MPI_INT, MPI_SUM, comm, MPI_INFO_NULL, r);
      },
      [&] { return total == sum; });
}

void a_value_each(World& world, Form form) {
  const MPI_Comm comm = MPI_COMM_WORLD;
  const int root = world.root;
  const MPI_Info none = MPI_INFO_NULL;
  std::vector<int> ranks(static_cast<std::size_t>(world.size));
  std::iota(ranks.begin(), ranks.end(), 0);
  std::vector<int> all(ranks.size());
  run(
      world, form, [&] { MPI_Gather(&world.rank, 1, MPI_INT, all.data(), 1, MPI_INT, root, comm); },
      [&](MPI_Request* r) {
        MPI_Igather(&world.rank, 1, MPI_INT, all.data(), 1, MPI_INT, root, comm, r);
      },
      [&](MPI_Request* r) {
        MPI_Gather_init(&world.rank, 1, MPI_INT, all.data(), 1, MPI_INT, root, comm, none, r);
      },
      [&] { return world.rank != root || all == ranks; });
  int mine = -1;
  run(
      world, form, [&] { MPI_Scatter(ranks.data(), 1, MPI_INT, &mine, 1, MPI_INT, root, comm); },
      [&](MPI_Request* r) {
        MPI_Iscatter(ranks.data(), 1, MPI_INT, &mine, 1, MPI_INT, root, comm, r);
      },
      [&](MPI_Request* r) {
        MPI_Scatter_init(ranks.data(), 1, MPI_INT, &mine, 1, MPI_INT, root, comm, none, r);
      },
      [&] { return mine == world.rank; });
  run(
      world, form, [&] { MPI_Allgather(&world.rank, 1, MPI_INT, all.data(), 1, MPI_INT, comm); },
      [&](MPI_Request* r) {
        MPI_Iallgather(&world.rank, 1, MPI_INT, all.data(), 1, MPI_INT, comm, r);
      },
      [&](MPI_Request* r) {
        MPI_Allgather_init(&world.rank, 1, MPI_INT, all.data(), 1, MPI_INT, comm, none, r);
      },
      [&] { return all == ranks; });
  const std::vector<int> same(ranks.size(), world.rank);
  run(
      world, form, [&] { MPI_Alltoall(same.data(), 1, MPI_INT, all.data(), 1, MPI_INT, comm); },
      [&](MPI_Request* r) {
        MPI_Ialltoall(same.data(), 1, MPI_INT, all.data(), 1, MPI_INT, comm, r);
      },
      [&](MPI_Request* r) {
        MPI_Alltoall_init(same.data(), 1, MPI_INT, all.data(), 1, MPI_INT, comm, none, r);
      },
      [&] { return all == ranks; });
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  World world{};
  MPI_Comm_rank(MPI_COMM_WORLD, &world.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &world.size);
  world.root = argc > 1 ? std::atoi(argv[1]) : 0;
  for (const Form form : {kBlocking, kNonblocking, kPersistent}) {
    one_value(world, form);
    a_value_each(world, form);
  }
  if (world.wrong != 0) std::printf("rank %d: %d wrong results\n", world.rank, world.wrong);
  MPI_Finalize();
  return world.wrong != 0 ? 1 : 0;
}
#endif
