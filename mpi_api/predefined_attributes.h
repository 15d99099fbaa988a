// mpi_api/predefined_attributes.h - what every communicator can be asked for (MPI-5.0
// section 9.1.2).
//
// The values belong to the process, not to one communicator; they can be read and never set.
// Threading: under the entry lock.
#pragma once
#include <string_view>

namespace tern::mpi {

// MPI_TAG_UB, MPI_UNIVERSE_SIZE, ...
bool is_predefined_attribute(int keyval);
// "MPI_TAG_UB". Precondition: is_predefined_attribute(keyval).
std::string_view predefined_attribute_name(int keyval);
// Where the value lies from now until the process ends; nullptr when it is not known here.
// Precondition: is_predefined_attribute(keyval).
const int* predefined_attribute(int keyval);

}  // namespace tern::mpi
