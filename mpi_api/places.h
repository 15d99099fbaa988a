// mpi_api/places.h - all processes of a communicator in one order that everybody knows: of an
// intercommunicator both groups, the one that is_first() before the other.
//
// Borrows the communicator. Threading: under the entry lock. Failure: none.
#pragma once
#include "mpi_api/comm.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {

class Places {
 public:
  explicit Places(Comm& comm) : comm_(comm) {}

  int size() const { return comm_.size() + remote(); }
  int own() const { return comm_.rank() + (comm_.is_inter() && !comm_.is_first() ? remote() : 0); }
  Peer& peer(int place) const {
    if (!comm_.is_inter()) return comm_.peer(place);
    const int before = comm_.is_first() ? comm_.size() : comm_.remote_size();
    const bool in_first = place < before;
    const int rank = in_first ? place : place - before;
    return in_first == comm_.is_first() ? engine().peer(comm_.group().member(rank))
                                        : comm_.peer(rank);
  }

 private:
  int remote() const { return comm_.is_inter() ? comm_.remote_size() : 0; }

  Comm& comm_;
};

}  // namespace tern::mpi
