// spawn/hosts.h - the host options: which hosts, with how many slots each.
//
// Lists and files in the syntaxes of MPICH and Open MPI. Asks no name service: whether a host is
// this one is decided by the kernel's own names and addresses. Failure: a Problem that names the
// entry, and the line of a file.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "spawn/problem.h"

namespace tern::spawn {

struct HostSlots {
  std::string name;
  int slots = 0;
};

// In the order in which they were named first.
struct HostList {
  std::vector<HostSlots> hosts;

  // Of all hosts together; 0: no hosts were named.
  int slots() const;
  // Also when no hosts were named.
  bool only_this_host() const;
};

// True for localhost, the loop-back addresses, this machine's name (short or full) and addresses.
bool is_this_host(std::string_view name);

// This machine's name, for messages.
std::string host_name();

// "a,b:4": adds the slots to the list (a host without a number adds one).
Problem read_host_list(std::string_view list, HostList& hosts);
// A file of lines "host", "host:4" or "host slots=4 max_slots=8"; '#' starts a comment.
Problem read_host_file(const std::string& path, HostList& hosts);

}  // namespace tern::spawn
