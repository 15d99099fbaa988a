/* scale.c - what a job of many processes costs in time and memory; plain MPI.
 *
 * scale BEGIN ROUNDS      BEGIN: CLOCK_MONOTONIC in seconds when mpiexec was started (on this
 *                         machine); ROUNDS: repetitions of which medians are taken
 *
 * Rank 0 prints one JSON object after MPI_Finalize. Times are rank 0's unless named otherwise; what
 * is "first" includes making the connections that it needs. The order of the parts matters: each
 * looks at memory before the next one connects more. Started by bench/scale/run.
 */
#include <dirent.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { kAfterInit, kAfterRing, kAfterBarrier, kAfterAlltoall, kStages };
enum { kResident, kShare, kRings, kDescriptors, kFacts };
enum { kPartnersMax = 7 };

static const char* const kStageNames[] = {"init", "ring", "barrier", "alltoall"};
static const char* const kFactNames[] = {"rss_kib", "pss_kib", "rings", "descriptors"};

static int rank, size;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int by_value(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static double median(double* values, int count) {
  qsort(values, (size_t)count, sizeof *values, by_value);
  return values[count / 2];
}

/* The number behind `name` in a file of /proc; -1: it is not there. */
static double number_in(const char* path, const char* name) {
  char line[256];
  double value = -1;
  FILE* file = fopen(path, "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, name, strlen(name)) == 0) value = atof(line + strlen(name));
  }
  if (file != NULL) fclose(file);
  return value;
}

/* How many rings of shared memory are mapped: two for each process talked with in both directions.
 */
static double mapped_rings(void) {
  char line[512];
  double count = 0;
  FILE* file = fopen("/proc/self/maps", "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    count += strstr(line, "memfd:tern-ring") != NULL;
  }
  if (file != NULL) fclose(file);
  return count;
}

static double open_descriptors(void) {
  double count = -1; /* The folder's own does not count. */
  DIR* folder = opendir("/proc/self/fd");
  if (folder == NULL) return -1;
  for (struct dirent* entry; (entry = readdir(folder)) != NULL;) count += entry->d_name[0] != '.';
  closedir(folder);
  return count;
}

static void look(double* facts) {
  facts[kResident] = number_in("/proc/self/status", "VmRSS:");
  facts[kShare] = number_in("/proc/self/smaps_rollup", "Pss:");
  facts[kRings] = mapped_rings();
  facts[kDescriptors] = open_descriptors();
}

/* Once around all ranks, one after the other. */
static void pass_token(void) {
  int token = 0;
  const int right = (rank + 1) % size, left = (rank + size - 1) % size;
  if (rank == 0) MPI_Send(&token, 1, MPI_INT, right, 1, MPI_COMM_WORLD);
  MPI_Recv(&token, 1, MPI_INT, left, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  if (rank != 0) MPI_Send(&token, 1, MPI_INT, right, 1, MPI_COMM_WORLD);
}

/* There and back between rank 0 and another one. */
static void round_trip(int partner) {
  int data = 0;
  if (rank == 0) {
    MPI_Send(&data, 1, MPI_INT, partner, 2, MPI_COMM_WORLD);
    MPI_Recv(&data, 1, MPI_INT, partner, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  } else if (rank == partner) {
    MPI_Recv(&data, 1, MPI_INT, 0, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Send(&data, 1, MPI_INT, 0, 2, MPI_COMM_WORLD);
  }
}

/* Round trips, in seconds, with ranks that rank 0 has not talked with: the first ones and later
 * ones. False: there are no such ranks. */
static int meet_others(int rounds, double* first, double* later) {
  double firsts[kPartnersMax], laters[kPartnersMax];
  int partners = 0;
  double* times = malloc((size_t)rounds * sizeof *times);
  for (int partner = 2; partner < size - 1 && partners < kPartnersMax; ++partner, ++partners) {
    double begin = now();
    round_trip(partner);
    firsts[partners] = now() - begin;
    for (int i = 0; i < rounds; ++i) {
      begin = now();
      round_trip(partner);
      times[i] = now() - begin;
    }
    laters[partners] = median(times, rounds);
  }
  free(times);
  if (partners == 0) return 0;
  *first = median(firsts, partners);
  *later = median(laters, partners);
  return 1;
}

static int *to_all, *from_all;
static int is_right = 1;

static void barrier(void) { MPI_Barrier(MPI_COMM_WORLD); }

static void alltoall(void) {
  for (int i = 0; i < size; ++i) to_all[i] = rank * 31 + i;
  MPI_Alltoall(to_all, 1, MPI_INT, from_all, 1, MPI_INT, MPI_COMM_WORLD);
  for (int i = 0; i < size; ++i) is_right = is_right && from_all[i] == i * 31 + rank;
}

/* The first call, and the median of later ones, in seconds. */
static void measure(void (*part)(void), int rounds, double* first, double* later) {
  double* times = malloc((size_t)rounds * sizeof *times);
  double begin = now();
  part();
  *first = now() - begin;
  for (int i = 0; i < rounds; ++i) {
    begin = now();
    part();
    times[i] = now() - begin;
  }
  *later = median(times, rounds);
  free(times);
}

static void print_memory(const double* largest, const double* sums) {
  printf(", \"memory\": {");
  for (int stage = 0; stage < kStages; ++stage) {
    printf("%s\"%s\": {", stage == 0 ? "" : ", ", kStageNames[stage]);
    for (int fact = 0; fact < kFacts; ++fact) {
      const int at = stage * kFacts + fact;
      printf("%s\"%s\": {\"mean\": %.1f, \"max\": %.0f}", fact == 0 ? "" : ", ", kFactNames[fact],
             sums[at] / size, largest[at]);
    }
    printf("}");
  }
  printf("}");
}

int main(int argc, char** argv) {
  const double before = now();
  MPI_Init(&argc, &argv);
  const double ready = now();
  const double begin = argc > 1 ? atof(argv[1]) : before;
  const int rounds = argc > 2 && atoi(argv[2]) > 0 ? atoi(argv[2]) : 5;
  double memory[kStages * kFacts], largest[kStages * kFacts], sums[kStages * kFacts];
  look(&memory[kAfterInit * kFacts]);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  to_all = malloc((size_t)size * sizeof *to_all);
  from_all = malloc((size_t)size * sizeof *from_all);

  double first[4], later[4]; /* ring, contact, barrier, alltoall */
  if (size > 1) {
    measure(pass_token, rounds, &first[0], &later[0]); /* The first one waits for all to start. */
  } else {
    first[0] = later[0] = 0;
  }
  look(&memory[kAfterRing * kFacts]);
  const int met = meet_others(rounds, &first[1], &later[1]);
  measure(barrier, rounds, &first[2], &later[2]);
  look(&memory[kAfterBarrier * kFacts]);
  measure(alltoall, rounds, &first[3], &later[3]);
  look(&memory[kAfterAlltoall * kFacts]);

  const double mine[3] = {ready - begin, ready - before, is_right ? 0 : 1};
  double latest[3], total[3];
  MPI_Reduce(mine, latest, 3, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
  MPI_Reduce(mine, total, 3, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
  MPI_Reduce(memory, largest, kStages * kFacts, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
  MPI_Reduce(memory, sums, kStages * kFacts, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
  MPI_Barrier(MPI_COMM_WORLD);
  const double leaving = now();
  MPI_Finalize();
  const double left = now();
  free(to_all);
  free(from_all);
  if (rank != 0) return is_right ? 0 : 1;

  printf(
      "{\"ranks\": %d, \"right\": %s, \"start_ms\": %.3f, \"init_ms\": %.3f, "
      "\"init_max_ms\": %.3f, \"ring_us\": %.3f, \"barrier_first_us\": %.3f, "
      "\"barrier_us\": %.3f, \"alltoall_first_us\": %.3f, \"alltoall_us\": %.3f, "
      "\"finalize_ms\": %.3f, \"left_at\": %.6f",
      size, latest[2] == 0 ? "true" : "false", 1e3 * latest[0], 1e3 * total[1] / size,
      1e3 * latest[1], 1e6 * later[0], 1e6 * first[2], 1e6 * later[2], 1e6 * first[3],
      1e6 * later[3], 1e3 * (left - leaving), left);
  if (met) {
    printf(", \"contact_first_us\": %.3f, \"contact_us\": %.3f", 1e6 * first[1], 1e6 * later[1]);
  }
  print_memory(largest, sums);
  printf("}\n");
  return latest[2] == 0 ? 0 : 1;
}
