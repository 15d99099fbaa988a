// verbs/cm.cc - see cm.h.
#include "verbs/cm.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <utility>

#include "core/format.h"

namespace tern::verbs {
namespace {

constexpr int kResolveMs = 2000;
constexpr int kBacklog = 1024;

constexpr std::array<std::uint8_t, 12> kIpv4Prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_ipv4(const std::uint8_t* ip) { return std::memcmp(ip, kIpv4Prefix.data(), 12) == 0; }

// What a search says about itself. The listener answers those that mean its queue pair; another
// process may have taken over the port of one that has ended.
struct Wish {
  std::uint32_t magic;
  std::uint32_t qp_number;
};
constexpr std::uint32_t kWishMagic = 0x7465726d;

struct SocketAddress {
  explicit SocketAddress(const CmAddress& from) {
    if (is_ipv4(from.ip.data())) {
      auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
      v4.sin_family = AF_INET;
      v4.sin_port = htons(from.port);
      std::memcpy(&v4.sin_addr, from.ip.data() + kIpv4Prefix.size(), sizeof v4.sin_addr);
    } else {
      auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(from.port);
      std::memcpy(&v6.sin6_addr, from.ip.data(), sizeof v6.sin6_addr);
    }
  }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  sockaddr_storage storage = {};
};

// The network interface of an address of the port; empty when the kernel names none.
std::string interface_of(const Port& port) {
  const std::string device = "/sys/class/infiniband/" + port.device_name();
  const std::string attribute =
      format("{}/ports/{}/gid_attrs/ndevs/{}", device, port.number(), port.gid_index());
  char name[IF_NAMESIZE] = "";
  if (FILE* const file = std::fopen(attribute.c_str(), "re")) {
    if (std::fgets(name, sizeof name, file) == nullptr) name[0] = 0;
    std::fclose(file);
    name[std::strcspn(name, "\n")] = 0;
  }
  if (name[0] != 0) return name;
  std::string found;
  if (DIR* const folder = opendir((device + "/device/net").c_str())) {
    while (const dirent* const entry = readdir(folder)) {
      if (entry->d_name[0] != '.' && found.empty()) found = entry->d_name;
    }
    closedir(folder);
  }
  return found;
}

// Of a network interface: IPv4 before an IPv6 address that leads off its link.
bool address_of_interface(const std::string& name, CmAddress& address) {
  ifaddrs* all = nullptr;
  if (name.empty() || getifaddrs(&all) != 0) return false;
  int best = 0;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || name != one->ifa_name) continue;
    if (one->ifa_addr->sa_family == AF_INET && best < 2) {
      sockaddr_in v4{};
      std::memcpy(&v4, one->ifa_addr, sizeof v4);
      std::copy(kIpv4Prefix.begin(), kIpv4Prefix.end(), address.ip.begin());
      std::memcpy(address.ip.data() + kIpv4Prefix.size(), &v4.sin_addr, sizeof v4.sin_addr);
      best = 2;
    } else if (one->ifa_addr->sa_family == AF_INET6 && best < 1) {
      sockaddr_in6 v6{};
      std::memcpy(&v6, one->ifa_addr, sizeof v6);
      if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr)) continue;
      std::memcpy(address.ip.data(), &v6.sin6_addr, address.ip.size());
      best = 1;
    }
  }
  freeifaddrs(all);
  return best > 0;
}

}  // namespace

std::string CmAddress::encode() const {
  std::string text;
  for (const std::uint8_t byte : ip) text += format("{:02x}", byte);
  return text + format(".{:x}", port);
}

bool CmAddress::decode(std::string_view text, CmAddress& address) {
  const auto parse = [](std::string_view digits, auto& value) {
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    return error == std::errc() && end == digits.data() + digits.size();
  };
  const std::size_t digits = 2 * address.ip.size();
  if (text.size() <= digits || text[digits] != '.') return false;
  for (std::size_t i = 0; i < address.ip.size(); ++i) {
    if (!parse(text.substr(2 * i, 2), address.ip[i])) return false;
  }
  return parse(text.substr(digits + 1), address.port) && address.port != 0;
}

