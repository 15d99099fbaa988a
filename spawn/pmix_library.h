// spawn/pmix_library.h - the functions of libpmix that Tern uses, loaded when a PMIx launcher asks
// for them.
//
// The library belongs to the launcher's installation, not to Tern: whoever runs without PMIx needs
// none of it, and whichever version is there is used. Only what has been the same since PMIx 2 is
// in the table. Threading: load once. Failure: a sentence.
#pragma once
#include <pmix.h>

#include <string>

namespace tern::spawn {

struct PmixLibrary {
  decltype(&PMIx_Init) init = nullptr;
  decltype(&PMIx_Finalize) finalize = nullptr;
  decltype(&PMIx_Abort) abort = nullptr;
  decltype(&PMIx_Put) put = nullptr;
  decltype(&PMIx_Commit) commit = nullptr;
  decltype(&PMIx_Get) get = nullptr;
  decltype(&PMIx_Get_nb) get_nb = nullptr;
  decltype(&PMIx_Fence_nb) fence_nb = nullptr;
  decltype(&PMIx_Error_string) error_string = nullptr;

  // False with a sentence in `why`.
  bool load(std::string& why);
};

}  // namespace tern::spawn
