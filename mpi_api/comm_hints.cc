// mpi_api/comm_hints.cc - see comm_hints.h.
#include "mpi_api/comm_hints.h"

#include <algorithm>
#include <array>

namespace tern::mpi {
namespace {

// Promises of the program about its receives. They allow shortcuts and change no result: whoever
// breaks one is not told. All are "false" unless set.
constexpr std::array<std::string_view, 4> kAssertions = {
    "mpi_assert_no_any_tag", "mpi_assert_no_any_source", "mpi_assert_exact_length",
    "mpi_assert_allow_overtaking"};

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
    if (understood(hint)) set_hint(comm, hint.key, hint.value);
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
