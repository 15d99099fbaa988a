// mpi_api/datatype_pack.cc - packing into the program's memory (MPI-5.0 sections 5.2 and 5.3).
//
// Packed data is the data's bytes one after the other: all processes of a job have one
// representation. The external32 form is made in datatype_external.cc.
#include <cstring>
#include <new>

#include "impl.h"
#include "mpi_api/datatype_external.h"
#include "mpi_api/errors.h"

namespace tern::mpi {
namespace {

// The memory that is packed into or unpacked from, and where in it the next byte is.
struct PackBuffer {
  const void* memory;
  MPI_Count size;
  const char* memory_name;
  const char* size_name;

  // Whether `needed` bytes from `position` on are inside.
  int check(MPI_Count position, std::size_t needed) const {
    if (position < 0 || position > size) {
      return fail(MPI_ERR_ARG, "position is {}; it must be 0 to {} ({})", position, size,
                  size_name);
    }
    if (needed > static_cast<std::size_t>(size - position)) {
      return fail(MPI_ERR_TRUNCATE, "{} is {}; from position {} on {} bytes are needed", size_name,
                  size, position, needed);
    }
    if (memory == nullptr && needed > 0) {
      return fail(MPI_ERR_BUFFER, "{} is a null pointer, but memory of {} bytes is needed",
                  memory_name, size);
    }
    return MPI_SUCCESS;
  }
};

// count * size; saturated, so that no buffer is large enough for it.
std::size_t total(MPI_Count count, std::size_t size) {
  std::size_t product = 0;
  if (__builtin_mul_overflow(static_cast<std::size_t>(count), size, &product)) return SIZE_MAX;
  return product;
}

int check_representation(const char* name) {
  if (std::strcmp(name, "external32") == 0) return MPI_SUCCESS;
  return fail(MPI_ERR_ARG, "datarep is \"{}\"; \"external32\" is the only one there is", name);
}

int tell_size(MPI_Count count, std::size_t size, MPI_Count* result) {
  const std::size_t bytes = total(count, size);
  *result = bytes > PTRDIFF_MAX ? MPI_Count{MPI_UNDEFINED} : static_cast<MPI_Count>(bytes);
  return MPI_SUCCESS;
}

}  // namespace

namespace impl {

int pack(const void* inbuf, MPI_Count incount, Datatype* datatype, void* outbuf, MPI_Count outsize,
         MPI_Count* position, Comm*) {
  const std::size_t bytes = total(incount, datatype->layout().size());
  const PackBuffer buffer{outbuf, outsize, "outbuf", "outsize"};
  if (const int error = buffer.check(*position, bytes)) return error;
  if (bytes == 0) return MPI_SUCCESS;
  tern::pack(view(inbuf, incount, *datatype), 0,
             {static_cast<std::byte*>(outbuf) + *position, bytes});
  *position += static_cast<MPI_Count>(bytes);
  return MPI_SUCCESS;
}

int unpack(const void* inbuf, MPI_Count insize, MPI_Count* position, void* outbuf,
           MPI_Count outcount, Datatype* datatype, Comm*) {
  const std::size_t bytes = total(outcount, datatype->layout().size());
  const PackBuffer buffer{inbuf, insize, "inbuf", "insize"};
  if (const int error = buffer.check(*position, bytes)) return error;
  if (bytes == 0) return MPI_SUCCESS;
  tern::unpack(view(outbuf, outcount, *datatype), 0,
               {static_cast<const std::byte*>(inbuf) + *position, bytes});
  *position += static_cast<MPI_Count>(bytes);
  return MPI_SUCCESS;
}

int pack_size(MPI_Count incount, Datatype* datatype, Comm*, MPI_Count* size) {
  return tell_size(incount, datatype->layout().size(), size);
}

int pack_external(const char* datarep, const void* inbuf, MPI_Count incount, Datatype* datatype,
                  void* outbuf, MPI_Count outsize, MPI_Count* position) {
  if (const int error = check_representation(datarep)) return error;
  try {
    const std::size_t bytes = total(incount, external_size(*datatype));
    const PackBuffer buffer{outbuf, outsize, "outbuf", "outsize"};
    if (const int error = buffer.check(*position, bytes)) return error;
    if (bytes == 0) return MPI_SUCCESS;
    auto* const external = static_cast<std::byte*>(outbuf) + *position;
    if (const int error = write_external(inbuf, incount, *datatype, external)) return error;
    *position += static_cast<MPI_Count>(bytes);
    return MPI_SUCCESS;
  } catch (const std::bad_alloc&) {
    return fail_no_memory("a list of the datatype's elements");
  }
}

int unpack_external(const char* datarep, const void* inbuf, MPI_Count insize, MPI_Count* position,
                    void* outbuf, MPI_Count outcount, Datatype* datatype) {
  if (const int error = check_representation(datarep)) return error;
  try {
    const std::size_t bytes = total(outcount, external_size(*datatype));
    const PackBuffer buffer{inbuf, insize, "inbuf", "insize"};
    if (const int error = buffer.check(*position, bytes)) return error;
    if (bytes == 0) return MPI_SUCCESS;
    const auto* const external = static_cast<const std::byte*>(inbuf) + *position;
    if (const int error = read_external(external, outbuf, outcount, *datatype)) return error;
    *position += static_cast<MPI_Count>(bytes);
    return MPI_SUCCESS;
  } catch (const std::bad_alloc&) {
    return fail_no_memory("a list of the datatype's elements");
  }
}

int pack_external_size(const char* datarep, MPI_Count incount, Datatype* datatype,
                       MPI_Count* size) {
  if (const int error = check_representation(datarep)) return error;
  if (!datatype->supported()) return tell_size(incount, 0, size);
  try {
    return tell_size(incount, external_size(*datatype), size);
  } catch (const std::bad_alloc&) {
    return fail_no_memory("a list of the datatype's elements");
  }
}

}  // namespace impl
}  // namespace tern::mpi
