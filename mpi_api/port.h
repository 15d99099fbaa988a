// mpi_api/port.h - from two roots that meet through a port to an intercommunicator: what ports,
// MPI_Comm_join and spawned processes share.
//
// Threading: under the entry lock. Failure: an MPI error class after fail(), the same with the same
// sentence at all members of the communicator.
#pragma once
#include <cstddef>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "mpi_api/contact.h"
#include "mpi_api/info.h"
#include "mpi_api/object.h"

namespace tern::mpi {

// Made at first use, because it posts a receive that every message would have to pass.
ContactDesk& contact_desk();

// A port name as the program passed it; more than MPI_MAX_PORT_NAME characters are not looked at.
std::string_view bounded(const char* port_name);

// Opens what this process needs to connect to the port, besides what it has open.
void prepare_for_port(std::string_view name);

// Info key `timeout`, when it is there, replaces the deadline. Others have no effect.
int read_timeout(Info* info, Deadline& deadline);
// With TERN_VERBOSE, says of each key but `known` that it has no effect, once per process.
void mention_unknown_keys(Info* info, std::string_view known = {});
// TERN_CONNECT_TIMEOUT from now.
Deadline connect_deadline();

// What the root does: brings `mine` to the other root and gets `theirs`.
using RootExchange =
    std::function<int(std::span<const std::byte> mine, std::vector<std::byte>& theirs)>;

// Makes the intercommunicator between comm's group and the group of the other root. Collective over
// comm; `exchange` is called at the root.
int meet(Comm& comm, int root, const RootExchange& exchange, Comm** newcomm);

// Brings what the root has to all members, whose `bytes` become as many.
int spread(Comm& comm, int root, std::vector<std::byte>& bytes);

}  // namespace tern::mpi
