// mpi_api/coll/calls_data.cc - the MPI calls of collectives that move data (MPI-5.0 sections 6.3 to
// 6.8, 6.12 and 6.13): choose an algorithm, describe it, run it in the form asked for.
//
// Arguments have been checked by the entry points. Each collective is one function for all forms.
// What a process does not take part in has datatypes that are nullptr.
#include <optional>
#include <span>
#include <vector>

#include "impl.h"
#include "mpi_api/checks.h"
#include "mpi_api/coll/algorithms.h"
#include "mpi_api/coll/execution.h"
#include "mpi_api/coll/host_comms.h"
#include "mpi_api/coll/inter.h"
#include "mpi_api/coll/shared.h"

namespace tern::mpi {
namespace coll {
namespace {

// A member's own block; none where MPI_IN_PLACE says that it is in the other buffer, and where the
// process has none.
class Own {
 public:
  Own() = default;
  Own(const void* buffer, MPI_Count count, const Datatype* type) {
    if (buffer != MPI_IN_PLACE) view_ = view(buffer, count, *type);
  }
  const DataView* get() const { return view_ ? &*view_ : nullptr; }

 private:
  std::optional<DataView> view_;
};

std::size_t bytes_of(MPI_Count count, const Datatype& type) {
  return static_cast<std::size_t>(count) * type.layout().size();
}

// One process's view of a rooted collective: a block at every member, all of them at the root.
struct Rooted {
  Own own;
  Blocks all;
  std::size_t block_bytes = 0;  // As far as all members know it alike; 0 for the v forms.
  int root;
};

// The members' side has a count and a datatype, the root's side equal blocks or listed ones.
Rooted rooted(const Role& role, const void* buffer, MPI_Count count, Datatype* type,
              const Blocks& all, int root) {
  Rooted data;
  if (role.member) data.own = Own(buffer, count, type);
  if (role.root) data.all = all;
  data.root = root;
  return data;
}

Blocks equal_blocks(const Role& role, const void* buffer, MPI_Count count, const Datatype* type) {
  return role.root ? Blocks(buffer, count, *type) : Blocks();
}

Blocks listed_blocks(const Role& role, const void* buffer, IntArray counts, IntArray displs,
                     const Datatype* type) {
  return role.root ? Blocks(buffer, counts, displs, *type) : Blocks();
}

int gather_as(const Form& form, Collective which, const Rooted& data, std::span<Object* const> used,
              Comm& comm) {
  if (SharedGroup* const group = shared_for(which, comm, form, data.block_bytes, {data.root})) {
    return group->gather(data.own.get(), data.all, data.root);
  }
  return launch(comm, form, used, [&](Schedule& s) {
    if (comm.is_inter()) [[unlikely]] {
      return inter::gather(s, data.own.get(), data.all, comm.remote_size(), data.root);
    }
    if (which == Collective::kGather && data.block_bytes == 0) return;
    gather(s, choose(s, which, data.block_bytes), data.own.get(), data.all, data.root);
  });
}

int scatter_as(const Form& form, Collective which, const Rooted& data,
               std::span<Object* const> used, Comm& comm) {
  if (SharedGroup* const group = shared_for(which, comm, form, data.block_bytes, {data.root})) {
    return group->scatter(data.all, data.own.get(), data.root);
  }
  return launch(comm, form, used, [&](Schedule& s) {
    if (comm.is_inter()) [[unlikely]] {
      return inter::scatter(s, data.all, data.own.get(), comm.remote_size(), data.root);
    }
    if (which == Collective::kScatter && data.block_bytes == 0) return;
    scatter(s, choose(s, which, data.block_bytes), data.all, data.own.get(), data.root);
  });
}

int allgather_as(const Form& form, Collective which, const Own& own, const Blocks& all,
                 std::size_t total_bytes, std::span<Object* const> used, Comm& comm) {
  if (SharedGroup* const group = shared_for(which, comm, form, total_bytes)) {
    return group->allgather(own.get(), all);
  }
  return launch(comm, form, used, [&](Schedule& s) {
    if (comm.is_inter()) [[unlikely]] {
      return inter::allgather(s, *own.get(), all, comm.remote_size());
    }
    if (total_bytes == 0) return;
    allgather(s, choose(s, which, total_bytes), own.get(), all);
  });
}

// from: nullptr for MPI_IN_PLACE.
int alltoall_as(const Form& form, Collective which, const Blocks* from, const Blocks& to,
                std::size_t block_bytes, std::span<Object* const> used, Comm& comm) {
  const SharedUse use{.fit = from != nullptr};
  if (SharedGroup* const group = shared_for(which, comm, form, block_bytes, use)) {
    return group->alltoall(*from, to);
  }
  return launch(comm, form, used, [&](Schedule& s) {
    if (comm.is_inter()) [[unlikely]] {
      return inter::alltoall(s, *from, to, comm.remote_size());
    }
    if (which == Collective::kAlltoall && block_bytes == 0) return;
    alltoall(s, choose(s, which, block_bytes), from, to);
  });
}

void collect(std::vector<Object*>& used, IntArray counts, const MPI_Datatype* types, int length) {
  for (int i = 0; i < length; ++i) {
    if (counts[i] != 0) used.push_back(to_datatype(types[i]));
  }
}

}  // namespace
}  // namespace coll

namespace impl {

using coll::Blocks;
using coll::Collective;
using coll::Own;

int barrier(const coll::Form& form, Comm* comm) {
  if (coll::SharedGroup* const group = coll::shared_for(Collective::kBarrier, *comm, form, 0)) {
    return group->barrier();
  }
  if (auto* const hosts = coll::host_comms_for(Collective::kBarrier, *comm, form, 0)) {
    return hosts->barrier();
  }
  return coll::launch(*comm, form, {}, [comm](coll::Schedule& s) {
    if (comm->is_inter()) return coll::inter::barrier(s);
    coll::barrier(s, coll::choose(s, Collective::kBarrier, 0));
  });
}

int bcast(const coll::Form& form, void* buffer, MPI_Count count, Datatype* datatype, int root,
          Comm* comm) {
  Object* const used[] = {datatype};
  // Beside the root of an intercommunicator, there are no data.
  const DataView data = datatype != nullptr ? view(buffer, count, *datatype) : DataView();
  if (auto* const group = coll::shared_for(Collective::kBcast, *comm, form, data.bytes(), {root})) {
    return group->bcast(data, root);
  }
  if (auto* const hosts = coll::host_comms_for(Collective::kBcast, *comm, form, data.bytes())) {
    return data.bytes() == 0 ? MPI_SUCCESS : hosts->bcast(buffer, count, *datatype, root);
  }
  return coll::launch(*comm, form, used, [&](coll::Schedule& s) {
    if (data.bytes() == 0) return;
    if (comm->is_inter()) return coll::inter::bcast(s, data, root);
    coll::bcast(s, coll::choose(s, Collective::kBcast, data.bytes()), data, root);
  });
}

int gather(const coll::Form& form, const void* sendbuf, MPI_Count sendcount, Datatype* sendtype,
           void* recvbuf, MPI_Count recvcount, Datatype* recvtype, int root, Comm* comm) {
  Object* const used[] = {sendtype, recvtype};
  const Role role = role_of(root, *comm);
  coll::Rooted data = coll::rooted(role, sendbuf, sendcount, sendtype,
                                   coll::equal_blocks(role, recvbuf, recvcount, recvtype), root);
  if (role.root || role.member) {
    data.block_bytes =
        role.root ? coll::bytes_of(recvcount, *recvtype) : coll::bytes_of(sendcount, *sendtype);
  }
  return coll::gather_as(form, Collective::kGather, data, used, *comm);
}

int gatherv(const coll::Form& form, const void* sendbuf, MPI_Count sendcount, Datatype* sendtype,
            void* recvbuf, IntArray recvcounts, IntArray displs, Datatype* recvtype, int root,
            Comm* comm) {
  Object* const used[] = {sendtype, recvtype};
  const Role role = role_of(root, *comm);
  const coll::Rooted data =
      coll::rooted(role, sendbuf, sendcount, sendtype,
                   coll::listed_blocks(role, recvbuf, recvcounts, displs, recvtype), root);
  return coll::gather_as(form, Collective::kGatherv, data, used, *comm);
}

int scatter(const coll::Form& form, const void* sendbuf, MPI_Count sendcount, Datatype* sendtype,
            void* recvbuf, MPI_Count recvcount, Datatype* recvtype, int root, Comm* comm) {
  Object* const used[] = {sendtype, recvtype};
  const Role role = role_of(root, *comm);
  coll::Rooted data = coll::rooted(role, recvbuf, recvcount, recvtype,
                                   coll::equal_blocks(role, sendbuf, sendcount, sendtype), root);
  if (role.root || role.member) {
    data.block_bytes =
        role.root ? coll::bytes_of(sendcount, *sendtype) : coll::bytes_of(recvcount, *recvtype);
  }
  return coll::scatter_as(form, Collective::kScatter, data, used, *comm);
}

int scatterv(const coll::Form& form, const void* sendbuf, IntArray sendcounts, IntArray displs,
             Datatype* sendtype, void* recvbuf, MPI_Count recvcount, Datatype* recvtype, int root,
             Comm* comm) {
  Object* const used[] = {sendtype, recvtype};
  const Role role = role_of(root, *comm);
  const coll::Rooted data =
      coll::rooted(role, recvbuf, recvcount, recvtype,
                   coll::listed_blocks(role, sendbuf, sendcounts, displs, sendtype), root);
  return coll::scatter_as(form, Collective::kScatterv, data, used, *comm);
}

int allgather(const coll::Form& form, const void* sendbuf, MPI_Count sendcount, Datatype* sendtype,
              void* recvbuf, MPI_Count recvcount, Datatype* recvtype, Comm* comm) {
  Object* const used[] = {sendtype, recvtype};
  const std::size_t total =
      coll::bytes_of(recvcount, *recvtype) * static_cast<std::size_t>(comm->size());
  return coll::allgather_as(form, Collective::kAllgather, Own(sendbuf, sendcount, sendtype),
                            Blocks(recvbuf, recvcount, *recvtype), total, used, *comm);
}

int allgatherv(const coll::Form& form, const void* sendbuf, MPI_Count sendcount, Datatype* sendtype,
               void* recvbuf, IntArray recvcounts, IntArray displs, Datatype* recvtype,
               Comm* comm) {
  Object* const used[] = {sendtype, recvtype};
  MPI_Count elements = 0;
  for (int i = 0; i < comm->remote_size(); ++i) elements += recvcounts[i];
  return coll::allgather_as(form, Collective::kAllgatherv, Own(sendbuf, sendcount, sendtype),
                            Blocks(recvbuf, recvcounts, displs, *recvtype),
                            coll::bytes_of(elements, *recvtype), used, *comm);
}

int alltoall(const coll::Form& form, const void* sendbuf, MPI_Count sendcount, Datatype* sendtype,
             void* recvbuf, MPI_Count recvcount, Datatype* recvtype, Comm* comm) {
  Object* const used[] = {sendtype, recvtype};
  const bool in_place = sendbuf == MPI_IN_PLACE;
  const Blocks from = in_place ? Blocks() : Blocks(sendbuf, sendcount, *sendtype);
  return coll::alltoall_as(form, Collective::kAlltoall, in_place ? nullptr : &from,
                           Blocks(recvbuf, recvcount, *recvtype),
                           coll::bytes_of(recvcount, *recvtype), used, *comm);
}

int alltoallv(const coll::Form& form, const void* sendbuf, IntArray sendcounts, IntArray sdispls,
              Datatype* sendtype, void* recvbuf, IntArray recvcounts, IntArray rdispls,
              Datatype* recvtype, Comm* comm) {
  Object* const used[] = {sendtype, recvtype};
  const bool in_place = sendbuf == MPI_IN_PLACE;
  const Blocks from = in_place ? Blocks() : Blocks(sendbuf, sendcounts, sdispls, *sendtype);
  return coll::alltoall_as(form, Collective::kAlltoallv, in_place ? nullptr : &from,
                           Blocks(recvbuf, recvcounts, rdispls, *recvtype), 0, used, *comm);
}

int alltoallw(const coll::Form& form, const void* sendbuf, IntArray sendcounts, IntArray sdispls,
              const MPI_Datatype* sendtypes, void* recvbuf, IntArray recvcounts, IntArray rdispls,
              const MPI_Datatype* recvtypes, Comm* comm) {
  const bool in_place = sendbuf == MPI_IN_PLACE;
  std::vector<Object*> used;
  if (form.request != nullptr) {
    if (!in_place) coll::collect(used, sendcounts, sendtypes, comm->remote_size());
    coll::collect(used, recvcounts, recvtypes, comm->remote_size());
  }
  const Blocks from = in_place ? Blocks() : Blocks(sendbuf, sendcounts, sdispls, sendtypes);
  return coll::alltoall_as(form, Collective::kAlltoallv, in_place ? nullptr : &from,
                           Blocks(recvbuf, recvcounts, rdispls, recvtypes), 0, used, *comm);
}

}  // namespace impl
}  // namespace tern::mpi
