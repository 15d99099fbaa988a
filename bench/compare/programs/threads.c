/* threads.c - message rate of one thread, and of two threads at once on a communicator each.
 *
 * usage: threads SECONDS rate:SIZE,SIZE,...
 * One rank. Each thread has a core and a duplicate of MPI_COMM_SELF to itself and exchanges windows
 * of messages there: two cores then show what the library lets two threads do at once, without the
 * four cores that two threads on each of two ranks would need. Blocks of one thread and of two take
 * turns. Prints "one_thread SIZE VALUE", "two_threads SIZE VALUE" (messages/s, medians over blocks)
 * and "thread_gain SIZE VALUE" (median over pairs of neighbouring blocks). Exit status 2: bad
 * arguments, or no MPI_THREAD_MULTIPLE.
 */
#define _GNU_SOURCE
#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "timing.h"

enum { kThreads = 2, kWindow = 64, kTag = 1, kMaxPairs = 1000, kMinPairs = 5 };

typedef struct {
  pthread_t thread;
  MPI_Comm comm;
  int cpu, iterations, bytes;
  char *in, *out;
  pthread_barrier_t* start;
  double began, ended;
} Worker;

static Worker workers[kThreads];
static double ones[kMaxPairs], twos[kMaxPairs], gains[kMaxPairs];

static void* work(void* argument) {
  Worker* const worker = argument;
  MPI_Request requests[2 * kWindow];
  MPI_Status statuses[2 * kWindow];
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(worker->cpu, &cpus);
  sched_setaffinity(0, sizeof cpus, &cpus);
  pthread_barrier_wait(worker->start);
  worker->began = MPI_Wtime();
  for (int i = 0; i < worker->iterations; ++i) {
    for (int k = 0; k < kWindow; ++k)
      MPI_Irecv(worker->in, worker->bytes, MPI_BYTE, 0, kTag, worker->comm, &requests[k]);
    for (int k = 0; k < kWindow; ++k)
      MPI_Isend(worker->out, worker->bytes, MPI_BYTE, 0, kTag, worker->comm,
                &requests[kWindow + k]);
    MPI_Waitall(2 * kWindow, requests, statuses);
  }
  worker->ended = MPI_Wtime();
  return NULL;
}

/* Messages per second of so many threads, from the first one's beginning to the last one's end. */
static double rate(int threads, int iterations) {
  pthread_barrier_t start;
  pthread_barrier_init(&start, NULL, (unsigned)threads);
  for (int t = 0; t < threads; ++t) {
    workers[t].iterations = iterations;
    workers[t].start = &start;
    pthread_create(&workers[t].thread, NULL, work, &workers[t]);
  }
  double began = 0, ended = 0;
  for (int t = 0; t < threads; ++t) {
    pthread_join(workers[t].thread, NULL);
    if (t == 0 || workers[t].began < began) began = workers[t].began;
    if (t == 0 || workers[t].ended > ended) ended = workers[t].ended;
  }
  pthread_barrier_destroy(&start);
  return (double)threads * iterations * kWindow / (ended - began);
}

static int run_test(const char* test, long size, double seconds) {
  const double block_seconds = 5e-3; /* Long against the start of a thread. */
  if (strcmp(test, "rate") != 0) return 0;
  for (int t = 0; t < kThreads; ++t) {
    workers[t].bytes = (int)size;
    workers[t].in = allocate((size_t)size);
    workers[t].out = allocate((size_t)size);
  }
  rate(kThreads, 200);
  const int iterations = (int)(block_seconds * rate(1, 200) / kWindow) + 1;
  const double start = MPI_Wtime();
  int pairs = 0;
  while (pairs < kMaxPairs && (pairs < kMinPairs || MPI_Wtime() - start < seconds)) {
    ones[pairs] = rate(1, iterations);
    twos[pairs] = rate(2, iterations);
    gains[pairs] = twos[pairs] / ones[pairs];
    ++pairs;
  }
  printf("one_thread %ld %.6g\n", size, median(ones, pairs));
  printf("two_threads %ld %.6g\n", size, median(twos, pairs));
  printf("thread_gain %ld %.6g\n", size, median(gains, pairs));
  fflush(stdout);
  for (int t = 0; t < kThreads; ++t) {
    free(workers[t].in);
    free(workers[t].out);
  }
  return 1;
}

/* A core for each worker; the same one again where there are too few. */
static void choose_cores(void) {
  cpu_set_t usable;
  sched_getaffinity(0, sizeof usable, &usable);
  for (int t = 0, cpu = -1; t < kThreads; ++t) {
    do {
      cpu = (cpu + 1) % CPU_SETSIZE;
    } while (!CPU_ISSET(cpu, &usable));
    workers[t].cpu = cpu;
  }
}

int main(int argc, char** argv) {
  int provided, size;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (size != 1 || provided != MPI_THREAD_MULTIPLE) {
    fprintf(stderr, "threads: needs one rank and MPI_THREAD_MULTIPLE\n");
    MPI_Finalize();
    return 2;
  }
  choose_cores();
  for (int t = 0; t < kThreads; ++t) MPI_Comm_dup(MPI_COMM_SELF, &workers[t].comm);
  const int right = for_each_size(argc, argv, run_test);
  if (!right) fprintf(stderr, "usage: threads SECONDS rate:SIZE,SIZE,...\n");
  for (int t = 0; t < kThreads; ++t) MPI_Comm_free(&workers[t].comm);
  MPI_Finalize();
  return right ? 0 : 2;
}
