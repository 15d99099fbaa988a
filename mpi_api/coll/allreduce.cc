// mpi_api/coll/allreduce.cc - everybody's input reduced, the same result for everybody.
//
// "The same" means the same bits: members either apply the operation to the same operands in the
// same order, or one of them does and tells the others.
#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include "mpi_api/coll/fold.h"
#include "mpi_api/coll/pieces.h"
#include "mpi_api/coll/two_level.h"

namespace tern::mpi::coll {
namespace {

// Everybody sends its input to everybody: one hop.
void flat(Schedule& s, const Operands& data) {
  const int n = s.size();
  const bool in_place = data.from == data.to;
  const Step sent = s.join();
  for (int i = 1; i < n; ++i) {
    s.order(s.send((s.rank() + i) % n, 0, elements(s, data.from, data.count)), sent);
  }
  if (!in_place) {
    receive_and_fold(s, data.from, data.to, data.count, 0, Order::kByRank);
    return;
  }
  // The input must stay as it is until it has left.
  std::byte* const result = s.scratch_elements(data.count);
  const Step done = receive_and_fold(s, data.from, result, data.count, 0, Order::kByRank);
  s.copy(elements(s, result, data.count), elements(s, data.to, data.count), {done, sent});
}

// Through rank 0.
void central(Schedule& s, const Operands& data) {
  Step ready;
  if (s.rank() == 0) {
    ready = receive_and_fold(s, data.from, data.to, data.count, 0, Order::kAny);
  } else {
    const Step sent = s.send(0, 0, elements(s, data.from, data.count));
    ready = data.from == data.to ? sent : kNoStep;
  }
  bcast_flat(s, elements(s, data.to, data.count), 0, 1, ready);
}

void binomial(Schedule& s, const Operands& data) {
  const Step reduced = reduce_binomial(s, data, 0, 0);
  bcast_binomial(s, elements(s, data.to, data.count), 0, 2, reduced);
}

// Member i reduces block i and sends it to everybody: two hops, and no byte travels in vain.
void direct(Schedule& s, const Operands& data) {
  constexpr int kHalf = kSubTags / 2;
  const int n = s.size();
  const Pieces pieces(data.count, n);
  std::byte* const block = element(s, data.to, pieces.start(s.rank()));
  const ScatteredFold fold = scatter_and_fold(s, data.from, block, pieces.starts(), kHalf);
  int sub = kHalf;
  for (const Segment& segment : fold.segments) {
    const DataView part = elements(s, element(s, block, segment.begin), segment.count);
    for (int i = 1; i < n; ++i) s.send((s.rank() + i) % n, sub, part, {segment.ready});
    ++sub;
  }
  const std::size_t cut = segment_elements(s, pieces.size(0), kHalf);
  for (int i = 1; i < n; ++i) {
    const int owner = (s.rank() - i + n) % n;
    sub = kHalf;
    for (std::size_t begin = 0; begin < pieces.size(owner); begin += cut) {
      const std::byte* const place = element(s, data.to, pieces.start(owner) + begin);
      const std::size_t count = std::min(cut, pieces.size(owner) - begin);
      // In place, the input has to leave before the result comes.
      s.receive(owner, sub++, elements(s, place, count),
                {data.from == data.to ? fold.sent : kNoStep});
    }
  }
}

// The algorithms in powers of two first make their members one: of the first ranks, each odd one
// works for the even one below it as well.
struct PowerOfTwo {
  PowerOfTwo(int rank, int size)
      : members(static_cast<int>(std::bit_floor(static_cast<unsigned>(size)))),
        pairs(size - members),
        in_pair(rank < 2 * pairs),
        works(!in_pair || rank % 2 == 1),
        place(in_pair ? rank / 2 : rank - pairs) {}
  int rank_at(int at) const { return at < pairs ? 2 * at + 1 : at + pairs; }

  int members;
  int pairs;
  bool in_pair;
  bool works;
  int place;  // Among the members; in the order of ranks.

  // Sub-tags of the messages inside a pair.
  static constexpr int kInput = kSubTags - 2;
  static constexpr int kResult = kSubTags - 1;
};

// The even one's part.
void let_work(Schedule& s, const Operands& data) {
  const Step sent = s.send(s.rank() + 1, PowerOfTwo::kInput, elements(s, data.from, data.count));
  s.receive(s.rank() + 1, PowerOfTwo::kResult, elements(s, data.to, data.count),
            {data.from == data.to ? sent : kNoStep});
}

// A value that combines with those of other members, always lower op higher rank. It lives where
// the latest operand was received, so that nothing is copied; the user's input is never changed.
class RunningValue {
 public:
  RunningValue(Schedule& s, const Operands& data)
      : s_(s), data_(data), result_free_(data.from != data.to), value_(data.from) {}

  // send: the other one needs this value as well. last: the value may end in data.to.
  void combine(int rank, int sub, bool send, bool last) {
    const Step sent = send ? s_.send(rank, sub, view_of(value_), {ready_}) : kNoStep;
    if (value_ == data_.from || value_ == data_.to) read_ = sent;
    const bool from_above = rank > s_.rank();
    std::byte* const theirs = place(from_above && last);
    const Step received = s_.receive(rank, sub, view_of(theirs));
    if (from_above) {
      ready_ = s_.reduce(value_, theirs, data_.count, {received, ready_});
      value_ = theirs;
    } else if (value_ == data_.from) {
      std::byte* const mine = place(true);
      const Step copied = s_.copy(view_of(value_), view_of(mine));
      ready_ = s_.reduce(theirs, mine, data_.count, {received, copied});
      value_ = mine;
    } else {
      // What is being sent must not change.
      ready_ =
          s_.reduce(theirs, const_cast<std::byte*>(value_), data_.count, {received, ready_, sent});
    }
  }

