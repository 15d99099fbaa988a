// bench/perf/sizes.cc - implementation of sizes.h.
#include "sizes.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace tern::perf {
namespace {

struct Suffix {
  char letter;
  int shift;
};
constexpr Suffix kSuffixes[] = {{'G', 30}, {'M', 20}, {'K', 10}};

void append_range(std::size_t first, std::size_t last, std::vector<std::size_t>& sizes) {
  std::size_t size = first;
  sizes.push_back(size);
  while (size == 0 ? last > 0 : size <= last / 2) {  // Dividing, since doubling may wrap around.
    size = size == 0 ? 1 : 2 * size;
    sizes.push_back(size);
  }
}

}  // namespace

std::optional<std::size_t> parse_size(std::string_view text) {
  std::size_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, problem] = std::from_chars(text.data(), end, value);
  if (problem != std::errc{} || rest == text.data()) return std::nullopt;
  if (rest == end) return value;
  if (rest + 1 != end) return std::nullopt;
  const char letter = *rest >= 'a' ? static_cast<char>(*rest - 'a' + 'A') : *rest;
  for (const Suffix& suffix : kSuffixes) {
    if (suffix.letter != letter) continue;
    if (value > std::numeric_limits<std::size_t>::max() >> suffix.shift) return std::nullopt;
    return value << suffix.shift;
  }
  return std::nullopt;
}

std::string format_size(std::size_t bytes) {
  for (const Suffix& suffix : kSuffixes) {
    const std::size_t unit = std::size_t{1} << suffix.shift;
    if (bytes >= unit && bytes % unit == 0) {
      return fmt::format("{}{}", bytes / unit, suffix.letter);
    }
  }
  return fmt::format("{}", bytes);
}

std::optional<std::vector<std::size_t>> parse_sizes(std::string_view text, std::string& error) {
  std::vector<std::size_t> sizes;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    const std::size_t colon = item.find(':');
    const auto first = parse_size(item.substr(0, colon));
    const auto last = colon == std::string_view::npos ? first : parse_size(item.substr(colon + 1));
    if (!first || !last) {
      error =
          fmt::format("'{}' is no message size; write for instance 8, 64K, 1:4M or 8,1K:64K", item);
      return std::nullopt;
    }
    if (*first > *last) {
      error = fmt::format("the range '{}' runs backwards; write {}:{}", item, format_size(*last),
                          format_size(*first));
      return std::nullopt;
    }
    append_range(*first, *last, sizes);
    if (comma == std::string_view::npos) return sizes;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace tern::perf
