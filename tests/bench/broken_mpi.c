/* broken_mpi.c - an MPI that delivers wrong data, made of the one at hand: put before it with
 * LD_PRELOAD it spoils a byte of each received message and a sum of each reduction, and drops the
 * data of broadcasts. tern-perf --check must notice. */
#include <mpi.h>

int MPI_Recv(void* buffer, int count, MPI_Datatype type, int source, int tag, MPI_Comm comm,
             MPI_Status* status) {
  const int result = PMPI_Recv(buffer, count, type, source, tag, comm, status);
  if (type == MPI_BYTE && count > 0) ((char*)buffer)[count - 1] ^= 1;
  return result;
}

int MPI_Allreduce(const void* send, void* receive, int count, MPI_Datatype type, MPI_Op op,
                  MPI_Comm comm) {
  const int result = PMPI_Allreduce(send, receive, count, type, op, comm);
  if (type == MPI_FLOAT && count > 0) ((float*)receive)[count / 2] += 1;
  return result;
}

int MPI_Bcast(void* buffer, int count, MPI_Datatype type, int root, MPI_Comm comm) {
  return type == MPI_BYTE ? MPI_SUCCESS : PMPI_Bcast(buffer, count, type, root, comm);
}

/* Blocks of the right size in the wrong order. */
int MPI_Alltoall(const void* send, int send_count, MPI_Datatype send_type, void* receive,
                 int receive_count, MPI_Datatype receive_type, MPI_Comm comm) {
  const int result =
      PMPI_Alltoall(send, send_count, send_type, receive, receive_count, receive_type, comm);
  char* bytes = receive;
  for (int i = 0; i < receive_count; ++i) {
    const char first = bytes[i];
    bytes[i] = bytes[receive_count + i];
    bytes[receive_count + i] = first;
  }
  return result;
}
