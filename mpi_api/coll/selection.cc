// mpi_api/coll/selection.cc - the table of algorithms; see selection.h.
//
// The bounds are measured, on hosts with a core for every rank and on crowded ones: where ranks
// share cores, every message that somebody waits for costs a switch between processes, so few hops
// win even with more messages. Between hosts (two of them, TCP) two levels win up to sizes at which
// the leaders' copies cost more than the messages saved: with more members per host that is sooner.
// In shared memory a large block that one member gives to another is copied twice, and only for two
// members that is still faster than the kernel's single copy. Where only the two concerned know how
// long a block is, more than two members would have to wait for everybody before they know what
// comes: the messages of all-to-allv leave at once.
#include "mpi_api/coll/selection.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

#include "core/config.h"
#include "core/format.h"

namespace tern::mpi::coll {
namespace {

using enum Algorithm;

constexpr std::size_t operator""_KiB(unsigned long long n) { return n << 10; }

constexpr Rule::Only kAlways = Rule::Only::kAll;
constexpr Rule::Only kCommutative = Rule::Only::kCommutative;
constexpr Rule::Only kPowers = Rule::Only::kCommutativePowersOfTwo;

constexpr Rule kBarrierRules[] = {
    {16, kAnyBytes, kAlways, kShared},
    {kAnyRanks, kAnyBytes, kAlways, kTwoLevel},
    {4, kAnyBytes, kAlways, kFlat},
    {16, kAnyBytes, kAlways, kCentral},
    {kAnyRanks, kAnyBytes, kAlways, kDissemination},
};
constexpr Algorithm kBarrierAlgorithms[] = {kShared, kTwoLevel, kFlat, kCentral, kDissemination};

constexpr Rule kBcastRules[] = {
    {16, kAnyBytes, kAlways, kShared},
    {kAnyRanks, kAnyBytes, kAlways, kTwoLevel},
    {16, kAnyBytes, kAlways, kFlat},
    {kAnyRanks, 512_KiB, kAlways, kBinomial},
    {kAnyRanks, kAnyBytes, kAlways, kScatterAllgather},
};
constexpr Algorithm kBcastAlgorithms[] = {kShared,   kTwoLevel, kFlat,
                                          kBinomial, kChain,    kScatterAllgather};

constexpr Rule kGatherRules[] = {
    {16, 64_KiB, kAlways, kShared},         {16, 32_KiB, kAlways, kTwoLevel},
    {kAnyRanks, 4_KiB, kAlways, kTwoLevel}, {16, kAnyBytes, kAlways, kFlat},
    {kAnyRanks, 4_KiB, kAlways, kBinomial}, {kAnyRanks, kAnyBytes, kAlways, kFlat},
};
constexpr Algorithm kGatherAlgorithms[] = {kShared, kTwoLevel, kFlat, kBinomial};

constexpr Rule kGathervRules[] = {{16, kAnyBytes, kAlways, kShared},
                                  {kAnyRanks, kAnyBytes, kAlways, kFlat}};
constexpr Algorithm kGathervAlgorithms[] = {kShared, kFlat};

constexpr Rule kAllgatherRules[] = {
    {16, kAnyBytes, kAlways, kShared},      {kAnyRanks, kAnyBytes, kAlways, kTwoLevel},
    {16, kAnyBytes, kAlways, kFlat},        {kAnyRanks, 64_KiB, kAlways, kBruck},
    {kAnyRanks, kAnyBytes, kAlways, kRing},
};
constexpr Algorithm kAllgatherAlgorithms[] = {kShared, kTwoLevel, kFlat, kCentral, kBruck, kRing};

constexpr Rule kAllgathervRules[] = {
    {16, kAnyBytes, kAlways, kShared},      {kAnyRanks, kAnyBytes, kAlways, kTwoLevel},
    {16, kAnyBytes, kAlways, kFlat},        {kAnyRanks, 64_KiB, kAlways, kCentral},
    {kAnyRanks, kAnyBytes, kAlways, kRing},
};
constexpr Algorithm kAllgathervAlgorithms[] = {kShared, kTwoLevel, kFlat, kCentral, kRing};

constexpr Rule kAlltoallRules[] = {
    {2, kAnyBytes, kAlways, kShared}, {16, 32_KiB, kAlways, kShared},
    {16, 4_KiB, kAlways, kTwoLevel},  {kAnyRanks, 128, kAlways, kTwoLevel},
    {16, kAnyBytes, kAlways, kFlat},  {kAnyRanks, 256, kAlways, kBruck},
    {32, 32_KiB, kAlways, kFlat},     {kAnyRanks, kAnyBytes, kAlways, kPairwise},
};
constexpr Algorithm kAlltoallAlgorithms[] = {kShared, kTwoLevel, kFlat, kBruck, kPairwise};

constexpr Rule kAlltoallvRules[] = {
    {2, kAnyBytes, kAlways, kShared},
    {32, kAnyBytes, kAlways, kFlat},
    {kAnyRanks, kAnyBytes, kAlways, kPairwise},
};
constexpr Algorithm kAlltoallvAlgorithms[] = {kShared, kFlat, kPairwise};

constexpr Rule kReduceRules[] = {
    {8, kAnyBytes, kAlways, kShared},
    {16, 64_KiB, kAlways, kShared},
    {kAnyRanks, kAnyBytes, kAlways, kTwoLevel},
    {2, kAnyBytes, kAlways, kFlat},
    {8, 16_KiB, kAlways, kFlat},
    {kAnyRanks, 256_KiB, kAlways, kBinomial},
    {16, kAnyBytes, kAlways, kDirect},
    {kAnyRanks, kAnyBytes, kAlways, kBinomial},
};
constexpr Algorithm kReduceAlgorithms[] = {kShared, kTwoLevel, kFlat, kBinomial, kDirect};

constexpr Rule kAllreduceRules[] = {
    {16, kAnyBytes, kAlways, kShared},
    {kAnyRanks, kAnyBytes, kAlways, kTwoLevel},
    {2, 256_KiB, kAlways, kDoubling},
    {4, 4_KiB, kAlways, kFlat},
    {16, 4_KiB, kAlways, kCentral},
    {4, kAnyBytes, kAlways, kDirect},
    {8, 16_KiB, kAlways, kDirect},
    {8, 512_KiB, kPowers, kHalving},
    {8, kAnyBytes, kAlways, kDirect},
    {16, 512_KiB, kCommutative, kHalving},
    {16, kAnyBytes, kAlways, kDirect},
    {kAnyRanks, 16_KiB, kAlways, kDoubling},
    {kAnyRanks, kAnyBytes, kCommutative, kHalving},
    {kAnyRanks, kAnyBytes, kAlways, kBinomial},
};
constexpr Algorithm kAllreduceAlgorithms[] = {kShared,   kTwoLevel, kFlat,   kCentral,
                                              kBinomial, kDoubling, kDirect, kHalving};
constexpr Algorithm kHalvingOnly[] = {kHalving};

constexpr Rule kReduceScatterRules[] = {
    {16, 64_KiB, kAlways, kShared},
    {16, kAnyBytes, kAlways, kDirect},
    {kAnyRanks, 64_KiB, kAlways, kCentral},
    {kAnyRanks, kAnyBytes, kAlways, kDirect},
};
constexpr Algorithm kReduceScatterAlgorithms[] = {kShared, kDirect, kCentral};

constexpr Rule kScanRules[] = {
    {16, kAnyBytes, kAlways, kShared},
    {8, 16_KiB, kAlways, kFlat},
    {kAnyRanks, kAnyBytes, kAlways, kDoubling},
};
constexpr Algorithm kScanAlgorithms[] = {kShared, kFlat, kDoubling};

constexpr std::string_view kMessage = "bytes of the message";
constexpr std::string_view kBlock = "bytes for one member";
constexpr std::string_view kAllBlocks = "bytes for all members together";
constexpr std::string_view kUnknown = "not used: members do not know each other's counts";

// In the order of Collective.
constexpr std::array<Selection, kCollectives> kSelections = {{
    {Collective::kBarrier, "barrier", "0", kBarrierRules, kBarrierAlgorithms, {}},
    {Collective::kBcast, "bcast", kMessage, kBcastRules, kBcastAlgorithms, {}},
    {Collective::kGather, "gather", kBlock, kGatherRules, kGatherAlgorithms, {}},
    {Collective::kGatherv, "gatherv", kUnknown, kGathervRules, kGathervAlgorithms, {}},
    {Collective::kScatter, "scatter", kBlock, kGatherRules, kGatherAlgorithms, {}},
    {Collective::kScatterv, "scatterv", kUnknown, kGathervRules, kGathervAlgorithms, {}},
    {Collective::kAllgather, "allgather", kAllBlocks, kAllgatherRules, kAllgatherAlgorithms, {}},
    {Collective::kAllgatherv,
     "allgatherv",
     kAllBlocks,
     kAllgathervRules,
     kAllgathervAlgorithms,
     {}},
    {Collective::kAlltoall, "alltoall", kBlock, kAlltoallRules, kAlltoallAlgorithms, {}},
    {Collective::kAlltoallv, "alltoallv", kUnknown, kAlltoallvRules, kAlltoallvAlgorithms, {}},
    {Collective::kReduce, "reduce", kMessage, kReduceRules, kReduceAlgorithms, {}},
    {Collective::kAllreduce, "allreduce", kMessage, kAllreduceRules, kAllreduceAlgorithms,
     kHalvingOnly},
    {Collective::kReduceScatter,
     "reduce_scatter",
     kAllBlocks,
     kReduceScatterRules,
     kReduceScatterAlgorithms,
     {}},
    {Collective::kScan, "scan", kMessage, kScanRules, kScanAlgorithms, {}},
    {Collective::kExscan, "exscan", kMessage, kScanRules, kScanAlgorithms, {}},
}};

struct Description {
  std::string_view name;
  std::string_view meaning;
};

// In the order of Algorithm.
constexpr std::array<Description, kAlgorithms> kDescriptions = {{
    {"flat", "every message goes straight to whom it is for, all at once"},
    {"central", "through rank 0: fewest messages"},
    {"binomial", "a tree of log2(size) levels"},
    {"dissemination", "log2(size) rounds, a message per member and round"},
    {"doubling", "log2(size) rounds, the whole message in each"},
    {"bruck", "log2(size) rounds, many blocks in each"},
    {"chain", "from member to member, in segments"},
    {"ring", "size - 1 rounds between neighbours"},
    {"pairwise", "every message goes straight to whom it is for, a few at a time"},
    {"scatter_allgather", "pieces to all members, then a ring"},
    {"direct", "member i reduces block i, in segments"},
    {"halving", "recursive halving, then recursive doubling"},
    {"shared", "through memory that the members of one host share: blocking calls only"},
    {"two_level",
     "inside each host, and between one member of each: where there are several hosts"},
}};

// Algorithm + 1 that the user asked for; 0: none.
std::array<std::uint8_t, kCollectives> overrides{};

// Of the file that the user named.
using FileRules = std::array<std::vector<Rule>, kCollectives>;
FileRules file_rules;

bool fits(Rule::Only only, int ranks, bool commutative) {
  if (only == Rule::Only::kAll) return true;
  const bool power = (ranks & (ranks - 1)) == 0;
  return commutative && (power || only == Rule::Only::kCommutative);
}

template <class Range>
bool contains(const Range& range, Algorithm algorithm) {
  return std::find(range.begin(), range.end(), algorithm) != range.end();
}

std::string listed(std::span<const Algorithm> algorithms) {
  std::string text;
  for (const Algorithm algorithm : algorithms) {
    text += text.empty() ? "" : ", ";
    text += name_of(algorithm);
  }
  return text;
}

const Selection* find_selection(std::string_view name) {
  const auto found = std::find_if(kSelections.begin(), kSelections.end(),
                                  [&](const Selection& s) { return s.name == name; });
  return found == kSelections.end() ? nullptr : &*found;
}

std::string all_names() {
  std::string names;
  for (const Selection& selection : kSelections) {
    names += names.empty() ? "" : ", ";
    names += selection.name;
  }
  return names;
}

bool read_bound(const std::string& word, std::uint64_t any, std::uint64_t most,
                std::uint64_t& bound) {
  bound = any;
  return word == "*" || (parse_bytes(word, bound) && bound > 0 && bound <= most);
}

// One line of the file, its words already apart; a sentence when something is wrong.
std::string read_rule(const std::vector<std::string>& words, FileRules& rules) {
  if (words.size() != 4) {
    return "a line is COLLECTIVE RANKS BYTES ALGORITHM, such as `allreduce 8 64k direct`";
  }
  const Selection* const selection = find_selection(words[0]);
  if (selection == nullptr) {
    return "there is no collective `" + words[0] + "`; allowed are " + all_names();
  }
  std::uint64_t ranks = 0;
  std::uint64_t bytes = 0;
  if (!read_bound(words[1], kAnyRanks, kAnyRanks, ranks)) {
    return "`" + words[1] + "` is no number of ranks; allowed are 1, 2, ... and *";
  }
  if (!read_bound(words[2], kAnyBytes, kAnyBytes, bytes)) {
    return "`" + words[2] + "` is no number of bytes; allowed are 1, 2, ..., 64k, 1m and *";
  }
  for (const Algorithm algorithm : selection->algorithms) {
    if (name_of(algorithm) != words[3]) continue;
    const bool commutative = contains(selection->commutative_only, algorithm);
    rules[static_cast<std::size_t>(selection->collective)].push_back(
        {static_cast<int>(ranks), bytes, commutative ? Rule::Only::kCommutative : Rule::Only::kAll,
         algorithm});
    return {};
  }
  return "there is no algorithm `" + words[3] + "` for " + words[0] + "; allowed are " +
         listed(selection->algorithms);
}

bool has_means(Algorithm algorithm, Means means) {
  if (algorithm == kShared) return means == Means::kShared;
  if (algorithm == kTwoLevel) return means == Means::kHosts;
  return true;
}

const Rule* first_that_fits(std::span<const Rule> rules, int ranks, std::size_t bytes,
                            bool commutative, Means means) {
  for (const Rule& rule : rules) {
    if (!has_means(rule.algorithm, means)) continue;
    if (ranks <= rule.ranks_max && bytes <= rule.bytes_max && fits(rule.only, ranks, commutative)) {
      return &rule;
    }
  }
  return nullptr;
}

}  // namespace

std::span<const Selection> selections() { return kSelections; }

std::vector<Rule> rules_in_force(const Selection& selection) {
  const auto index = static_cast<std::size_t>(selection.collective);
  std::vector<Rule> rules;
  if (overrides[index] != 0) {
    const auto wanted = static_cast<Algorithm>(overrides[index] - 1);
    const bool commutative = contains(selection.commutative_only, wanted);
    rules.push_back(
        {kAnyRanks, kAnyBytes, commutative ? Rule::Only::kCommutative : Rule::Only::kAll, wanted});
  }
  rules.insert(rules.end(), file_rules[index].begin(), file_rules[index].end());
  rules.insert(rules.end(), selection.rules.begin(), selection.rules.end());
  return rules;
}

std::vector<std::string> read_algorithm_file(const std::string& path) {
  file_rules = {};
  if (path.empty()) return {};
  std::ifstream file(path);
  if (!file) return {"TERN_COLL_FILE=" + path + " cannot be read; it has no effect."};
  std::vector<std::string> problems;
  FileRules rules;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::istringstream text(line.substr(0, line.find('#')));
    const std::vector<std::string> words(std::istream_iterator<std::string>(text), {});
    const std::string problem = words.empty() ? "" : read_rule(words, rules);
    if (problem.empty()) continue;
    problems.push_back(
        format("{}:{}: {}; the file (TERN_COLL_FILE) has no effect.", path, number, problem));
  }
  if (problems.empty()) file_rules = std::move(rules);
  return problems;
}

