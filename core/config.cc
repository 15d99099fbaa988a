// core/config.cc - the table of variables and its reading; see config.h.
#include "core/config.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/check.h"
#include "core/format.h"
#include "core/nearest.h"

namespace tern {
namespace {

using Kind = Variable::Kind;

constexpr Variable kVariables[] = {
    {"TERN_CHECKS", Kind::kBool, "1",
     "Check the arguments of every MPI call; 0 trusts the program and saves a few nanoseconds."},
    {"TERN_FABRIC", Kind::kText, "shm,verbs,ucx",
     "Fabrics that may be used, in order of preference, separated by commas: shm, verbs, ucx. One "
     "that this machine lacks is left out."},
    {"TERN_EAGER_MAX", Kind::kBytes, "0",
     "Longest message (bytes) that is sent before its receive is known; 0: each fabric's own "
     "choice."},
    {"TERN_SHM_SINGLE_COPY", Kind::kBool, "1",
     "Copy large messages straight between processes of a host (process_vm_readv) where allowed."},
    {"TERN_VERBS_DEVICES", Kind::kText, "",
     "RDMA devices that may be used, in order of preference, separated by commas, each with or "
     "without a port: mlx5_0,mlx5_1:2; empty: any one. A second one that works takes a part of "
     "large messages."},
    {"TERN_VERBS_GID_INDEX", Kind::kText, "auto",
     "Index of the port's address (GID) to use; auto: by rule (RoCE v2 before v1, routable before "
     "link-local)."},
    {"TERN_VERBS_RENDEZVOUS", Kind::kText, "read",
     "Who moves large messages over RDMA: read, their receiver, where the device offers that; "
     "write, their sender."},
    {"TERN_VERBS_CM", Kind::kText, "ud",
     "How processes find the way to each other over verbs: ud, with the addresses of their "
     "business "
     "cards; or rdmacm, asking librdmacm, for networks that choose paths (service levels, "
     "priorities)."},
    {"TERN_UCX_TLS", Kind::kText, "",
     "UCX transports that the fabric ucx may use, in UCX's syntax: tcp, or ^ud; empty: all but "
     "those inside a host. A UCX_TLS in the environment goes before."},
    {"TERN_UCX_NET_DEVICES", Kind::kText, "",
     "Network devices that UCX may use, separated by commas: eth0,mlx5_0:1; empty: all, or those "
     "of UCX_NET_DEVICES."},
    {"TERN_CONNECT_THREAD", Kind::kBool, "1",
     "Answer connection requests of other hosts while the program computes, by a thread that "
     "sleeps "
     "otherwise."},
    {"TERN_PEER_TIMEOUT", Kind::kNumber, "60",
     "Seconds without any answer after which a process on another host is given up."},
    {"TERN_MAX_CONNECTIONS", Kind::kNumber, "0",
     "Connections over a network that a process holds at a time; the least recently used one is "
     "closed for another. 0: as many as there are peers."},
    {"TERN_PRECONNECT", Kind::kText, "none",
     "Connections made in MPI_Init, before they are needed: all pairs of ranks; neighbors:K, the K "
     "ranks on either side; nodes, one rank of each host with those of the others and each with "
     "the one of its host; file:PATH, the pairs that TERN_CONNECTIONS_OUT has written; or none."},
    {"TERN_REGISTRATION_CACHE", Kind::kBool, "1",
     "Keep the memory of large messages registered with RDMA devices between uses, as long as the "
     "process's memory can be watched (UCX's memory hooks); 0: register for each message."},
    {"TERN_REGISTRATION_MAX", Kind::kBytes, "1g",
     "Memory that is kept registered at most; what was used least recently goes first."},
    {"TERN_REGISTRATION_CHECK", Kind::kBool, "0",
     "Compare memory that is registered already with what is at its address now, and say so when "
     "it is not the same; needs CAP_SYS_ADMIN."},
    {"TERN_REPORT", Kind::kBool, "0",
     "Print at MPI_Finalize, once per job, which fabric each pair of ranks used, why it was no "
     "other one, and what went over it."},
    {"TERN_CONNECTIONS_OUT", Kind::kText, "",
     "File to which rank 0 writes at MPI_Finalize which pairs of ranks have exchanged messages, "
     "for TERN_PRECONNECT=file:PATH."},
    {"TERN_SPIN_US", Kind::kText, "auto",
     "Microseconds that a waiting rank polls before it yields its core; auto: 200, 0 when the "
     "host has more ranks than cores, and 500 once it is connected over soft-RoCE."},
    {"TERN_YIELD_US", Kind::kText, "auto",
     "Microseconds that it then yields between polls before it sleeps until a message wakes it; "
     "auto: 2000, 1000 when the host has more ranks than cores, and 20000 once it is "
     "connected over soft-RoCE."},
    {"TERN_LANES", Kind::kNumber, "8",
     "How many communicators of one host can be used at the same time by threads of a process "
     "under "
     "MPI_THREAD_MULTIPLE, 8 at most; others share. 0: one thread at a time is inside the library. "
     "All ranks need the same."},
    {"TERN_CONNECT_TIMEOUT", Kind::kText, "180",
     "Seconds that MPI_Comm_connect waits for a server that lives but does not accept."},
    {"TERN_NAME_DIR", Kind::kText, "",
     "Directory of published names (default: one of this user on this host); on a file system that "
     "hosts share, names are seen from all of them."},
    {"TERN_VERBOSE", Kind::kNumber, "0",
     "1: mention what had no effect, such as unknown info keys."},
    {"TERN_WARNINGS", Kind::kBool, "1", "Print warnings about the configuration on rank 0."},
    {"TERN_COLL_FILE", Kind::kText, "",
     "File of algorithms of collectives: lines `COLLECTIVE RANKS BYTES ALGORITHM`, of which the "
     "first that fits decides; RANKS and BYTES are upper bounds or *. All ranks need the same."},
    {"TERN_COLL_", Kind::kText, "",
     "TERN_COLL_<OPERATION>=algorithm forces an algorithm of a collective; tern-info collectives "
     "lists "
     "them."},
    {"TERN_CC", Kind::kText, "", "C compiler that mpicc calls."},
    {"TERN_CXX", Kind::kText, "", "C++ compiler that mpicxx calls."},
    {"TERN_WRAPPER_", Kind::kText, "", "Options of the compiler wrappers; see mpicc -help."},
    {"TERN_JOB_", Kind::kText, "", "What mpiexec tells its ranks.", true},
    {"TERN_TEST_", Kind::kText, "", "Used by Tern's own tests.", true},
};

// A table name that ends in '_' stands for all names that begin with it.
bool is_prefix(const Variable& variable) { return variable.name.ends_with('_'); }

const Variable* find_variable(std::string_view name) {
  for (const Variable& variable : kVariables) {
    if (is_prefix(variable) ? name.starts_with(variable.name) : name == variable.name) {
      return &variable;
    }
  }
  return nullptr;
}

bool parse_bool(std::string_view text, bool& value) {
  constexpr std::array<std::string_view, 4> kYes = {"1", "yes", "true", "on"};
  constexpr std::array<std::string_view, 4> kNo = {"0", "no", "false", "off"};
  value = std::find(kYes.begin(), kYes.end(), text) != kYes.end();
  return value || std::find(kNo.begin(), kNo.end(), text) != kNo.end();
}

std::string_view allowed(Kind kind) {
  switch (kind) {
    case Kind::kBool:
      return "0 or 1";
    case Kind::kBytes:
      return "a number of bytes such as 65536 or 64k";
    case Kind::kNumber:
      return "a whole number";
    case Kind::kText:
      break;
  }
  return "text";
}

bool is_valid(Kind kind, std::string_view value) {
  bool flag = false;
  std::uint64_t number = 0;
  switch (kind) {
    case Kind::kBool:
      return parse_bool(value, flag);
    case Kind::kBytes:
    case Kind::kNumber:
      return parse_bytes(value, number);
    case Kind::kText:
      break;
  }
  return true;
}

}  // namespace

std::span<const Variable> variables() { return kVariables; }

bool parse_bytes(std::string_view text, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  unsigned shift = 0;
  if (text == "k" || text == "K") shift = 10;
  if (text == "m" || text == "M") shift = 20;
  if (text == "g" || text == "G") shift = 30;
  if (shift == 0 && !text.empty()) return false;
  if (value > (~std::uint64_t{0} >> shift)) return false;
  value <<= shift;
  return true;
}

std::string_view nearest_variable(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Variable& variable : kVariables) {
    if (!variable.internal) names.push_back(variable.name);
  }
  return nearest(name, names, 5);  // Further away it is no typing error.
}

