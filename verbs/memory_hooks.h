// verbs/memory_hooks.h - tells a registration cache when memory of this process goes away.
//
// UCX's memory library (libucm, which cannot be loaded without libucs) sees munmap, mremap, brk,
// shmdt and madvise of the whole process, whoever calls them. It is loaded when the first cache is
// to be watched and stays: a process without RDMA never loads it. Threading: any thread; the
// cache's invalidate() is called from whatever thread gives memory back. Failure: watch_memory()
// says false with a sentence, and the cache must then run without hooks.
#pragma once
#include <string>

#include "core/registration.h"

namespace tern::verbs {

// From now on the cache hears of memory that goes away. One cache at a time, for as many devices as
// there are. It has been tried out when this returns true. `library` is for tests.
bool watch_memory(RegistrationCache& cache, std::string& why, const char* library = "libucs.so.0");
// The cache is not touched any more after this.
void unwatch_memory(RegistrationCache& cache);

}  // namespace tern::verbs
