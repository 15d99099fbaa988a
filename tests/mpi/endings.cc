// tests/mpi/endings.cc - small programs that end in one particular way; endings_test.py looks at
// how.
//
// Not a test by itself: argv[1] says what to do. Each way prints nothing but what is expected of
// it.
#include <mpi.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

int rank = 0, size = 1;

void die_of_a_fatal_error() { MPI_Send(&rank, 1, MPI_INT, size + 41, 0, MPI_COMM_WORLD); }

// Every rank has a connection to every other, so that there is something to leave behind.
void talk_to_all() {
  for (int peer = 0; peer < size; ++peer) {
    MPI_Request request;
    int in = 0;
    MPI_Irecv(&in, 1, MPI_INT, peer, 0, MPI_COMM_WORLD, &request);
    MPI_Send(&rank, 1, MPI_INT, peer, 0, MPI_COMM_WORLD);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
  }
}

// Collectives of all kinds and sizes, one after another: some member is always in the middle of
// one.
void collectives_for_ever() {
  constexpr int kCount = 40000;
  static double in[kCount], out[kCount], all[64];
  for (unsigned round = 0;; ++round) {
    // 8 bytes and somewhat more, up to several pieces of what members share at a time.
    const int count = 1 + static_cast<int>(round * 2654435761U % (round % 3 == 0 ? 10 : kCount));
    const int root = static_cast<int>(round) % size;
    MPI_Bcast(in, count, MPI_DOUBLE, root, MPI_COMM_WORLD);
    MPI_Allreduce(in, out, count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Reduce(in, out, count, MPI_DOUBLE, MPI_MAX, root, MPI_COMM_WORLD);
    if (size <= 64) MPI_Allgather(in, 1, MPI_DOUBLE, all, 1, MPI_DOUBLE, MPI_COMM_WORLD);
    MPI_Scan(in, out, count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
  }
}

// With the initial error handler of --initial-errhandler mpi_errors_return nothing ends the job:
// not before MPI_Init, not after MPI_Finalize, not on the communicators of the beginning.
int wrong_send() { return MPI_Send(&rank, 1, MPI_INT, size + 41, 0, MPI_COMM_WORLD); }

void wait_for_ever() {
  int value = 0;
  MPI_Recv(&value, 1, MPI_INT, MPI_ANY_SOURCE, 99, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

}  // namespace

int main(int argc, char** argv) {
  const char* way = argc > 1 ? argv[1] : "";
  auto is = [way](const char* name) { return std::strcmp(way, name) == 0; };
  int number = argc > 2 ? std::atoi(argv[2]) : 0;

  if (is("send-before-init")) MPI_Send(&number, 1, MPI_INT, 0, 0, MPI_COMM_WORLD);
  if (is("inquire-before-init")) {  // What the standard allows at any time.
    int flag = 1, version = 0, length = 0;
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    if (MPI_Initialized(&flag) != MPI_SUCCESS || flag) return 10;
    if (MPI_Finalized(&flag) != MPI_SUCCESS || flag) return 11;
    if (MPI_Get_version(&version, &length) != MPI_SUCCESS || version != MPI_VERSION) return 12;
    if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) return 13;
    MPI_Info info;
    if (MPI_Info_create(&info) != MPI_SUCCESS || MPI_Info_free(&info) != MPI_SUCCESS) return 14;
    int error_class = -1;
    if (MPI_Error_class(MPI_ERR_TAG, &error_class) != MPI_SUCCESS || error_class != MPI_ERR_TAG)
      return 15;
  }
  if (is("errors-return") && wrong_send() == MPI_SUCCESS) return 16;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (is("init-twice")) MPI_Init(&argc, &argv);
  if (is("abort")) {
    if (rank == size - 1) MPI_Abort(MPI_COMM_WORLD, number);
    wait_for_ever();
  }
  if (is("fatal-error")) {
    if (rank == 0) die_of_a_fatal_error();
    wait_for_ever();
  }
  if (is("errors-return")) {
    int error_class = MPI_SUCCESS;
    MPI_Error_class(wrong_send(), &error_class);
    if (error_class != MPI_ERR_RANK) return 17;
    MPI_Error_class(MPI_Comm_rank(MPI_COMM_SELF, nullptr), &error_class);
    if (error_class != MPI_ERR_ARG) return 18;
  }
#if MPI_VERSION >= 4
  if (is("errors-abort")) {
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ABORT);
    if (rank == 0) die_of_a_fatal_error();
    wait_for_ever();
  }
#endif
  if (is("exit")) {
    MPI_Finalize();
    return rank == size - 1 ? number : 0;
  }
  if (is("leave-without-finalize")) {
    if (rank == 0) _exit(number);
    wait_for_ever();
  }
  if (is("killed")) {
    talk_to_all();
    if (rank == size - 1) raise(SIGKILL);
    wait_for_ever();
  }
  if (is("hang") || is("collectives")) {  // Tells who it is, for a driver that kills.
    talk_to_all();
    std::printf("pid %d\n", static_cast<int>(getpid()));
    std::fflush(stdout);
    if (is("collectives")) collectives_for_ever();
    wait_for_ever();
  }
  MPI_Finalize();
  if (is("send-after-finalize")) MPI_Send(&number, 1, MPI_INT, 0, 0, MPI_COMM_WORLD);
  if (is("errors-return") && wrong_send() == MPI_SUCCESS) return 19;
  int flag = 0;
  if (MPI_Finalized(&flag) != MPI_SUCCESS || !flag) return 20;
  if (MPI_Initialized(&flag) != MPI_SUCCESS || !flag) return 21;
  return 0;
}
