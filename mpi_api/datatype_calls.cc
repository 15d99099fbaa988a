// mpi_api/datatype_calls.cc - what MPI tells of a datatype (MPI-5.0 sections 5.1.5 to 5.1.9
// and 7.8).
#include <cstring>
#include <string_view>

#include "impl.h"
#include "mpi_api/datatype.h"

namespace tern::mpi::impl {
namespace {

// What is told of a datatype that this build does not offer.
MPI_Count if_supported(const Datatype& datatype, MPI_Count value) {
  return datatype.supported() ? value : MPI_Count{MPI_UNDEFINED};
}

}  // namespace

int type_size(Datatype* datatype, MPI_Count* size) {
  *size = if_supported(*datatype, datatype->size());
  return MPI_SUCCESS;
}

int type_get_extent(Datatype* datatype, MPI_Count* lb, MPI_Count* extent) {
  *lb = if_supported(*datatype, datatype->layout().lower_bound());
  *extent = if_supported(*datatype, datatype->extent());
  return MPI_SUCCESS;
}

int type_get_true_extent(Datatype* datatype, MPI_Count* true_lb, MPI_Count* true_extent) {
  *true_lb = if_supported(*datatype, datatype->layout().true_lower_bound());
  *true_extent = if_supported(*datatype, datatype->layout().true_extent());
  return MPI_SUCCESS;
}

int type_get_name(Datatype* datatype, char* type_name, int* resultlen) {
  // MPI_DATATYPE_NULL has a name too (section 7.8).
  const std::string_view name =
      datatype == nullptr ? "MPI_DATATYPE_NULL" : std::string_view(datatype->name);
  std::memcpy(type_name, name.data(), name.size());
  type_name[name.size()] = '\0';
  *resultlen = static_cast<int>(name.size());
  return MPI_SUCCESS;
}

}  // namespace tern::mpi::impl
