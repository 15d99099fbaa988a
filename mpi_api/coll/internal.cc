// mpi_api/coll/internal.cc - collectives of plain bytes for the MPI layer itself; see internal.h.
#include "mpi_api/coll/internal.h"

#include "mpi_api/coll/algorithms.h"
#include "mpi_api/coll/execution.h"

namespace tern::mpi::coll {
namespace {

int bcast_any(Comm& comm, void* data, std::size_t size, int root, const Form& form) {
  return launch(comm, form, {}, [&](Schedule& s) {
    bcast(s, select(Collective::kBcast, s.size(), size), DataView::bytes_at(data, size), root);
  });
}

}  // namespace

int allgather_bytes(Comm& comm, const void* mine, std::size_t each, void* all) {
  return launch(comm, {}, {}, [&](Schedule& s) {
    const std::size_t total = each * static_cast<std::size_t>(s.size());
    const DataView own = DataView::bytes_at(mine, each);
    allgather(s, select(Collective::kAllgather, s.size(), total), &own,
              Blocks(all, static_cast<MPI_Count>(each), *to_datatype(MPI_BYTE)));
  });
}

int bcast_bytes(Comm& comm, void* data, std::size_t size, int root) {
  return bcast_any(comm, data, size, root, {});
}

Request* start_bcast_bytes(Comm& comm, void* data, std::size_t size, int root, Hook hook,
                           void* context) {
  Request* request = nullptr;
  const int error = bcast_any(comm, data, size, root, {&request, false, hook, context});
  return error == MPI_SUCCESS ? request : nullptr;
}

}  // namespace tern::mpi::coll
