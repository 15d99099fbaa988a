// mpi_api/runtime.h - the process's MPI state: of the library, the world model and the sessions.
//
// Owned by init.cc, the only file that names concrete fabrics. The engine is there from the first
// MPI_Init or MPI_Session_init on. It goes with MPI_Finalize in a process that has used no session;
// else it stays until the process ends, for sessions may come again at any time, and others may
// hold connections to it.
#pragma once
#include <memory>
#include <string>
#include <thread>

#include "core/engine.h"
#include "mpi_api/job_report.h"
#include "mpi_api/object.h"
#include "mpi_api/preconnect.h"
#include "spawn/wireup.h"

namespace tern::spawn {
class NameService;  // spawn/name_service.h
}

namespace tern::mpi {

class Connections;  // connections.h
class ContactDesk;  // contact.h
class FabricSet;    // fabrics.h
class Lanes;        // lanes.h
class SpawnedJobs;  // spawned_jobs.h

struct Runtime {
  std::unique_ptr<spawn::WireUp> wireup;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<FabricSet> fabrics;         // As long as the engine.
  std::unique_ptr<Lanes> lanes;               // As long as the engine; nullptr: none.
  std::unique_ptr<Connections> connections;   // As long as the engine.
  std::unique_ptr<SpawnedJobs> spawned;       // As long as the engine.
  Comm* parent = nullptr;                     // MPI_Comm_get_parent; nullptr: none (any more).
  std::unique_ptr<ContactDesk> contact;       // nullptr until ports are used.
  std::unique_ptr<spawn::NameService> names;  // nullptr until names are used.
  std::string connect_timeout;                // TERN_CONNECT_TIMEOUT
  std::string name_directory;                 // TERN_NAME_DIR
  std::uint64_t peer_timeout_us = 0;          // TERN_PEER_TIMEOUT
  bool verbose = false;                       // TERN_VERBOSE
  Preconnected preconnected;
  ReportWish report;
  Comm* world = nullptr;
  Comm* self = nullptr;
  int thread_level = MPI_THREAD_SINGLE;
  std::uint64_t context_base = 0;   // What the context ids that this process creates begin at.
  std::uint64_t context_count = 0;  // How many it has created.
  std::thread::id main_thread;      // The one that called MPI_Init.
  bool was_initialized = false;     // MPI_Init has returned once.
  bool finalized = false;
  int sessions = 0;  // Open ones.
  bool sessions_were_used = false;

  // Between MPI_Init and MPI_Finalize.
  bool world_active() const { return was_initialized && !finalized; }
};

// Exists always.
extern Runtime the_runtime;
inline Runtime& runtime() { return the_runtime; }
// Precondition: is_initialized().
inline Engine& engine() { return *the_runtime.engine; }

// Engine::drained() of all engines.
bool all_drained();

// MPI_Session_init: brings up what is needed, with that thread level unless another one is in force
// already, and counts the session. Returns an MPI error class.
int open_session(int thread_level);
// MPI_Session_finalize, after everything that was sent has arrived.
void close_session();

// A context id that no other communicator has (lowest two bits clear, see comm.h). Drawn by one
// member of the new communicator, which tells the others. Never repeats within a job; between jobs
// that are connected later, the job's random mask makes a clash as unlikely as 2^-62.
std::uint64_t new_context();

}  // namespace tern::mpi
