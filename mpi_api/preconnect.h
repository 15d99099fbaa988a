// mpi_api/preconnect.h - connecting before messages need it: TERN_PRECONNECT and
// MPIX_Comm_preconnect.
//
// core/preconnect.h says who meets whom and in which order, core/meet.h carries it out. Threading:
// under the entry lock. Failure: in MPI_Init a warning, for connections come by themselves when
// something is sent; else an MPI error class after fail().
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/config.h"
#include "mpi_api/object.h"

namespace tern::mpi {

// What was connected in MPI_Init, for the report at the end.
struct Preconnected {
  std::string plan;  // Empty: nothing was asked for.
  std::size_t connections = 0;
  std::uint64_t took_us = 0;
};

// The last step of MPI_Init.
void preconnect_world(const Config& config);

// All members of comm with each other. Collective.
int preconnect(Comm& comm);

}  // namespace tern::mpi
