// mpi_api/mpix_process.cc - MPIX_Comm_iaccept, MPIX_Comm_iconnect and MPIX_Comm_ispawn; see mpix.h.
//
// The work of the blocking calls, run as a task (core/task.h) over a communicator of its own: the
// user's one has to stay free for other collectives meanwhile. Only the first step, which makes
// that communicator, is a collective on the user's. Threading: under the entry lock. Failure: kept
// in the request, raised when it is completed.
#include <utility>

#include "mpi_api/checks.h"
#include "mpi_api/coll/internal.h"
#include "mpi_api/comm.h"
#include "mpi_api/entry.h"
#include "mpi_api/errhandler.h"
#include "mpi_api/errors.h"
#include "mpi_api/mpix.h"
#include "mpi_api/process_calls.h"
#include "mpi_api/request.h"
#include "mpi_api/runtime.h"

#define TERN_EXPORT __attribute__((visibility("default")))

namespace tern::mpi {
namespace {

class ProcessRequest final : public Request {
 public:
  ProcessRequest(Comm& over, MPI_Comm* newcomm) : newcomm_(newcomm) {
    comm = &over;
    comm->retain();
    collective = true;
  }

  int result(MPI_Status& status) override {
    set_status(status, MPI_ANY_SOURCE, MPI_ANY_TAG, 0, false);
    return refusal_.raise();
  }

  void finish(int error, Comm* made) {
    if (error != MPI_SUCCESS) refusal_ = Refusal::of(error);
    *newcomm_ = to_handle(made);
    op.done = true;
    if (op.on_done != nullptr) op.on_done(op);
  }

 private:
  MPI_Comm* newcomm_;
  Refusal refusal_;
};

// work(comm, &made) over a communicator of the same group.
template <class Work>
int run_apart(Comm& comm, int root, Work& work, Comm** made) {
  std::uint64_t context = comm.rank() == root ? new_context() : 0;
  if (const int error = coll::bcast_bytes(comm, &context, sizeof context, root)) return error;
  comm.group().retain();
  Comm* const apart = make_comm(context, &comm.group());
  if (apart == nullptr) return fail_no_memory("a communicator");
  set_errhandler(*apart, comm.errhandler);
  const int error = work(*apart, made);
  apart->release();
  return error;
}

template <class Work>
int start(Comm& comm, int root, MPI_Comm* newcomm, MPI_Request* request, Work work) {
  auto* const pending = make<ProcessRequest>(comm, newcomm);
  if (pending == nullptr) return fail_no_memory("a request");
  // The request, which the task completes at its end, keeps comm.
  const bool started = engine().start_task([&comm, root, pending, work]() mutable {
    Comm* made = nullptr;
    const int error = run_apart(comm, root, work, &made);
    pending->finish(error, made);
  });
  if (!started) {
    pending->release();
    return fail(MPI_ERR_NO_MEM, "no memory is left for the stack of a non-blocking operation");
  }
  *request = to_handle(pending);
  return MPI_SUCCESS;
}

// What all three calls do; begin(comm) starts the operation.
template <class Begin>
int enter(const char* function, int root, MPI_Comm handle, const void* newcomm, const void* request,
          Begin begin) {
  const EntryGuard guard(function);
  Comm* const comm = to_comm(handle);
  if (!is_initialized()) return raise_uninitialized(function);
  if (!is_comm(comm, handle)) return raise_default(bad_comm(handle, "comm"), function);
  int error = check_intra_comm(comm, handle, "comm");
  if (error == MPI_SUCCESS) error = check_root(root, *comm, "root");
  if (error == MPI_SUCCESS) error = check_pointer(newcomm, "newcomm");
  if (error == MPI_SUCCESS) error = check_pointer(request, "request");
  if (error == MPI_SUCCESS) error = begin(*comm);
  return error == MPI_SUCCESS ? error : raise(comm, error, function);
}

}  // namespace
}  // namespace tern::mpi

extern "C" {

using tern::mpi::Comm;

TERN_EXPORT int MPIX_Comm_iaccept(const char* port_name, MPI_Info info, int root, MPI_Comm comm,
                                  MPI_Comm* newcomm, MPI_Request* request) {
  using namespace tern::mpi;
  return enter("MPIX_Comm_iaccept", root, comm, newcomm, request, [&](Comm& over) {
    return start(over, root, newcomm, request,
                 [root, wish = read_accept(over, root, port_name, info)](Comm& apart, Comm** made) {
                   return accept(wish, apart, root, made);
                 });
  });
}

TERN_EXPORT int MPIX_Comm_iconnect(const char* port_name, MPI_Info info, int root, MPI_Comm comm,
                                   MPI_Comm* newcomm, MPI_Request* request) {
  using namespace tern::mpi;
  return enter("MPIX_Comm_iconnect", root, comm, newcomm, request, [&](Comm& over) {
    return start(over, root, newcomm, request,
                 [root, wish = read_connect(over, root, port_name, info)](
                     Comm& apart, Comm** made) { return connect(wish, apart, root, made); });
  });
}

TERN_EXPORT int MPIX_Comm_ispawn(const char* command, char* argv[], int maxprocs, MPI_Info info,
                                 int root, MPI_Comm comm, MPI_Comm* intercomm,
                                 int array_of_errcodes[], MPI_Request* request) {
  using namespace tern::mpi;
  return enter("MPIX_Comm_ispawn", root, comm, intercomm, request, [&](Comm& over) {
    return start(
        over, root, intercomm, request,
        [root, array_of_errcodes, wish = read_spawn(over, root, command, argv, maxprocs, info)](
            Comm& apart, Comm** made) mutable {
          return spawn_all(wish, apart, root, made, array_of_errcodes);
        });
  });
}

}  // extern "C"
