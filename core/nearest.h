// core/nearest.h - finds what somebody who mistyped a name probably meant.
#pragma once
#include <cstddef>
#include <span>
#include <string_view>

namespace tern {

// The first of `names` that differs from `name` in the fewest letters (inserted, removed,
// replaced), or empty when all differ in more than difference_max.
std::string_view nearest(std::string_view name, std::span<const std::string_view> names,
                         std::size_t difference_max);

}  // namespace tern
