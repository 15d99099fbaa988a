// mpi_api/coll/calls_reduce.cc - the MPI calls of collectives that reduce (MPI-5.0 sections 6.9 to
// 6.11 and 6.12): choose an algorithm, describe it, run it in the form asked for.
//
// Arguments have been checked by the entry points, except whether the operation is defined for the
// datatype. Each collective is one function for all forms.
#include <vector>

#include "impl.h"
#include "mpi_api/coll/algorithms.h"
#include "mpi_api/coll/execution.h"
#include "mpi_api/op.h"

namespace tern::mpi {
namespace coll {
namespace {

Operands operands(const void* sendbuf, void* recvbuf, MPI_Count count) {
  auto* const to = static_cast<std::byte*>(recvbuf);
  const void* const from = sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf;
  return {static_cast<const std::byte*>(from), to, static_cast<std::size_t>(count)};
}

// bytes: what the algorithm is chosen by. build(schedule, algorithm) describes the collective.
template <class Build>
int reduce_any(const Form& form, Collective which, std::size_t count, Datatype& type, Op& op,
               Comm& comm, Build build) {
  if (const int error = check_reduction(op, type)) return error;
  Object* const used[] = {&type, &op};
  return launch(comm, form, used, [&](Schedule& s) {
    if (count == 0) return;
    s.set_reduction(op, type);
    build(s, select(which, s.size(), count * type.layout().size(), op.commutative()));
  });
}

int reduce_as(const Form& form, const void* sendbuf, void* recvbuf, MPI_Count count, Datatype& type,
              Op& op, int root, Comm& comm) {
  // recvbuf means nothing on other members, not even that it differs from sendbuf.
  const Operands data = operands(sendbuf, comm.rank() == root ? recvbuf : nullptr, count);
  return reduce_any(form, Collective::kReduce, data.count, type, op, comm,
                    [&](Schedule& s, Algorithm algorithm) { reduce(s, algorithm, data, root); });
}

int allreduce_as(const Form& form, const void* sendbuf, void* recvbuf, MPI_Count count,
                 Datatype& type, Op& op, Comm& comm) {
  const Operands data = operands(sendbuf, recvbuf, count);
  return reduce_any(form, Collective::kAllreduce, data.count, type, op, comm,
                    [&](Schedule& s, Algorithm algorithm) { allreduce(s, algorithm, data); });
}

int scan_as(const Form& form, const void* sendbuf, void* recvbuf, MPI_Count count, Datatype& type,
            Op& op, Comm& comm, bool exclusive) {
  const Operands data = operands(sendbuf, recvbuf, count);
  return reduce_any(form, exclusive ? Collective::kExscan : Collective::kScan, data.count, type, op,
                    comm,
                    [&](Schedule& s, Algorithm algorithm) { scan(s, algorithm, data, exclusive); });
}

int reduce_scatter_as(const Form& form, const void* sendbuf, void* recvbuf,
                      const std::vector<std::size_t>& starts, Datatype& type, Op& op, Comm& comm) {
  const Operands data = operands(sendbuf, recvbuf, 0);
  return reduce_any(
      form, Collective::kReduceScatter, starts.back(), type, op, comm,
      [&](Schedule& s, Algorithm algorithm) { reduce_scatter(s, algorithm, data, starts); });
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

int reduce(const void* sendbuf, void* recvbuf, MPI_Count count, Datatype* datatype, Op* op,
           int root, Comm* comm) {
  return coll::reduce_as({}, sendbuf, recvbuf, count, *datatype, *op, root, *comm);
}
int ireduce(const void* sendbuf, void* recvbuf, MPI_Count count, Datatype* datatype, Op* op,
            int root, Comm* comm, Request** request) {
  return coll::reduce_as({request}, sendbuf, recvbuf, count, *datatype, *op, root, *comm);
}

int allreduce(const void* sendbuf, void* recvbuf, MPI_Count count, Datatype* datatype, Op* op,
              Comm* comm) {
  return coll::allreduce_as({}, sendbuf, recvbuf, count, *datatype, *op, *comm);
}
int iallreduce(const void* sendbuf, void* recvbuf, MPI_Count count, Datatype* datatype, Op* op,
               Comm* comm, Request** request) {
  return coll::allreduce_as({request}, sendbuf, recvbuf, count, *datatype, *op, *comm);
}

int reduce_scatter_block(const void* sendbuf, void* recvbuf, MPI_Count recvcount,
                         Datatype* datatype, Op* op, Comm* comm) {
  return coll::reduce_scatter_as({}, sendbuf, recvbuf, coll::equal_starts(recvcount, *comm),
                                 *datatype, *op, *comm);
}
int ireduce_scatter_block(const void* sendbuf, void* recvbuf, MPI_Count recvcount,
                          Datatype* datatype, Op* op, Comm* comm, Request** request) {
  return coll::reduce_scatter_as({request}, sendbuf, recvbuf, coll::equal_starts(recvcount, *comm),
                                 *datatype, *op, *comm);
}

int reduce_scatter(const void* sendbuf, void* recvbuf, IntArray recvcounts, Datatype* datatype,
                   Op* op, Comm* comm) {
  return coll::reduce_scatter_as({}, sendbuf, recvbuf, coll::listed_starts(recvcounts, *comm),
                                 *datatype, *op, *comm);
}
int ireduce_scatter(const void* sendbuf, void* recvbuf, IntArray recvcounts, Datatype* datatype,
                    Op* op, Comm* comm, Request** request) {
  return coll::reduce_scatter_as({request}, sendbuf, recvbuf,
                                 coll::listed_starts(recvcounts, *comm), *datatype, *op, *comm);
}

int scan(const void* sendbuf, void* recvbuf, MPI_Count count, Datatype* datatype, Op* op,
         Comm* comm) {
  return coll::scan_as({}, sendbuf, recvbuf, count, *datatype, *op, *comm, false);
}
int iscan(const void* sendbuf, void* recvbuf, MPI_Count count, Datatype* datatype, Op* op,
          Comm* comm, Request** request) {
  return coll::scan_as({request}, sendbuf, recvbuf, count, *datatype, *op, *comm, false);
}

int exscan(const void* sendbuf, void* recvbuf, MPI_Count count, Datatype* datatype, Op* op,
           Comm* comm) {
  return coll::scan_as({}, sendbuf, recvbuf, count, *datatype, *op, *comm, true);
}
int iexscan(const void* sendbuf, void* recvbuf, MPI_Count count, Datatype* datatype, Op* op,
            Comm* comm, Request** request) {
  return coll::scan_as({request}, sendbuf, recvbuf, count, *datatype, *op, *comm, true);
}

}  // namespace impl
}  // namespace tern::mpi
