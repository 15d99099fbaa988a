// mpi_api/datatype_external.h - the external32 representation of data (MPI-5.0 section 14.5.2):
// big-endian, IEEE numbers, every basic type of the size that the standard fixes.
//
// Threading: under the entry lock. Failure: numbers that the other representation cannot hold are
// MPI_ERR_CONVERSION, their sentence kept by fail(); throws bad_alloc (Datatype::typed()).
#pragma once
#include <cstddef>

#include "mpi_api/datatype.h"

namespace tern::mpi {

// Bytes of one datatype's data in external32.
std::size_t external_size(const Datatype& type);

// Converts all data of the view, whose elements are of `type`, to or from `external`, which has
// room for all of it.
int write_external(const void* data, MPI_Count count, const Datatype& type, std::byte* external);
int read_external(const std::byte* external, void* data, MPI_Count count, const Datatype& type);

}  // namespace tern::mpi
