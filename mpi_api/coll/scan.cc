// mpi_api/coll/scan.cc - the reduction of all ranks up to the own one (scan) or below it (exscan).
#include "mpi_api/coll/fold.h"

namespace tern::mpi::coll {
namespace {

// Everybody sends its input to all higher ranks: one hop.
void flat(Schedule& s, const Operands& data, bool exclusive) {
  const int rank = s.rank();
  const bool in_place = data.from == data.to;
  const auto view_of = [&](const std::byte* base) { return elements(s, base, data.count); };
  const Step sent = s.join();
  for (int i = rank + 1; i < s.size(); ++i) s.order(s.send(i, 0, view_of(data.from)), sent);
  if (exclusive && rank == 0) return;
  // In place, the input must stay as it is until it has left.
  std::byte* const result = in_place ? s.scratch_elements(data.count) : data.to;
  int next = rank - 1;
  Step done = exclusive ? s.receive(next--, 0, view_of(result))
                        : s.copy(view_of(data.from), view_of(result));
  for (; next >= 0; --next) {
    std::byte* const theirs = s.scratch_elements(data.count);
    const Step received = s.receive(next, 0, view_of(theirs));
    done = s.reduce(theirs, result, data.count, {received, done});
  }
  if (in_place) s.copy(view_of(result), view_of(data.to), {done, sent});
}

// Before round k a member has the reduction of the 2^k ranks up to its own, which it sends 2^k
// ahead.
void doubling(Schedule& s, const Operands& data, bool exclusive) {
  const int rank = s.rank();
  const bool in_place = data.from == data.to;
  const auto view_of = [&](const std::byte* base) { return elements(s, base, data.count); };
  // Of the ranks up to the own one; exclusive: data.to has the same without the own input.
  std::byte* const upto = exclusive ? s.scratch_elements(data.count) : data.to;
  Step ready = upto == data.from ? kNoStep : s.copy(view_of(data.from), view_of(upto));
  Step below = in_place ? ready : kNoStep;
  bool any_below = false;
  int round = 0;
  for (int distance = 1; distance < s.size(); distance *= 2, ++round) {
    Step sent = kNoStep;
    if (rank + distance < s.size()) {
      sent = s.send(rank + distance, round, view_of(upto), {ready});
    }
    if (rank - distance < 0) continue;
    std::byte* const theirs = s.scratch_elements(data.count);
    const Step received = s.receive(rank - distance, round, view_of(theirs));
    if (exclusive) {
      below = any_below ? s.reduce(theirs, data.to, data.count, {received, below})
                        : s.copy(view_of(theirs), view_of(data.to), {received, below});
      any_below = true;
    }
    // What is being sent must not change.
    ready = s.reduce(theirs, upto, data.count, {received, ready, sent});
  }
}

}  // namespace

void scan(Schedule& s, Algorithm algorithm, const Operands& data, bool exclusive) {
  if (algorithm == Algorithm::kDoubling) return doubling(s, data, exclusive);
  flat(s, data, exclusive);
}

}  // namespace tern::mpi::coll
