// mpi_api/parting.h - the last synchronisation of processes that are connected: MPI_Comm_disconnect
// and the part of MPI_Finalize that is collective over everybody still connected.
//
// A barrier over all members of a communicator, both groups of an intercommunicator alike, without
// its collectives: whoever gets through knows that everybody has entered. The end of a member ends
// it, too. Several run side by side, so the order in which processes begin theirs does not matter.
// Threading: under the entry lock.
#pragma once
#include "core/request.h"
#include "mpi_api/comm.h"
#include "mpi_api/places.h"

namespace tern::mpi {

class Parting {
 public:
  explicit Parting(Comm& comm);
  ~Parting();
  Parting(const Parting&) = delete;
  Parting& operator=(const Parting&) = delete;

  // Goes on as far as it can; true when it is over. Call it again after progress.
  bool advance();

 private:
  void start_step();

  Comm* comm_;
  Places places_;
  int step_ = 1;
  bool started_ = false;
  tern::Request send_;
  tern::Request receive_;
};

// All communicators that name processes of other jobs; blocks until all are through.
void part_from_everybody();

}  // namespace tern::mpi
