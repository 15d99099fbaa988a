// mpi_api/errors.h - how failures become MPI errors (MPI-5.0 section 9.3).
//
// An implementation function returns an MPI error class. On failure it has called fail(), which
// keeps a sentence for this thread; the entry point then calls raise(), which completes the text
// with the function's name and invokes the error handler in force.
#pragma once
#include <fmt/core.h>

#include <string>
#include <string_view>

#include "mpi_api/object.h"

namespace tern::mpi {

// Out of line and cold. Returns error_class.
[[gnu::cold]] int vfail(int error_class, fmt::string_view format, fmt::format_args args);

// Keeps "what is wrong, with which value, what is allowed, what to do" for this thread and returns
// error_class.
template <class... Args>
[[gnu::cold]] int fail(int error_class, fmt::format_string<Args...> format, const Args&... args) {
  return vfail(error_class, format, fmt::make_format_args(args...));
}

// "no memory is left for `what`"; returns MPI_ERR_NO_MEM.
[[gnu::cold]] int fail_no_memory(std::string_view what);

// The end of a call that makes an object: *result becomes `made`. nullptr: there was no memory for
// `what`, the failure that is returned.
template <class T>
int hand_over(T* made, std::string_view what, T** result) {
  *result = made;
  return made != nullptr ? MPI_SUCCESS : fail_no_memory(what);
}

// The sentence that belongs to the latest failure on this thread, when its class is error_class.
std::string_view last_failure(int error_class);

// Invoke the error handler in force. Return what the MPI function returns. A handler of the user's
// runs without the entry lock (it is dropped around it when held), so it may call MPI and take
// locks.
[[gnu::cold]] int raise(Comm* comm, int error, const char* function);
[[gnu::cold]] int raise(Session* session, int error, const char* function);
// On a handler that is to be attached to an object that could not be made; where that is none, as
// raise_default().
[[gnu::cold]] int raise_given(MPI_Errhandler errhandler, int error, const char* function);
// Errors that belong to no object: MPI_COMM_SELF's handler, or the initial one before MPI_Init and
// after MPI_Finalize.
[[gnu::cold]] int raise_default(int error, const char* function);
// `function` was called before MPI_Init or after MPI_Finalize.
[[gnu::cold]] int raise_uninitialized(const char* function);

// The general text of a predefined or user-added class or code; empty when there is none.
std::string error_text(int code);
// "MPI_ERR_RANK", or "error code 16385" for what is not predefined.
std::string error_name(int code);
// The largest error code in use (attribute MPI_LASTUSEDCODE): always at this address.
const int* last_used_code();

// "rank 2 of ocean, rank 5 of MPI_COMM_WORLD, host n1, pid 4711". comm may be nullptr.
std::string describe_place(const Comm* comm);

// Tells connected processes of other jobs that this one is about to end: those that comm names end,
// too (nullptr: all do), the others give this job up. Before abort_job(); waits until the word is
// there, for some seconds at most.
void announce_end(std::string_view why, const Comm* comm);

// Ends the job: says `message` on stderr once, tells the launcher, and never returns.
[[noreturn]] void abort_job(int code, std::string_view message);

}  // namespace tern::mpi