  // Puts the value into data.to.
  Step finish() {
    if (value_ == data_.to) return ready_ == kNoStep ? s_.join() : ready_;
    return s_.copy(view_of(value_), view_of(data_.to), {ready_, read_});
  }

 private:
  DataView view_of(const std::byte* base) const { return elements(s_, base, data_.count); }
  // Memory for one value: where the result is wanted, once and if it has not been the input's.
  std::byte* place(bool where_wanted) {
    return where_wanted && std::exchange(result_free_, false) ? data_.to
                                                              : s_.scratch_elements(data_.count);
  }

  Schedule& s_;
  const Operands& data_;
  bool result_free_;
  const std::byte* value_;
  Step ready_ = kNoStep;  // The value is complete.
  Step read_ = kNoStep;   // The last send that reads data.from or data.to.
};

// In round k everybody exchanges what it has with the member whose place differs in bit k.
void doubling(Schedule& s, const Operands& data) {
  const PowerOfTwo group(s.rank(), s.size());
  if (!group.works) return let_work(s, data);
  RunningValue value(s, data);
  if (group.in_pair) value.combine(s.rank() - 1, PowerOfTwo::kInput, false, false);
  int round = 0;
  for (int bit = 1; bit < group.members; bit *= 2, ++round) {
    value.combine(group.rank_at(group.place ^ bit), round, true, bit * 2 >= group.members);
  }
  const Step done = value.finish();
  if (group.in_pair) {
    s.send(s.rank() - 1, PowerOfTwo::kResult, elements(s, data.to, data.count), {done});
  }
}

// Pairs split what they work on, each reducing one half, until everybody has one piece of the
// result; then the pieces are exchanged the same way back.
void halving(Schedule& s, const Operands& data) {
  const PowerOfTwo group(s.rank(), s.size());
  if (!group.works) return let_work(s, data);
  const Pieces pieces(data.count, group.members);
  const auto part = [&](const std::byte* base, int first, int last) {
    return elements(s, element(s, base, pieces.start(first)),
                    pieces.start(last) - pieces.start(first));
  };
  const std::byte* input = data.from;  // data.to, once the input is there.
  Step ready = kNoStep;
  if (group.in_pair) {
    const bool in_place = input == data.to;
    std::byte* const theirs = in_place ? s.scratch_elements(data.count) : data.to;
    const Step received =
        s.receive(s.rank() - 1, PowerOfTwo::kInput, elements(s, theirs, data.count));
    ready = s.reduce(in_place ? theirs : input, data.to, data.count, {received});
    input = data.to;
  }
  struct Level {
    int first, last;  // Pieces worked on before the split.
    Step sent;
  };
  std::vector<Level> levels;
  int first = 0;
  int last = group.members;
  int sub = 0;
  for (int bit = group.members / 2; bit > 0; bit /= 2, ++sub) {
    const int other = group.rank_at(group.place ^ bit);
    const int middle = first + bit;
    const bool upper = (group.place & bit) != 0;
    const DataView away = upper ? part(input, first, middle) : part(input, middle, last);
    levels.push_back({first, last, s.send(other, sub, away, {ready})});
    (upper ? first : last) = middle;
    const DataView mine = part(data.to, first, last);
    if (input == data.to) {
      std::byte* const theirs = s.scratch_elements(mine.count);
      const Step received = s.receive(other, sub, elements(s, theirs, mine.count));
      ready = s.reduce(theirs, mine.base, mine.count, {received, ready});
    } else {
      const Step received = s.receive(other, sub, mine);
      ready = s.reduce(part(input, first, last).base, mine.base, mine.count, {received});
      input = data.to;
    }
  }
  for (int bit = 1; bit < group.members; bit *= 2, ++sub) {
    const Level level = levels.back();
    levels.pop_back();
    const int other = group.rank_at(group.place ^ bit);
    s.send(other, sub, part(data.to, first, last), {ready});
    const DataView theirs =
        first == level.first ? part(data.to, last, level.last) : part(data.to, level.first, first);
    // What lies there was sent away as input: it has to have left.
    const Step received = s.receive(other, sub, theirs, {level.sent});
    ready = s.join({received, ready});
    first = level.first;
    last = level.last;
  }
  if (group.in_pair) {
    s.send(s.rank() - 1, PowerOfTwo::kResult, elements(s, data.to, data.count), {ready});
  }
}

}  // namespace

void allreduce(Schedule& s, Algorithm algorithm, const Operands& data) {
  if (s.size() == 1) {
    if (data.from != data.to) {
      s.copy(elements(s, data.from, data.count), elements(s, data.to, data.count));
    }
    return;
  }
  switch (algorithm) {
    case Algorithm::kFlat:
      return flat(s, data);
    case Algorithm::kDirect:
      return direct(s, data);
    case Algorithm::kDoubling:
      return doubling(s, data);
    case Algorithm::kHalving:
      return halving(s, data);
    case Algorithm::kCentral:
      return central(s, data);
    case Algorithm::kTwoLevel:
      return two_level::allreduce(s, data);
    default:
      return binomial(s, data);
  }
}

}  // namespace tern::mpi::coll
