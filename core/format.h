// core/format.h - text for people, by {fmt}.
//
// Debian ships {fmt} as a shared library only. The library that every MPI process loads should
// depend on as little as possible, so {fmt} is compiled into it, in format.cc alone; everybody else
// includes this header, which is the light half.
#pragma once
#include <fmt/core.h>

#include <string>

namespace tern {

std::string vformat(fmt::string_view text, fmt::format_args args);

template <class... Args>
std::string format(fmt::format_string<Args...> text, const Args&... args) {
  return tern::vformat(text, fmt::make_format_args(args...));
}

}  // namespace tern
