// mpi_api/env.cc - what programs ask of their environment: versions, names, time, memory,
// addresses, the state of MPI (MPI-5.0 sections 9.1, 9.2, 9.6, 11.2 to 11.6, 5.1.5 and 20.2), and
// MPI_Abort.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/format.h"
#include "impl.h"
#include "mpi_api/comm.h"
#include "mpi_api/errors.h"
#include "mpi_api/hardware.h"
#include "mpi_api/info.h"
#include "mpi_api/runtime.h"

namespace tern::mpi::impl {
namespace {

// capacity: of the program's array, by the standard.
void give_text(std::string_view text, char* place, int capacity, int* length) {
  const std::size_t size = std::min(text.size(), static_cast<std::size_t>(capacity) - 1);
  std::memcpy(place, text.data(), size);
  place[size] = '\0';
  *length = static_cast<int>(size);
}

// The alignment that the hint mpi_minimum_memory_alignment asks for; a cache line at least.
int find_alignment(const Info* info, std::size_t& alignment) {
  constexpr std::size_t kCacheLine = 64;
  constexpr std::size_t kLargest = std::size_t{1} << 30;
  alignment = kCacheLine;
  const auto text = info == nullptr ? std::nullopt : info->get("mpi_minimum_memory_alignment");
  if (!text) return MPI_SUCCESS;
  std::size_t wanted = 0;
  const char* const end = text->data() + text->size();
  const auto [after, error] = std::from_chars(text->data(), end, wanted);
  if (error != std::errc() || after != end || wanted > kLargest) {
    return fail(
        MPI_ERR_INFO_VALUE,
        "info has \"{}\" for mpi_minimum_memory_alignment; it must be a number of bytes up to {}",
        *text, kLargest);
  }
  alignment = std::max(kCacheLine, std::bit_ceil(wanted));
  return MPI_SUCCESS;
}

}  // namespace

int get_version(int* version, int* subversion) {
  *version = MPI_VERSION;
  *subversion = MPI_SUBVERSION;
  return MPI_SUCCESS;
}

int get_library_version(char* version, int* resultlen) {
  const std::string text =
      tern::format("Tern {}, MPI {}.{}, standard ABI {}.{}, compiled with {}", TERN_VERSION,
                   MPI_VERSION, MPI_SUBVERSION, MPI_ABI_VERSION, MPI_ABI_SUBVERSION, __VERSION__);
  give_text(text, version, MPI_MAX_LIBRARY_VERSION_STRING, resultlen);
  return MPI_SUCCESS;
}

int get_processor_name(char* name, int* resultlen) {
  std::array<char, MPI_MAX_PROCESSOR_NAME> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) {
    return fail(MPI_ERR_OTHER, "the name of this host is not known: {}", std::strerror(errno));
  }
  give_text(host.data(), name, MPI_MAX_PROCESSOR_NAME, resultlen);
  return MPI_SUCCESS;
}

double wtime() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);  // By the vDSO: no system call.
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double wtick() {
  timespec resolution{};
  clock_getres(CLOCK_MONOTONIC, &resolution);
  return static_cast<double>(resolution.tv_sec) + 1e-9 * static_cast<double>(resolution.tv_nsec);
}

int alloc_mem(MPI_Aint size, Info* info, void* baseptr) {
  std::size_t alignment = 0;
  if (const int error = find_alignment(info, alignment)) return error;
  void* memory = nullptr;
  const auto bytes = static_cast<std::size_t>(std::max<MPI_Aint>(size, 1));
  if (posix_memalign(&memory, alignment, bytes) != 0) {
    return fail(MPI_ERR_NO_MEM, "size is {}, more than there is memory left (alignment {})", size,
                alignment);
  }
  std::memcpy(baseptr, &memory, sizeof memory);  // baseptr is the address of a pointer of any type.
  return MPI_SUCCESS;
}

int free_mem(void* base) {
  std::free(base);
  return MPI_SUCCESS;
}

int initialized(int* flag) {
  *flag = runtime().was_initialized;
  return MPI_SUCCESS;
}

int finalized(int* flag) {
  *flag = runtime().finalized;
  return MPI_SUCCESS;
}

int query_thread(int* provided) {
  *provided = runtime().thread_level;
  return MPI_SUCCESS;
}

int is_thread_main(int* flag) {
  *flag = std::this_thread::get_id() == runtime().main_thread;
  return MPI_SUCCESS;
}

int pcontrol(const int) { return MPI_SUCCESS; }  // For profiling tools, which replace it.

int abort(Comm* comm, int errorcode) {
  const std::string text =
      tern::format("MPI_Abort was called with error code {} (on {}). The job ends.", errorcode,
                   describe_place(comm));
  announce_end(text, comm);
  abort_job(errorcode, text);
}

int get_hw_resource_info(Info** hw_info) {
  const Place place = place_of_this_process();
  std::vector<Info::Entry> entries;
  for (int i = 0; i < kResources; ++i) {
    const bool confined = place.instance[static_cast<std::size_t>(i)] >= 0;
    entries.push_back(
        {std::string(resource_name(static_cast<Resource>(i))), confined ? "true" : "false"});
  }
  return hand_over(make<Info>(std::move(entries)), "an info object", hw_info);
}

int get_address(const void* location, MPI_Aint* address) {
  *address = reinterpret_cast<MPI_Aint>(location);
  return MPI_SUCCESS;
}

// Addresses are computed without signs, where overflow is defined to wrap.
MPI_Aint aint_add(MPI_Aint base, MPI_Aint disp) {
  return static_cast<MPI_Aint>(static_cast<std::uintptr_t>(base) +
                               static_cast<std::uintptr_t>(disp));
}

MPI_Aint aint_diff(MPI_Aint addr1, MPI_Aint addr2) {
  return static_cast<MPI_Aint>(static_cast<std::uintptr_t>(addr1) -
                               static_cast<std::uintptr_t>(addr2));
}

}  // namespace tern::mpi::impl
