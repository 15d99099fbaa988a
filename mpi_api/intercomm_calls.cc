// mpi_api/intercomm_calls.cc - MPI_Intercomm_create and MPI_Intercomm_merge (MPI-5.0 section
// 7.6.2). What MPI_Comm_dup and the like do with intercommunicators: intercomm.cc.
#include <cstring>
#include <vector>

#include "impl.h"
#include "mpi_api/checks.h"
#include "mpi_api/coll/internal.h"
#include "mpi_api/comm_create.h"
#include "mpi_api/errhandler.h"
#include "mpi_api/errors.h"
#include "mpi_api/intercomm.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

// What means something at the local leader only, so that the entry point did not look at it.
int check_bridge(MPI_Comm peer_comm, int remote_leader) {
  Comm* const bridge = to_comm(peer_comm);
  if (!is_comm(bridge, peer_comm)) return bad_comm(peer_comm, "peer_comm");
  if (remote_leader >= 0 && remote_leader < bridge->remote_size()) return MPI_SUCCESS;
  return fail(MPI_ERR_RANK, "remote_leader is {}; peer_comm has ranks 0 to {}", remote_leader,
              bridge->remote_size() - 1);
}

}  // namespace

namespace impl {

int intercomm_create(Comm* local_comm, int local_leader, MPI_Comm peer_comm, int remote_leader,
                     int tag, Comm** newintercomm) {
  if (local_leader < 0 || local_leader >= local_comm->size()) {
    return fail(MPI_ERR_RANK, "local_leader is {}; local_comm has ranks 0 to {}", local_leader,
                local_comm->size() - 1);
  }
  const auto exchange = [&](std::span<const std::byte> mine, Bytes& theirs) {
    if (const int error = check_bridge(peer_comm, remote_leader)) return error;
    return swap_bytes(*to_comm(peer_comm), remote_leader, tag, mine, theirs);
  };
  return connect_groups(*local_comm, local_leader, exchange, newintercomm);
}

int intercomm_merge(Comm* intercomm, int high, Comm** newintracomm) {
  // Both sides learn what the other one wants; the first group's context is used, and it comes
  // first where both want the same.
  struct Wish {
    std::uint64_t context;
    std::uint64_t high;
  };
  Wish mine{intercomm->rank() == 0 ? new_context() : 0, static_cast<std::uint64_t>(high != 0)};
  if (const int error = coll::bcast_bytes(intercomm->local_comm(), &mine, sizeof mine, 0)) {
    return error;
  }
  Bytes bytes;
  if (const int error =
          exchange_groups(*intercomm, MPI_SUCCESS, std::as_bytes(std::span(&mine, 1)), bytes)) {
    return error;
  }
  Wish theirs{};
  if (bytes.size() != sizeof theirs) {
    return fail(MPI_ERR_INTERN, "the other group does not merge, but does something else");
  }
  std::memcpy(&theirs, bytes.data(), sizeof theirs);

  const bool first = mine.high != theirs.high ? mine.high == 0 : intercomm->is_first();
  const Group& front = first ? intercomm->group() : *intercomm->remote_group();
  const Group& back = first ? *intercomm->remote_group() : intercomm->group();
  std::vector<ProcessId> members;
  members.reserve(static_cast<std::size_t>(front.size()) + static_cast<std::size_t>(back.size()));
  for (int rank = 0; rank < front.size(); ++rank) members.push_back(front.member(rank));
  for (int rank = 0; rank < back.size(); ++rank) members.push_back(back.member(rank));
  Group* const group = make_group(std::move(members), intercomm->group().origin());
  Comm* const made = group == nullptr
                         ? nullptr
                         : make_comm(intercomm->is_first() ? mine.context : theirs.context, group);
  if (made == nullptr) return fail_no_memory("a communicator");
  set_errhandler(*made, intercomm->errhandler);
  *newintracomm = made;
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
