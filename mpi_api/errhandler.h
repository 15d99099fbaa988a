// mpi_api/errhandler.h - error handlers as objects (MPI-5.0 section 9.3).
//
// What happens when an MPI function fails is decided in errors.cc; this is who may be attached.
// Threading: any thread at any time (MPI_Errhandler_free needs no MPI_Init).
#pragma once
#include "mpi_api/object.h"

namespace tern::mpi {

class Errhandler final : public SharedObject {
 public:
  enum class Action : std::uint8_t {
    kAbortJob,   // MPI_ERRORS_ARE_FATAL
    kAbortComm,  // MPI_ERRORS_ABORT
    kReturn,     // MPI_ERRORS_RETURN
    // Functions of the program.
    kCallComm,
    kCallSession,
  };

  explicit Errhandler(Action action) : SharedObject(Kind::kErrhandler), action_(action) {}
  explicit Errhandler(MPI_Comm_errhandler_function* function)
      : SharedObject(Kind::kErrhandler), action_(Action::kCallComm), comm_function_(function) {}
  explicit Errhandler(MPI_Session_errhandler_function* function)
      : SharedObject(Kind::kErrhandler),
        action_(Action::kCallSession),
        session_function_(function) {}

  Action action() const { return action_; }
  // Whether it may be attached to objects of the kind that `own` handlers are for.
  bool fits(Action own) const { return action_ < Action::kCallComm || action_ == own; }
  MPI_Comm_errhandler_function* comm_function() const { return comm_function_; }
  MPI_Session_errhandler_function* session_function() const { return session_function_; }

 private:
  Action action_;
  MPI_Comm_errhandler_function* comm_function_ = nullptr;
  MPI_Session_errhandler_function* session_function_ = nullptr;
};

// The handler that holds before MPI_Init and after MPI_Finalize, and that MPI_COMM_WORLD and
// MPI_COMM_SELF begin with (section 9.3.4): mpiexec -initial-errhandler, else MPI_ERRORS_ARE_FATAL.
Errhandler& initial_errhandler();

// Attaches a handler (nullptr: MPI_ERRORS_ARE_FATAL) to a communicator, which then holds a
// reference.
void set_errhandler(Comm& comm, Errhandler* errhandler);

}  // namespace tern::mpi
