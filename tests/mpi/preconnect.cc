// tests/mpi/preconnect.cc - who is connected with whom before a message needs it; driven by
// preconnect_test.py, which knows how many there must be.
//
// A connection over shared memory is three mapped segments: the peer's inbox and a ring each way,
// objects whose names begin with "tern" in /proc/self/maps. Each rank prints a line at each step:
// its rank, the step, and the number of segments. Only for Tern: it uses mpix.h.
//
//   preconnect init       after MPI_Init; no message follows
//   preconnect segments   after MPIX_Comm_preconnect on parts of the world, and after messages
//   preconnect absent     rank 0 does not call MPIX_Comm_preconnect: an error for all others
//   preconnect ring       messages round the ring, so that these pairs are written by
//                         TERN_CONNECTIONS_OUT
#include <mpix.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "check.h"

namespace {

int segments() {
  int count = 0;
  if (FILE* file = std::fopen("/proc/self/maps", "r")) {
    char line[512];
    while (std::fgets(line, sizeof line, file)) count += std::strstr(line, "memfd:tern") != nullptr;
    std::fclose(file);
  }
  return count;
}

// What others do meanwhile is mapped here only inside an MPI call.
void print_step(const char* step) {
  std::printf("%d %s %d\n", check::rank, step, segments());
  std::fflush(stdout);
}

// Each rank's number once round the ring of a communicator, by messages that are long and short.
void ring(MPI_Comm comm, int count) {
  int rank, size;
  EXPECT_OK(MPI_Comm_rank(comm, &rank));
  EXPECT_OK(MPI_Comm_size(comm, &size));
  std::vector<int> out(count), in(count, -1);
  for (int i = 0; i < count; ++i) out[i] = rank * 1000 + i;
  int from = (rank + size - 1) % size;
  EXPECT_OK(MPI_Sendrecv(out.data(), count, MPI_INT, (rank + 1) % size, 3, in.data(), count,
                         MPI_INT, from, 3, comm, MPI_STATUS_IGNORE));
  for (int i = 0; i < count; ++i) EXPECT_EQ(in[i], from * 1000 + i);
}

void parts_of_the_world_are_connected() {
  // Without messages: the group of the even, or of the odd ranks.
  MPI_Group world, half;
  EXPECT_OK(MPI_Comm_group(MPI_COMM_WORLD, &world));
  std::vector<int> members;
  for (int r = check::rank % 2; r < check::size; r += 2) members.push_back(r);
  EXPECT_OK(MPI_Group_incl(world, static_cast<int>(members.size()), members.data(), &half));
  MPI_Comm comm, inter;
  EXPECT_OK(MPI_Comm_create_group(MPI_COMM_WORLD, half, 0, &comm));
  EXPECT_OK(MPIX_Comm_preconnect(comm));
  ring(comm, 1);
  if (check::size > 1) {
    EXPECT_OK(MPI_Intercomm_create(comm, 0, MPI_COMM_WORLD, 1 - check::rank % 2, 5, &inter));
    EXPECT_OK(MPIX_Comm_preconnect(inter));
    EXPECT_OK(MPIX_Comm_preconnect(inter));  // Again: nothing is left to do.
    EXPECT_OK(MPI_Comm_free(&inter));
  }
  // In the halves and across: now everybody is connected with everybody.
  print_step("across");
  ring(MPI_COMM_WORLD, 100000);
  print_step("end");
  EXPECT_OK(MPI_Comm_free(&comm));
  EXPECT_OK(MPI_Group_free(&half));
  EXPECT_OK(MPI_Group_free(&world));
}

void wrong_communicators_are_refused() {
  EXPECT_OK(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN));
  EXPECT_EQ(check::error_class(MPIX_Comm_preconnect(MPI_COMM_NULL)), MPI_ERR_COMM);
  EXPECT_OK(MPIX_Comm_preconnect(MPI_COMM_SELF));
}

void absent_process_is_an_error() {
  EXPECT_OK(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
  int error = check::rank > 0 ? MPIX_Comm_preconnect(MPI_COMM_WORLD) : MPI_SUCCESS;
  // Rank 0 waits for a message of the last rank meanwhile, and says a word to it after a second,
  // which may be in time.
  bool may_be_met = check::rank == 0 || check::rank == check::size - 1;
  if (error != MPI_SUCCESS || !may_be_met) {
    char text[MPI_MAX_ERROR_STRING + 1] = "";
    int length = 0;
    EXPECT_EQ(check::error_class(error), MPI_ERR_OTHER);
    EXPECT_OK(MPI_Error_string(error, text, &length));
    // Rank 0, or one that a busy machine has started too late.
    EXPECT_MSG(std::strstr(text, "could not connect with rank") != nullptr, "the error says: %s",
               text);
  }
  ring(MPI_COMM_WORLD, 10);  // It is there, after all.
}

}  // namespace

int main(int argc, char** argv) {
  if (!check::start(argc, argv, MPI_THREAD_SINGLE)) return 1;
  const std::string what = argc > 1 ? argv[1] : "segments";
  if (what == "init") {  // Whoever were quicker and sent a message would be counted by others.
    print_step("init");
    return MPI_Finalize();
  }
  if (what == "absent") return check::run_and_finish({{"absent", absent_process_is_an_error}});
  if (what == "ring") {  // And no message to or from anybody else.
    ring(MPI_COMM_WORLD, 5000);
    EXPECT_OK(MPI_Finalize());
    return check::failures == 0 ? 0 : 1;
  }
  return check::run_and_finish(
      {{"parts", parts_of_the_world_are_connected}, {"wrong", wrong_communicators_are_refused}});
}
