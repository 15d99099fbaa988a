// mpi_api/coll/form.h - how a call of a collective ends.
//
// Blocking, non-blocking and persistent calls share their implementations: this tells them apart.
#pragma once
#include "mpi_api/object.h"

namespace tern::mpi::coll {

// Called exactly once, before the request is seen to be done: inside progress or inside the call
// that started the operation. error: MPI error class of the operation; the hook returns the class
// that the request shall report. Must not progress the engine.
using Hook = int (*)(void* context, int error);

struct Form {
  Request** request = nullptr;  // nullptr: the call blocks.
  bool persistent = false;
  Hook hook = nullptr;  // Non-blocking only.
  void* context = nullptr;
};

}  // namespace tern::mpi::coll
