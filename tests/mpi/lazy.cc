// tests/mpi/lazy.cc - nothing is opened before it is used.
//
// Looks at this process through /proc: file descriptors, and mappings of Tern's shared segments
// (memfd objects whose names begin with "tern"). The bounds do not depend on the number of ranks,
// so at 8 ranks anything held per peer breaks them. Only for Tern; skipped (exit code 77) on
// another MPI.
#include <dirent.h>

#include "check.h"

namespace {

struct Holdings {
  int descriptors = 0;
  int segments = 0;  // Mappings of memfd objects named tern*.
  int foreign = 0;   // Mappings of libraries that lead to other hosts.
};

Holdings look() {
  Holdings holdings;
  if (DIR* directory = opendir("/proc/self/fd")) {
    while (dirent* entry = readdir(directory)) holdings.descriptors += entry->d_name[0] != '.';
    --holdings.descriptors;  // The one that is reading the directory.
    closedir(directory);
  }
  if (FILE* file = std::fopen("/proc/self/maps", "r")) {
    char line[512];
    while (std::fgets(line, sizeof line, file)) {
      holdings.segments += std::strstr(line, "memfd:tern") != nullptr;
      holdings.foreign += std::strstr(line, "libibverbs") != nullptr;
    }
    std::fclose(file);
  }
  return holdings;
}

Holdings before_init, after_init;

// What MPI itself may hold before it has a peer: its own inbox, the line to the launcher,
// doorbells.
constexpr int kOwnSegmentsMax = 2;
constexpr int kOwnDescriptorsMax = 6;

void nothing_per_peer_after_init() {
  EXPECT_MSG(after_init.segments <= kOwnSegmentsMax, "%d shared segments after MPI_Init",
             after_init.segments);
  EXPECT_MSG(after_init.descriptors - before_init.descriptors <= kOwnDescriptorsMax,
             "%d file descriptors opened by MPI_Init",
             after_init.descriptors - before_init.descriptors);
  // The ranks are on one host (the test's mpiexec starts them there): nothing else can be needed.
  EXPECT_EQ(after_init.foreign, before_init.foreign);
}

void expect_one_connection(const Holdings& before, const char* direction) {
  int opened = look().segments - before.segments;
  EXPECT_MSG(opened >= 1 && opened <= 3, "%d shared segments for %s", opened, direction);
}

// A posted receive opens nothing, neither does a message to oneself or to nobody.
void receives_and_self_messages_open_nothing() {
  Holdings before = look();
  std::vector<MPI_Request> requests(check::size);
  std::vector<int> values(check::size);
  for (int peer = 0; peer < check::size; ++peer) {
    EXPECT_OK(MPI_Irecv(&values[peer], 1, MPI_INT, peer, 9, MPI_COMM_WORLD, &requests[peer]));
  }
  int out = check::rank, in = -1, flag = 1;
  EXPECT_OK(MPI_Sendrecv(&out, 1, MPI_INT, check::rank, 0, &in, 1, MPI_INT, check::rank, 0,
                         MPI_COMM_WORLD, MPI_STATUS_IGNORE));
  EXPECT_EQ(in, check::rank);
  EXPECT_OK(MPI_Send(&flag, 1, MPI_INT, MPI_PROC_NULL, 0, MPI_COMM_WORLD));
  EXPECT_OK(MPI_Iprobe(MPI_ANY_SOURCE, 8, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE));
  Holdings after = look();
  EXPECT_EQ(after.segments, before.segments);
  EXPECT(after.descriptors <= before.descriptors);  // One that handed a ring over may close now.
  for (MPI_Request& request : requests) {
    EXPECT_OK(MPI_Cancel(&request));
    EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
  }
}

// A note goes up through the ranks and back, so that each rank knows at any moment who may have
// contacted it: nobody, then the rank below, then the rank above. One connection for each.
void each_peer_opens_one_connection() {
  Holdings before = look();
  int note = 0;
  if (check::rank > 0) {
    EXPECT_OK(MPI_Recv(&note, 1, MPI_INT, check::rank - 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
    expect_one_connection(before, "the rank below");
  }
  receives_and_self_messages_open_nothing();
  before = look();
  if (check::rank + 1 < check::size) {
    EXPECT_OK(MPI_Send(&note, 1, MPI_INT, check::rank + 1, 0, MPI_COMM_WORLD));
    EXPECT_OK(MPI_Recv(&note, 1, MPI_INT, check::rank + 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
    expect_one_connection(before, "the rank above");
  }
  if (check::rank > 0) {
    EXPECT_OK(MPI_Send(&note, 1, MPI_INT, check::rank - 1, 0, MPI_COMM_WORLD));
    // A last way up: nobody goes on to the next test before all have looked.
    EXPECT_OK(MPI_Recv(&note, 1, MPI_INT, check::rank - 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
  }
  if (check::rank + 1 < check::size) {
    EXPECT_OK(MPI_Send(&note, 1, MPI_INT, check::rank + 1, 0, MPI_COMM_WORLD));
  }
}

// A descriptor is needed to hand a segment over, not to use it: none stays per peer.
void no_descriptor_per_peer_remains() {
  for (int round = 0; round < 3; ++round) {
    for (int distance = 1; distance < check::size; ++distance) {
      int to = (check::rank + distance) % check::size, out = check::rank, in = -1;
      int from = (check::rank + check::size - distance) % check::size;
      EXPECT_OK(MPI_Sendrecv(&out, 1, MPI_INT, to, 0, &in, 1, MPI_INT, from, 0, MPI_COMM_WORLD,
                             MPI_STATUS_IGNORE));
      EXPECT_EQ(in, from);
    }
  }
  EXPECT_OK(MPI_Barrier(MPI_COMM_WORLD));
  int opened = look().descriptors - after_init.descriptors;
  EXPECT_MSG(opened <= 3, "%d file descriptors more than after MPI_Init, with %d peers", opened,
             check::size - 1);
}

}  // namespace

int main(int argc, char** argv) {
  if (!check::library_is_tern()) {
    std::printf("skipped: these are promises of Tern\n");
    return check::kSkip;
  }
  before_init = look();
  if (!check::start(argc, argv, MPI_THREAD_SINGLE)) return 1;
  after_init = look();
  return check::run_and_finish(
      {{"nothing_per_peer_after_init", nothing_per_peer_after_init},
       {"each_peer_opens_one_connection", each_peer_opens_one_connection},
       {"no_descriptor_per_peer_remains", no_descriptor_per_peer_remains}});
}
