/* stages.c - what connections cost: stops between the stages of a program, so that somebody can
 * count what is there.
 *
 * usage: stages DIRECTORY
 * Each rank prints "init SECONDS"; then per stage (init, ring, all) "stage NAME RSS_KIB" and waits
 * for the file DIRECTORY/NAME. Rank 0 also prints "first US" and "steady US", its first round trip
 * with rank 1 and the median of later ones, and "later US", its first one with rank 2 when both
 * have talked to others (4 ranks and more). Who answers waits in MPI_Recv already. No rank talks to
 * others than the stage says.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { kRoundTrips = 200 };

static int rank, size;

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static long resident_kib(void) {
  char line[128];
  long kib = 0;
  FILE* const status = fopen("/proc/self/status", "r");
  while (status != NULL && fgets(line, sizeof line, status) != NULL)
    sscanf(line, "VmRSS: %ld", &kib);
  if (status != NULL) fclose(status);
  return kib;
}

static void stop_at(const char* directory, const char* name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  printf("stage %s %ld\n", name, resident_kib());
  fflush(stdout);
  while (access(path, F_OK) != 0) usleep(20000);
}

static void exchange(int to, int from) {
  int out = rank, in = -1;
  MPI_Sendrecv(&out, 1, MPI_INT, to, 0, &in, 1, MPI_INT, from, 0, MPI_COMM_WORLD,
               MPI_STATUS_IGNORE);
  if (in != from) MPI_Abort(MPI_COMM_WORLD, 3);
}

static int compare(const void* left, const void* right) {
  const double a = *(const double*)left, b = *(const double*)right;
  return (a > b) - (a < b);
}

/* Microseconds of each of `count` round trips between rank 0, which begins, and another one. */
static void round_trips(int other, int count, double* times) {
  const int partner = rank == 0 ? other : 0;
  int value = 0;
  if (rank != 0 && rank != other) return;
  if (rank == 0) usleep(200000); /* Until the other one waits. */
  for (int i = 0; i < count; ++i) {
    const double begin = seconds();
    if (rank == 0) MPI_Send(&value, 1, MPI_INT, partner, 0, MPI_COMM_WORLD);
    MPI_Recv(&value, 1, MPI_INT, partner, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (rank != 0) MPI_Send(&value, 1, MPI_INT, partner, 0, MPI_COMM_WORLD);
    times[i] = (seconds() - begin) * 1e6;
  }
}

static void first_and_steady(void) {
  static double times[kRoundTrips];
  round_trips(1, kRoundTrips, times);
  const double first = times[0];
  qsort(times, kRoundTrips, sizeof times[0], compare);
  if (rank == 0) printf("first %.1f\nsteady %.1f\n", first, times[kRoundTrips / 2]);
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const double begin = seconds();
  MPI_Init(&argc, &argv);
  printf("init %.6f\n", seconds() - begin);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  stop_at(argv[1], "init");
  first_and_steady();
  exchange((rank + 1) % size, (rank + size - 1) % size);
  stop_at(argv[1], "ring");
  double later = 0;
  if (size > 3) round_trips(2, 1, &later);
  if (size > 3 && rank == 0) printf("later %.1f\n", later);
  for (int step = 1; step < size; ++step)
    exchange((rank + step) % size, (rank + size - step) % size);
  stop_at(argv[1], "all");
  MPI_Finalize();
  return 0;
}
