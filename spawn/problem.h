// spawn/problem.h - what mpiexec says when it cannot go on: one sentence and an exit code.
#pragma once
#include <string>
#include <utility>

namespace tern::spawn {

// The exit codes of mpiexec itself; those of ranks are passed on (128 + signal for a killed one).
enum class ExitCode : int {
  kOk = 0,
  kFailure = 1,          // The system refused something, or a rank left without MPI_Finalize.
  kUsage = 2,            // Wrong options.
  kTimeout = 124,        // -timeout; the code of timeout(1).
  kNotExecutable = 126,  // As shells have it.
  kNotFound = 127,
};

struct Problem {
  std::string text;  // Empty: there is none.
  ExitCode code = ExitCode::kFailure;

  bool has() const { return !text.empty(); }
  static Problem usage(std::string text) { return {std::move(text), ExitCode::kUsage}; }
};

}  // namespace tern::spawn
