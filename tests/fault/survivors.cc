// tests/fault/survivors.cc - what those see who are left: of a job in which a rank is killed, or
// calls something else than the others.
//
//   survivors KIND VICTIM SEED
//
// KIND `killed`: VICTIM is killed in the middle of collectives, at a place that SEED decides. KIND
// `differs`: it calls another collective than the others. Errors are returned: every other rank
// must come to the right one, be able to talk to the others and to finalize, and says "RANK ok".
// survivors_test.py starts it, with a launcher that lets the others go on.
#include <mpi.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

namespace {

int rank = 0, size = 1;

// What all ranks draw alike.
struct Plan {
  explicit Plan(unsigned seed) : random(seed) {}
  int below(int end) { return static_cast<int>(random() % static_cast<unsigned>(end)); }
  std::mt19937 random;
};

struct Round {
  int kind, count, root;
};

Round next_round(Plan& plan) {
  static const int kCounts[] = {1, 100, 5000, 100000};
  const int kind = plan.below(12);
  return {kind, kCounts[plan.below(4)], plan.below(size)};
}

std::vector<double> in, out;

int run(const Round& round, MPI_Comm comm) {
  const int n = round.count, part = n / size + 1;
  const MPI_Datatype type = MPI_DOUBLE;
  MPI_Request request = MPI_REQUEST_NULL;
  int error = MPI_SUCCESS;
  switch (round.kind) {
    case 0:
      return MPI_Barrier(comm);
    case 1:
      return MPI_Bcast(in.data(), n, type, round.root, comm);
    case 2:
      return MPI_Allreduce(in.data(), out.data(), n, type, MPI_SUM, comm);
    case 3:
      return MPI_Reduce(in.data(), out.data(), n, type, MPI_MAX, round.root, comm);
    case 4:
      return MPI_Allgather(in.data(), part, type, out.data(), part, type, comm);
    case 5:
      return MPI_Alltoall(in.data(), part, type, out.data(), part, type, comm);
    case 6:
      return MPI_Scan(in.data(), out.data(), n, type, MPI_SUM, comm);
    case 7:
      return MPI_Gather(in.data(), part, type, out.data(), part, type, round.root, comm);
    case 8:
      return MPI_Scatter(in.data(), part, type, out.data(), part, type, round.root, comm);
    case 9:
      return MPI_Reduce_scatter_block(in.data(), out.data(), part, type, MPI_SUM, comm);
    case 10:
      error = MPI_Iallreduce(in.data(), out.data(), n, type, MPI_SUM, comm, &request);
      break;
    default:
      error = MPI_Ibcast(in.data(), n, type, round.root, comm, &request);
  }
  return error != MPI_SUCCESS ? error : MPI_Wait(&request, MPI_STATUS_IGNORE);
}

// One rank calls something else.
int differ(const Round& round, bool alone, MPI_Comm comm) {
  const Round barrier{0, 0, 0}, without_blocking{10, 1, 0}, few{2, 1, 0}, many{2, 200000, 0};
  switch (round.kind % 3) {
    case 0:
      return run(alone ? barrier : without_blocking, comm);
    case 1:
      return run(alone ? without_blocking : barrier, comm);
    default:
      return run(alone ? few : many, comm);
  }
}

// Survivors in a ring, with messages of both protocols.
bool can_talk(int victim) {
  std::vector<int> left;
  for (int i = 0; i < size; ++i) {
    if (i != victim) left.push_back(i);
  }
  const int others = static_cast<int>(left.size());
  int place = 0;
  while (left[static_cast<std::size_t>(place)] != rank) ++place;
  const int next = left[static_cast<std::size_t>((place + 1) % others)];
  const int previous = left[static_cast<std::size_t>((place + others - 1) % others)];
  for (const int count : {1, 100000}) {
    std::vector<int> mine(static_cast<std::size_t>(count), rank), theirs(mine.size(), -1);
    const int error = MPI_Sendrecv(mine.data(), count, MPI_INT, next, 7, theirs.data(), count,
                                   MPI_INT, previous, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (error != MPI_SUCCESS || theirs.front() != previous || theirs.back() != previous) {
      return false;
    }
  }
  return true;
}

// What would wait for the victim comes to an error.
bool waits_in_vain(int victim) {
  int value = 0;
  MPI_Status status;
  return MPI_Ssend(&value, 1, MPI_INT, victim, 8, MPI_COMM_WORLD) != MPI_SUCCESS &&
         MPI_Recv(&value, 1, MPI_INT, victim, 8, MPI_COMM_WORLD, &status) != MPI_SUCCESS &&
         MPI_Probe(victim, 8, MPI_COMM_WORLD, &status) != MPI_SUCCESS;
}

int wrong(const char* what) {
  std::printf("rank %d: %s\n", rank, what);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 0;  // Built only.
  const bool killed = std::strcmp(argv[1], "killed") == 0;
  const int victim = std::atoi(argv[2]);
  Plan plan(static_cast<unsigned>(std::strtoul(argv[3], nullptr, 10)));
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  in.assign(200000, 1.0);
  out.assign(200000, 0.0);
  MPI_Comm comm;
  if (plan.below(2) == 0) {
    comm = MPI_COMM_WORLD;
  } else {
    MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  }

  const int last = 3 + plan.below(60);
  int error = MPI_SUCCESS;
  for (int i = 0; error == MPI_SUCCESS && i < last + 10; ++i) {
    const Round round = next_round(plan);
    if (i == last && killed && rank == victim) raise(SIGKILL);
    error = i == last && !killed ? differ(round, rank == victim, comm) : run(round, comm);
  }
  if (error == MPI_SUCCESS) error = MPI_Barrier(comm);  // Nobody gets through without the victim.
  int error_class = 0;
  MPI_Error_class(error, &error_class);
  const bool right = killed ? error_class == MPI_ERR_PROC_ABORTED
                            : error_class == MPI_ERR_NOT_SAME || error_class == MPI_ERR_TRUNCATE;
  if (!right) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(error, text, &length);
    return wrong(text);
  }
  if (MPI_Barrier(comm) == MPI_SUCCESS) return wrong("a later barrier has no error");
  MPI_Request request = MPI_REQUEST_NULL;
  if (MPI_Ibarrier(comm, &request) == MPI_SUCCESS &&
      MPI_Wait(&request, MPI_STATUS_IGNORE) == MPI_SUCCESS) {
    return wrong("a later MPI_Ibarrier has no error");
  }
  if (!can_talk(killed ? victim : -1)) return wrong("messages do not arrive any more");
  if (killed && !waits_in_vain(victim)) return wrong("no error in messages with the victim");
  std::printf("%d ok\n", rank);
  std::fflush(stdout);
  MPI_Finalize();
  return 0;
}
