// spawn/launcher_sockets.h - a launcher's way to other hosts: has the kernel give up connections on
// which nothing is acknowledged, and notices programs such as ssh that have failed.
//
// Launchers and ssh wait without end for daemons on a host that is cut off, and mpiexec would wait
// with them. The TCP connections of the launcher and of what it has started here get the limit that
// Tern's own have (TERN_PEER_TIMEOUT), so that the launcher hears of the loss and ends the job.
// Ranks are left alone. Threading: one thread. Failure: where the system does not let a process
// look at the descriptors of its children, connections keep their own limits.
#pragma once
#include <sys/types.h>

namespace tern::spawn {

// For all that there are now. Connections come and go: to be called from time to time.
void limit_launcher_sockets(pid_t launcher, double peer_timeout_s);

// Whether a process that the launcher started has failed and the launcher has not looked at it.
// Hydra does not, and waits for ever for the daemon that ssh did not start.
bool has_failed_child(pid_t launcher);

}  // namespace tern::spawn
