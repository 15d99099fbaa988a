// mpi_api/fabrics.cc - the only file of the MPI layer that names concrete fabrics; see fabrics.h.
#include "mpi_api/fabrics.h"

#include <algorithm>

#include "mpi_api/errors.h"
#include "shm/fabric.h"
#include "shm/probe.h"

namespace tern::mpi {
namespace {

constexpr std::string_view kShm = "shm";

// Calls visit(name) for each entry of a list separated by commas.
template <class Visit>
void for_each_name(std::string_view list, Visit visit) {
  while (!list.empty()) {
    const std::string_view name = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), name.size() + 1));
    visit(name);
  }
}

bool lists(const Config& config, std::string_view fabric) {
  bool found = false;
  for_each_name(config.text("TERN_FABRIC"),
                [&](std::string_view name) { found = found || name == fabric; });
  return found;
}

FabricReport report_shm(const Config& config) {
  std::string why;
  const auto fabric = shm::ShmFabric::create({}, HostIdentity::read(), {}, why);
  if (fabric == nullptr) return {std::string(kShm), false, why};
  if (!lists(config, kShm)) return {std::string(kShm), false, "TERN_FABRIC does not list it"};
  const std::string refused = shm::why_no_single_copy();
  std::string detail = "shared memory between processes of this host";
  if (!refused.empty()) {
    detail += "; large messages are copied twice: " + refused;
  } else if (!config.flag("TERN_SHM_SINGLE_COPY")) {
    detail += "; large messages are copied twice: TERN_SHM_SINGLE_COPY turns single copies off";
  } else {
    detail += "; large messages in a single copy (process_vm_readv, process_vm_writev)";
  }
  return {std::string(kShm), true, detail};
}

}  // namespace

int add_fabrics(Engine& engine, const Config& config, const HostIdentity& host) {
  int error = MPI_SUCCESS;
  for_each_name(config.text("TERN_FABRIC"), [&](std::string_view name) {
    if (error != MPI_SUCCESS) return;
    if (name != kShm) {
      error =
          fail(MPI_ERR_OTHER,
               "TERN_FABRIC names `{}`, which is no fabric of this build; allowed: {}", name, kShm);
      return;
    }
    std::string why;
    auto fabric =
        shm::ShmFabric::create(engine.self(), host, {config.flag("TERN_SHM_SINGLE_COPY")}, why);
    if (fabric == nullptr) {
      error = fail(MPI_ERR_OTHER, "shared memory cannot be used: {}", why);
    } else {
      engine.add_fabric(std::move(fabric));
    }
  });
  return error;
}

std::vector<FabricReport> report_fabrics(const Config& config) { return {report_shm(config)}; }

}  // namespace tern::mpi
