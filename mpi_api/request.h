// mpi_api/request.h - MPI requests: one base for point-to-point, collective, generalized ones.
//
// Whatever the kind, `op.done` says that the operation has finished; start/finish differ.
#pragma once
#include "core/request.h"
#include "mpi_api/object.h"

namespace tern::mpi {

class Request : public Object {
 public:
  Request() : Object(Kind::kRequest) {}
  ~Request() override;

  bool done() const { return op.is_done(); }

  // Starts an inactive persistent request again. Only called on requests of such kinds.
  virtual int start();
  // What MPI_Test/MPI_Wait report of a finished operation: fills status (never nullptr; all but
  // MPI_ERROR) and returns the operation's error class. Called once per start, and any number of
  // times by MPI_Request_get_status before that (so it must not change anything).
  virtual int result(MPI_Status& status);
  // MPI_Cancel. Default: nothing to cancel.
  virtual void cancel() {}
  // Called once when a Wait/Test consumes the completion of the operation (generalized requests
  // call the user's free function here). Returns an MPI error class.
  virtual int consumed() { return MPI_SUCCESS; }
  // The program's handle is gone and the operation over. Precondition: the lane is held.
  virtual void end() { release(); }

  // The engine's part; kinds without one only use op.done.
  struct Operation final : tern::Request {
    explicit Operation(mpi::Request& request) : owner(&request) {}
    mpi::Request* owner;
  };
  Operation op{*this};
  Comm* comm = nullptr;  // Whose error handler errors go to; one reference is ours, may be nullptr.
  bool persistent = false;
  bool active = true;       // Persistent requests: between start and completion.
  bool collective = false;  // May be neither cancelled nor, while it is active, freed.
  bool freed = false;       // MPI_Request_free was called: destroyed when done.
  // result() tells nothing but op.outcome to those who want no status, and consumed() does nothing:
  // the common case, for which the Wait family need not ask.
  bool plain = false;
  // Finished well, and nothing but that is to be said of it.
  bool ended_plainly() const { return plain && op.outcome == Outcome::kOk; }
  bool shared = false;    // completed_send() and the like: never destroyed, never changed.
  bool reusable = false;  // A receive that may be recycled; see p2p.h.
  bool quick = false;     // A LaneRequest; see lanes.h.
  // The last call that was given this request in an array: refuse_twice().
  std::uint32_t given = 0;
  // Whose lock the operation completes under; nullptr: the entry lock. Never plain where it is set.
  Lane* lane = nullptr;
};

// Statuses. An "empty" status is that of a null or inactive request (MPI-5.0 section 3.7.3).
void set_empty(MPI_Status& status);
void set_status(MPI_Status& status, int source, int tag, MPI_Count bytes, bool cancelled);
MPI_Count status_bytes(const MPI_Status& status);
void set_status_bytes(MPI_Status& status, MPI_Count bytes);
bool status_cancelled(const MPI_Status& status);
void set_status_cancelled(MPI_Status& status, bool cancelled);

// Blocks until op is done: the end of every blocking call that has its operation on the stack.
// Returns the error class, its sentence kept by fail().
int wait_internal(tern::Request& op);

// The MPI error class of a finished engine operation, its sentence kept by fail().
int error_of(const tern::Request& op);

// Waits for the sends of the session (nullptr: of the world model) whose requests were freed before
// they completed. Those of others may wait for what the program does only later.
void finish_freed_sends(const Session* session);

// One turn of progress for calls that test without waiting. Where ranks outnumber cores, a program
// that tests in a loop would keep the rank that it waits for off the core: it yields.
void poll_once();

// Status fields of a finished receive.
void set_receive_status(MPI_Status& status, const tern::Request& op);

// Requests that are complete from the start and shared by all who need one: a send that left at
// once, and any operation with MPI_PROC_NULL.
Request* completed_send();
Request* completed_proc_null();

}  // namespace tern::mpi
