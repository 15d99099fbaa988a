// mpi_api/hardware.h - which parts of its machine this process is bound to.
//
// For MPI_Comm_split_type. Read from the kernel's own files when asked, so that no rank pays for a
// topology library (nor for this) that does not ask.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tern::mpi {

// From the largest to the smallest.
enum class Resource : std::uint8_t {
  kHost,
  kPackage,
  kNumaNode,
  kL3Cache,
  kL2Cache,
  kL1Cache,
  kCore,
  kPu
};
inline constexpr int kResources = 8;

// As in the value of the info key mpi_hw_resource_type: "mpi_shared_memory", "hwloc://Package", ...
std::string_view resource_name(Resource resource);
// The reading of it: upper and lower case, and hwloc:// or not, mean the same. nullopt: not known.
std::optional<Resource> parse_resource(std::string_view name);

struct Place {
  // Processes with the same host can share memory.
  std::array<std::uint64_t, 2> host{};
  // By Resource: the number of the one instance (within its host) that this process is confined to;
  // -1 when it may run on several.
  std::array<std::int32_t, kResources> instance{};
};

Place place_of_this_process();

}  // namespace tern::mpi
