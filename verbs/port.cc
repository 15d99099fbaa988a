// verbs/port.cc - device and port selection; see port.h.
#include "verbs/port.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>
#include <vector>

#include "core/format.h"

namespace tern::verbs {
namespace {

bool is_link_local(const ibv_gid& gid) { return gid.raw[0] == 0xfe && gid.raw[1] == 0x80; }

bool same_gid(const ibv_gid& a, const ibv_gid& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

bool is_zero(const ibv_gid& gid) { return same_gid(gid, ibv_gid{}); }

std::string_view gid_type_name(std::uint32_t type) {
  return type == IBV_GID_TYPE_ROCE_V2   ? "RoCE v2"
         : type == IBV_GID_TYPE_ROCE_V1 ? "RoCE v1"
                                        : "InfiniBand";
}

// One element of TERN_VERBS_DEVICES: a device, and a port of it or 0 for any.
struct Wanted {
  std::string_view device;
  unsigned port = 0;
};

std::vector<Wanted> parse_wanted(std::string_view list) {
  std::vector<Wanted> wanted;
  while (!list.empty()) {
    const std::string_view item = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), item.size() + 1));
    const std::size_t colon = item.find(':');
    Wanted one{item.substr(0, colon)};
    if (colon != std::string_view::npos) {
      std::from_chars(item.data() + colon + 1, item.data() + item.size(), one.port);
    }
    if (!one.device.empty()) wanted.push_back(one);
  }
  return wanted;
}

}  // namespace

std::string devices_behind(std::string_view devices, const Port& port) {
  while (!devices.empty()) {
    const std::string_view item = devices.substr(0, devices.find(','));
    devices.remove_prefix(std::min(devices.size(), item.size() + 1));
    for (const Wanted& one : parse_wanted(item)) {
      if (one.device == port.device_name() && (one.port == 0 || one.port == port.number())) {
        return std::string(devices);
      }
    }
  }
  return {};
}

std::string_view port_state_name(ibv_port_state state) {
  constexpr std::array<std::string_view, 6> kNames = {"no state", "DOWN",   "INIT",
                                                      "ARMED",    "ACTIVE", "ACTIVE_DEFER"};
  const auto index = static_cast<std::size_t>(state);
  return index < kNames.size() ? kNames[index] : "unknown";
}

std::string PortAddress::encode() const {
  std::string text = format("{}.{:x}.{:x}.", ethernet ? "eth" : "ib", gid_type, lid);
  for (const std::uint8_t byte : gid.raw) text += format("{:02x}", byte);
  return text;
}

std::string PortAddress::network() const {
  if (ethernet) return format("roce.{:x}", gid_type);
  std::string text = "ib.";
  constexpr std::size_t kPrefixBytes = 8;
  for (std::size_t i = 0; i < kPrefixBytes; ++i) text += format("{:02x}", gid.raw[i]);
  return text;
}

bool PortAddress::decode(std::string_view text, PortAddress& address) {
  std::array<std::string_view, 4> fields;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::size_t dot = i + 1 < fields.size() ? text.find('.') : text.size();
    if (dot == std::string_view::npos) return false;
    fields[i] = text.substr(0, dot);
    text.remove_prefix(std::min(text.size(), dot + 1));
  }
  const auto parse = [](std::string_view digits, auto& value) {
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    return error == std::errc() && end == digits.data() + digits.size();
  };
  address.ethernet = fields[0] == "eth";
  if (!address.ethernet && fields[0] != "ib") return false;
  if (!parse(fields[1], address.gid_type) || !parse(fields[2], address.lid)) return false;
  if (fields[3].size() != 2 * sizeof address.gid.raw) return false;
  for (std::size_t i = 0; i < sizeof address.gid.raw; ++i) {
    if (!parse(fields[3].substr(2 * i, 2), address.gid.raw[i])) return false;
  }
  return true;
}

Port::Port(const IbvTable& table, ibv_context* context, std::string name)
    : table_(table), context_(context), name_(std::move(name)) {}

Port::~Port() { table_.close_device(context_); }

std::unique_ptr<Port> Port::open(const IbvTable& table, const PortOptions& options,
                                 std::string& why) {
  int count = 0;
  ibv_device** const devices = table.get_device_list(&count);
  if (devices == nullptr || count == 0) {
    why = "the RDMA library finds no device; is the user-space driver (rdma-core) installed?";
    if (devices != nullptr) table.free_device_list(devices);
    return nullptr;
  }
  std::vector<Wanted> wanted = parse_wanted(options.devices);
  const bool any = wanted.empty();
  if (any) {
    for (int i = 0; i < count; ++i) wanted.push_back({table.get_device_name(devices[i])});
  }
  std::unique_ptr<Port> port;
  for (const Wanted& one : wanted) {
    if (port != nullptr) break;
    std::string reason = "there is no such device";
    for (int i = 0; i < count && port == nullptr; ++i) {
      if (one.device != table.get_device_name(devices[i])) continue;
      ibv_context* const context = table.open_device(devices[i]);
      if (context == nullptr) {
        reason = format("it cannot be opened ({}); is /dev/infiniband accessible?",
                        std::strerror(errno));
        continue;
      }
      std::unique_ptr<Port> candidate(new Port(table, context, std::string(one.device)));
      reason.clear();
      if (table.query_device(context, &candidate->device_) != 0) reason = "it cannot be queried";
      const unsigned last = one.port != 0 ? one.port : candidate->device_.phys_port_cnt;
      for (unsigned number = one.port != 0 ? one.port : 1; number <= last; ++number) {
        if (candidate->use_port(static_cast<std::uint8_t>(number), options, reason)) {
          port = std::move(candidate);
          break;
        }
      }
    }
    if (port == nullptr) {
      why += why.empty() ? "" : "; ";
      why += format("{}: {}", one.device, reason);
    }
  }
  table.free_device_list(devices);
  return port;
}

