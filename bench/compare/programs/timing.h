/* timing.h - times a communication pattern in blocks; shared by the programs of bench/compare.
 *
 * The same method as tern-perf's, in plain C so that the oldest compiler wrapper takes it: warm up,
 * choose how many iterations make a block of at least 50 us, then run blocks until the time is
 * spent; the result is the median over blocks. All functions are collective over MPI_COMM_WORLD.
 * Failure: MPI's default error handler ends the program.
 */
#pragma once

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { kMaxBlocks = 20000, kMinBlocks = 5, kMaxIterations = 1 << 20, kMinRounds = 8 };

/* Runs the pattern and returns the seconds it took on this rank (0 on ranks that only answer). */
typedef double (*Run)(void* pattern, int iterations);

static double block_values[kMaxBlocks];
static double block_sums[kMaxBlocks];

static int compare_doubles(const void* left, const void* right) {
  const double a = *(const double*)left, b = *(const double*)right;
  return (a > b) - (a < b);
}

static double median(double* values, int count) {
  qsort(values, (size_t)count, sizeof *values, compare_doubles);
  return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* How many iterations make a block. Judged by the fastest round, lest a disturbed one count. */
static int warm_up(Run run, void* pattern, double seconds, int rank) {
  double spent = 0, fastest = 1e9;
  int per_block = 0;
  for (int round = 1, iterations = 1; per_block == 0; ++round, iterations *= 2) {
    MPI_Barrier(MPI_COMM_WORLD);
    const double start = MPI_Wtime();
    run(pattern, iterations);
    const double elapsed = MPI_Wtime() - start;
    spent += elapsed;
    if (elapsed / iterations < fastest) fastest = elapsed / iterations;
    const int enough = spent >= 0.15 * seconds && round >= kMinRounds;
    if (rank == 0 && (enough || spent >= seconds || iterations >= kMaxIterations)) {
      const double wanted = 50e-6 / (fastest > 1e-9 ? fastest : 1e-9) + 1;
      per_block = wanted < kMaxIterations ? (int)wanted : kMaxIterations;
    }
    MPI_Bcast(&per_block, 1, MPI_INT, 0, MPI_COMM_WORLD);
  }
  return per_block;
}

/* Seconds per iteration: the median over blocks of the mean over the `clocks` ranks that measure.
 * Known to rank 0 only. */
static double measure(Run run, void* pattern, double seconds, int clocks) {
  int rank, count = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const int iterations = warm_up(run, pattern, seconds, rank);
  MPI_Barrier(MPI_COMM_WORLD);
  const double start = MPI_Wtime();
  for (int more = kMinBlocks; more > 0;) {
    for (int i = 0; i < more; ++i) block_values[count++] = run(pattern, iterations) / iterations;
    if (rank == 0) {
      /* As many again, but no more than the time left allows and the memory holds. */
      const double spent = MPI_Wtime() - start;
      const double fit = (seconds - spent) / (spent / count);
      more = fit < 0 ? 0 : fit < count ? (int)fit : count;
      if (more > kMaxBlocks - count) more = kMaxBlocks - count;
    }
    MPI_Bcast(&more, 1, MPI_INT, 0, MPI_COMM_WORLD);
  }
  MPI_Reduce(block_values, block_sums, count, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
  return rank == 0 ? median(block_sums, count) / clocks : 0;
}

/* Page-aligned and touched. */
static char* allocate(size_t bytes) {
  void* memory = NULL;
  if (posix_memalign(&memory, 4096, bytes > 0 ? bytes : 1) != 0) {
    fprintf(stderr, "no memory for %zu bytes\n", bytes);
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  for (size_t i = 0; i < bytes; ++i) ((char*)memory)[i] = 1;
  return memory;
}

/* Calls visit(test, bytes, seconds) for arguments "TEST:SIZE,SIZE,..."; argv[1] is the seconds. */
static int for_each_size(int argc, char** argv, int (*visit)(const char*, long, double)) {
  const double seconds = argc > 2 ? atof(argv[1]) : 0;
  if (!(seconds > 0)) return 0;
  for (int i = 2; i < argc; ++i) {
    char* rest = argv[i];
    while (*rest != '\0' && *rest != ':') ++rest;
    if (*rest != ':') return 0;
    *rest = '\0';
    do {
      char* end;
      const long bytes = strtol(rest + 1, &end, 10);
      if (end == rest + 1 || bytes < 0 || !visit(argv[i], bytes, seconds)) return 0;
      rest = end;
    } while (*rest == ',');
    if (*rest != '\0') return 0;
  }
  return 1;
}
