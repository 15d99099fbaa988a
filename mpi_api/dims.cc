// mpi_api/dims.cc - MPI_Dims_create (MPI-5.0 section 8.5.2): how to cut a number of processes into
// a grid. Pure.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <tuple>
#include <vector>

#include "impl.h"
#include "mpi_api/errors.h"

namespace tern::mpi {
namespace {

std::vector<int> divisors_of(int number) {
  std::vector<int> small;
  std::vector<int> large;
  for (long long d = 1; d * d <= number; ++d) {
    if (number % d != 0) continue;
    small.push_back(static_cast<int>(d));
    if (d * d != number) large.push_back(static_cast<int>(number / d));
  }
  small.insert(small.end(), large.rbegin(), large.rend());
  return small;
}

// The most balanced way to write a number as a product, in non-increasing order: the largest and
// the smallest factor differ as little as can be. Of several such ways that with the smallest sum,
// which means the least surface between the parts of a grid, and then with the largest smallest
// factor.
class Balance {
 public:
  Balance(int number, int factors)
      : divisors_(divisors_of(number)),
        best_(static_cast<std::size_t>(factors), 1),
        chosen_(best_) {
    best_[0] = number;  // There always is that.
    rank_ = rank_of(best_);
    search(number, 0);
  }
  const std::vector<int>& factors() const { return best_; }

 private:
  // Less is better.
  using Rank = std::tuple<int, std::int64_t, int>;
  static Rank rank_of(const std::vector<int>& factors) {
    const auto sum = std::accumulate(factors.begin(), factors.end(), std::int64_t{0});
    return {factors.front() - factors.back(), sum, -factors.back()};
  }

  // Chooses the factors from `place` on, of which `rest` is the product.
  void search(int rest, std::size_t place) {
    const std::size_t left = chosen_.size() - place;
    const int largest = place == 0 ? rest : chosen_[place - 1];
    if (left == 1) {
      if (rest > largest) return;
      chosen_[place] = rest;
      if (const Rank rank = rank_of(chosen_); rank < rank_) {
        rank_ = rank;
        best_ = chosen_;
      }
      return;
    }
    // The first of `left` factors is at least the root.
    const auto least = static_cast<int>(std::ceil(root(rest, left) - kRounding));
    for (auto d = std::ranges::lower_bound(divisors_, least);
         d != divisors_.end() && *d <= largest && ++steps_ < kMostSteps; ++d) {
      if (rest % *d != 0) continue;
      // The last factor is at most the root of what is left, which shrinks as this factor grows.
      const auto last = static_cast<int>(root(rest / *d, left - 1) + kRounding);
      if ((place == 0 ? *d : chosen_[0]) - last > std::get<0>(rank_)) return;
      chosen_[place] = *d;
      search(rest / *d, place + 1);
    }
  }
  static double root(int number, std::size_t degree) {
    return std::pow(number, 1.0 / static_cast<double>(degree));
  }

  static constexpr double kRounding = 1e-6;
  // Far more than any number with few factors takes; then the best so far will do.
  static constexpr int kMostSteps = 1 << 20;
  std::vector<int> divisors_;
  std::vector<int> best_;
  std::vector<int> chosen_;
  Rank rank_;
  int steps_ = 0;
};

}  // namespace

namespace impl {

int dims_create(int nnodes, int ndims, int* dims) {
  if (nnodes <= 0) return fail(MPI_ERR_ARG, "nnodes is {}; it must be positive", nnodes);
  long long fixed = 1;
  int open = 0;
  for (int i = 0; i < ndims; ++i) {
    if (dims[i] < 0) {
      return fail(MPI_ERR_DIMS,
                  "dims[{}] is {}; it must be positive, or 0 for a dimension to be chosen", i,
                  dims[i]);
    }
    if (dims[i] == 0) {
      ++open;
    } else {
      fixed = std::min<long long>(fixed * dims[i], 1LL << 31);  // More than any nnodes.
    }
  }
  if (nnodes % fixed != 0 || (open == 0 && ndims > 0 && fixed != nnodes)) {
    return fail(MPI_ERR_DIMS,
                "nnodes is {}, but the product of the dims that are set is {}; it must {} nnodes",
                nnodes, fixed, open == 0 ? "be" : "divide");
  }
  if (open == 0) return MPI_SUCCESS;
  const Balance balance(static_cast<int>(nnodes / fixed), open);
  auto next = balance.factors().begin();
  for (int i = 0; i < ndims; ++i) {
    if (dims[i] == 0) dims[i] = *next++;
  }
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
