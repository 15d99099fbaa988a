// mpi_api/comm_hints.cc - see comm_hints.h.
#include "mpi_api/comm_hints.h"

#include <algorithm>
#include <array>

namespace tern::mpi {
namespace {

// Promises of the program. All are "false" unless set. Who breaks one of the first two is told; the
// others would allow shortcuts that gain nothing here: lengths are compared in passing, messages
// wait only while their receiver takes none at all, and persistent collectives have numbers of
// their own.
constexpr std::string_view kNoAnyTag = "mpi_assert_no_any_tag";
constexpr std::string_view kNoAnySource = "mpi_assert_no_any_source";
constexpr std::array<std::string_view, 5> kAssertions = {
    kNoAnyTag, kNoAnySource, "mpi_assert_exact_length", "mpi_assert_allow_overtaking",
    "mpi_assert_strict_start_ordering"};

bool understood(const Info::Entry& hint) {
  const bool known = std::ranges::find(kAssertions, hint.key) != kAssertions.end();
  return known && (hint.value == "true" || hint.value == "false");
}

}  // namespace

void set_hint(Comm& comm, std::string_view key, std::string_view value) {
  if (comm.info == nullptr) comm.info = make<Info>();
  if (comm.info != nullptr) comm.info->set(key, value);  // A hint may be lost.
}

void take_hints(Comm& comm, const Info* offered) {
  if (offered == nullptr) return;
  for (const Info::Entry& hint : offered->entries()) {
    if (!understood(hint)) continue;
    set_hint(comm, hint.key, hint.value);
    if (hint.key == kNoAnyTag) comm.no_any_tag = hint.value == "true";
    if (hint.key == kNoAnySource) comm.no_any_source = hint.value == "true";
  }
}

Info* hints_in_force(const Comm& comm) {
  Info* const result = make<Info>();
  if (result == nullptr) return nullptr;
  for (const std::string_view key : kAssertions) result->set(key, "false");
  // Where memory may come from that MPI functions are given.
  result->set("mpi_memory_alloc_kinds", "mpi,system");
  if (comm.info == nullptr) return result;
  for (const Info::Entry& hint : comm.info->entries()) result->set(hint.key, hint.value);
  return result;
}

}  // namespace tern::mpi
