/* collective.c - every blocking collective on any number of ranks.
 *
 * usage: collective SECONDS TEST:SIZE,SIZE,... ...
 * with TEST barrier (size 0) or a name in the table `calls` below. The size is that of one rank's
 * block; for reduce_scatter it is what each rank contributes.
 * Prints "TEST SIZE MICROSECONDS": the mean over ranks of one call. Calls with data are timed one
 * by one after a barrier, because timed back to back they would pipeline. Exit status 2: bad
 * arguments.
 */
#include <mpi.h>
#include <string.h>

#include "timing.h"

enum { kRoot = 0 };

struct Call {
  void (*make)(int bytes);
  const char* name;
  int blocks_out, blocks_in; /* memory in units of the size; 0 stands for one block per rank */
};

enum { kRanksMax = 1024 };

static int ranks;
static char *out, *in;
/* For the v and w forms: the same count for every rank, in elements or bytes. */
static int counts[kRanksMax], places[kRanksMax];
static MPI_Datatype types[kRanksMax];

static void bcast(int bytes) { MPI_Bcast(in, bytes, MPI_BYTE, kRoot, MPI_COMM_WORLD); }
static void allreduce(int bytes) {
  MPI_Allreduce(out, in, bytes / (int)sizeof(float), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}
static void reduce(int bytes) {
  MPI_Reduce(out, in, bytes / (int)sizeof(float), MPI_FLOAT, MPI_SUM, kRoot, MPI_COMM_WORLD);
}
static void allgather(int bytes) {
  MPI_Allgather(out, bytes, MPI_BYTE, in, bytes, MPI_BYTE, MPI_COMM_WORLD);
}
static void alltoall(int bytes) {
  MPI_Alltoall(out, bytes, MPI_BYTE, in, bytes, MPI_BYTE, MPI_COMM_WORLD);
}
static void gather(int bytes) {
  MPI_Gather(out, bytes, MPI_BYTE, in, bytes, MPI_BYTE, kRoot, MPI_COMM_WORLD);
}
static void scatter(int bytes) {
  MPI_Scatter(out, bytes, MPI_BYTE, in, bytes, MPI_BYTE, kRoot, MPI_COMM_WORLD);
}

static void fill(int count) {
  for (int i = 0; i < ranks; ++i) {
    counts[i] = count;
    places[i] = i * count;
    types[i] = MPI_BYTE;
  }
}
static void gatherv(int bytes) {
  MPI_Gatherv(out, bytes, MPI_BYTE, in, counts, places, MPI_BYTE, kRoot, MPI_COMM_WORLD);
}
static void scatterv(int bytes) {
  MPI_Scatterv(out, counts, places, MPI_BYTE, in, bytes, MPI_BYTE, kRoot, MPI_COMM_WORLD);
}
static void allgatherv(int bytes) {
  MPI_Allgatherv(out, bytes, MPI_BYTE, in, counts, places, MPI_BYTE, MPI_COMM_WORLD);
}
static void alltoallv(int bytes) {
  (void)bytes;
  MPI_Alltoallv(out, counts, places, MPI_BYTE, in, counts, places, MPI_BYTE, MPI_COMM_WORLD);
}
static void alltoallw(int bytes) {
  (void)bytes;
  MPI_Alltoallw(out, counts, places, types, in, counts, places, types, MPI_COMM_WORLD);
}
static void reduce_scatter(int bytes) {
  const int left = bytes / (int)sizeof(float);
  for (int i = 0; i < ranks; ++i) counts[i] = left / ranks + (i < left % ranks);
  MPI_Reduce_scatter(out, in, counts, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}
static void scan(int bytes) {
  MPI_Scan(out, in, bytes / (int)sizeof(float), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}
static void exscan(int bytes) {
  MPI_Exscan(out, in, bytes / (int)sizeof(float), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

static const struct Call calls[] = {
    {bcast, "bcast", 1, 1},
    {allreduce, "allreduce", 1, 1},
    {reduce, "reduce", 1, 1},
    {allgather, "allgather", 1, 0},
    {alltoall, "alltoall", 0, 0},
    {gather, "gather", 1, 0},
    {scatter, "scatter", 0, 1},
    {gatherv, "gatherv", 1, 0},
    {scatterv, "scatterv", 0, 1},
    {allgatherv, "allgatherv", 1, 0},
    {alltoallv, "alltoallv", 0, 0},
    {alltoallw, "alltoallw", 0, 0},
    {reduce_scatter, "reduce_scatter", 1, 1},
    {scan, "scan", 1, 1},
    {exscan, "exscan", 1, 1},
};

struct Pattern {
  void (*make)(int bytes);
  int bytes;
};

static double time_barriers(void* pattern, int iterations) {
  (void)pattern;
  const double start = MPI_Wtime();
  for (int i = 0; i < iterations; ++i) MPI_Barrier(MPI_COMM_WORLD);
  return MPI_Wtime() - start;
}

static double time_calls(void* pattern, int iterations) {
  const struct Pattern* call = pattern;
  double seconds = 0;
  for (int i = 0; i < iterations; ++i) {
    MPI_Barrier(MPI_COMM_WORLD);
    const double start = MPI_Wtime();
    call->make(call->bytes);
    seconds += MPI_Wtime() - start;
  }
  return seconds;
}

static double time_one(const struct Call* call, int bytes, double seconds) {
  struct Pattern pattern = {call->make, bytes};
  out = allocate((size_t)bytes * (size_t)(call->blocks_out > 0 ? call->blocks_out : ranks));
  in = allocate((size_t)bytes * (size_t)(call->blocks_in > 0 ? call->blocks_in : ranks));
  fill(bytes);
  const double value = measure(time_calls, &pattern, seconds, ranks);
  free(out);
  free(in);
  return value;
}

static int run_test(const char* test, long size, double seconds) {
  double value = -1;
  if (strcmp(test, "barrier") == 0) value = measure(time_barriers, NULL, seconds, ranks);
  for (size_t i = 0; i < sizeof calls / sizeof *calls; ++i)
    if (strcmp(test, calls[i].name) == 0) value = time_one(&calls[i], (int)size, seconds);
  if (value < 0) return 0;
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank == 0) {
    printf("%s %ld %.6g\n", test, size, value * 1e6);
    fflush(stdout);
  }
  return 1;
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  if (ranks > kRanksMax) {
    if (rank == 0) fprintf(stderr, "collective: no more than %d ranks\n", kRanksMax);
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  const int right = for_each_size(argc, argv, run_test);
  if (!right && rank == 0) fprintf(stderr, "usage: collective SECONDS TEST:SIZE,SIZE,... ...\n");
  MPI_Finalize();
  return right ? 0 : 2;
}
