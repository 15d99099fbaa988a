// mpi_api/process_calls.h - accept, connect and spawn in two steps, which the blocking calls
// (MPI-5.0 sections 11.8, 11.9) and the non-blocking ones (mpix.h) share.
//
// First the root reads its arguments; they mean nothing elsewhere, so nobody else can see that one
// is wrong: the refusal is part of the wish, and the second step raises it at all members. Then all
// of them carry out the wish, which refers to no memory of the caller any more. Threading: under
// the entry lock. Failure: an MPI error class after fail(), the same at all members.
#pragma once
#include <string>

#include "mpi_api/contact.h"
#include "mpi_api/info.h"
#include "mpi_api/object.h"
#include "spawn/spawn_request.h"

namespace tern::mpi {

// A failure that is raised later, and perhaps on another stack.
struct Refusal {
  int error = MPI_SUCCESS;
  std::string sentence;

  // What fail() has just said.
  static Refusal of(int error);
  // Says it again.
  int raise() const;
};

struct PortWish {
  Refusal refusal;
  std::string port;
  Deadline deadline;
};

// At the root; elsewhere they give an empty wish. `port_name` may be null, `info` any handle.
PortWish read_accept(const Comm& comm, int root, const char* port_name, MPI_Info info);
PortWish read_connect(const Comm& comm, int root, const char* port_name, MPI_Info info);
// Collective over comm.
int accept(const PortWish& wish, Comm& comm, int root, Comm** newcomm);
int connect(const PortWish& wish, Comm& comm, int root, Comm** newcomm);

struct SpawnWish {
  Refusal refusal;
  spawn::SpawnRequest request;
  bool is_mpi = true;
  int processes_max = 0;
};

// At the root; elsewhere it gives an empty wish. `command` may be null, `info` any handle.
SpawnWish read_spawn(const Comm& comm, int root, const char* command, char* const* arguments,
                     int maxprocs, MPI_Info info);
// Collective over comm. `codes_out` may be MPI_ERRCODES_IGNORE.
int spawn_all(SpawnWish& wish, Comm& comm, int root, Comm** intercomm, int codes_out[]);

}  // namespace tern::mpi
