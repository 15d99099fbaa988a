// mpi_api/errhandler.cc - the MPI_Errhandler_, MPI_Comm_*_errhandler and
// MPI_Session_*_errhandler functions.
#include "mpi_api/errhandler.h"

#include <cstdlib>
#include <string_view>

#include "impl.h"
#include "mpi_api/comm.h"
#include "mpi_api/errors.h"
#include "mpi_api/session.h"
#include "spawn/job_env.h"

namespace tern::mpi {
namespace {

template <class Handle>
std::uintptr_t value_of(Handle handle) {
  return reinterpret_cast<std::uintptr_t>(handle);
}

// The predefined handlers exist from the moment the library is loaded: error handling must work
// before MPI_Init. They live in static memory that no destructor touches.
Errhandler* make_static(void* storage, Errhandler::Action action, MPI_Errhandler handle) {
  auto* const errhandler = ::new (storage) Errhandler(action);
  errhandler->make_predefined(value_of(handle));
  return errhandler;
}

alignas(Errhandler) std::byte fatal_storage[sizeof(Errhandler)];
alignas(Errhandler) std::byte abort_storage[sizeof(Errhandler)];
alignas(Errhandler) std::byte return_storage[sizeof(Errhandler)];

using Action = Errhandler::Action;
Errhandler* const errors_are_fatal =
    make_static(fatal_storage, Action::kAbortJob, MPI_ERRORS_ARE_FATAL);
Errhandler* const errors_abort = make_static(abort_storage, Action::kAbortComm, MPI_ERRORS_ABORT);
Errhandler* const errors_return = make_static(return_storage, Action::kReturn, MPI_ERRORS_RETURN);

// own: what handlers made for this kind of object do.
int check_fit(const Errhandler& errhandler, Action own, const char* objects) {
  if (errhandler.fits(own)) return MPI_SUCCESS;
  return fail(MPI_ERR_ERRHANDLER, "errhandler was made for another kind of object than {}",
              objects);
}

}  // namespace

Errhandler& initial_errhandler() {
  // The launcher has checked the value of its option; anything else means the default.
  static Errhandler* const chosen = [] {
    const char* const value = std::getenv(spawn::env::kErrhandler);
    const std::string_view name = value == nullptr ? "" : value;
    if (name == "mpi_errors_return") return errors_return;
    if (name == "mpi_errors_abort") return errors_abort;
    return errors_are_fatal;
  }();
  return *chosen;
}

void set_errhandler(Comm& comm, Errhandler* errhandler) {
  if (errhandler != nullptr) errhandler->retain();
  if (comm.errhandler != nullptr) comm.errhandler->release();
  comm.errhandler = errhandler;
}

namespace impl {

int comm_create_errhandler(MPI_Comm_errhandler_function* comm_errhandler_fn,
                           Errhandler** errhandler) {
  return hand_over(make<Errhandler>(comm_errhandler_fn), "an error handler", errhandler);
}

int comm_set_errhandler(Comm* comm, Errhandler* errhandler) {
  if (const int error = check_fit(*errhandler, Action::kCallComm, "communicators")) return error;
  set_errhandler(*comm, errhandler);
  return MPI_SUCCESS;
}

int comm_get_errhandler(Comm* comm, Errhandler** errhandler) {
  *errhandler = comm->errhandler != nullptr ? comm->errhandler : errors_are_fatal;
  (*errhandler)->retain();
  return MPI_SUCCESS;
}

int comm_call_errhandler(Comm* comm, int errorcode) {
  int error_class = 0;
  if (const int error = impl::error_class(errorcode, &error_class)) return error;
  raise(comm, errorcode, "MPI_Comm_call_errhandler");
  return MPI_SUCCESS;  // The handler was called, and has returned.
}

int session_create_errhandler(MPI_Session_errhandler_function* session_errhandler_fn,
                              Errhandler** errhandler) {
  return hand_over(make<Errhandler>(session_errhandler_fn), "an error handler", errhandler);
}

int session_set_errhandler(Session* session, Errhandler* errhandler) {
  if (const int error = check_fit(*errhandler, Action::kCallSession, "sessions")) return error;
  errhandler->retain();
  session->errhandler->release();
  session->errhandler = errhandler;
  return MPI_SUCCESS;
}

int session_get_errhandler(Session* session, Errhandler** errhandler) {
  *errhandler = session->errhandler;
  (*errhandler)->retain();
  return MPI_SUCCESS;
}

int session_call_errhandler(Session* session, int errorcode) {
  int error_class = 0;
  if (const int error = impl::error_class(errorcode, &error_class)) return error;
  raise(session, errorcode, "MPI_Session_call_errhandler");
  return MPI_SUCCESS;
}

int errhandler_free(MPI_Errhandler* errhandler) {
  to_errhandler(*errhandler)->release();
  *errhandler = MPI_ERRHANDLER_NULL;
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
