// core/preconnect.cc - plans, rounds and the file of pairs; see preconnect.h.
#include "core/preconnect.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <map>
#include <tuple>

#include "core/check.h"
#include "core/format.h"

namespace tern::preconnect {
namespace {

bool parse_number(std::string_view text, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// Takes the next word off the front; empty when there is none.
std::string_view next_word(std::string_view& text) {
  constexpr std::string_view kBlanks = " \t\r";
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(kBlanks)));
  const std::string_view word = text.substr(0, text.find_first_of(kBlanks));
  text.remove_prefix(word.size());
  return word;
}

// Host leaders all to all, in rounds; then each leader with the others of its host, one after
// another.
std::vector<Rank> partners_of_nodes(Rank rank, std::span<const Rank> node_of) {
  std::map<Rank, std::vector<Rank>> members;
  for (Rank r = 0; r < node_of.size(); ++r) members[node_of[r]].push_back(r);
  std::vector<Rank> leaders;
  leaders.reserve(members.size());
  for (const auto& [node, ranks] : members) leaders.push_back(ranks.front());
  std::sort(leaders.begin(), leaders.end());
  const std::vector<Rank>& mine = members[node_of[rank]];
  if (rank != mine.front()) return {mine.front()};

  std::vector<Rank> result;
  const auto own =
      static_cast<Rank>(std::lower_bound(leaders.begin(), leaders.end(), rank) - leaders.begin());
  const auto count = static_cast<Rank>(leaders.size());
  for (Rank round = 0; round < tournament_rounds(count); ++round) {
    const Rank partner = tournament_partner(count, round, own);
    if (partner != own) result.push_back(leaders[partner]);
  }
  result.insert(result.end(), mine.begin() + 1, mine.end());
  return result;
}

// In the order of distance; for each distance d, first the pairs that begin in even blocks of d
// ranks, then those of odd blocks, then those around the end. Nobody is in two pairs of one of
// these rounds, but for those around the end.
std::vector<Rank> partners_of_ring(Rank rank, Rank size, Rank neighbors) {
  using Key = std::tuple<Rank, Rank, Rank, Rank>;  // distance, round, first rank; partner
  std::vector<Key> keys;
  for (Rank distance = 1; distance <= std::min(neighbors, size / 2); ++distance) {
    for (const Rank first : {rank, (rank + size - distance) % size}) {
      const Rank second = static_cast<Rank>((std::uint64_t{first} + distance) % size);
      const Rank round = second < first ? 2 : first / distance % 2;
      const Rank partner = first == rank ? second : first;
      keys.emplace_back(distance, round, std::min(first, second), partner);
    }
  }
  std::sort(keys.begin(), keys.end());
  std::vector<Rank> result;
  for (const Key& key : keys) {
    const Rank partner = std::get<3>(key);
    // Opposite each other in the ring: found from both sides.
    if (partner != rank && (result.empty() || result.back() != partner)) result.push_back(partner);
  }
  return result;
}

}  // namespace

bool parse_plan(std::string_view text, Plan& plan, std::string& why) {
  using Kind = Plan::Kind;
  plan = {};
  const std::string_view head = text.substr(0, text.find(':'));
  const bool has_value = head.size() != text.size();
  const std::string_view value = has_value ? text.substr(head.size() + 1) : std::string_view();
  const bool is_plain = !has_value;
  if (is_plain && (text == "none" || text.empty())) return true;
  if (is_plain && text == "all") {
    plan.kind = Kind::kAll;
    return true;
  }
  if (is_plain && text == "nodes") {
    plan.kind = Kind::kNodes;
    return true;
  }
  std::uint64_t number = 0;
  if (head == "neighbors" && parse_number(value, number) && number > 0 && number <= 0x7FFFFFFF) {
    plan.kind = Kind::kNeighbors;
    plan.neighbors = static_cast<Rank>(number);
    return true;
  }
  if (head == "file" && !value.empty()) {
    plan.kind = Kind::kFile;
    plan.path = value;
    return true;
  }
  why = format(
      "'{}' is no plan for connecting in advance; allowed: none, all, nodes, neighbors:K with K "
      "from "
      "1, file:PATH",
      text);
  return false;
}

Rank tournament_rounds(Rank size) {
  if (size < 2) return 0;
  return size % 2 == 0 ? size - 1 : size;
}

// The circle method: with an odd number of seats n, the two whose sum is the round (mod n) meet;
// who would meet himself meets the last one when the size is even, and rests when it is odd.
Rank tournament_partner(Rank size, Rank round, Rank rank) {
  CHECK(rank < size && round < tournament_rounds(size));
  const Rank seats = size % 2 == 0 ? size - 1 : size;
  const bool has_extra = size % 2 == 0;
  // The seat that meets itself in this round: 2 * seat = round (mod seats), which is odd.
  const std::uint64_t half = round % 2 == 0 ? round / 2 : (std::uint64_t{round} + seats) / 2;
  const Rank resting = static_cast<Rank>(half % seats);
  if (has_extra && rank == seats) return resting;
  if (rank == resting) return has_extra ? seats : rank;
  return static_cast<Rank>((std::uint64_t{round} + seats - rank) % seats);
}

