// mpi_api/coll/selection.h - which algorithm a collective uses: one table, readable and
// overridable.
//
// Members must agree without talking, so a choice depends only on what all of them know: the
// collective, the number of members, the number of bytes, whether the operation commutes, and
// whether members share memory or hosts.
// Threading: overrides are set before the first collective; immutable afterwards.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"

namespace tern::mpi::coll {

enum class Collective : std::uint8_t {
  kBarrier,
  kBcast,
  kGather,
  kGatherv,
  kScatter,
  kScatterv,
  kAllgather,
  kAllgatherv,
  kAlltoall,
  kAlltoallv,  // And alltoallw.
  kReduce,     // This one and all that follow combine data.
  kAllreduce,
  kReduceScatter,  // And reduce_scatter_block.
  kScan,
  kExscan,
};
inline constexpr std::size_t kCollectives = static_cast<std::size_t>(Collective::kExscan) + 1;

enum class Algorithm : std::uint8_t {
  kFlat,              // One hop: every message goes straight to whom it is for.
  kCentral,           // Two hops through rank 0: fewest messages, for few or crowded ranks.
  kBinomial,          // A tree of log2(size) levels.
  kDissemination,     // Barrier: log2(size) rounds.
  kDoubling,          // Recursive doubling: log2(size) rounds of the whole message.
  kBruck,             // log2(size) rounds of many blocks at a time.
  kChain,             // From member to member in pipelined segments.
  kRing,              // size - 1 rounds between neighbours.
  kPairwise,          // Every message goes straight, a bounded number at a time.
  kScatterAllgather,  // Broadcast: the root's data in pieces, then everybody has all pieces.
  kDirect,            // Reductions: member i reduces block i, and says so to all.
  kHalving,           // The same by recursive halving and doubling.
  kShared,            // No messages but memory that all members see (shared.h).
  kTwoLevel,          // Inside the hosts, and between one member of each (two_level.h).
};
inline constexpr std::size_t kAlgorithms = static_cast<std::size_t>(Algorithm::kTwoLevel) + 1;

// What an algorithm may rely on beside messages.
enum class Means : std::uint8_t {
  kMessages,  // Nothing.
  kShared,    // Memory that all members see.
  kHosts,     // Hosts that can be taken one after another (host_map.h).
};

// The first rule that fits decides. The last one of each collective fits everything.
struct Rule {
  // Which operations and numbers of members it is for.
  enum class Only : std::uint8_t { kAll, kCommutative, kCommutativePowersOfTwo };
  int ranks_max;          // Up to this many members...
  std::size_t bytes_max;  // ...and this many bytes (see Selection::bytes).
  Only only;
  Algorithm algorithm;
};
inline constexpr int kAnyRanks = 0x7fffffff;
inline constexpr std::size_t kAnyBytes = ~std::size_t{0};

// What tern-info prints of one collective.
struct Selection {
  Collective collective;
  std::string_view name;   // As in TERN_COLL_<NAME>, in lower case.
  std::string_view bytes;  // What a rule's bytes_max is compared with.
  std::span<const Rule> rules;
  std::span<const Algorithm> algorithms;        // All that may be asked for.
  std::span<const Algorithm> commutative_only;  // Of them: fall back to the rules otherwise.
};
std::span<const Selection> selections();
// The rules that decide now: the user's before those of the table, the first that fits.
std::vector<Rule> rules_in_force(const Selection& selection);

std::string_view name_of(Algorithm algorithm);
std::string_view meaning_of(Algorithm algorithm);
std::string_view name_of(Rule::Only only);

// commutative: true for collectives that reduce nothing. Rules that need other means do not fit.
Algorithm select(Collective collective, int ranks, std::size_t bytes, bool commutative = true,
                 Means means = Means::kMessages);

// setting: "TERN_COLL_ALLREDUCE=doubling". Returns an empty text, or a sentence saying what is
// wrong with it and what is allowed; the rules then stay in force. All members need the same
// setting.
std::string override_algorithm(std::string_view setting);

// Puts the rules of a file (TERN_COLL_FILE) before those of the table: lines "COLLECTIVE RANKS
// BYTES ALGORITHM", the first two numbers being upper bounds or "*"; '#' begins a comment. Returns
// what is wrong, a sentence per line that is; then the file has no effect. An empty path takes them
// away.
std::vector<std::string> read_algorithm_file(const std::string& path);

// Both, as configured; returns what is wrong.
std::vector<std::string> choose_algorithms(const Config& config);

}  // namespace tern::mpi::coll
