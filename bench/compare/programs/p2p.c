/* p2p.c - latency, bandwidth, bidirectional bandwidth and message rate between two ranks.
 *
 * usage: p2p SECONDS TEST:SIZE,SIZE,... ...   with TEST latency, bandwidth, bibw or rate
 * Prints "cpus A B" (where the ranks run) and then "TEST SIZE VALUE" per size: microseconds of half
 * a round trip, MB/s, or messages/s. Exit status 2: bad arguments.
 */
#define _GNU_SOURCE
#include <mpi.h>
#include <sched.h>
#include <string.h>

#include "timing.h"

enum { kWindow = 64, kTag = 1, kAck = 2 };

static int rank, other;
static char *out, *in;
static MPI_Request requests[2 * kWindow];

static double ping_pong(void* pattern, int iterations) {
  const int bytes = *(int*)pattern;
  if (rank == 1) {
    for (int i = 0; i < iterations; ++i) {
      MPI_Recv(in, bytes, MPI_BYTE, other, kTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      MPI_Send(out, bytes, MPI_BYTE, other, kTag, MPI_COMM_WORLD);
    }
    return 0;
  }
  const double start = MPI_Wtime();
  for (int i = 0; i < iterations; ++i) {
    MPI_Send(out, bytes, MPI_BYTE, other, kTag, MPI_COMM_WORLD);
    MPI_Recv(in, bytes, MPI_BYTE, other, kTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }
  return MPI_Wtime() - start;
}

static double one_way(void* pattern, int iterations) {
  const int bytes = *(int*)pattern;
  if (rank == 1) {
    for (int i = 0; i < iterations; ++i) {
      for (int k = 0; k < kWindow; ++k)
        MPI_Irecv(in, bytes, MPI_BYTE, other, kTag, MPI_COMM_WORLD, &requests[k]);
      MPI_Waitall(kWindow, requests, MPI_STATUSES_IGNORE);
      MPI_Send(NULL, 0, MPI_BYTE, other, kAck, MPI_COMM_WORLD);
    }
    return 0;
  }
  const double start = MPI_Wtime();
  for (int i = 0; i < iterations; ++i) {
    for (int k = 0; k < kWindow; ++k)
      MPI_Isend(out, bytes, MPI_BYTE, other, kTag, MPI_COMM_WORLD, &requests[k]);
    MPI_Waitall(kWindow, requests, MPI_STATUSES_IGNORE);
    MPI_Recv(NULL, 0, MPI_BYTE, other, kAck, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }
  return MPI_Wtime() - start;
}

static double both_ways(void* pattern, int iterations) {
  const int bytes = *(int*)pattern;
  const double start = MPI_Wtime();
  for (int i = 0; i < iterations; ++i) {
    for (int k = 0; k < kWindow; ++k)
      MPI_Irecv(in, bytes, MPI_BYTE, other, kTag, MPI_COMM_WORLD, &requests[k]);
    for (int k = 0; k < kWindow; ++k)
      MPI_Isend(out, bytes, MPI_BYTE, other, kTag, MPI_COMM_WORLD, &requests[kWindow + k]);
    MPI_Waitall(2 * kWindow, requests, MPI_STATUSES_IGNORE);
  }
  return rank == 0 ? MPI_Wtime() - start : 0;
}

static int run_test(const char* test, long size, double seconds) {
  int bytes = (int)size;
  const double window_mb = (double)kWindow * bytes * 1e-6;
  double value;
  out = allocate((size_t)bytes);
  in = allocate((size_t)bytes);
  if (strcmp(test, "latency") == 0)
    value = measure(ping_pong, &bytes, seconds, 1) / 2 * 1e6;
  else if (strcmp(test, "bandwidth") == 0)
    value = window_mb / measure(one_way, &bytes, seconds, 1);
  else if (strcmp(test, "bibw") == 0)
    value = 2 * window_mb / measure(both_ways, &bytes, seconds, 1);
  else if (strcmp(test, "rate") == 0)
    value = kWindow / measure(one_way, &bytes, seconds, 1);
  else
    return 0;
  if (rank == 0) {
    printf("%s %ld %.6g\n", test, size, value);
    fflush(stdout);
  }
  free(out);
  free(in);
  return 1;
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int size, cpu = sched_getcpu(), cpus[2];
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (size != 2) {
    if (rank == 0) fprintf(stderr, "p2p: needs two ranks, not %d\n", size);
    MPI_Finalize();
    return 2;
  }
  other = 1 - rank;
  MPI_Gather(&cpu, 1, MPI_INT, cpus, 1, MPI_INT, 0, MPI_COMM_WORLD);
  if (rank == 0) printf("cpus %d %d\n", cpus[0], cpus[1]);
  const int right = for_each_size(argc, argv, run_test);
  if (!right && rank == 0) fprintf(stderr, "usage: p2p SECONDS TEST:SIZE,SIZE,... ...\n");
  MPI_Finalize();
  return right ? 0 : 2;
}
