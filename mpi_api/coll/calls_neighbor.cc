// mpi_api/coll/calls_neighbor.cc - the MPI calls of neighbourhood collectives (MPI-5.0 sections 8.6
// to 8.8): describe them for the communicator's topology, run them in the form asked for.
//
// Arguments have been checked by the entry points, except whether there is a topology. Each
// collective is one function for all forms.
#include <span>
#include <vector>

#include "impl.h"
#include "mpi_api/coll/execution.h"
#include "mpi_api/coll/neighbor.h"
#include "mpi_api/errors.h"
#include "mpi_api/topology.h"

namespace tern::mpi {
namespace coll {
namespace {

// build(schedule, neighborhood) describes the collective.
template <class Build>
int exchange_as(const Form& form, std::span<Object* const> used, Comm& comm, Build build) {
  if (comm.topology == nullptr) {
    return fail(MPI_ERR_TOPOLOGY,
                "comm has no topology; neighborhood collectives need a communicator made by "
                "MPI_Cart_create, MPI_Graph_create or MPI_Dist_graph_create");
  }
  const Topology& topology = *comm.topology;
  const Neighborhood near{topology.sources, topology.destinations,
                          topology.kind == Topology::Kind::kCart};
  return launch(comm, form, used, [&](Schedule& s) { build(s, near); });
}

// Byte displacements are 64 bits wide in the plain function, too.
IntArray byte_displacements(const MPI_Aint* displs) { return {displs, true}; }

void collect(std::vector<Object*>& used, IntArray counts, const MPI_Datatype* types,
             std::size_t length) {
  for (int i = 0; i < static_cast<int>(length); ++i) {
    if (counts[i] != 0) used.push_back(to_datatype(types[i]));
  }
}

}  // namespace
}  // namespace coll

namespace impl {

using coll::Blocks;
using coll::Neighborhood;
using coll::Schedule;

int neighbor_allgather(const coll::Form& form, const void* sendbuf, MPI_Count sendcount,
                       Datatype* sendtype, void* recvbuf, MPI_Count recvcount, Datatype* recvtype,
                       Comm* comm) {
  Object* const used[] = {sendtype, recvtype};
  return coll::exchange_as(form, used, *comm, [&](Schedule& s, const Neighborhood& near) {
    coll::neighbor_allgather(s, near, view(sendbuf, sendcount, *sendtype),
                             Blocks(recvbuf, recvcount, *recvtype));
  });
}

int neighbor_allgatherv(const coll::Form& form, const void* sendbuf, MPI_Count sendcount,
                        Datatype* sendtype, void* recvbuf, IntArray recvcounts, IntArray displs,
                        Datatype* recvtype, Comm* comm) {
  Object* const used[] = {sendtype, recvtype};
  return coll::exchange_as(form, used, *comm, [&](Schedule& s, const Neighborhood& near) {
    coll::neighbor_allgather(s, near, view(sendbuf, sendcount, *sendtype),
                             Blocks(recvbuf, recvcounts, displs, *recvtype));
  });
}

int neighbor_alltoall(const coll::Form& form, const void* sendbuf, MPI_Count sendcount,
                      Datatype* sendtype, void* recvbuf, MPI_Count recvcount, Datatype* recvtype,
                      Comm* comm) {
  Object* const used[] = {sendtype, recvtype};
  return coll::exchange_as(form, used, *comm, [&](Schedule& s, const Neighborhood& near) {
    coll::neighbor_alltoall(s, near, Blocks(sendbuf, sendcount, *sendtype),
                            Blocks(recvbuf, recvcount, *recvtype));
  });
}

int neighbor_alltoallv(const coll::Form& form, const void* sendbuf, IntArray sendcounts,
                       IntArray sdispls, Datatype* sendtype, void* recvbuf, IntArray recvcounts,
                       IntArray rdispls, Datatype* recvtype, Comm* comm) {
  Object* const used[] = {sendtype, recvtype};
  return coll::exchange_as(form, used, *comm, [&](Schedule& s, const Neighborhood& near) {
    coll::neighbor_alltoall(s, near, Blocks(sendbuf, sendcounts, sdispls, *sendtype),
                            Blocks(recvbuf, recvcounts, rdispls, *recvtype));
  });
}

int neighbor_alltoallw(const coll::Form& form, const void* sendbuf, IntArray sendcounts,
                       const MPI_Aint sdispls[], const MPI_Datatype sendtypes[], void* recvbuf,
                       IntArray recvcounts, const MPI_Aint rdispls[],
                       const MPI_Datatype recvtypes[], Comm* comm) {
  std::vector<Object*> used;
  if (form.request != nullptr && comm->topology != nullptr) {
    coll::collect(used, sendcounts, sendtypes, comm->topology->destinations.size());
    coll::collect(used, recvcounts, recvtypes, comm->topology->sources.size());
  }
  return coll::exchange_as(form, used, *comm, [&](Schedule& s, const Neighborhood& near) {
    coll::neighbor_alltoall(
        s, near, Blocks(sendbuf, sendcounts, coll::byte_displacements(sdispls), sendtypes),
        Blocks(recvbuf, recvcounts, coll::byte_displacements(rdispls), recvtypes));
  });
}

}  // namespace impl
}  // namespace tern::mpi
