// mpi_api/runtime.h - the process's MPI state between MPI_Init and MPI_Finalize.
//
// Owned by init.cc, the only file that names concrete fabrics.
#pragma once
#include <memory>
#include <string>
#include <thread>

#include "core/engine.h"
#include "mpi_api/object.h"
#include "spawn/wireup.h"

namespace tern::spawn {
class NameService;  // spawn/name_service.h
}

namespace tern::mpi {

class Connections;  // connections.h
class ContactDesk;  // contact.h

struct Runtime {
  std::unique_ptr<spawn::WireUp> wireup;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Connections> connections;   // As long as the engine.
  std::unique_ptr<ContactDesk> contact;       // nullptr until ports are used.
  std::unique_ptr<spawn::NameService> names;  // nullptr until names are used.
  std::string connect_timeout;                // TERN_CONNECT_TIMEOUT
  std::string name_directory;                 // TERN_NAME_DIR
  Comm* world = nullptr;
  Comm* self = nullptr;
  int thread_level = MPI_THREAD_SINGLE;
  std::uint64_t context_base = 0;   // What the context ids that this process creates begin at.
  std::uint64_t context_count = 0;  // How many it has created.
  std::thread::id main_thread;      // The one that called MPI_Init.
  bool was_initialized = false;     // MPI_Init has returned once.
  bool finalized = false;
};

// Exists always; engine, wireup and communicators only while is_initialized().
extern Runtime the_runtime;
inline Runtime& runtime() { return the_runtime; }
// Precondition: is_initialized().
inline Engine& engine() { return *the_runtime.engine; }

// A context id that no other communicator has (lowest two bits clear, see comm.h). Drawn by one
// member of the new communicator, which tells the others. Never repeats within a job; between jobs
// that are connected later, the job's random mask makes a clash as unlikely as 2^-62.
std::uint64_t new_context();

}  // namespace tern::mpi
