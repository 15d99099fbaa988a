// spawn/machine.h - reads this machine's CPUs: which are allowed, and how they hang together.
//
// The only place that knows hwloc. Reading costs about a millisecond per ten cores, so it is done
// once per job, and only when a placement depends on it. Failure: a Problem with a sentence.
#pragma once
#include "spawn/placement.h"
#include "spawn/problem.h"

namespace tern::spawn {

// The CPUs that the kernel lets this process use (cpuset, container, taskset). No hwloc; cheap.
CpuSet allowed_cpus();

// The machine as hwloc sees it, without the CPUs that are not in `allowed`.
Problem read_machine(const CpuSet& allowed, Machine& machine);

}  // namespace tern::spawn
