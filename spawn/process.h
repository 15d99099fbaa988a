// spawn/process.h - starts one process, quickly and so that it cannot outlive mpiexec unnoticed.
//
// As vfork and exec: the cost does not grow with mpiexec's memory. The child gets a process group
// of its own (so that what a wrapper script starts can be ended too) and dies with mpiexec.
// Failure: StartError says which step failed and why; nothing is left running then.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <string>

#include "spawn/placement.h"
#include "spawn/signals.h"

struct rlimit;

namespace tern::spawn {

struct ProcessStart {
  const char* file = nullptr;        // Absolute, or relative to `directory`.
  char* const* arguments = nullptr;  // argv, with argv[0].
  char* const* environment = nullptr;
  const char* directory = nullptr;  // nullptr: mpiexec's.
  int input = -1;                   // Descriptors for 0, 1, 2; -1: mpiexec's own.
  int output = -1;
  int error = -1;
  int kept = -1;                    // A descriptor that stays open under its number.
  const CpuSet* cpus = nullptr;     // nullptr or empty: not bound.
  bool must_bind = false;           // Else a system that refuses to bind is no reason to stop.
  volatile pid_t* group = nullptr;  // Where the child notes its process group (guard.h).
  const Signals* signals = nullptr;
  const rlimit* files = nullptr;  // RLIMIT_NOFILE to give back; nullptr: as it is.
  // A launcher, not a rank: it stays in mpiexec's process group, so that it may read from the
  // terminal and hears Ctrl-C, and is asked to end (SIGTERM) when mpiexec dies.
  bool is_launcher = false;
};

// The step that fails when the program file is at fault.
inline constexpr char kStepExecute[] = "execute it";

struct StartError {
  const char* step = nullptr;  // kStepExecute, "create a process", "enter the directory", ...
  int error_number = 0;
};

// The process id, or -1 with `error` filled in.
pid_t start_process(const ProcessStart& start, StartError& error);

}  // namespace tern::spawn
