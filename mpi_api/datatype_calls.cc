// mpi_api/datatype_calls.cc - sizes and bounds of datatypes, their names, and how they are
// committed, duplicated and freed (MPI-5.0 sections 5.1.5 to 5.1.10 and 7.8).
#include <cstring>
#include <string_view>

#include "impl.h"
#include "mpi_api/checks.h"
#include "mpi_api/datatype_construct.h"
#include "mpi_api/errors.h"

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

int type_set_name(Datatype* datatype, const char* type_name) {
  datatype->name.assign(type_name, strnlen(type_name, MPI_MAX_OBJECT_NAME - 1));
  return MPI_SUCCESS;
}

int type_commit(MPI_Datatype* datatype) {
  Datatype* const object = to_datatype(*datatype);
  if (!object->supported()) return refuse_datatype(*object, "datatype");
  object->commit();
  return MPI_SUCCESS;
}

int type_dup(Datatype* oldtype, Datatype** newtype) {
  if (!oldtype->supported()) return refuse_datatype(*oldtype, "oldtype");
  RecipeWriter writer(MPI_COMBINER_DUP, false);
  if (const int error = make_derived(writer.type(oldtype), newtype)) return error;
  Datatype& made = **newtype;
  if (oldtype->committed()) made.commit();
  const int error = made.attributes.copy_from(oldtype->attributes, to_handle(oldtype));
  if (error == MPI_SUCCESS) return MPI_SUCCESS;
  // The copy function's error is told already, whatever the delete functions say.
  (void)made.attributes.remove_all(to_handle(&made));
  made.release();
  return error;
}

int type_free(MPI_Datatype* datatype) {
  Datatype* const object = to_datatype(*datatype);
  if (object->built_in()) {
    return fail(MPI_ERR_TYPE, "datatype is {}, which is predefined and cannot be freed",
                object->name.empty() ? "made by MPI_Type_create_f90_..." : object->name);
  }
  // The program's delete functions may still use the datatype, and a failure of one keeps it.
  if (object->is_last_handle()) {
    if (const int error = object->attributes.remove_all(*datatype)) return error;
  }
  object->drop_handle();
  *datatype = MPI_DATATYPE_NULL;
  object->release();  // Datatypes made of it and operations in flight hold references of their own.
  return MPI_SUCCESS;
}

}  // namespace tern::mpi::impl
