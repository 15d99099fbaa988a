// spawn/abstract_socket.h - Unix sockets without a file, for two processes of one host that meet
// once. The address is a random name that only they know. Or for many of which one is to do
// something at a time.
#pragma once
#include <string>

namespace tern::spawn {

// A listening socket (non-blocking, close-on-exec) at a new random address; -1 with errno.
int listen_abstract(std::string& address);
// Takes the next one that has connected, as a non-blocking socket; -1 when there is none.
int accept_abstract(int listener);
// -1 with errno.
int connect_abstract(const std::string& address);
// A descriptor that one process of the host has at a time, until it closes it or ends; -1 with
// errno.
int claim_abstract(const std::string& name);

}  // namespace tern::spawn
