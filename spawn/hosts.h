// spawn/hosts.h - the host options of a launcher that serves one machine.
//
// Lists and files of hosts are accepted when they name only this machine; anything else is refused
// with a sentence. Asks no name service: names are compared with the kernel's own.
#pragma once
#include <string>
#include <string_view>

#include "spawn/problem.h"

namespace tern::spawn {

// True for localhost, the loop-back addresses, this machine's name (short or full) and addresses.
bool is_this_host(std::string_view name);

// This machine's name, for messages.
std::string host_name();

// "a,b:4": adds the slots to `slots` (a host without a number adds one).
Problem read_host_list(std::string_view list, int& slots);
// A file of lines "host", "host:4" or "host slots=4 max_slots=8"; '#' starts a comment.
Problem read_host_file(const std::string& path, int& slots);

}  // namespace tern::spawn
