// spawn/pmix_library.cc - see pmix_library.h.
#include "spawn/pmix_library.h"

#include <dlfcn.h>

namespace tern::spawn {
namespace {

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

}  // namespace

bool PmixLibrary::load(std::string& why) {
  // Global, because its plug-ins look for its symbols without being linked to it. It stays: a
  // thread of its own runs in it.
  void* library = nullptr;
  for (const char* name : {"libpmix.so.2", "libpmix.so"}) {
    if (library == nullptr) library = ::dlopen(name, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
  }
  if (library == nullptr) {
    const char* const reason = ::dlerror();
    why = "a PMIx launcher started this process, but libpmix.so.2 cannot be loaded (" +
          std::string(reason == nullptr ? "no reason given" : reason) +
          "). Install it (Debian: libpmix2), or add the directory of the launcher's own to "
          "LD_LIBRARY_PATH";
    return false;
  }
  if (find(library, "PMIx_Init", init) && find(library, "PMIx_Finalize", finalize) &&
      find(library, "PMIx_Abort", abort) && find(library, "PMIx_Put", put) &&
      find(library, "PMIx_Commit", commit) && find(library, "PMIx_Get", get) &&
      find(library, "PMIx_Get_nb", get_nb) && find(library, "PMIx_Fence_nb", fence_nb) &&
      find(library, "PMIx_Error_string", error_string)) {
    return true;
  }
  why =
      "the libpmix that was found lacks functions that PMIx has had since version 2; install a "
      "newer one";
  return false;
}

}  // namespace tern::spawn
