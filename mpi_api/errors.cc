// mpi_api/errors.cc - from a failure to the error handler in force (MPI-5.0 section 9.3).
//
// A failure's sentence is kept per thread. Texts of classes and codes: error_classes.cc.
// Threading: any thread.
#include "mpi_api/errors.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <string>

#include "core/format.h"
#include "mpi_api/comm.h"
#include "mpi_api/contact.h"
#include "mpi_api/entry.h"
#include "mpi_api/errhandler.h"
#include "mpi_api/runtime.h"
#include "mpi_api/session.h"

namespace tern::mpi {
namespace {

// The latest failure of this thread.
struct Failure {
  int error_class = MPI_SUCCESS;
  bool fresh = false;  // By fail(), and not yet completed by raise().
  std::string sentence;
};
thread_local Failure failure;

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "?";
  return name.data();
}

}  // namespace

std::string describe_place(const Comm* comm) {
  std::string place = tern::format("host {}, pid {}", host_name(), getpid());
  const Comm* const world = is_initialized() ? runtime().world : nullptr;
  if (world != nullptr) {
    place = tern::format("rank {} of MPI_COMM_WORLD, {}", world->rank(), place);
  }
  if (comm == nullptr || comm == world) return place;
  const std::string name = comm->name.empty()
                               ? tern::format("an unnamed communicator of size {}", comm->size())
                               : comm->name;
  return tern::format("rank {} of {}, {}", comm->rank(), name, place);
}

namespace {

// Makes the thread's latest failure the one that function reports now.
void complete(int error, const char* function, const Comm* comm) {
  const bool fresh = failure.fresh && failure.error_class == error;
  std::string said = fresh ? failure.sentence : error_text(error);
  if (said.empty()) said = error_name(error);  // A code of the program's, without a text.
  failure.sentence = tern::format("{}: {} (on {})", function, said, describe_place(comm));
  failure.error_class = error;
  failure.fresh = false;
}

// Over as soon as it has been seen; this long only when nobody at the other end is inside MPI.
constexpr std::chrono::seconds kFarewell{2};

// Ends this job and the connected ones, `comm`: those that it names only.
[[noreturn]] void abort_for(int error, const char* handler, const Comm* comm) {
  const std::string text = tern::format(
      "{} [{}]. The job ends because the error handler in force is {}; with "
      "MPI_ERRORS_RETURN the call would return the error instead.",
      failure.sentence, error_name(error), handler);
  const EntryGuard guard("abort");
  announce_end(text, comm);
  abort_job(error, text);
}

// Calls the program's function without the entry lock, which another thread may need to let the
// function go on.
template <class Function, class Handle>
int call(Function* function, Handle handle, int error) {
  if (!entry_state.threaded) {
    function(&handle, &error);
    return error;
  }
  lock_entry();  // Some callers hold it, some do not; releasing asks for a holder.
  const HeldLocks held = release_entry_fully();
  function(&handle, &error);
  reacquire_entry(held);
  unlock_entry();
  return error;
}

// The objects that the error belongs to: one of them, the other one is null.
struct Handles {
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Session session = MPI_SESSION_NULL;
};

int invoke(Errhandler* attached, const Handles& handles, int error) {
  Errhandler& errhandler = attached != nullptr ? *attached : *to_errhandler(MPI_ERRORS_ARE_FATAL);
  // The program may free the handler, or the object with it, inside the handler.
  errhandler.retain();
  int result = error;
  switch (errhandler.action()) {
    case Errhandler::Action::kAbortJob:
      abort_for(error, "MPI_ERRORS_ARE_FATAL", nullptr);
    case Errhandler::Action::kAbortComm:
      abort_for(error, "MPI_ERRORS_ABORT",
                handles.comm != MPI_COMM_NULL ? to_comm(handles.comm) : runtime().self);
    case Errhandler::Action::kReturn:
      break;
    case Errhandler::Action::kCallComm:
      result = call(errhandler.comm_function(), handles.comm, error);
      break;
    case Errhandler::Action::kCallSession:
      result = call(errhandler.session_function(), handles.session, error);
      break;
  }
  errhandler.release();
  return result;
}

}  // namespace

int vfail(int error_class, fmt::string_view format, fmt::format_args args) {
  failure.error_class = error_class;
  failure.fresh = true;
  failure.sentence = tern::vformat(format, args);
  return error_class;
}

int fail_no_memory(std::string_view what) {
  return fail(MPI_ERR_NO_MEM, "no memory is left for {}", what);
}

std::string_view last_failure(int error_class) {
  return failure.error_class == error_class ? std::string_view(failure.sentence)
                                            : std::string_view();
}

int raise(Comm* comm, int error, const char* function) {
  if (comm == nullptr) return raise_default(error, function);  // A function that allows it.
  complete(error, function, comm);
  return invoke(comm->errhandler, {.comm = to_handle(comm)}, error);
}

int raise(Session* session, int error, const char* function) {
  complete(error, function, nullptr);
  return invoke(session->errhandler, {.session = to_handle(session)}, error);
}

int raise_given(MPI_Errhandler errhandler, int error, const char* function) {
  Errhandler* const given = find_errhandler(errhandler);
  if (given == nullptr) return raise_default(error, function);
  complete(error, function, nullptr);
  return invoke(given, {}, error);
}

int raise_default(int error, const char* function) {
  complete(error, function, nullptr);
  Comm* const self = is_initialized() ? runtime().self : nullptr;
  return invoke(self != nullptr ? self->errhandler : &initial_errhandler(), {.comm = MPI_COMM_SELF},
                error);
}

int raise_uninitialized(const char* function) {
  const bool over = runtime().finalized;
  const int error =
      fail(MPI_ERR_OTHER, "called {}", over ? "after MPI_Finalize" : "before MPI_Init");
  return raise_default(error, function);
}

void announce_end(std::string_view why, const Comm* comm) {
  if (!is_initialized() || runtime().contact == nullptr) return;
  runtime().contact->announce_end(why, [comm](const ProcessId& id) {
    if (comm == nullptr || comm->group().find(id) >= 0) return true;
    return comm->is_inter() && comm->remote_group()->find(id) >= 0;
  });
  const auto until = std::chrono::steady_clock::now() + kFarewell;
  engine().wait_until(
      [until] { return engine().drained() || std::chrono::steady_clock::now() > until; });
}

void abort_job(int code, std::string_view message) {
  // What the program has printed so far belongs before the message. When another thread is inside
  // stdio its lines stay unprinted: waiting for it could hang.
  if (ftrylockfile(stdout) == 0) {
    fflush_unlocked(stdout);
    funlockfile(stdout);
  }
  const std::string text = tern::format("tern: {}\n", message);
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
  // 0 would pass for success, and the system keeps eight bits only.
  const int status = (code & 0xff) != 0 ? code & 0xff : 1;
  if (is_initialized() && runtime().wireup != nullptr) runtime().wireup->abort(status, message);
  _exit(status);
}

}  // namespace tern::mpi
