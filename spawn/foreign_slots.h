// spawn/foreign_slots.h - cores for what the ranks of a job spawn that another launcher has
// started.
//
// That launcher may have bound each rank to a few cores, which are not the ones that its children
// are to be kept on: they get those of the whole job on this host. And all ranks of this host share
// one account of slots (slot_account.h), which has no mpiexec of ours above it: the first one that
// spawns opens it, the others find it in /proc. Threading: one thread at a time. Failure: what
// cannot be found out is left as it is.
#pragma once
#include <array>
#include <cstdint>
#include <memory>

#include "spawn/slot_account.h"

namespace tern::spawn {

// As the kernel has it, for any number of CPUs that there is yet.
using CpuMask = std::array<unsigned long, 128>;

// Of the launcher that has started this rank; of all ranks that it has started on this host where
// the launcher itself is not confined to the job (Slurm). False: not known.
bool cores_of_foreign_job(CpuMask& mask);

// The same one for all ranks of the job on this host; the ranks are entered. nullptr when there can
// be none.
std::unique_ptr<SlotAccount> open_foreign_account(std::uint64_t job_id);

}  // namespace tern::spawn
