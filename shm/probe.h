// shm/probe.h - trying out what the kernel and the container allow between processes.
#pragma once
#include <string>

namespace tern::shm {

// Empty when one process of this user may copy from another that is not its child, else the reason
// and what to do. Forks once; call it from a single-threaded program.
std::string why_no_single_copy();

}  // namespace tern::shm
