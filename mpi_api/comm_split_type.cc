// mpi_api/comm_split_type.cc - MPI_Comm_split_type (MPI-5.0 section 7.4.2): by what processes
// share.
//
// Everybody tells everybody once where it is (hardware.h), what it wants to be grouped by, and
// offers a context; then all work out their groups on their own.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "impl.h"
#include "mpi_api/coll/internal.h"
#include "mpi_api/comm_create.h"
#include "mpi_api/comm_hints.h"
#include "mpi_api/errors.h"
#include "mpi_api/hardware.h"
#include "mpi_api/info.h"
#include "mpi_api/lanes.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

// What to be grouped by: a Resource, or one of these.
enum : std::int32_t {
  kNothing = -1,       // MPI_COMM_NULL: MPI_UNDEFINED, or a resource that is not known.
  kNextSmaller = 100,  // The largest resource that divides comm.
  kEverybody = 101,    // Process set mpi://WORLD
  kAlone = 102,        // Process set mpi://SELF
};

struct Member {
  Place place;
  std::int32_t wish;
  std::int32_t key;
  std::uint64_t context;
  std::uint64_t lanes;
};
using Members = std::vector<Member>;

std::int32_t wish_of_info(const Info* info, bool process_sets) {
  if (info == nullptr) return kNothing;
  if (const auto name = info->get("mpi_hw_resource_type")) {
    const std::optional<Resource> resource = parse_resource(*name);
    return resource ? static_cast<std::int32_t>(*resource) : kNothing;
  }
  if (const auto name = info->get("mpi_pset_name"); name && process_sets) {
    if (*name == "mpi://WORLD") return kEverybody;
    if (*name == "mpi://SELF") return kAlone;
  }
  return kNothing;
}

int find_wish(int split_type, const Info* info, std::int32_t& wish) {
  switch (split_type) {
    case MPI_UNDEFINED:
      wish = kNothing;
      return MPI_SUCCESS;
    case MPI_COMM_TYPE_SHARED:
      wish = static_cast<std::int32_t>(Resource::kHost);
      return MPI_SUCCESS;
    case MPI_COMM_TYPE_HW_UNGUIDED:
      wish = kNextSmaller;
      return MPI_SUCCESS;
    case MPI_COMM_TYPE_HW_GUIDED:
    case MPI_COMM_TYPE_RESOURCE_GUIDED:
      wish = wish_of_info(info, split_type == MPI_COMM_TYPE_RESOURCE_GUIDED);
      return MPI_SUCCESS;
    default:
      return fail(MPI_ERR_ARG,
                  "split_type is {}; allowed are MPI_COMM_TYPE_SHARED, _HW_UNGUIDED, _HW_GUIDED, "
                  "_RESOURCE_GUIDED and MPI_UNDEFINED",
                  split_type);
  }
}

// Whether both are confined to the same instance of the resource.
bool together(const Place& a, const Place& b, Resource resource) {
  const auto i = static_cast<std::size_t>(resource);
  return a.host == b.host && a.instance[i] >= 0 && a.instance[i] == b.instance[i];
}

// The largest resource that divides the members into groups smaller than all of them; nullopt when
// none does. All members come to the same result.
std::optional<Resource> dividing_resource(const Members& all) {
  for (int i = 0; i < kResources; ++i) {
    const auto resource = static_cast<Resource>(i);
    const bool some = std::ranges::any_of(all, [&](const Member& member) {
      return member.place.instance[static_cast<std::size_t>(i)] >= 0;
    });
    const bool everybody_together = std::ranges::all_of(all, [&](const Member& member) {
      return together(member.place, all.front().place, resource);
    });
    if (some && !everybody_together) return resource;
  }
  return std::nullopt;
}

}  // namespace

namespace impl {

int comm_split_type(Comm* comm, int split_type, int key, Info* info, Comm** newcomm) {
  std::int32_t wish = kNothing;
  if (const int error = find_wish(split_type, info, wish)) return error;
  const Member mine{place_of_this_process(), wish, key, new_context(), lanes_offer()};
  Members all(static_cast<std::size_t>(comm->size()));
  if (const int error = coll::allgather_bytes(*comm, &mine, sizeof mine, all.data())) return error;

  *newcomm = nullptr;
  std::optional<Resource> resource;
  if (wish >= 0 && wish < kResources) resource = static_cast<Resource>(wish);
  if (wish == kNextSmaller) resource = dividing_resource(all);
  if (!resource && wish != kEverybody && wish != kAlone) return MPI_SUCCESS;

  std::vector<int> members;
  for (int rank = 0; rank < comm->size(); ++rank) {
    const Member& other = all[static_cast<std::size_t>(rank)];
    const bool with_me = resource         ? together(mine.place, other.place, *resource)
                         : wish == kAlone ? rank == comm->rank()
                                          : true;
    if (other.wish == wish && with_me) members.push_back(rank);
  }
  if (members.empty()) return MPI_SUCCESS;  // Not confined to one instance of the resource.
  const auto key_of = [&all](int rank) { return all[static_cast<std::size_t>(rank)].key; };
  std::ranges::stable_sort(members, {}, key_of);
  LaneVote vote;
  for (const int rank : members) vote.count(all[static_cast<std::size_t>(rank)].lanes);
  const std::uint64_t context = all[static_cast<std::size_t>(members[0])].context;
  if (const int error = derive_comm(*comm, members, context, vote.result(), newcomm)) return error;
  if (resource) set_hint(**newcomm, "mpi_hw_resource_type", resource_name(*resource));
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
