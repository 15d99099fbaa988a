// mpi_api/partitioned_calls.cc - the MPI calls of partitioned communication (MPI-5.0 chapter 4).
#include "impl.h"
#include "mpi_api/errors.h"
#include "mpi_api/partitioned.h"

namespace tern::mpi::impl {
namespace {

// The common end of both MPI_..._init.
template <class Side>
int begin(const PartitionedData& data, Request** request) {
  auto* const made = make<Side>(data);
  if (made == nullptr) return fail_no_memory("a request");
  if (const int error = made->prepare(); error != MPI_SUCCESS) {
    made->release();
    return error;
  }
  *request = made;
  return MPI_SUCCESS;
}

// The request as one of a side of partitioned communication, or the error that it is none.
template <class Side>
int find_side(Request* request, const char* maker, Side** found) {
  *found = dynamic_cast<Side*>(request);
  if (*found != nullptr) return MPI_SUCCESS;
  return fail(MPI_ERR_REQUEST, "request was not made by {}", maker);
}

int check_partition(const PartitionedRequest& request, int partition, const char* argument) {
  if (partition >= 0 && partition < request.partitions()) return MPI_SUCCESS;
  return fail(MPI_ERR_ARG, "{} is {}; the request has partitions 0 to {}", argument, partition,
              request.partitions() - 1);
}

}  // namespace

int psend_init(const void* buf, int partitions, MPI_Count count, Datatype* datatype, int dest,
               int tag, Comm* comm, Info*, Request** request) {
  return begin<PartitionedSend>(
      {const_cast<void*>(buf), partitions, count, datatype, dest, tag, comm}, request);
}

int precv_init(void* buf, int partitions, MPI_Count count, Datatype* datatype, int dest, int tag,
               Comm* comm, Info*, Request** request) {
  if (dest == MPI_ANY_SOURCE) {
    return fail(MPI_ERR_RANK,
                "dest is MPI_ANY_SOURCE; a partitioned receive names the rank that it is from");
  }
  if (tag == MPI_ANY_TAG) {
    return fail(MPI_ERR_TAG, "tag is MPI_ANY_TAG; a partitioned receive names its tag");
  }
  return begin<PartitionedReceive>({buf, partitions, count, datatype, dest, tag, comm}, request);
}

int pready(int partition, Request* request) {
  PartitionedSend* sender = nullptr;
  if (const int error = find_side(request, "MPI_Psend_init", &sender)) return error;
  if (const int error = check_partition(*sender, partition, "partition")) return error;
  return sender->ready(partition);
}

int pready_range(int partition_low, int partition_high, Request* request) {
  PartitionedSend* sender = nullptr;
  if (const int error = find_side(request, "MPI_Psend_init", &sender)) return error;
  if (const int error = check_partition(*sender, partition_low, "partition_low")) return error;
  if (const int error = check_partition(*sender, partition_high, "partition_high")) return error;
  if (partition_high < partition_low) {
    return fail(MPI_ERR_ARG, "partition_high is {}, but partition_low is {}", partition_high,
                partition_low);
  }
  for (int i = partition_low; i <= partition_high; ++i) {
    if (const int error = sender->ready(i)) return error;
  }
  return MPI_SUCCESS;
}

int pready_list(int length, const int array_of_partitions[], Request* request) {
  PartitionedSend* sender = nullptr;
  if (const int error = find_side(request, "MPI_Psend_init", &sender)) return error;
  for (int i = 0; i < length; ++i) {
    if (const int error = check_partition(*sender, array_of_partitions[i], "array_of_partitions")) {
      return error;
    }
  }
  for (int i = 0; i < length; ++i) {
    if (const int error = sender->ready(array_of_partitions[i])) return error;
  }
  return MPI_SUCCESS;
}

int parrived(Request* request, int partition, int* flag) {
  PartitionedReceive* receiver = nullptr;
  if (const int error = find_side(request, "MPI_Precv_init", &receiver)) return error;
  if (const int error = check_partition(*receiver, partition, "partition")) return error;
  if (!receiver->arrived(partition)) poll_once();
  *flag = receiver->arrived(partition) ? 1 : 0;
  return MPI_SUCCESS;
}

}  // namespace tern::mpi::impl