std::string CmAddress::text() const {
  char name[INET6_ADDRSTRLEN] = "?";
  const bool v4 = is_ipv4(ip.data());
  inet_ntop(v4 ? AF_INET : AF_INET6, ip.data() + (v4 ? kIpv4Prefix.size() : 0), name, sizeof name);
  return name;
}

bool find_ip_address(const Port& port, CmAddress& address) {
  address = {};
  if (port.address().ethernet && is_ipv4(port.address().gid.raw)) {
    std::copy(std::begin(port.address().gid.raw), std::end(port.address().gid.raw),
              address.ip.begin());
    return true;
  }
  return address_of_interface(interface_of(port), address);
}

std::unique_ptr<PathFinder> PathFinder::create(const CmTable& table, const Port& port,
                                               std::uint32_t qp_number, std::string& why) {
  std::unique_ptr<PathFinder> finder(new PathFinder(table, qp_number));
  if (!finder->listen(port, why)) finder.reset();
  return finder;
}

bool PathFinder::listen(const Port& port, std::string& why) {
  const auto failed = [&](std::string_view what) {
    why = format("TERN_VERBS_CM=rdmacm: {} failed on {} ({}); TERN_VERBS_CM=ud does without it",
                 what, port.text(), std::strerror(errno));
    return false;
  };
  if (!find_ip_address(port, address_)) {
    why = format(
        "TERN_VERBS_CM=rdmacm needs an IP address, and the network interface of {} has none; give "
        "it one, or leave TERN_VERBS_CM at ud",
        port.text());
    return false;
  }
  channel_ = table_.create_event_channel();
  if (channel_ == nullptr) {
    return failed("making an event channel (is the kernel module rdma_ucm loaded?)");
  }
  fcntl(channel_->fd, F_SETFL, O_NONBLOCK);
  if (table_.create_id(channel_, &listener_, nullptr, RDMA_PS_UDP) != 0) {
    listener_ = nullptr;
    return failed("making an identifier");
  }
  SocketAddress here(address_);
  if (table_.bind_addr(listener_, here.get()) != 0) {
    return failed(format("binding to {}", address_.text()));
  }
  if (table_.listen(listener_, kBacklog) != 0) {
    return failed(format("listening on {}", address_.text()));
  }
  address_.port = ntohs(table_.get_src_port(listener_));
  return true;
}

PathFinder::~PathFinder() {
  for (const auto& [address, search] : searches_) {
    if (search.id != nullptr) table_.destroy_id(search.id);
  }
  if (listener_ != nullptr) table_.destroy_id(listener_);
  if (channel_ != nullptr) table_.destroy_event_channel(channel_);
}

const Path* PathFinder::known(const CmAddress& to) const {
  const auto found = searches_.find(to);
  return found != searches_.end() && found->second.id == nullptr ? &found->second.path : nullptr;
}

const Path* PathFinder::find(const CmAddress& to, std::uint32_t qp_number) {
  const auto [place, is_new] = searches_.try_emplace(to);
  Search& search = place->second;
  if (!is_new)
    return search.id == nullptr && search.qp_number == qp_number ? &search.path : nullptr;
  search.qp_number = qp_number;
  if (table_.create_id(channel_, &search.id, nullptr, RDMA_PS_UDP) != 0) {
    search.id = nullptr;
    fail(place, "an identifier cannot be had", errno);
    return nullptr;
  }
  SocketAddress there(to);
  CmAddress own = address_;
  own.port = 0;
  SocketAddress here(own);
  if (table_.resolve_addr(search.id, here.get(), there.get(), kResolveMs) != 0) {
    table_.destroy_id(search.id);
    fail(place, "the address cannot be resolved", errno);
  }
  return nullptr;
}

