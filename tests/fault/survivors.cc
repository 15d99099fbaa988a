// tests/fault/survivors.cc - what those see who are left: of a job in which a rank is killed, or
// calls something else than the others.
//
//   survivors KIND VICTIM SEED
//
// KIND `killed`: VICTIM is killed in the middle of collectives, at a place that SEED decides.
// `differs`: it calls another collective than the others. `unmet`: it is killed before it has
// spoken to anybody. `threads`: it is killed while two threads of every other rank talk to it, on a
// communicator each. Errors are returned: every other rank must come to the right one, be able to
// talk to the others and to finalize, and says "RANK ok".
// survivors_test.py starts it, with a launcher that lets the others go on.
#include <mpi.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
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
bool can_talk(int victim, MPI_Comm comm = MPI_COMM_WORLD) {
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
                                   MPI_INT, previous, 7, comm, MPI_STATUS_IGNORE);
    if (error != MPI_SUCCESS || theirs.front() != previous || theirs.back() != previous) {
      return false;
    }
  }
  return true;
}

// What would wait for the victim comes to an error.
bool waits_in_vain(int victim, MPI_Comm comm = MPI_COMM_WORLD) {
  int value = 0;
  MPI_Status status;
  return MPI_Ssend(&value, 1, MPI_INT, victim, 8, comm) != MPI_SUCCESS &&
         MPI_Recv(&value, 1, MPI_INT, victim, 8, comm, &status) != MPI_SUCCESS &&
         MPI_Probe(victim, 8, comm, &status) != MPI_SUCCESS;
}

bool says_that_it_ended(int error) {
  int error_class = 0;
  MPI_Error_class(error, &error_class);
  return error_class == MPI_ERR_PROC_ABORTED;
}

int wrong(const char* what) {
  std::printf("rank %d: %s\n", rank, what);
  return 1;
}

int wrong_error(int error) {
  char text[MPI_MAX_ERROR_STRING] = "no error";
  int length = 0;
  if (error != MPI_SUCCESS) MPI_Error_string(error, text, &length);
  return wrong(text);
}

// The victim ends before anybody has sent it anything: who waits for it must find out.
int meet_nobody(int victim, Plan& plan) {
  if (rank == victim) raise(SIGKILL);
  const MPI_Comm comm = MPI_COMM_WORLD;
  int value = 0, error = MPI_SUCCESS;
  MPI_Request request = MPI_REQUEST_NULL;
  MPI_Message message;
  MPI_Status status;
  switch (plan.below(5)) {
    case 0:
      error = MPI_Recv(&value, 1, MPI_INT, victim, MPI_ANY_TAG, comm, &status);
      break;
    case 1:
      MPI_Irecv(&value, 1, MPI_INT, victim, 3, comm, &request);
      error = MPI_Wait(&request, &status);
      break;
    case 2:
      error = MPI_Probe(victim, 3, comm, &status);
      break;
    case 3:
      error = MPI_Mprobe(victim, 3, comm, &message, &status);
      break;
    default:
      error = MPI_Bcast(&value, 1, MPI_INT, victim, comm);
  }
  if (!says_that_it_ended(error)) return wrong_error(error);
  if (!can_talk(victim)) return wrong("messages do not arrive any more");
  if (!waits_in_vain(victim)) return wrong("no error in messages with the victim");
  return 0;
}

// One thread talks to the victim until that is over.
int talk_until_lost(int victim, MPI_Comm comm) {
  int error = MPI_SUCCESS;
  for (int i = 0; error == MPI_SUCCESS; ++i) {
    const int count = i % 8 == 7 ? 30000 : 1;
    std::vector<int> mine(static_cast<std::size_t>(count), i), theirs(mine.size(), -1);
    error = MPI_Send(mine.data(), count, MPI_INT, victim, 5, comm);
    if (error == MPI_SUCCESS) {
      error = MPI_Recv(theirs.data(), count, MPI_INT, victim, 5, comm, MPI_STATUS_IGNORE);
    }
    if (error == MPI_SUCCESS && theirs != mine) return MPI_ERR_INTERN;
  }
  return error;
}

// The victim sends back what comes, and dies after so many messages.
void echo_and_die(MPI_Comm comm, int messages) {
  for (int i = 0; i < messages * (size - 1); ++i) {
    MPI_Status status;
    int count = 0;
    MPI_Probe(MPI_ANY_SOURCE, 5, comm, &status);
    MPI_Get_count(&status, MPI_INT, &count);
    std::vector<int> data(static_cast<std::size_t>(count));
    MPI_Recv(data.data(), count, MPI_INT, status.MPI_SOURCE, 5, comm, &status);
    MPI_Send(data.data(), count, MPI_INT, status.MPI_SOURCE, 5, comm);
  }
  raise(SIGKILL);
}

int lose_in_threads(int victim, Plan& plan) {
  MPI_Comm comms[2];
  int messages[2], errors[2];
  for (int t = 0; t < 2; ++t) {
    MPI_Comm_dup(MPI_COMM_WORLD, &comms[t]);
    messages[t] = 1 + plan.below(100);
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      if (rank == victim) return echo_and_die(comms[t], messages[t]);
      errors[t] = talk_until_lost(victim, comms[t]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int t = 0; t < 2; ++t) {
    if (!says_that_it_ended(errors[t])) return wrong_error(errors[t]);
    if (!can_talk(victim, comms[t])) return wrong("messages do not arrive any more");
    if (!waits_in_vain(victim, comms[t])) return wrong("no error in messages with the victim");
  }
  return 0;
}

int finish(int failed) {
  if (failed != 0) return failed;
  std::printf("%d ok\n", rank);
  std::fflush(stdout);
  MPI_Finalize();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 0;  // Built only.
  const bool killed = std::strcmp(argv[1], "killed") == 0;
  const int victim = std::atoi(argv[2]);
  Plan plan(static_cast<unsigned>(std::strtoul(argv[3], nullptr, 10)));
  const bool threaded = std::strcmp(argv[1], "threads") == 0;
  int provided = MPI_THREAD_SINGLE;
  MPI_Init_thread(&argc, &argv, threaded ? MPI_THREAD_MULTIPLE : MPI_THREAD_SINGLE, &provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (std::strcmp(argv[1], "unmet") == 0) return finish(meet_nobody(victim, plan));
  if (threaded) return finish(lose_in_threads(victim, plan));
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
  if (!right) return wrong_error(error);
  if (MPI_Barrier(comm) == MPI_SUCCESS) return wrong("a later barrier has no error");
  MPI_Request request = MPI_REQUEST_NULL;
  if (MPI_Ibarrier(comm, &request) == MPI_SUCCESS &&
      MPI_Wait(&request, MPI_STATUS_IGNORE) == MPI_SUCCESS) {
    return wrong("a later MPI_Ibarrier has no error");
  }
  if (!can_talk(killed ? victim : -1)) return wrong("messages do not arrive any more");
  if (killed && !waits_in_vain(victim)) return wrong("no error in messages with the victim");
  return finish(0);
}