std::string_view name_of(Algorithm algorithm) {
  return kDescriptions[static_cast<std::size_t>(algorithm)].name;
}

std::string_view meaning_of(Algorithm algorithm) {
  return kDescriptions[static_cast<std::size_t>(algorithm)].meaning;
}

std::string_view name_of(Rule::Only only) {
  switch (only) {
    case Rule::Only::kCommutative:
      return "commutative";
    case Rule::Only::kCommutativePowersOfTwo:
      return "commutative, 2^k ranks";
    default:
      return "any";
  }
}

Algorithm select(Collective collective, int ranks, std::size_t bytes, bool commutative,
                 Means means) {
  const auto index = static_cast<std::size_t>(collective);
  const Selection& selection = kSelections[index];
  if (overrides[index] != 0) [[unlikely]] {
    const auto wanted = static_cast<Algorithm>(overrides[index] - 1);
    const bool possible = commutative || !contains(selection.commutative_only, wanted);
    if (possible && has_means(wanted, means)) return wanted;
  }
  const Rule* rule = nullptr;
  if (!file_rules[index].empty()) [[unlikely]] {
    rule = first_that_fits(file_rules[index], ranks, bytes, commutative, means);
  }
  if (rule == nullptr) {
    rule = first_that_fits(selection.rules, ranks, bytes, commutative, means);
  }
  if (rule != nullptr) return rule->algorithm;
  return selection.rules.back().algorithm;
}

