// mpi_api/abi.cc - what the binary interface is like (MPI-5.0 section 20.2), its Fortran side
// included.
//
// Fortran's types have the sizes and values of gfortran's default kinds, on all systems that Tern
// runs on. So they are known from the start: "setting" them succeeds when it sets what holds, and
// is MPI_ERR_ABI otherwise. Threading: any thread at any time.
#include <array>
#include <cstring>
#include <string>

#include "impl.h"
#include "mpi_api/errors.h"
#include "mpi_api/info.h"

namespace tern::mpi::impl {
namespace {

int give(std::vector<Info::Entry> entries, Info** info) {
  return hand_over(make<Info>(std::move(entries)), "an info object", info);
}

std::vector<Info::Entry> fortran_facts() {
  return {{"mpi_logical_size", "4"},
          {"mpi_integer_size", "4"},
          {"mpi_real_size", "4"},
          {"mpi_double_precision_size", "8"}};
}

constexpr int kLargestLogical = 16;

int check_logical_size(int size) {
  for (int known = 1; known <= kLargestLogical; known *= 2) {
    if (size == known) return MPI_SUCCESS;
  }
  return fail(MPI_ERR_ARG, "logical_size is {}; allowed are 1, 2, 4, 8 and 16 bytes", size);
}

using Logical = std::array<std::byte, kLargestLogical>;

// Little endian, the only byte order that Tern runs on.
Logical logical(bool value) {
  Logical bytes{};
  bytes[0] = std::byte{value};
  return bytes;
}

}  // namespace

int abi_get_version(int* abi_major, int* abi_minor) {
  *abi_major = MPI_ABI_VERSION;
  *abi_minor = MPI_ABI_SUBVERSION;
  return MPI_SUCCESS;
}

int abi_get_info(Info** info) {
  return give({{"mpi_aint_size", std::to_string(sizeof(MPI_Aint))},
               {"mpi_count_size", std::to_string(sizeof(MPI_Count))},
               {"mpi_offset_size", std::to_string(sizeof(MPI_Offset))}},
              info);
}

int abi_get_fortran_info(Info** info) { return give(fortran_facts(), info); }

int abi_set_fortran_info(Info* info) {
  for (const Info::Entry& fact : fortran_facts()) {
    const auto offered = info->get(fact.key);
    if (!offered || *offered == fact.value) continue;
    return fail(MPI_ERR_ABI, "info has \"{}\" for {}; it is {} (gfortran's default kinds)",
                *offered, fact.key, fact.value);
  }
  return MPI_SUCCESS;
}

int abi_get_fortran_booleans(int logical_size, void* logical_true, void* logical_false,
                             int* is_set) {
  if (const int error = check_logical_size(logical_size)) return error;
  const auto size = static_cast<std::size_t>(logical_size);
  std::memcpy(logical_true, logical(true).data(), size);
  std::memcpy(logical_false, logical(false).data(), size);
  *is_set = 1;
  return MPI_SUCCESS;
}

int abi_set_fortran_booleans(int logical_size, void* logical_true, void* logical_false) {
  if (const int error = check_logical_size(logical_size)) return error;
  const auto size = static_cast<std::size_t>(logical_size);
  if (std::memcmp(logical_true, logical(true).data(), size) == 0 &&
      std::memcmp(logical_false, logical(false).data(), size) == 0) {
    return MPI_SUCCESS;
  }
  return fail(MPI_ERR_ABI, "logical_true and logical_false must be 1 and 0, as gfortran has them");
}

}  // namespace tern::mpi::impl
