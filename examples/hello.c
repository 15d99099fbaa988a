/* hello.c - every rank says who and where it is; rank 0 prints the lines in rank order.
 *
 * The smallest complete MPI program that sends a message. Ranks send their line to rank 0 rather
 * than print it themselves, because the order in which a launcher forwards the output of different
 * processes is not defined.
 */
#include <mpi.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);

  int rank, size, name_length;
  char host[MPI_MAX_PROCESSOR_NAME];
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Get_processor_name(host, &name_length);

  char line[MPI_MAX_PROCESSOR_NAME + 64];
  snprintf(line, sizeof line, "hello from rank %d of %d on %s", rank, size, host);

  if (rank == 0) {
    puts(line);
    for (int source = 1; source < size; ++source) {
      MPI_Recv(line, (int)sizeof line, MPI_CHAR, source, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      puts(line);
    }
  } else {
    MPI_Send(line, (int)strlen(line) + 1, MPI_CHAR, 0, 0, MPI_COMM_WORLD);
  }

  MPI_Finalize();
  return 0;
}
