// core/preconnect.h - which pairs to connect before they are needed, and in which order.
//
// TERN_PRECONNECT=all|neighbors:K|nodes|file:PATH|none as a sequence of rounds. In a round each
// process is in at most one pair, so a job of N connects all to all without any process being asked
// by many at once; a few rounds overlap (Walk). Every process computes its own part alone.
// Threading: none of its own. Failure: text that is no plan, or a bad line of a file, is a
// sentence.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/counters.h"

namespace tern::preconnect {

using Rank = std::uint32_t;
using Pair = std::pair<Rank, Rank>;  // The smaller first.

struct Plan {
  enum class Kind : std::uint8_t { kNone, kAll, kNeighbors, kNodes, kFile };
  Kind kind = Kind::kNone;
  Rank neighbors = 0;  // kNeighbors: that many ranks on either side, around the end.
  std::string path;    // kFile
};

// Reads the value of TERN_PRECONNECT. False, with a sentence in `why`, when it is none.
bool parse_plan(std::string_view text, Plan& plan, std::string& why);

// Meet-your-partner order: all pairs of `size` ranks in rounds (a round-robin tournament).
// rounds() is size - 1 for an even size, size for an odd one.
Rank tournament_rounds(Rank size);
// The partner of `rank` in this round, or `rank` itself when it has none.
Rank tournament_partner(Rank size, Rank round, Rank rank);

// This rank's partners in the order of rounds. kNone: none. kFile: pairs come from read_pairs().
// `node_of` (kNodes: the number of each rank's host; leaders, the lowest rank of each host, are
// connected all to all, and each rank with its leader) may be empty for other kinds.
std::vector<Rank> partners(const Plan& plan, Rank rank, Rank size, std::span<const Rank> node_of,
                           std::span<const Pair> pairs);

// Each member of one group with each of another, in rounds. The places of the first group, `first`
// of them, come before those of the second.
std::vector<Rank> partners_across(Rank place, Rank first, Rank second);

// Pairs as a list of rounds in which each rank appears at most once (greedy edge colouring, at most
// 2 * the largest number of partners - 1 rounds). Deterministic: each process gets the same.
std::vector<std::vector<Pair>> rounds_of(std::span<const Pair> pairs);

// The file of pairs that talked: a line "tern-pairs 1 SIZE", then one "A B [MESSAGES [BYTES]]" a
// line, ranks from 0; '#' begins a comment. Written sorted, each pair once.
using Talk = std::pair<Pair, counters::Volume>;  // One direction, or both.
std::string write_pairs(std::span<const Talk> talks, Rank size);
// False, with a sentence that names `source` and the line in `why`. A file of a job of another size
// is taken as far as its ranks exist here.
bool read_pairs(std::string_view text, std::string_view source, Rank size, std::vector<Pair>& pairs,
                std::string& why);
bool read_pairs_file(const std::string& path, Rank size, std::vector<Pair>& pairs,
                     std::string& why);

// Walks through a rank's partners in order, a bounded number of them at a time. The smaller rank of
// a pair dials and the other waits for it: so nobody runs ahead of the others, and nobody is asked
// by many at once. All lists follow one order of pairs, so the first pair that is not finished is
// in reach of both its ends, and the walk of all comes to an end. A partner that died before it
// dialed is never finished: the caller needs a deadline of its own.
class Walk {
 public:
  Walk(std::vector<Rank> partners, Rank rank, std::size_t under_way_max)
      : partners_(std::move(partners)), rank_(rank), under_way_max_(under_way_max) {}
  // The next partner, and whether to dial it or to wait for it; false when there is none for now.
  // When it is connected already, finished() may be called at once.
  bool next(Rank& partner, bool& dial) {
    if (position_ == partners_.size() || under_way_ == under_way_max_) return false;
    partner = partners_[position_++];
    dial = rank_ < partner;
    ++under_way_;
    return true;
  }
  // A partner that next() has named is connected, or has failed.
  void finished() { --under_way_; }
  bool done() const { return position_ == partners_.size() && under_way_ == 0; }

 private:
  std::vector<Rank> partners_;
  std::size_t position_ = 0;
  std::size_t under_way_ = 0;
  Rank rank_;
  std::size_t under_way_max_;
};

}  // namespace tern::preconnect
