// mpi_api/dims.cc - MPI_Dims_create (MPI-5.0 section 8.5.2): how to cut a number of processes into
// a grid. Pure.
#include <algorithm>
#include <cmath>
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

// The most balanced way to write a number as a product in non-increasing order: the largest factor
// as small as it can be, then the second one, and so on.
class Balance {
 public:
  // There always is one: the number itself, and ones.
  Balance(int number, int factors) : divisors_(divisors_of(number)) {
    search(number, factors, number);
  }
  const std::vector<int>& factors() const { return factors_; }

 private:
  bool search(int rest, int left, int largest) {
    if (left == 0) return rest == 1;
    if (rest == 1) {
      factors_.insert(factors_.end(), static_cast<std::size_t>(left), 1);
      return true;
    }
    // The first of `left` factors is at least the root. One less, in case it was rounded up.
    const int least = static_cast<int>(std::pow(rest, 1.0 / left)) - 1;
    for (auto d = std::ranges::lower_bound(divisors_, least); d != divisors_.end(); ++d) {
      if (*d > largest) return false;
      if (rest % *d != 0 || too_small(*d, left, rest)) continue;
      factors_.push_back(*d);
      if (search(rest / *d, left - 1, *d)) return true;
      factors_.pop_back();
    }
    return false;
  }
  // Whether even `left` times that factor is less than the rest.
  static bool too_small(int factor, int left, int rest) {
    long long product = 1;
    for (int i = 0; i < left && product < rest; ++i) product *= factor;
    return product < rest;
  }

  std::vector<int> divisors_;
  std::vector<int> factors_;
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
