// mpi_api/comm_hints.h - the info hints of communicators (MPI-5.0 section 7.4.4).
//
// Hints that are not known here, or whose value is not allowed, are ignored, as the standard asks.
// Threading: under the entry lock.
#pragma once
#include "mpi_api/comm.h"
#include "mpi_api/info.h"

namespace tern::mpi {

// Puts those of the offered hints into force that are understood. offered may be nullptr.
void take_hints(Comm& comm, const Info* offered);
// Puts a hint into force that the library itself has found out.
void set_hint(Comm& comm, std::string_view key, std::string_view value);
// All hints in force, defaults included, as a new info object; nullptr when there is no memory.
Info* hints_in_force(const Comm& comm);

}  // namespace tern::mpi