// Precondition: its identifier is destroyed.
void PathFinder::fail(Searches::iterator search, std::string_view what, int error) {
  problem_ = format("librdmacm finds no way to {}: {}{}", search->first.text(), what,
                    error != 0 ? format(" ({})", std::strerror(error)) : std::string());
  searches_.erase(search);
}

bool PathFinder::poll() {
  bool found = false;
  rdma_cm_event* event = nullptr;
  while (table_.get_cm_event(channel_, &event) == 0) {
    rdma_cm_id* over = nullptr;  // Destroying an identifier waits for its events.
    found = handle(*event, over) || found;
    table_.ack_cm_event(event);
    if (over != nullptr) table_.destroy_id(over);
  }
  return found;
}

bool PathFinder::handle(const rdma_cm_event& event, rdma_cm_id*& over) {
  if (event.event == RDMA_CM_EVENT_CONNECT_REQUEST) {
    answer(*event.id, event);
    over = event.id;
    return false;
  }
  if (event.id == listener_) {
    if (event.event == RDMA_CM_EVENT_DEVICE_REMOVAL) {
      over = std::exchange(listener_, nullptr);  // The kernel waits for that.
      problem_ = "librdmacm says that the device was removed";
    }
    return false;
  }
  const auto search = std::ranges::find_if(
      searches_, [&](const auto& entry) { return entry.second.id == event.id; });
  return search != searches_.end() && advance(search, event, over);
}

// The next step of a search; true when it was the last.
bool PathFinder::advance(Searches::iterator search, const rdma_cm_event& event, rdma_cm_id*& over) {
  const auto over_with = [&](std::string_view what, int error) {
    over = event.id;
    fail(search, what, error);
    return false;
  };
  switch (event.event) {
    case RDMA_CM_EVENT_ADDR_RESOLVED:
      if (table_.resolve_route(event.id, kResolveMs) == 0) return false;
      return over_with("the route cannot be resolved", errno);
    case RDMA_CM_EVENT_ROUTE_RESOLVED: {
      const Wish wish{kWishMagic, search->second.qp_number};
      rdma_conn_param ask{};
      ask.private_data = &wish;
      ask.private_data_len = sizeof wish;
      if (table_.connect(event.id, &ask) == 0) return false;
      return over_with("the process there cannot be asked", errno);
    }
    case RDMA_CM_EVENT_ESTABLISHED: {
      if (event.param.ud.qp_num != search->second.qp_number) {
        return over_with("another process answers there", 0);
      }
      const ibv_ah_attr& way = event.param.ud.ah_attr;
      search->second.path = {way.sl, way.grh.traffic_class, way.grh.hop_limit};
      search->second.id = nullptr;
      over = event.id;
      problem_.clear();
      return true;
    }
    case RDMA_CM_EVENT_CONNECT_RESPONSE:
      return false;
    default:
      // Negative: an error number. Positive: what the other side's connection manager says.
      return over_with(format("{}{}", table_.event_str(event.event),
                              event.status > 0 ? format(", status {}", event.status) : ""),
                       event.status < 0 ? -event.status : 0);
  }
}

void PathFinder::answer(rdma_cm_id& id, const rdma_cm_event& event) {
  Wish wish{};
  if (event.param.ud.private_data != nullptr && event.param.ud.private_data_len >= sizeof wish) {
    std::memcpy(&wish, event.param.ud.private_data, sizeof wish);
  }
  if (wish.magic != kWishMagic || wish.qp_number != qp_number_) {
    (void)table_.reject(&id, nullptr, 0);
    return;
  }
  rdma_conn_param answer{};
  answer.qp_num = qp_number_;
  (void)table_.accept(&id, &answer);  // Who gets no answer asks again.
}

void PathFinder::forget() {
  std::erase_if(searches_, [](const auto& entry) { return entry.second.id == nullptr; });
}

}  // namespace tern::verbs