Config Config::read(char const* const* environment, std::vector<std::string>& warnings) {
  Config config;
  for (const Variable& variable : kVariables) {
    if (!is_prefix(variable)) {
      config.settings_.push_back({&variable, std::string(variable.default_text)});
    }
  }
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry(*environment);
    if (!entry.starts_with("TERN_")) continue;
    const std::string_view name = entry.substr(0, entry.find('='));
    const std::string_view value = entry.substr(std::min(entry.size(), name.size() + 1));
    const Variable* const variable = find_variable(name);
    if (variable == nullptr) {
      const std::string_view nearest = nearest_variable(name);
      warnings.push_back(
          format("{} is no variable of Tern's{}{}; `tern-info variables` lists them.", name,
                 nearest.empty() ? "" : ": did you mean ", nearest));
      continue;
    }
    if (is_prefix(*variable)) {
      config.settings_.push_back({variable, std::string(entry), true});
      continue;
    }
    if (!is_valid(variable->kind, value)) {
      warnings.push_back(format("{}={} is not understood (allowed: {}); {} is used.", name, value,
                                allowed(variable->kind), variable->default_text));
      continue;
    }
    for (Setting& setting : config.settings_) {
      if (setting.variable == variable) setting = {variable, std::string(value), true};
    }
  }
  return config;
}

const Config::Setting& Config::find(std::string_view name) const {
  const auto found = std::find_if(settings_.begin(), settings_.end(), [&](const Setting& setting) {
    return setting.variable->name == name;
  });
  CHECK(found != settings_.end());
  return *found;
}

std::string_view Config::text(std::string_view name) const { return find(name).value; }

bool Config::flag(std::string_view name) const {
  bool value = false;
  CHECK(parse_bool(find(name).value, value));
  return value;
}

std::uint64_t Config::number(std::string_view name) const {
  std::uint64_t value = 0;
  CHECK(parse_bytes(find(name).value, value));
  return value;
}

}  // namespace tern
