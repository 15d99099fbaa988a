// core/format.cc - the one place where {fmt} is compiled in; see format.h.
#define FMT_HEADER_ONLY 1
#include <fmt/format.h>

#include "core/format.h"

namespace tern {

std::string vformat(fmt::string_view text, fmt::format_args args) {
  return fmt::vformat(text, args);
}

}  // namespace tern
