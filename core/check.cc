// core/check.cc - reports a broken invariant and aborts; see check.h.
#include "core/check.h"

#include <cstdio>
#include <cstdlib>

namespace tern {

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr,
               "tern: internal error: CHECK(%s) failed at %s:%d. This is a defect in Tern; please "
               "report it with this line.\n",
               condition, file, line);
  std::abort();
}

}  // namespace tern
