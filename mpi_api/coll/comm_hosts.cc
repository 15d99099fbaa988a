// mpi_api/coll/comm_hosts.cc - see comm_hosts.h.
#include "mpi_api/coll/comm_hosts.h"

#include <array>
#include <map>
#include <vector>

#include "mpi_api/coll/host_map.h"
#include "mpi_api/coll/internal.h"
#include "mpi_api/hardware.h"
#include "mpi_api/runtime.h"

namespace tern::mpi::coll {
namespace {

using Names = std::vector<int>;

// Of members of this process's job; empty when the launcher has not told.
Names names_by_launcher(const Comm& comm) {
  const spawn::LaunchInfo& info = runtime().wireup->info();
  Names names;
  if (info.hosts.empty() || (info.hosts.size() == 1 && info.hosts[0].host_count == 1)) return names;
  const spawn::HostFinder hosts(info.hosts);
  names.reserve(static_cast<std::size_t>(comm.size()));
  for (int i = 0; i < comm.size(); ++i) {
    names.push_back(hosts.of(static_cast<int>(comm.group().member(i).rank)));
    if (names.back() < 0) return {};
  }
  return names;
}

int names_by_asking(Comm& comm, Names& names) {
  using Host = std::array<std::uint64_t, 2>;
  const Host mine = place_of_this_process().host;
  std::vector<Host> all(static_cast<std::size_t>(comm.size()));
  if (const int error = allgather_bytes(comm, &mine, sizeof mine, all.data())) return error;
  std::map<Host, int> numbers;
  for (const Host& host : all) {
    names.push_back(numbers.try_emplace(host, static_cast<int>(numbers.size())).first->second);
  }
  return MPI_SUCCESS;
}

}  // namespace

bool is_of_one_job(const Comm& comm) {
  const Group& group = comm.group();
  if (group.is_range()) return true;
  for (int i = 1; i < group.size(); ++i) {
    if (group.member(i).job != group.member(0).job) return false;
  }
  return true;
}

int find_hosts(Comm& comm, bool blocking) {
  Names names;
  if (is_of_one_job(comm)) {
    comm.hosts_known = true;
    names = names_by_launcher(comm);
  } else {
    if (!blocking) return MPI_SUCCESS;
    comm.hosts_known = true;  // Before it is: the exchange is a collective itself.
    if (const int error = names_by_asking(comm, names)) return error;
  }
  bool several = false;
  for (const int name : names) several = several || name != names.front();
  if (!several) return MPI_SUCCESS;
  comm.collectives_until_shared = 0;  // Memory that all share is out of the question.
  comm.hosts.reset(HostMap::make(names, comm.rank()).release());
  return MPI_SUCCESS;
}

}  // namespace tern::mpi::coll
