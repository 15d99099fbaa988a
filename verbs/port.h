// verbs/port.h - choosing a device, its port and the address on it; the opened device.
//
// Threading: one thread at a time. Failure: a sentence for people.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "verbs/table.h"

namespace tern::verbs {

// Where a port is on its network: what goes into a business card.
struct PortAddress {
  bool ethernet = false;      // RoCE; else InfiniBand.
  std::uint8_t gid_type = 0;  // ibv_gid_type: RoCE v1 and v2 do not understand each other.
  std::uint16_t lid = 0;
  ibv_gid gid = {};
  // "eth.2.0.fe80...": four fields.
  std::string encode() const;
  static bool decode(std::string_view text, PortAddress& address);
  // Names the network: ports of different ones never reach each other. Ports of equal ones may not
  // either: all InfiniBand fabrics that nobody has configured have the same prefix, and RoCE is as
  // far-reaching as its routers. So nothing is sent to a peer before it has answered a datagram.
  std::string network() const;
};

// What a network wants to be said about the way to a port besides where it is.
struct Path {
  std::uint8_t service_level = 0;
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 0;  // 0: as far as usual.
};

struct PortOptions {
  std::string devices;  // TERN_VERBS_DEVICES: "mlx5_0", "mlx5_0:1,mlx5_1:2"; empty: any.
  int gid_index = -1;   // TERN_VERBS_GID_INDEX; -1: by rule.
};

class Port;
// The part of the list of devices that is behind the one by which `port` was opened.
std::string devices_behind(std::string_view devices, const Port& port);

// An open device with the chosen port. Owns the context.
class Port {
 public:
  // The first active port of the permitted devices; nullptr with the reason for each that is not.
  static std::unique_ptr<Port> open(const IbvTable& table, const PortOptions& options,
                                    std::string& why);
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  const IbvTable& table() const { return table_; }
  ibv_context* context() const { return context_; }
  const std::string& device_name() const { return name_; }
  std::uint8_t number() const { return number_; }
  std::uint8_t gid_index() const { return gid_index_; }
  const PortAddress& address() const { return address_; }
  const ibv_port_attr& attributes() const { return attributes_; }
  const ibv_device_attr& device_attributes() const { return device_; }
  // In units of 0.5 Gbit/s, roughly: for shares.
  std::uint32_t speed() const;
  // "device rxe0, port 1 (RoCE v2)"
  std::string text() const;
  // The device was taken away.
  bool is_gone() const;
  // "ACTIVE", "DOWN", ... as of now.
  std::string state_text() const;

  // After trouble with the network: the address may have another place in the device's table now.
  void find_address_again();

  // The way to `remote` for a queue pair or a datagram.
  ibv_ah_attr route_to(const PortAddress& remote, const Path& path) const;

 private:
  Port(const IbvTable& table, ibv_context* context, std::string name);
  bool use_port(std::uint8_t number, const PortOptions& options, std::string& why);
  bool choose_gid(const PortOptions& options, std::string& why);
  std::vector<ibv_gid_entry> addresses() const;

  const IbvTable& table_;
  ibv_context* context_;
  std::string name_;
  std::uint8_t number_ = 0;
  ibv_device_attr device_ = {};
  ibv_port_attr attributes_ = {};
  PortAddress address_;
  std::uint8_t gid_index_ = 0;
  // The address that is made of the hardware's: what reaches the own port without a look-up of
  // neighbours. Equal to the chosen one where there is none.
  ibv_gid local_gid_ = {};
  std::uint8_t local_gid_index_ = 0;
};

std::string_view port_state_name(ibv_port_state state);

}  // namespace tern::verbs
