// mpi_api/intercomm.h - making communicators between two groups (MPI-5.0 section 7.6).
//
// In each group one process, the leader, speaks with the other side's leader; what they exchange
// is then spread inside the group. How leaders reach one another is the caller's business: through
// a communicator (MPI_Intercomm_create), through a port (MPI_Comm_connect). All functions here but
// make_intercomm() are collective over both groups. A failure that one process notices is told to
// its whole group, with its sentence, so that nobody waits for somebody who gave up.
// Threading: under the entry lock. Failure: an MPI error class after fail().
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "mpi_api/comm.h"

namespace tern::mpi {

using Bytes = std::vector<std::byte>;

struct InterContexts {
  std::uint64_t between = 0;  // The intercommunicator's own; the same on both sides.
  std::uint64_t local = 0;    // Of the hidden communicator inside the local group.
};

// Local: all that it needs to know is agreed on already. Takes over one reference of each group
// (also on failure). `first`: true in one of the groups. nullptr when there is no memory.
Comm* make_intercomm(const InterContexts& contexts, bool first, Group* local, Group* remote);

// Called at the leader only: brings `mine` to the other side's leader and gets `theirs` from it.
using LeaderExchange = std::function<int(std::span<const std::byte> mine, Bytes& theirs)>;

// Makes the intercommunicator between the group of local_comm and the one whose leader `exchange`
// speaks with. All members of local_comm call it with the same leader (a rank of local_comm);
// `exchange` is used at the leader. The new communicator has the error handler of local_comm.
int connect_groups(Comm& local_comm, int leader, const LeaderExchange& exchange, Comm** newcomm);

// Two processes swap bytes, both calling this with the same context. Any lengths. Blocking.
// out: what this process's messages carry; in: what the other one's do.
int swap_bytes(Peer& peer, const Envelope& out, const Envelope& in, std::span<const std::byte> mine,
               Bytes& theirs);
// The same over `via` (its plane for creating communicators), with the same tag.
int swap_bytes(Comm& via, int rank, int tag, std::span<const std::byte> mine, Bytes& theirs);

// What rank 0 of each group says (`mine`, used there only) becomes known to all members of the
// other one. error: what this process's rank 0 has to report instead; the other group then fails,
// too.
int exchange_groups(Comm& inter, int error, std::span<const std::byte> mine, Bytes& theirs);

// MPI_Comm_dup, MPI_Comm_split and MPI_Comm_create for intercommunicators, without attributes.
int dup_contexts(Comm& inter, InterContexts& contexts);
int split_intercomm(Comm& inter, int color, int key, Comm** newcomm);
int create_intercomm(Comm& inter, Group& group, Comm** newcomm);

}  // namespace tern::mpi