std::vector<Rank> partners(const Plan& plan, Rank rank, Rank size, std::span<const Rank> node_of,
                           std::span<const Pair> pairs) {
  CHECK(rank < size);
  switch (plan.kind) {
    case Plan::Kind::kNone:
      break;
    case Plan::Kind::kAll: {
      std::vector<Rank> result;
      result.reserve(size - 1);
      for (Rank round = 0; round < tournament_rounds(size); ++round) {
        const Rank partner = tournament_partner(size, round, rank);
        if (partner != rank) result.push_back(partner);
      }
      return result;
    }
    case Plan::Kind::kNeighbors:
      return partners_of_ring(rank, size, plan.neighbors);
    case Plan::Kind::kNodes:
      CHECK(node_of.size() == size);
      return partners_of_nodes(rank, node_of);
    case Plan::Kind::kFile: {
      std::vector<Rank> result;
      for (const std::vector<Pair>& round : rounds_of(pairs)) {
        for (const auto& [a, b] : round) {
          if (a == rank) result.push_back(b);
          if (b == rank) result.push_back(a);
        }
      }
      return result;
    }
  }
  return {};
}

std::vector<Rank> partners_across(Rank place, Rank first, Rank second) {
  CHECK(place < first + second);
  const std::uint64_t rounds = std::max(first, second);
  std::vector<Rank> result;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    // Member i of the first group meets member (i + round) mod rounds of the second.
    if (place < first) {
      const std::uint64_t other = (place + round) % rounds;
      if (other < second) result.push_back(first + static_cast<Rank>(other));
    } else {
      const std::uint64_t other = (place - first + rounds - round) % rounds;
      if (other < first) result.push_back(static_cast<Rank>(other));
    }
  }
  return result;
}

std::vector<std::vector<Pair>> rounds_of(std::span<const Pair> pairs) {
  std::vector<Pair> sorted(pairs.begin(), pairs.end());
  for (auto& [a, b] : sorted) {
    if (a > b) std::swap(a, b);
  }
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  std::vector<std::vector<Pair>> rounds;
  std::map<Rank, std::vector<bool>> taken;  // By rank: the rounds in which it has a partner.
  for (const auto& [a, b] : sorted) {
    if (a == b) continue;
    std::vector<bool>& of_a = taken[a];
    std::vector<bool>& of_b = taken[b];
    std::size_t round = 0;
    while ((round < of_a.size() && of_a[round]) || (round < of_b.size() && of_b[round])) ++round;
    if (of_a.size() <= round) of_a.resize(round + 1);
    if (of_b.size() <= round) of_b.resize(round + 1);
    of_a[round] = of_b[round] = true;
    if (rounds.size() <= round) rounds.resize(round + 1);
    rounds[round].emplace_back(a, b);
  }
  return rounds;
}

std::string write_pairs(std::span<const Talk> talks, Rank size) {
  std::map<Pair, counters::Volume> pairs;
  for (const auto& [ends, sent] : talks) {
    const auto& [a, b] = ends;
    counters::Volume& volume = pairs[Pair(std::min(a, b), std::max(a, b))];
    volume = volume + sent;
  }
  std::string text = format(
      "tern-pairs 1 {}\n# Pairs of ranks that exchanged messages, for TERN_PRECONNECT=file:PATH: "
      "ranks, messages, bytes.\n",
      size);
  for (const auto& [pair, volume] : pairs) {
    text += format("{} {} {} {}\n", pair.first, pair.second, volume.messages, volume.bytes);
  }
  return text;
}

bool read_pairs_file(const std::string& path, Rank size, std::vector<Pair>& pairs,
                     std::string& why) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) {
    why = format("{} cannot be read", path);
    return false;
  }
  return read_pairs(text, path, size, pairs, why);
}

bool read_pairs(std::string_view text, std::string_view source, Rank size, std::vector<Pair>& pairs,
                std::string& why) {
  pairs.clear();
  const auto bad = [&](std::size_t line, std::string_view problem) {
    why = format("{}:{}: {}", source, line, problem);
    return false;
  };
  std::size_t number = 0;
  std::uint64_t file_size = 0;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    line = line.substr(0, line.find('#'));
    ++number;
    const std::string_view first = next_word(line);
    if (first.empty()) continue;
    const std::string_view second = next_word(line);
    if (file_size == 0) {
      if (first != "tern-pairs" || second != "1") {
        return bad(number, "wants 'tern-pairs 1 SIZE' as its first line; is this a file of pairs?");
      }
      const std::string_view third = next_word(line);
      if (!parse_number(third, file_size) || file_size == 0 || file_size > 0x7FFFFFFF) {
        return bad(number, format("'{}' is no number of ranks", third));
      }
      continue;
    }
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    if (!parse_number(first, a) || !parse_number(second, b)) {
      return bad(number, format("wants two ranks, such as '0 7', not '{} {}'", first, second));
    }
    for (std::string_view word = next_word(line); !word.empty(); word = next_word(line)) {
      std::uint64_t count = 0;
      if (!parse_number(word, count)) {
        return bad(number, format("'{}' is no number of messages or bytes", word));
      }
    }
    if (a >= file_size || b >= file_size) {
      return bad(number, format("rank {} is not below {}, the number of ranks in the first line",
                                std::max(a, b), file_size));
    }
    if (a == b) return bad(number, format("pairs rank {} with itself", a));
    if (a < size && b < size) {
      pairs.emplace_back(static_cast<Rank>(std::min(a, b)), static_cast<Rank>(std::max(a, b)));
    }
  }
  if (file_size == 0) return bad(std::max<std::size_t>(number, 1), "is empty");
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  return true;
}

}  // namespace tern::preconnect