std::string override_algorithm(std::string_view setting) {
  constexpr std::string_view kPrefix = "TERN_COLL_";
  const std::size_t equals = std::min(setting.find('='), setting.size());
  const std::string_view value = setting.substr(std::min(equals + 1, setting.size()));
  std::string name(setting.substr(0, equals));
  if (name.starts_with(kPrefix)) name.erase(0, kPrefix.size());
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const Selection* const selection = find_selection(name);
  if (selection == nullptr) {
    return std::string(setting) + ": there is no such collective; allowed are " + all_names() + ".";
  }
  const auto found = std::find_if(selection->algorithms.begin(), selection->algorithms.end(),
                                  [&](Algorithm algorithm) { return name_of(algorithm) == value; });
  if (found == selection->algorithms.end() && value != "auto") {
    return std::string(setting) + ": there is no such algorithm for " + name +
           "; allowed are auto, " + listed(selection->algorithms) + ".";
  }
  overrides[static_cast<std::size_t>(selection->collective)] =
      value == "auto" ? 0 : static_cast<std::uint8_t>(static_cast<int>(*found) + 1);
  return {};
}

std::vector<std::string> choose_algorithms(const Config& config) {
  std::vector<std::string> problems =
      read_algorithm_file(std::string(config.text("TERN_COLL_FILE")));
  for (const Config::Setting& setting : config.settings()) {
    if (setting.variable->name != "TERN_COLL_") continue;
    std::string problem = override_algorithm(setting.value);
    if (!problem.empty()) problems.push_back(std::move(problem));
  }
  return problems;
}

}  // namespace tern::mpi::coll
