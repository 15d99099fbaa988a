// mpi_api/coll/barrier.cc - nobody goes on before everybody has come.
#include "mpi_api/coll/algorithms.h"
#include "mpi_api/coll/two_level.h"

namespace tern::mpi::coll {
namespace {

// In round k everybody tells the member 2^k ahead; it then knows of twice as many.
void dissemination(Schedule& s) {
  const int n = s.size();
  Step told = kNoStep;
  Step heard = kNoStep;
  int round = 0;
  for (int distance = 1; distance < n; distance *= 2, ++round) {
    // What was told in the last round waited for the rounds before it.
    told = s.send((s.rank() + distance) % n, round, kNoData, {told, heard});
    heard = s.receive((s.rank() - distance + n) % n, round, kNoData);
  }
}

// Everybody tells everybody: one hop.
void flat(Schedule& s) {
  const int n = s.size();
  for (int i = 1; i < n; ++i) {
    s.send((s.rank() + i) % n, 0, kNoData);
    s.receive((s.rank() - i + n) % n, 0, kNoData);
  }
}

// Everybody tells rank 0, which then tells everybody.
void central(Schedule& s) {
  if (s.rank() != 0) {
    s.send(0, 0, kNoData);
    s.receive(0, 1, kNoData);
    return;
  }
  const int n = s.size();
  const Step all = s.join();
  for (int i = 1; i < n; ++i) s.order(s.receive(i, 0, kNoData), all);
  for (int i = 1; i < n; ++i) s.send(i, 1, kNoData, {all});
}

}  // namespace

void barrier(Schedule& s, Algorithm algorithm) {
  if (algorithm == Algorithm::kFlat) return flat(s);
  if (algorithm == Algorithm::kCentral) return central(s);
  if (algorithm == Algorithm::kTwoLevel) return two_level::barrier(s);
  dissemination(s);
}

}  // namespace tern::mpi::coll