bool Port::use_port(std::uint8_t number, const PortOptions& options, std::string& why) {
  attributes_ = {};
  if (const int error = table_.query_port(context_, number, &attributes_); error != 0) {
    why = format("port {} cannot be queried ({})", number, std::strerror(error));
    return false;
  }
  if (attributes_.state != IBV_PORT_ACTIVE) {
    why = format(
        "port {} is {}, not ACTIVE; check the cable, the switch and, on InfiniBand, the "
        "subnet manager",
        number, port_state_name(attributes_.state));
    return false;
  }
  number_ = number;
  return choose_gid(options, why);
}

// All addresses of the port at once: asking for each place of its table takes thousands of calls.
std::vector<ibv_gid_entry> Port::addresses() const {
  std::vector<ibv_gid_entry> all(static_cast<std::size_t>(std::max(attributes_.gid_tbl_len, 1)) *
                                 std::max<std::size_t>(device_.phys_port_cnt, 1));
  const ssize_t count =
      table_.query_gid_table(context_, all.data(), all.size(), 0, sizeof(ibv_gid_entry));
  all.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  std::erase_if(all, [this](const ibv_gid_entry& entry) {
    return entry.port_num != number_ || is_zero(entry.gid) || entry.gid_index > UINT8_MAX;
  });
  return all;
}

bool Port::choose_gid(const PortOptions& options, std::string& why) {
  address_ = {};
  address_.ethernet = attributes_.link_layer == IBV_LINK_LAYER_ETHERNET;
  address_.lid = attributes_.lid;
  // Routable RoCE v2 before link-local before v1; InfiniBand has the subnet's at index 0.
  int best_rank = -1;
  bool has_local = false;
  for (const ibv_gid_entry& entry : addresses()) {
    const int index = static_cast<int>(entry.gid_index);
    const bool v2 = entry.gid_type == IBV_GID_TYPE_ROCE_V2;
    const bool local = is_link_local(entry.gid);
    int rank = address_.ethernet ? (v2 ? 2 : 0) + (local ? 0 : 1) : (index == 0 ? 1 : 0);
    if (options.gid_index >= 0) rank = index == options.gid_index ? 100 : -1;
    if (rank > best_rank) {
      best_rank = rank;
      gid_index_ = static_cast<std::uint8_t>(index);
      address_.gid = entry.gid;
      address_.gid_type = static_cast<std::uint8_t>(entry.gid_type);
    }
    if (local && !has_local && (v2 || !address_.ethernet)) {
      has_local = true;
      local_gid_ = entry.gid;
      local_gid_index_ = static_cast<std::uint8_t>(index);
    }
  }
  if (best_rank < 0) {
    why = options.gid_index >= 0
              ? format("port {} has no address at TERN_VERBS_GID_INDEX={}", number_,
                       options.gid_index)
              : format(
                    "port {} has no address (GID); does its network interface have an IP "
                    "address?",
                    number_);
    return false;
  }
  if (!has_local || options.gid_index >= 0) {
    local_gid_ = address_.gid;
    local_gid_index_ = gid_index_;
  }
  return true;
}

void Port::find_address_again() {
  // One that is not there (yet) keeps its place.
  for (const ibv_gid_entry& entry : addresses()) {
    const auto index = static_cast<std::uint8_t>(entry.gid_index);
    if (entry.gid_type != address_.gid_type) continue;
    if (same_gid(entry.gid, address_.gid)) gid_index_ = index;
    if (same_gid(entry.gid, local_gid_)) local_gid_index_ = index;
  }
}

std::uint32_t Port::speed() const {
  // As the device encodes them: bits.
  const auto lanes = [width = attributes_.active_width] {
    return width == 16 ? 2U : width == 8 ? 12U : width == 4 ? 8U : width == 2 ? 4U : 1U;
  }();
  const auto per_lane = [speed = attributes_.active_speed] {
    switch (speed) {
      case 128:
        return 200U;
      case 64:
        return 100U;
      case 32:
        return 50U;
      case 16:
        return 28U;
      case 8:
      case 4:
        return 20U;
      case 2:
        return 10U;
      default:
        return 5U;
    }
  }();
  return lanes * per_lane;
}

std::string Port::text() const {
  return format("device {}, port {} ({})", name_, number_,
                address_.ethernet ? gid_type_name(address_.gid_type) : "InfiniBand");
}

bool Port::is_gone() const {
  ibv_port_attr now{};
  return table_.query_port(context_, number_, &now) != 0;
}

std::string Port::state_text() const {
  ibv_port_attr now{};
  if (table_.query_port(context_, number_, &now) != 0) return "gone";
  return std::string(port_state_name(now.state));
}

ibv_ah_attr Port::route_to(const PortAddress& remote, const Path& path) const {
  ibv_ah_attr route{};
  route.port_num = number_;
  route.dlid = remote.lid;
  route.sl = path.service_level;
  // A RoCE port does not find itself as a neighbour; its link-local address needs none.
  const bool own_port = same_gid(remote.gid, address_.gid);
  if (address_.ethernet || remote.lid == 0) {
    route.is_global = 1;
    route.grh.dgid = own_port ? local_gid_ : remote.gid;
    route.grh.sgid_index = own_port ? local_gid_index_ : gid_index_;
    constexpr std::uint8_t kUsualHops = 64;
    route.grh.traffic_class = path.traffic_class;
    route.grh.hop_limit = path.hop_limit != 0 ? path.hop_limit : kUsualHops;
  }
  return route;
}

}  // namespace tern::verbs
