// mpi_api/fabrics.cc - the only file of the MPI layer that names concrete fabrics; see fabrics.h.
#include "mpi_api/fabrics.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "core/format.h"
#include "mpi_api/errors.h"
#include "shm/fabric.h"
#include "shm/probe.h"
#include "ucx/fabric.h"
#include "verbs/fabric.h"

namespace tern::mpi {
namespace {

constexpr std::string_view kShm = "shm";
constexpr std::string_view kVerbs = "verbs";
constexpr std::string_view kUcx = "ucx";
constexpr std::array kFabrics = {kShm, kVerbs, kUcx};  // Of this build.

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

// What no other value than those that are allowed can be taken for.
bool read_rendezvous(const Config& config, verbs::VerbsOptions& options, std::string& why) {
  const std::string_view text = config.text("TERN_VERBS_RENDEZVOUS");
  if (text == "write") options.rendezvous = verbs::Rendezvous::kWrite;
  if (text == "read" || text == "write") return true;
  why = format("TERN_VERBS_RENDEZVOUS is `{}`; it may be read or write", text);
  return false;
}

// False with a sentence in `why` when what TERN_VERBS_CM asks for cannot be had.
bool choose_cm(const Config& config, verbs::VerbsOptions& options, std::string& why) {
  const std::string_view wish = config.text("TERN_VERBS_CM");
  if (wish == "ud") return true;
  if (wish == "rdmacm") {
    options.cm = verbs::load_rdmacm(why);
    return options.cm != nullptr;
  }
  why = format("TERN_VERBS_CM is `{}`; allowed: ud, rdmacm", wish);
  return false;
}

verbs::VerbsOptions verbs_options(const Config& config) {
  verbs::VerbsOptions options;
  options.port.devices = config.text("TERN_VERBS_DEVICES");
  const std::string_view index = config.text("TERN_VERBS_GID_INDEX");
  std::from_chars(index.data(), index.data() + index.size(), options.port.gid_index);
  options.connect_thread = config.flag("TERN_CONNECT_THREAD");
  options.peer_timeout_s = static_cast<double>(config.number("TERN_PEER_TIMEOUT"));
  options.connections_max = config.number("TERN_MAX_CONNECTIONS");
  options.registration.hooks = config.flag("TERN_REGISTRATION_CACHE");
  options.registration.bytes_max = config.number("TERN_REGISTRATION_MAX");
  options.registration.self_check = config.flag("TERN_REGISTRATION_CHECK");
  return options;
}

std::unique_ptr<verbs::VerbsFabric> make_verbs(const ProcessId& self, const Config& config,
                                               std::string& why) {
  const verbs::IbvTable* const table = verbs::load_ibv(why);
  verbs::VerbsOptions options = verbs_options(config);
  if (table == nullptr || !read_rendezvous(config, options, why) ||
      !choose_cm(config, options, why)) {
    return nullptr;
  }
  return verbs::VerbsFabric::create(*table, self, options, why);
}

std::string names_of_build() {
  std::string text;
  for (const std::string_view name : kFabrics)
    text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

FabricReport report_verbs(const Config& config) {
  std::string why;
  const auto fabric = make_verbs({}, config, why);
  if (fabric == nullptr) return {std::string(kVerbs), false, why};
  if (!lists(config, kVerbs)) {
    return {std::string(kVerbs), false,
            format("TERN_FABRIC does not list it; {} could be used", fabric->port().text())};
  }
  return {std::string(kVerbs), true,
          "RDMA between hosts: " + fabric->port().text() + fabric->second_port_text()};
}

// Beside verbs it is for hosts without RDMA devices, and need not open ours a second time.
std::unique_ptr<ucx::UcxFabric> make_ucx(const ProcessId& self, const Config& config,
                                         bool beside_verbs, std::string& why) {
  const ucx::UcpTable* const table = ucx::load_ucp(why);
  if (table == nullptr) return nullptr;
  ucx::UcxOptions options;
  options.worker.transports = config.text("TERN_UCX_TLS");
  if (options.worker.transports.empty() && beside_verbs) options.worker.transports = "tcp";
  options.worker.devices = config.text("TERN_UCX_NET_DEVICES");
  options.worker.peer_timeout_s = static_cast<double>(config.number("TERN_PEER_TIMEOUT"));
  options.thread = config.flag("TERN_CONNECT_THREAD");
  return ucx::UcxFabric::create(*table, self, options, why);
}

FabricReport report_ucx(const Config& config) {
  std::string why;
  const auto fabric = make_ucx({}, config, false, why);
  if (fabric == nullptr) return {std::string(kUcx), false, why};
  if (!lists(config, kUcx)) {
    return {std::string(kUcx), false,
            format("TERN_FABRIC does not list it; {} could be used", fabric->text())};
  }
  return {std::string(kUcx), true, fabric->text()};
}

}  // namespace

bool FabricSet::add(Engine& engine, const HostIdentity& host, std::string_view name) {
  std::string why;
  std::unique_ptr<Fabric> fabric;
  if (name == kShm) {
    const bool crowded = engine.wait_state().policy.spin_us == 0;
    const shm::ShmOptions options{config_.flag("TERN_SHM_SINGLE_COPY"), !crowded};
    auto shm = shm::ShmFabric::create(engine.self(), host, options, why);
    shm_ = shm.get();
    fabric = std::move(shm);
  } else if (name == kVerbs) {
    fabric = make_verbs(engine.self(), config_, why);
  } else {
    fabric = make_ucx(engine.self(), config_, std::ranges::count(open_, kVerbs) > 0, why);
  }
  if (fabric == nullptr) {
    refused_.push_back({name, why});
    return false;
  }
  open_.push_back(name);
  engine.add_fabric(std::move(fabric));
  return true;
}

bool FabricSet::can_make_lanes() const { return shm_ != nullptr && open_.front() == kShm; }

void FabricSet::open_lanes(unsigned count) {
  static_assert(kLanesMax < shm::kLanes);
  shm_->open_lanes(count);
}

std::unique_ptr<Fabric> FabricSet::make_lane(unsigned number) const {
  return shm_->make_lane(number);
}

int FabricSet::open(Engine& engine, const HostIdentity& host, bool one_host) {
  int error = MPI_SUCCESS;
  for_each_name(config_.text("TERN_FABRIC"), [&](std::string_view listed) {
    if (error != MPI_SUCCESS) return;
    const auto* const name = std::ranges::find(kFabrics, listed);
    if (name == kFabrics.end()) {
      error = fail(MPI_ERR_OTHER,
                   "TERN_FABRIC names `{}`, which is no fabric of this build; allowed: {}", listed,
                   names_of_build());
    } else if (one_host && *name != kShm && std::ranges::count(open_, kShm) > 0) {
      waiting_.push_back(*name);
    } else {
      add(engine, host, *name);
    }
  });
  if (error == MPI_SUCCESS && open_.empty()) {
    error = fail(MPI_ERR_OTHER, "no fabric of TERN_FABRIC can be used here ({})", reasons());
  }
  engine.set_absent_fabrics(reasons());
  return error;
}

void FabricSet::open_rest(Engine& engine) {
  if (waiting_.empty()) return;
  const HostIdentity host = engine.own_card().host;
  for (const std::string_view name : std::exchange(waiting_, {})) add(engine, host, name);
  engine.show_card();
  engine.set_absent_fabrics(reasons());
}

// Why those of this build that are not open are not.
std::string FabricSet::reasons() const {
  std::string text;
  for (const std::string_view name : kFabrics) {
    if (std::ranges::count(open_, name) > 0) continue;
    std::string why = "TERN_FABRIC does not list it";
    if (std::ranges::count(waiting_, name) > 0) {
      why = "not opened, as the job is on one host; listed before shm it would be";
    }
    for (const Absent& refused : refused_) {
      if (refused.name == name) why = refused.why;
    }
    text += format("{}{}: {}", text.empty() ? "" : "; ", name, why);
  }
  return text;
}

std::vector<FabricReport> report_fabrics(const Config& config) {
  return {report_shm(config), report_verbs(config), report_ucx(config)};
}

}  // namespace tern::mpi
