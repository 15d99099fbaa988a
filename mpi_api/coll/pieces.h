// mpi_api/coll/pieces.h - a length divided as evenly as possible.
#pragma once
#include <algorithm>
#include <cstddef>
#include <vector>

namespace tern::mpi::coll {

// total things in n pieces whose sizes differ by one at most; the first ones are longer.
class Pieces {
 public:
  Pieces(std::size_t total, int n)
      : n_(n),
        each_(total / static_cast<std::size_t>(n)),
        longer_(total % static_cast<std::size_t>(n)) {}

  std::size_t start(int i) const {
    const auto index = static_cast<std::size_t>(i);
    return index * each_ + std::min(index, longer_);
  }
  std::size_t size(int i) const { return start(i + 1) - start(i); }
  // start(0), ..., start(n)
  std::vector<std::size_t> starts() const {
    std::vector<std::size_t> all;
    for (int i = 0; i <= n_; ++i) all.push_back(start(i));
    return all;
  }

 private:
  int n_;
  std::size_t each_;
  std::size_t longer_;
};

}  // namespace tern::mpi::coll
