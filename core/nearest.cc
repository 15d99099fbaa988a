// core/nearest.cc - see nearest.h.
#include "core/nearest.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace tern {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t substitution = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, substitution});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view nearest(std::string_view name, std::span<const std::string_view> names,
                         std::size_t difference_max) {
  std::string_view best;
  std::size_t best_difference = difference_max + 1;
  for (const std::string_view candidate : names) {
    const std::size_t difference = edit_distance(name, candidate);
    if (difference < best_difference) {
      best = candidate;
      best_difference = difference;
    }
  }
  return best;
}

}  // namespace tern
