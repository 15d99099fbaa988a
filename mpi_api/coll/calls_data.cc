// mpi_api/coll/calls_data.cc - the MPI calls of collectives that move data (MPI-5.0 sections 6.3 to
// 6.8 and 6.12): choose an algorithm, describe it, run it in the form asked for.
//
// Arguments have been checked by the entry points. Each collective is one function for all forms.
#include <optional>

#include "impl.h"
#include "mpi_api/coll/algorithms.h"
#include "mpi_api/coll/execution.h"

namespace tern::mpi {
namespace coll {
namespace {

// A member's own block; none where MPI_IN_PLACE says that it is in the other buffer.
class Own {
 public:
  Own(const void* buffer, MPI_Count count, const Datatype* type) {
    if (buffer != MPI_IN_PLACE) view_ = view(buffer, count, *type);
  }
  const DataView* get() const { return view_ ? &*view_ : nullptr; }

 private:
  std::optional<DataView> view_;
};

int barrier_as(const Form& form, Comm& comm) {
  return launch(comm, form, {},
                [](Schedule& s) { barrier(s, select(Collective::kBarrier, s.size(), 0)); });
}

int bcast_as(const Form& form, void* buffer, MPI_Count count, Datatype* type, int root,
             Comm& comm) {
  Object* const used[] = {type};
  const DataView data = view(buffer, count, *type);
  return launch(comm, form, used, [&](Schedule& s) {
    if (data.bytes() == 0) return;
    bcast(s, select(Collective::kBcast, s.size(), data.bytes()), data, root);
  });
}

// One member's input to a rooted collective, and all members' output at the root, or the reverse.
struct Rooted {
  Own own;
  Blocks all;
  std::size_t block_bytes;  // As far as all members know it alike; 0 for the v forms.
  int root;
};

int gather_as(const Form& form, Collective which, const Rooted& data, std::span<Object* const> used,
              Comm& comm) {
  return launch(comm, form, used, [&](Schedule& s) {
    if (which == Collective::kGather && data.block_bytes == 0) return;
    gather(s, select(which, s.size(), data.block_bytes), data.own.get(), data.all, data.root);
  });
}

int scatter_as(const Form& form, Collective which, const Rooted& data,
               std::span<Object* const> used, Comm& comm) {
  return launch(comm, form, used, [&](Schedule& s) {
    if (which == Collective::kScatter && data.block_bytes == 0) return;
    scatter(s, select(which, s.size(), data.block_bytes), data.all, data.own.get(), data.root);
  });
}

std::size_t bytes_of(MPI_Count count, const Datatype& type) {
  return static_cast<std::size_t>(count) * type.layout().size();
}

int gather_as(const Form& form, const void* sendbuf, MPI_Count sendcount, Datatype* sendtype,
              void* recvbuf, MPI_Count recvcount, Datatype* recvtype, int root, Comm& comm) {
  Object* const used[] = {sendtype, recvtype};
  const bool here = comm.rank() == root;
  const Rooted data{Own(sendbuf, sendcount, sendtype),
                    here ? Blocks(recvbuf, recvcount, *recvtype) : Blocks(),
                    here ? bytes_of(recvcount, *recvtype) : bytes_of(sendcount, *sendtype), root};
  return gather_as(form, Collective::kGather, data, used, comm);
}

int gatherv_as(const Form& form, const void* sendbuf, MPI_Count sendcount, Datatype* sendtype,
               void* recvbuf, IntArray counts, IntArray displs, Datatype* recvtype, int root,
               Comm& comm) {
  Object* const used[] = {sendtype, recvtype};
  const bool here = comm.rank() == root;
  const Rooted data{Own(sendbuf, sendcount, sendtype),
                    here ? Blocks(recvbuf, counts, displs, *recvtype) : Blocks(), 0, root};
  return gather_as(form, Collective::kGatherv, data, used, comm);
}

int scatter_as(const Form& form, const void* sendbuf, MPI_Count sendcount, Datatype* sendtype,
               void* recvbuf, MPI_Count recvcount, Datatype* recvtype, int root, Comm& comm) {
  Object* const used[] = {sendtype, recvtype};
  const bool here = comm.rank() == root;
  const Rooted data{Own(recvbuf, recvcount, recvtype),
                    here ? Blocks(sendbuf, sendcount, *sendtype) : Blocks(),
                    here ? bytes_of(sendcount, *sendtype) : bytes_of(recvcount, *recvtype), root};
  return scatter_as(form, Collective::kScatter, data, used, comm);
}

int scatterv_as(const Form& form, const void* sendbuf, IntArray counts, IntArray displs,
                Datatype* sendtype, void* recvbuf, MPI_Count recvcount, Datatype* recvtype,
                int root, Comm& comm) {
  Object* const used[] = {sendtype, recvtype};
  const bool here = comm.rank() == root;
  const Rooted data{Own(recvbuf, recvcount, recvtype),
                    here ? Blocks(sendbuf, counts, displs, *sendtype) : Blocks(), 0, root};
  return scatter_as(form, Collective::kScatterv, data, used, comm);
}

int allgather_as(const Form& form, const void* sendbuf, MPI_Count sendcount, Datatype* sendtype,
                 void* recvbuf, MPI_Count recvcount, Datatype* recvtype, Comm& comm) {
  Object* const used[] = {sendtype, recvtype};
  const Own own(sendbuf, sendcount, sendtype);
  const std::size_t total = bytes_of(recvcount, *recvtype) * static_cast<std::size_t>(comm.size());
  return launch(comm, form, used, [&](Schedule& s) {
    if (total == 0) return;
    allgather(s, select(Collective::kAllgather, s.size(), total), own.get(),
              Blocks(recvbuf, recvcount, *recvtype));
  });
}

int allgatherv_as(const Form& form, const void* sendbuf, MPI_Count sendcount, Datatype* sendtype,
                  void* recvbuf, IntArray counts, IntArray displs, Datatype* recvtype, Comm& comm) {
  Object* const used[] = {sendtype, recvtype};
  const Own own(sendbuf, sendcount, sendtype);
  MPI_Count elements = 0;
  for (int i = 0; i < comm.size(); ++i) elements += counts[i];
  const std::size_t total = bytes_of(elements, *recvtype);
  return launch(comm, form, used, [&](Schedule& s) {
    if (total == 0) return;
    allgather(s, select(Collective::kAllgatherv, s.size(), total), own.get(),
              Blocks(recvbuf, counts, displs, *recvtype));
  });
}

int alltoall_as(const Form& form, const void* sendbuf, MPI_Count sendcount, Datatype* sendtype,
                void* recvbuf, MPI_Count recvcount, Datatype* recvtype, Comm& comm) {
  Object* const used[] = {sendtype, recvtype};
  const bool in_place = sendbuf == MPI_IN_PLACE;
  const Blocks from = in_place ? Blocks() : Blocks(sendbuf, sendcount, *sendtype);
  const std::size_t block = bytes_of(recvcount, *recvtype);
  return launch(comm, form, used, [&](Schedule& s) {
    if (block == 0) return;
    alltoall(s, select(Collective::kAlltoall, s.size(), block), in_place ? nullptr : &from,
             Blocks(recvbuf, recvcount, *recvtype));
  });
}

int alltoallv_as(const Form& form, const void* sendbuf, IntArray sendcounts, IntArray sdispls,
                 Datatype* sendtype, void* recvbuf, IntArray recvcounts, IntArray rdispls,
                 Datatype* recvtype, Comm& comm) {
  Object* const used[] = {sendtype, recvtype};
  const bool in_place = sendbuf == MPI_IN_PLACE;
  const Blocks from = in_place ? Blocks() : Blocks(sendbuf, sendcounts, sdispls, *sendtype);
  return launch(comm, form, used, [&](Schedule& s) {
    alltoall(s, select(Collective::kAlltoallv, s.size(), 0), in_place ? nullptr : &from,
             Blocks(recvbuf, recvcounts, rdispls, *recvtype));
  });
}

}  // namespace
}  // namespace coll

namespace impl {

int barrier(Comm* comm) { return coll::barrier_as({}, *comm); }
int ibarrier(Comm* comm, Request** request) { return coll::barrier_as({request}, *comm); }

int bcast(void* buffer, MPI_Count count, Datatype* datatype, int root, Comm* comm) {
  return coll::bcast_as({}, buffer, count, datatype, root, *comm);
}
int ibcast(void* buffer, MPI_Count count, Datatype* datatype, int root, Comm* comm,
           Request** request) {
  return coll::bcast_as({request}, buffer, count, datatype, root, *comm);
}

int gather(const void* sendbuf, MPI_Count sendcount, Datatype* sendtype, void* recvbuf,
           MPI_Count recvcount, Datatype* recvtype, int root, Comm* comm) {
  return coll::gather_as({}, sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, root,
                         *comm);
}
int igather(const void* sendbuf, MPI_Count sendcount, Datatype* sendtype, void* recvbuf,
            MPI_Count recvcount, Datatype* recvtype, int root, Comm* comm, Request** request) {
  return coll::gather_as({request}, sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype,
                         root, *comm);
}

int gatherv(const void* sendbuf, MPI_Count sendcount, Datatype* sendtype, void* recvbuf,
            IntArray recvcounts, IntArray displs, Datatype* recvtype, int root, Comm* comm) {
  return coll::gatherv_as({}, sendbuf, sendcount, sendtype, recvbuf, recvcounts, displs, recvtype,
                          root, *comm);
}
int igatherv(const void* sendbuf, MPI_Count sendcount, Datatype* sendtype, void* recvbuf,
             IntArray recvcounts, IntArray displs, Datatype* recvtype, int root, Comm* comm,
             Request** request) {
  return coll::gatherv_as({request}, sendbuf, sendcount, sendtype, recvbuf, recvcounts, displs,
                          recvtype, root, *comm);
}

int scatter(const void* sendbuf, MPI_Count sendcount, Datatype* sendtype, void* recvbuf,
            MPI_Count recvcount, Datatype* recvtype, int root, Comm* comm) {
  return coll::scatter_as({}, sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, root,
                          *comm);
}
int iscatter(const void* sendbuf, MPI_Count sendcount, Datatype* sendtype, void* recvbuf,
             MPI_Count recvcount, Datatype* recvtype, int root, Comm* comm, Request** request) {
  return coll::scatter_as({request}, sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype,
                          root, *comm);
}

int scatterv(const void* sendbuf, IntArray sendcounts, IntArray displs, Datatype* sendtype,
             void* recvbuf, MPI_Count recvcount, Datatype* recvtype, int root, Comm* comm) {
  return coll::scatterv_as({}, sendbuf, sendcounts, displs, sendtype, recvbuf, recvcount, recvtype,
                           root, *comm);
}
int iscatterv(const void* sendbuf, IntArray sendcounts, IntArray displs, Datatype* sendtype,
              void* recvbuf, MPI_Count recvcount, Datatype* recvtype, int root, Comm* comm,
              Request** request) {
  return coll::scatterv_as({request}, sendbuf, sendcounts, displs, sendtype, recvbuf, recvcount,
                           recvtype, root, *comm);
}

int allgather(const void* sendbuf, MPI_Count sendcount, Datatype* sendtype, void* recvbuf,
              MPI_Count recvcount, Datatype* recvtype, Comm* comm) {
  return coll::allgather_as({}, sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, *comm);
}
int iallgather(const void* sendbuf, MPI_Count sendcount, Datatype* sendtype, void* recvbuf,
               MPI_Count recvcount, Datatype* recvtype, Comm* comm, Request** request) {
  return coll::allgather_as({request}, sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype,
                            *comm);
}

int allgatherv(const void* sendbuf, MPI_Count sendcount, Datatype* sendtype, void* recvbuf,
               IntArray recvcounts, IntArray displs, Datatype* recvtype, Comm* comm) {
  return coll::allgatherv_as({}, sendbuf, sendcount, sendtype, recvbuf, recvcounts, displs,
                             recvtype, *comm);
}
int iallgatherv(const void* sendbuf, MPI_Count sendcount, Datatype* sendtype, void* recvbuf,
                IntArray recvcounts, IntArray displs, Datatype* recvtype, Comm* comm,
                Request** request) {
  return coll::allgatherv_as({request}, sendbuf, sendcount, sendtype, recvbuf, recvcounts, displs,
                             recvtype, *comm);
}

int alltoall(const void* sendbuf, MPI_Count sendcount, Datatype* sendtype, void* recvbuf,
             MPI_Count recvcount, Datatype* recvtype, Comm* comm) {
  return coll::alltoall_as({}, sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype, *comm);
}
int ialltoall(const void* sendbuf, MPI_Count sendcount, Datatype* sendtype, void* recvbuf,
              MPI_Count recvcount, Datatype* recvtype, Comm* comm, Request** request) {
  return coll::alltoall_as({request}, sendbuf, sendcount, sendtype, recvbuf, recvcount, recvtype,
                           *comm);
}

int alltoallv(const void* sendbuf, IntArray sendcounts, IntArray sdispls, Datatype* sendtype,
              void* recvbuf, IntArray recvcounts, IntArray rdispls, Datatype* recvtype,
              Comm* comm) {
  return coll::alltoallv_as({}, sendbuf, sendcounts, sdispls, sendtype, recvbuf, recvcounts,
                            rdispls, recvtype, *comm);
}
int ialltoallv(const void* sendbuf, IntArray sendcounts, IntArray sdispls, Datatype* sendtype,
               void* recvbuf, IntArray recvcounts, IntArray rdispls, Datatype* recvtype, Comm* comm,
               Request** request) {
  return coll::alltoallv_as({request}, sendbuf, sendcounts, sdispls, sendtype, recvbuf, recvcounts,
                            rdispls, recvtype, *comm);
}

}  // namespace impl
}  // namespace tern::mpi
