// bench/perf/environment.h - where a measurement ran: without it no figure means anything.
//
// Collects library version, hosts, the ranks' places on cores, and what makes figures worthless:
// more ranks than cores, several ranks bound to one core or to hyper-threads of one core.
// Threading: none. Failure: what cannot be found out is left out.
#pragma once

#include <mpi.h>

#include <string>
#include <vector>

namespace tern::perf {

struct HostPlacement {
  std::string host;
  int ranks = 0;
  int cores = 0;  // That the ranks may use: union of their masks, within the CPU quota.
  bool oversubscribed = false;
  std::string placement;  // "rank 0 on core 0, rank 1 on core 1".
};

struct Environment {
  std::string library;   // The beginning of MPI_Get_library_version.
  std::string standard;  // "4.0".
  std::string time;      // Start of the measurement, UTC, ISO 8601.
  int ranks = 0;
  std::vector<HostPlacement> hosts;
  std::vector<std::string> warnings;  // One sentence each.
};

// Collective over `comm`; complete on rank 0 only.
Environment survey(MPI_Comm comm);

}  // namespace tern::perf
