/* exchange.c - latency and bandwidth between two ranks in so few messages that an emulated device
 * can carry them.
 *
 * usage: exchange TEST:BYTES:COUNT...   with TEST first, latency or bandwidth
 * Prints "latency BYTES MEDIAN MINIMUM" (microseconds of half a round trip), "bandwidth BYTES MB/s"
 * and "first BYTES US" (one whole round trip; the job's first when the test is). Exit status 2: bad
 * arguments.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kWindow = 8, kWarmUp = 10 };

static int rank;
static char *out, *in;

static int compare(const void* left, const void* right) {
  const double a = *(const double*)left, b = *(const double*)right;
  return (a > b) - (a < b);
}

static void latency(int bytes, int count) {
  double* const samples = malloc((size_t)count * sizeof *samples);
  for (int i = -kWarmUp; i < count; ++i) {
    const double begin = MPI_Wtime();
    if (rank == 0) MPI_Send(out, bytes, MPI_BYTE, 1, 0, MPI_COMM_WORLD);
    MPI_Recv(in, bytes, MPI_BYTE, 1 - rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (rank == 1) MPI_Send(out, bytes, MPI_BYTE, 0, 0, MPI_COMM_WORLD);
    if (i >= 0) samples[i] = (MPI_Wtime() - begin) / 2 * 1e6;
  }
  qsort(samples, (size_t)count, sizeof *samples, compare);
  if (rank == 0) printf("latency %d %.3f %.3f\n", bytes, samples[count / 2], samples[0]);
  free(samples);
}

static void first(int bytes) {
  const double begin = MPI_Wtime();
  if (rank == 0) MPI_Send(out, bytes, MPI_BYTE, 1, 0, MPI_COMM_WORLD);
  MPI_Recv(in, bytes, MPI_BYTE, 1 - rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  if (rank == 1) MPI_Send(out, bytes, MPI_BYTE, 0, 0, MPI_COMM_WORLD);
  if (rank == 0) printf("first %d %.3f\n", bytes, (MPI_Wtime() - begin) * 1e6);
}

static void bandwidth(int bytes, int count) {
  MPI_Request requests[kWindow];
  double begin = 0;
  for (int done = -kWindow; done < count; done += kWindow) {
    if (done == 0) begin = MPI_Wtime();
    for (int k = 0; k < kWindow; ++k) {
      if (rank == 0)
        MPI_Isend(out, bytes, MPI_BYTE, 1, 0, MPI_COMM_WORLD, &requests[k]);
      else
        MPI_Irecv(in, bytes, MPI_BYTE, 0, 0, MPI_COMM_WORLD, &requests[k]);
    }
    MPI_Waitall(kWindow, requests, MPI_STATUSES_IGNORE);
  }
  if (rank == 0)
    MPI_Recv(NULL, 0, MPI_BYTE, 1, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  else
    MPI_Send(NULL, 0, MPI_BYTE, 0, 1, MPI_COMM_WORLD);
  const int sent = (count + kWindow - 1) / kWindow * kWindow;
  if (rank == 0) printf("bandwidth %d %.4f\n", bytes, sent * 1e-6 * bytes / (MPI_Wtime() - begin));
}

int main(int argc, char** argv) {
  int size;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  int good = size == 2 && argc > 1;
  for (int i = 1; i < argc && good; ++i) {
    char test[16];
    int bytes, count;
    good = sscanf(argv[i], "%15[a-z]:%d:%d", test, &bytes, &count) == 3 && bytes >= 0 && count > 0;
    if (!good) break;
    out = calloc(1, (size_t)bytes + 1);
    in = calloc(1, (size_t)bytes + 1);
    if (strcmp(test, "latency") == 0)
      latency(bytes, count);
    else if (strcmp(test, "first") == 0)
      first(bytes);
    else
      bandwidth(bytes, count);
    fflush(stdout);
    free(out);
    free(in);
  }
  MPI_Finalize();
  return good ? 0 : 2;
}
