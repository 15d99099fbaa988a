// mpi_api/session.h - sessions: MPI without a world (MPI-5.0 section 11.3).
//
// A session is little more than a name for a use of the library: groups made from its process sets
// remember it, and their communicators do through them. Threading: shared between threads, see
// SharedObject; its members are touched under the entry lock.
#pragma once
#include <memory>

#include "mpi_api/object.h"

namespace tern::mpi {

class BsendBuffer;  // bsend.h

class Session final : public SharedObject {
 public:
  Session(Errhandler* handler, int level);
  ~Session() override;

  Errhandler* errhandler;                                       // One reference is ours.
  int thread_level;                                             // Provided.
  std::unique_ptr<BsendBuffer, void (*)(BsendBuffer*)> buffer;  // MPI_Session_attach_buffer
};

}  // namespace tern::mpi
