/* idle.c - the processor time that ranks use while they wait for one that is late.
 *
 * usage: idle SECONDS
 * Rank 0 sleeps; the others wait for it, first in MPI_Recv, then in MPI_Barrier. Prints "idle_recv
 * 0 SHARE" and "idle_barrier 0 SHARE": the largest share of a core that a waiting rank used, 1 if
 * it spins and near 0 if it sleeps. Exit status 2: bad arguments.
 */
#define _POSIX_C_SOURCE 200809L
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static int rank, size;

static double processor_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static void sleep_for(double seconds) {
  const time_t whole = (time_t)seconds;
  struct timespec rest = {whole, (long)((seconds - (double)whole) * 1e9)};
  while (nanosleep(&rest, &rest) != 0) continue; /* a signal must not shorten it */
}

static void wait_in_receive(void) {
  if (rank == 0)
    for (int target = 1; target < size; ++target)
      MPI_Send(NULL, 0, MPI_BYTE, target, 0, MPI_COMM_WORLD);
  else
    MPI_Recv(NULL, 0, MPI_BYTE, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static void wait_in_barrier(void) { MPI_Barrier(MPI_COMM_WORLD); }

static void report(const char* name, void (*wait_for_rank_0)(void), double seconds) {
  MPI_Barrier(MPI_COMM_WORLD);
  const double start = MPI_Wtime(), used = processor_seconds();
  if (rank == 0) sleep_for(seconds);
  wait_for_rank_0();
  double share = (processor_seconds() - used) / (MPI_Wtime() - start), largest;
  if (rank == 0) share = 0; /* it slept, it did not wait */
  MPI_Reduce(&share, &largest, 1, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
  if (rank == 0) printf("%s 0 %.6g\n", name, largest);
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const double seconds = argc == 2 ? atof(argv[1]) : 0;
  if (seconds > 0) {
    report("idle_recv", wait_in_receive, seconds);
    report("idle_barrier", wait_in_barrier, seconds);
  } else if (rank == 0) {
    fprintf(stderr, "usage: idle SECONDS\n");
  }
  MPI_Finalize();
  return seconds > 0 ? 0 : 2;
}
