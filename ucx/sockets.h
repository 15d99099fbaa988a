// ucx/sockets.h - makes the kernel give up TCP connections of UCX on which nothing is acknowledged.
//
// UCX's sockets have no limit of their own: what a host that is cut off does not acknowledge is
// sent again for a quarter of an hour, and the questions for a sign of life (SO_KEEPALIVE) are not
// asked meanwhile. UCX does not show its sockets either. They are known by what worker.cc had them
// ask: nobody else's have the same idle time and interval.
#pragma once
#include "ucx/worker.h"

namespace tern::ucx {

// Looks through the descriptors of this process; returns how many sockets are limited now.
int limit_silence(const Patience& patience);

}  // namespace tern::ucx
