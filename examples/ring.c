/* ring.c - a token goes round all ranks; every rank adds its number and rank 0 checks the sum.
 *
 * Shows blocking send and receive between neighbours. Works on any number of ranks, also on one:
 * the only rank then is its own neighbour, and MPI_Sendrecv (unlike MPI_Send followed by MPI_Recv)
 * cannot deadlock there.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);

  int rank, size;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const int next = (rank + 1) % size;
  const int previous = (rank + size - 1) % size;
  const int laps = argc > 1 ? atoi(argv[1]) : 1000;

  long long token = 0;
  const double start = MPI_Wtime();
  for (int lap = 0; lap < laps; ++lap) {
    if (size == 1) {
      MPI_Sendrecv_replace(&token, 1, MPI_LONG_LONG, next, 0, previous, 0, MPI_COMM_WORLD,
                           MPI_STATUS_IGNORE);
    } else if (rank == 0) {
      MPI_Send(&token, 1, MPI_LONG_LONG, next, 0, MPI_COMM_WORLD);
      MPI_Recv(&token, 1, MPI_LONG_LONG, previous, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    } else {
      MPI_Recv(&token, 1, MPI_LONG_LONG, previous, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      token += rank;
      MPI_Send(&token, 1, MPI_LONG_LONG, next, 0, MPI_COMM_WORLD);
    }
  }
  const double seconds = MPI_Wtime() - start;

  int failed = 0;
  if (rank == 0) {
    const long long expected = (long long)laps * size * (size - 1) / 2;
    failed = token != expected;
    printf("ring of %d: %d laps, token %lld, expected %lld: %s", size, laps, token, expected,
           failed ? "WRONG\n" : "ok");
    if (!failed) printf(" (%.2f us per hop)\n", laps > 0 ? seconds / laps / size * 1e6 : 0.0);
  }

  MPI_Finalize();
  return failed;
}
