// mpi_api/coll/calls_reduce.cc - the MPI calls of collectives that reduce (MPI-5.0 sections 6.9 to
// 6.13): choose an algorithm, describe it, run it in the form asked for.
//
// Arguments have been checked by the entry points, except whether the operation is defined for the
// datatype. Each collective is one function for all forms.
#include <vector>

#include "impl.h"
#include "mpi_api/checks.h"
#include "mpi_api/coll/algorithms.h"
#include "mpi_api/coll/execution.h"
#include "mpi_api/coll/host_comms.h"
#include "mpi_api/coll/inter.h"
#include "mpi_api/coll/shared.h"
#include "mpi_api/op.h"

namespace tern::mpi {
namespace coll {
namespace {

Operands operands(const void* sendbuf, void* recvbuf, MPI_Count count) {
  auto* const to = static_cast<std::byte*>(recvbuf);
  const void* const from = sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf;
  return {static_cast<const std::byte*>(from), to, static_cast<std::size_t>(count)};
}

// What shared memory can reduce; as all members know it, who have the same datatype.
bool for_shared(const Datatype& type) {
  const std::size_t size = type.layout().size();
  return type.layout().is_dense() && size > 0 && size <= kChunkBytes;
}

// count: of elements, in all blocks. build(schedule, algorithm) describes the collective,
// between(schedule) that of an intercommunicator; share(group, op, type) runs it without messages.
template <class Build, class Between, class Share>
int reduce_any(const Form& form, Collective which, std::size_t count, Datatype& type, Op& op,
               Comm& comm, int root, Build build, Between between, Share share) {
  if (const int error = check_reduction(op, type)) return error;
  const std::size_t bytes = count * type.layout().size();
  const bool fit = count != 0 && for_shared(type);
  if (auto* const group = shared_for(which, comm, form, bytes, {root, op.commutative(), fit})) {
    return share(*group, [&](const Operands& data) {
      return SharedGroup::Reduction{op, type, data};
    });
  }
  Object* const used[] = {&type, &op};
  return launch(comm, form, used, [&](Schedule& s) {
    if (count == 0) return;
    s.set_reduction(op, type);
    if (comm.is_inter()) [[unlikely]] {
      return between(s);
    }
    build(s, choose(s, which, bytes, op.commutative()));
  });
}

// Host by host, where the blocking collective goes that way and there is something to reduce.
HostComms* hosts_for(const Form& form, Collective which, std::size_t count, const Datatype& type,
                     const Op& op, Comm& comm) {
  const std::size_t bytes = count * type.layout().size();
  HostComms* const hosts = host_comms_for(which, comm, form, bytes, op.commutative());
  return bytes == 0 || check_reduction(op, type) != MPI_SUCCESS ? nullptr : hosts;
}

int scan_as(const Form& form, const void* sendbuf, void* recvbuf, MPI_Count count, Datatype& type,
            Op& op, Comm& comm, bool exclusive) {
  const Operands data = operands(sendbuf, recvbuf, count);
  return reduce_any(
      form, exclusive ? Collective::kExscan : Collective::kScan, data.count, type, op, comm, -1,
      [&](Schedule& s, Algorithm algorithm) { scan(s, algorithm, data, exclusive); },
      [](Schedule&) {},
      [&](SharedGroup& group, auto reduction) { return group.scan(reduction(data), exclusive); });
}

int reduce_scatter_as(const Form& form, const void* sendbuf, void* recvbuf,
                      const std::vector<std::size_t>& starts, Datatype& type, Op& op, Comm& comm) {
  const Operands data = operands(sendbuf, recvbuf, 0);
  return reduce_any(
      form, Collective::kReduceScatter, starts.back(), type, op, comm, -1,
      [&](Schedule& s, Algorithm algorithm) { reduce_scatter(s, algorithm, data, starts); },
      [&](Schedule& s) { inter::reduce_scatter(s, data, starts); },
      [&](SharedGroup& group, auto reduction) {
        return group.reduce_scatter(reduction(data), starts);
      });
}

template <class Counts>
std::vector<std::size_t> starts_of(const Counts& counts, int members) {
  std::vector<std::size_t> starts;
  starts.reserve(static_cast<std::size_t>(members) + 1);
  starts.push_back(0);
  for (int i = 0; i < members; ++i) {
    starts.push_back(starts.back() + static_cast<std::size_t>(counts(i)));
  }
  return starts;
}

std::vector<std::size_t> equal_starts(MPI_Count count, const Comm& comm) {
  return starts_of([count](int) { return count; }, comm.size());
}

std::vector<std::size_t> listed_starts(IntArray counts, const Comm& comm) {
  return starts_of([counts](int i) { return counts[i]; }, comm.size());
}

}  // namespace
}  // namespace coll

namespace impl {

int reduce(const coll::Form& form, const void* sendbuf, void* recvbuf, MPI_Count count,
           Datatype* datatype, Op* op, int root, Comm* comm) {
  const Role role = role_of(root, *comm);
  if (!role.root && !role.member) {
    return coll::launch(*comm, form, {}, [](coll::Schedule&) {});  // Beside the root.
  }
  // recvbuf means nothing on other members, not even that it differs from sendbuf.
  const coll::Operands data = coll::operands(sendbuf, role.root ? recvbuf : nullptr, count);
  using coll::Collective;
  if (auto* const hosts =
          coll::hosts_for(form, Collective::kReduce, data.count, *datatype, *op, *comm)) {
    return hosts->reduce({data.from, data.to, count, *datatype, *op}, root);
  }
  return coll::reduce_any(
      form, Collective::kReduce, data.count, *datatype, *op, *comm, root,
      [&](coll::Schedule& s, coll::Algorithm algorithm) { coll::reduce(s, algorithm, data, root); },
      [&](coll::Schedule& s) { coll::inter::reduce(s, data, root); },
      [&](coll::SharedGroup& group, auto reduction) {
        return group.reduce(reduction(data), root);
      });
}

int allreduce(const coll::Form& form, const void* sendbuf, void* recvbuf, MPI_Count count,
              Datatype* datatype, Op* op, Comm* comm) {
  using coll::Collective;
  const coll::Operands data = coll::operands(sendbuf, recvbuf, count);
  if (auto* const hosts =
          coll::hosts_for(form, Collective::kAllreduce, data.count, *datatype, *op, *comm)) {
    return hosts->allreduce({data.from, data.to, count, *datatype, *op});
  }
  return coll::reduce_any(
      form, Collective::kAllreduce, data.count, *datatype, *op, *comm, -1,
      [&](coll::Schedule& s, coll::Algorithm algorithm) { coll::allreduce(s, algorithm, data); },
      [&](coll::Schedule& s) { coll::inter::allreduce(s, data); },
      [&](coll::SharedGroup& group, auto reduction) { return group.allreduce(reduction(data)); });
}

int reduce_scatter_block(const coll::Form& form, const void* sendbuf, void* recvbuf,
                         MPI_Count recvcount, Datatype* datatype, Op* op, Comm* comm) {
  return coll::reduce_scatter_as(form, sendbuf, recvbuf, coll::equal_starts(recvcount, *comm),
                                 *datatype, *op, *comm);
}

int reduce_scatter(const coll::Form& form, const void* sendbuf, void* recvbuf, IntArray recvcounts,
                   Datatype* datatype, Op* op, Comm* comm) {
  return coll::reduce_scatter_as(form, sendbuf, recvbuf, coll::listed_starts(recvcounts, *comm),
                                 *datatype, *op, *comm);
}

int scan(const coll::Form& form, const void* sendbuf, void* recvbuf, MPI_Count count,
         Datatype* datatype, Op* op, Comm* comm) {
  return coll::scan_as(form, sendbuf, recvbuf, count, *datatype, *op, *comm, false);
}

int exscan(const coll::Form& form, const void* sendbuf, void* recvbuf, MPI_Count count,
           Datatype* datatype, Op* op, Comm* comm) {
  return coll::scan_as(form, sendbuf, recvbuf, count, *datatype, *op, *comm, true);
}

}  // namespace impl
}  // namespace tern::mpi
