// bench/perf/sizes.h - message sizes as people write them: "8", "64K", "1:4M", "0:64,1M".
//
// Pure text and number work, no MPI. Threading: none needed. Failure: an empty optional or a
// sentence for the user, never an exception.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tern::perf {

// Reads a byte count with an optional binary suffix K, M or G ("64K" is 65536).
std::optional<std::size_t> parse_size(std::string_view text);

// Writes a byte count the same way where that is exact: "64K", but "65537".
std::string format_size(std::size_t bytes);

// Expands a comma-separated list of sizes and of ranges "FIRST:LAST", which double from FIRST to
// LAST (after 0 comes 1). The result is in the order written. On a mistake returns nothing and
// stores a sentence in `error`.
std::optional<std::vector<std::size_t>> parse_sizes(std::string_view text, std::string& error);

}  // namespace tern::perf
