// ucx/worker.cc - opening UCX; see worker.h.
#include "ucx/worker.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <filesystem>
#include <set>
#include <system_error>

#include "core/format.h"
#include "ucx/address.h"

namespace tern::ucx {
namespace {

// Inside a host Tern has its own shared memory. Whatever networks there are may be used.
constexpr char kTransports[] = "^shm,self";
// Where memory may not be locked RDMA devices are of no use, and UCX 1.13 tries for ever.
constexpr char kTransportsWithoutLocking[] = "tcp";
constexpr rlim_t kLockedBytesMin = rlim_t{64} << 20;
// A longer one does not fit a business card beside the other fabrics' addresses.
constexpr std::size_t kAddressBytesMax = 300;

const char* default_transports() {
  rlimit limit{};
  // Being root does not tell: in a container it is bound by the limit, too.
  const bool may_lock = getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur >= kLockedBytesMin;
  return may_lock ? kTransports : kTransportsWithoutLocking;
}

bool has_rdma_devices() {
  std::error_code error;
  const std::filesystem::directory_iterator first("/sys/class/infiniband", error);
  return !error && first != std::filesystem::directory_iterator();
}

// All interfaces that lead out of this host, as UCX lists devices; empty when none is known. Where
// UCX has TCP alone they are all it needs, and the loopback's place in the address would keep it
// from fitting into the name of a port. What goes to this host itself takes any of them.
std::string outward_interfaces() {
  constexpr unsigned kUsable = IFF_UP | IFF_RUNNING;
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return {};
  std::set<std::string> names;
  for (const ifaddrs* each = first; each != nullptr; each = each->ifa_next) {
    // UCX 1.13 speaks IPv4 only.
    const bool has_address = each->ifa_addr != nullptr && each->ifa_addr->sa_family == AF_INET;
    if (has_address && (each->ifa_flags & (kUsable | IFF_LOOPBACK)) == kUsable) {
      names.insert(each->ifa_name);
    }
  }
  freeifaddrs(first);
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ",") + name;
  return list;
}

}  // namespace

std::unique_ptr<Worker> Worker::open(const UcpTable& table, const WorkerOptions& options,
                                     std::string& why) {
  std::unique_ptr<Worker> worker(new Worker(table, options));
  if (!worker->make_context(options, why) || !worker->make_worker(why) ||
      !worker->read_address(why)) {
    worker.reset();
  }
  return worker;
}

std::string Worker::reason(const char* what, ucs_status_t status) const {
  return format("UCX cannot {} ({})", what, table_.status_string(status));
}

bool Worker::make_context(const WorkerOptions& options, std::string& why) {
  ucp_config_t* config = nullptr;
  ucs_status_t status = table_.config_read(nullptr, nullptr, &config);
  if (status != UCS_OK) {
    why = reason("read its configuration (its UCX_ variables)", status);
    return false;
  }
  // What the user has told UCX himself stays. Settings that a release of UCX does not know have no
  // effect there.
  const auto set = [&](const char* name, const std::string& value) {
    if (!user_has_set(name)) (void)table_.config_modify(config, name, value.c_str());
  };
  const std::string transports =
      options.transports.empty() ? default_transports() : options.transports;
  set("TLS", transports);
  const bool tcp_alone = transports == "tcp" || !has_rdma_devices();
  const std::string devices =
      options.devices.empty() && tcp_alone ? outward_interfaces() : options.devices;
  if (!devices.empty()) set("NET_DEVICES", devices);
  set("KEEPALIVE_INTERVAL", format("{}s", patience_.interval_s));
  // connect() must not wait for a host that is down; for the interval see sockets.h. UCX 1.13 wants
  // the names of transports' settings without the transport's, later releases may want them with
  // it.
  for (const std::string prefix : {"", "TCP_"}) {
    if (user_has_set("TCP_CONN_NB") || user_has_set("TCP_KEEPINTVL")) break;
    (void)table_.config_modify(config, (prefix + "CONN_NB").c_str(), "y");
    (void)table_.config_modify(config, (prefix + "KEEPINTVL").c_str(),
                               format("{}s", patience_.interval_s).c_str());
  }
  set("WARN_INVALID_CONFIG", "n");

  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_NAME;
  params.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
  params.name = "tern";
  status = table_.init_version(UCP_API_MAJOR, UCP_API_MINOR, &params, config, &context_);
  table_.config_release(config);
  if (status == UCS_OK) return true;
  context_ = nullptr;
  why = reason("find a network to use", status);
  why +=
      "; `ucx_info -d` lists those of this machine, TERN_UCX_TLS and TERN_UCX_NET_DEVICES choose";
  return false;
}

bool Worker::make_worker(std::string& why) {
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE | UCP_WORKER_PARAM_FIELD_FLAGS;
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  params.flags = UCP_WORKER_FLAG_IGNORE_REQUEST_LEAK;
  ucs_status_t status = table_.worker_create(context_, &params, &worker_);
  if (status != UCS_OK) {
    worker_ = nullptr;
    why = reason("make a worker", status);
    return false;
  }
  sockets_.learn_listeners();
  status = table_.worker_get_efd(worker_, &event_fd_);
  if (status != UCS_OK) why = reason("tell when messages arrive", status);
  return status == UCS_OK;
}

bool Worker::read_address(std::string& why) {
  ucp_worker_attr_t attributes{};
  attributes.field_mask = UCP_WORKER_ATTR_FIELD_ADDRESS | UCP_WORKER_ATTR_FIELD_ADDRESS_FLAGS;
  attributes.address_flags = UCP_WORKER_ADDRESS_FLAG_NET_ONLY;
  const ucs_status_t status = table_.worker_query(worker_, &attributes);
  if (status != UCS_OK) {
    why = reason("tell its address", status);
    return false;
  }
  const std::size_t size = attributes.address_length;
  if (size <= kAddressBytesMax) {
    address_ = encode_address(
        std::as_bytes(std::span(reinterpret_cast<const char*>(attributes.address), size)));
  }
  table_.release_address(worker_, attributes.address);
  if (!address_.empty()) return true;
  why = format(
      "UCX's address has {} bytes, more than the {} that a business card has room for: too many "
      "network devices; choose some by TERN_UCX_NET_DEVICES",
      size, kAddressBytesMax);
  return false;
}

Worker::~Worker() {
  if (worker_ != nullptr) table_.worker_destroy(worker_);
  if (context_ != nullptr) table_.cleanup(context_);
}

}  // namespace tern::ucx
