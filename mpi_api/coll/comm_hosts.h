// mpi_api/coll/comm_hosts.h - on which hosts the members of a communicator run.
//
// Asked for by the first collective of a communicator, not before: nothing happens in MPI_Init. The
// members must come to the same result. Those of one job do by themselves, from the launcher's map
// of hosts, which is the same for all ranks. Where several jobs meet, nobody has a map of all: the
// first blocking collective makes its members tell each other.
// Threading: under the entry lock. Failure: MPI error classes, sentences kept by fail().
#pragma once
#include "mpi_api/comm.h"

namespace tern::mpi::coll {

// Whether all members are of one job.
bool is_of_one_job(const Comm& comm);

// Finds comm.hosts and sets comm.hosts_known, unless that takes a blocking collective and this is
// none. All members call this at the same place among the communicator's collectives.
[[gnu::cold]] int find_hosts(Comm& comm, bool blocking);

}  // namespace tern::mpi::coll
