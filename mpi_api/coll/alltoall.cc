// mpi_api/coll/alltoall.cc - a block from everybody to everybody.
#include <utility>
#include <vector>

#include "mpi_api/coll/algorithms.h"
#include "mpi_api/coll/two_level.h"

namespace tern::mpi::coll {
namespace {

// In flight at a time in each direction: enough to hide a partner that is late, few enough not to
// flood one that is slow.
constexpr int kPairwiseWindow = 8;

// What goes to each member. Input that is in place is packed away first, since every block of it is
// overwritten.
class Outgoing {
 public:
  Outgoing(Schedule& s, const Blocks* from, const Blocks& to) : from_(from) {
    if (from != nullptr) return;
    std::size_t total = 0;
    for (int i = 0; i < s.size(); ++i) total += to.bytes(i);
    std::byte* place = s.scratch(total);
    packed_.reserve(static_cast<std::size_t>(s.size()));
    for (int i = 0; i < s.size(); ++i) {
      const std::size_t size = i == s.rank() ? 0 : to.bytes(i);  // The own block stays.
      packed_.push_back({DataView::bytes_at(place, size), kNoStep});
      if (size != 0) packed_.back().second = s.copy(to[i], packed_.back().first);
      place += size;
    }
  }
  DataView operator[](int i) const {
    return from_ != nullptr ? (*from_)[i] : packed_[static_cast<std::size_t>(i)].first;
  }
  // What must have happened before block i of the result is overwritten, or sent.
  Step ready(int i) const {
    return from_ != nullptr ? kNoStep : packed_[static_cast<std::size_t>(i)].second;
  }

 private:
  const Blocks* from_;
  std::vector<std::pair<DataView, Step>> packed_;
};

// window: how many exchanges may be in flight.
void exchange(Schedule& s, const Blocks* from, const Blocks& to, int window) {
  const int n = s.size();
  const Outgoing outgoing(s, from, to);
  std::vector<Step> finished;  // Of each round, where rounds wait for earlier ones.
  const bool windowed = window < n - 1;
  for (int i = 1; i < n; ++i) {
    const int receiver = (s.rank() + i) % n;
    const int sender = (s.rank() - i + n) % n;
    const Step before =
        windowed && i > window ? finished[static_cast<std::size_t>(i - 1 - window)] : kNoStep;
    Step sent = kNoStep;
    Step received = kNoStep;
    if (const DataView block = to[sender]; block.bytes() != 0) {
      received = s.receive(sender, 0, block, {before, outgoing.ready(sender)});
    }
    if (const DataView block = outgoing[receiver]; block.bytes() != 0) {
      sent = s.send(receiver, 0, block, {before, outgoing.ready(receiver)});
    }
    if (windowed) finished.push_back(s.join({sent, received, before}));
  }
  if (from != nullptr) s.copy((*from)[s.rank()], to[s.rank()]);
}

// Equal blocks. Block j has to travel j members ahead; in round k those whose distance has bit k go
// 2^k members ahead, all in one message.
void bruck(Schedule& s, const Blocks* from, const Blocks& to) {
  const int n = s.size();
  const Blocks& input = from != nullptr ? *from : to;
  const std::size_t block = to.bytes(0);
  std::byte* const held = s.scratch(block * static_cast<std::size_t>(n));  // By distance.
  const auto at = [&](int distance) {
    return DataView::bytes_at(held + block * static_cast<std::size_t>(distance), block);
  };
  Step ready = s.join();
  for (int distance = 0; distance < n; ++distance) {
    s.order(s.copy(input[(s.rank() + distance) % n], at(distance)), ready);
  }
  int round = 0;
  for (int ahead = 1; ahead < n; ahead *= 2, ++round) {
    std::vector<Block> runs;
    std::size_t travelling = 0;
    for (int distance = ahead; distance < n; ++distance) {
      if ((distance & ahead) == 0) continue;
      runs.push_back({static_cast<std::ptrdiff_t>(block) * distance, block});
      travelling += block;
    }
    const Layout& layout = s.keep(Layout(std::move(runs), 0, 0));
    const DataView gaps = DataView::of(held, layout, 1);
    const DataView arrived = DataView::bytes_at(s.scratch(travelling), travelling);
    const Step sent = s.send((s.rank() + ahead) % n, round, gaps, {ready});
    const Step received = s.receive((s.rank() - ahead + n) % n, round, arrived);
    ready = s.copy(arrived, gaps, {sent, received});
  }
  // What has travelled `distance` came from the member that far behind.
  for (int distance = 0; distance < n; ++distance) {
    s.copy(at(distance), to[(s.rank() - distance + n) % n], {ready});
  }
}

}  // namespace

void alltoall(Schedule& s, Algorithm algorithm, const Blocks* from, const Blocks& to) {
  switch (algorithm) {
    case Algorithm::kBruck:
      return bruck(s, from, to);
    case Algorithm::kPairwise:
      return exchange(s, from, to, kPairwiseWindow);
    case Algorithm::kTwoLevel:
      return two_level::alltoall(s, from, to);
    default:
      return exchange(s, from, to, s.size());
  }
}

}  // namespace tern::mpi::coll
