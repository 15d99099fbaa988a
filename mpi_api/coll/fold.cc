// mpi_api/coll/fold.cc - parts that reductions are made of; see fold.h.
#include "mpi_api/coll/fold.h"

#include <algorithm>

#include "mpi_api/coll/algorithms.h"
#include "mpi_api/coll/tree.h"
#include "mpi_api/op.h"

namespace tern::mpi::coll {
std::size_t segment_elements(const Schedule& s, std::size_t count, int sub_tags) {
  const auto most = static_cast<std::size_t>(sub_tags);
  const std::size_t size = std::max<std::size_t>(1, s.type().layout().size());
  return std::max({std::size_t{1}, kSegmentBytes / size, (count + most - 1) / most});
}

Step receive_and_fold(Schedule& s, const std::byte* own, std::byte* result, std::size_t count,
                      int sub, Order order) {
  const int n = s.size();
  const int rank = s.rank();
  const bool in_place = own == result;
  const auto view_of = [&](const std::byte* base) { return elements(s, base, count); };
  if (n == 1) return in_place ? s.join() : s.copy(view_of(own), view_of(result));
  // The accumulator begins as the highest rank's contribution, and everything else is applied from
  // the left.
  const bool any = order == Order::kAny && s.op().commutative();
  int first = n - 1;
  Step moved = kNoStep;
  Step done = kNoStep;
  if (rank == first) {
    if (!in_place) {
      if (any) {
        first = n - 2;
      } else {
        done = s.copy(view_of(own), view_of(result));
      }
    }
  } else if (in_place) {
    if (any) {
      first = rank;
    } else {
      std::byte* const aside = s.scratch_elements(count);
      moved = s.copy(view_of(own), view_of(aside));
      own = aside;
    }
  }
  if (first != rank) done = s.receive(first, sub, view_of(result), {moved});
  for (int i = n - 1; i >= 0; --i) {
    if (i == first) continue;
    if (i == rank) {
      done = s.reduce(own, result, count, {done, moved});
      continue;
    }
    std::byte* const theirs = s.scratch_elements(count);
    const Step received = s.receive(i, sub, view_of(theirs));
    done = s.reduce(theirs, result, count, {received, done});
  }
  return done;
}

ScatteredFold scatter_and_fold(Schedule& s, const std::byte* from, std::byte* result,
                               std::span<const std::size_t> starts, int sub_tags) {
  const int n = s.size();
  const auto size_of = [&](int i) {
    return starts[static_cast<std::size_t>(i) + 1] - starts[static_cast<std::size_t>(i)];
  };
  std::size_t longest = 0;
  for (int i = 0; i < n; ++i) longest = std::max(longest, size_of(i));
  const std::size_t segment = segment_elements(s, longest, sub_tags);
  ScatteredFold fold;
  fold.sent = s.join();
  int sub = 0;
  for (std::size_t begin = 0; begin < longest; begin += segment, ++sub) {
    for (int i = 1; i < n; ++i) {
      const int owner = (s.rank() + i) % n;
      const std::size_t size = size_of(owner);
      if (begin >= size) continue;
      const std::byte* const data =
          element(s, from, starts[static_cast<std::size_t>(owner)] + begin);
      s.order(s.send(owner, sub, elements(s, data, std::min(segment, size - begin))), fold.sent);
    }
    const std::size_t mine = size_of(s.rank());
    if (begin >= mine) continue;
    const std::size_t count = std::min(segment, mine - begin);
    const std::byte* const own =
        element(s, from, starts[static_cast<std::size_t>(s.rank())] + begin);
    fold.segments.push_back(
        {begin, count,
         receive_and_fold(s, own, element(s, result, begin), count, sub, Order::kAny)});
  }
  return fold;
}

Step reduce_binomial(Schedule& s, const Operands& data, int root, int sub) {
  const int top = s.op().commutative() ? root : 0;  // Places are ranks, where order matters.
  const Tree tree(s.rank(), s.size(), top);
  const bool in_place = data.from == data.to;
  const bool result_here = s.rank() == root && top == root;
  // What is reduced so far lies where the last child's contribution was received, and the
  // own input is never copied.
  const std::byte* reduced = data.from;
  Step ready = kNoStep;
  Step finished = kNoStep;
  for (int child = 1; child < tree.reach(); child *= 2) {
    const bool last = child * 2 >= tree.reach();
    std::byte* const place =
        result_here && last && !in_place ? data.to : s.scratch_elements(data.count);
    const Step received =
        s.receive(tree.rank_at(tree.place() + child), sub, elements(s, place, data.count));
    ready = s.reduce(reduced, place, data.count, {received, ready});
    reduced = place;
  }
  finished = ready;
  if (tree.place() != 0) {
    finished = s.send(tree.rank_at(tree.parent()), sub, elements(s, reduced, data.count), {ready});
  } else if (top != root) {
    finished = s.send(root, sub + 1, elements(s, reduced, data.count), {ready});
  }
  if (s.rank() != root) return finished == kNoStep ? s.join() : finished;
  const DataView result = elements(s, data.to, data.count);
  if (top != root) return s.receive(top, sub + 1, result, {finished});
  if (reduced == data.to) return ready == kNoStep ? s.join() : ready;
  return s.copy(elements(s, reduced, data.count), result, {ready});
}

}  // namespace tern::mpi::coll
