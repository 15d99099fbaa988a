// spawn/arguments.cc - see arguments.h.
#include "spawn/arguments.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>

#include "core/format.h"
#include "core/nearest.h"
#include "spawn/pmi1_line.h"

namespace tern::spawn {
namespace {

// Names of one meaning each that Open MPI had before --bind-to and --map-by.
constexpr std::array<std::array<const char*, 3>, 8> kOldNames = {{
    {"bind-to-core", "--bind-to", "core"},
    {"bind-to-socket", "--bind-to", "socket"},
    {"bind-to-none", "--bind-to", "none"},
    {"bycore", "--map-by", "core"},
    {"bysocket", "--map-by", "socket"},
    {"byslot", "--map-by", "slot"},
    {"bynode", "--map-by", "node"},
    {"pernode", "-N", "1"},
}};

// An option as written, taken apart.
struct Written {
  std::string name;                  // Without dashes and value.
  std::optional<std::string> value;  // What stood behind '='.
};

Written take_apart(const std::string& word) {
  const std::size_t dashes = word.starts_with("--") ? 2 : 1;
  const std::size_t equals = word.find('=', dashes);
  if (equals == std::string::npos) return {word.substr(dashes), std::nullopt};
  return {word.substr(dashes, equals - dashes), word.substr(equals + 1)};
}

// "-n4": a short option with its number, or "-lv": several without.
bool is_short_cluster(const std::string& word, const OptionNames& names) {
  if (word.starts_with("--")) return false;
  for (std::size_t i = 1; i < word.size(); ++i) {
    const auto found = names.find(word.substr(i, 1));
    if (found == names.end()) return false;
    if (found->second > 0) return found->second == 1 && to_number(word.substr(i + 1));
  }
  return true;
}

Problem unknown_option(const std::string& word, const OptionNames& names) {
  const std::string name = take_apart(word).name;
  std::vector<std::string_view> known;
  for (const auto& entry : names) {
    if (entry.first.size() > 1) known.push_back(entry.first);
  }
  const std::string_view meant = nearest(name, known, std::min<std::size_t>(3, name.size() / 2));
  const std::string hint = meant.empty() ? ""
                                         : tern::format(": did you mean '{}{}'?",
                                                        word.starts_with("--") ? "--" : "-", meant);
  return Problem::usage(tern::format("unknown option '{}'{} (mpiexec -h lists all)", word, hint));
}

// -env and -genv take NAME VALUE, and NAME=VALUE as one word from users of other launchers.
bool takes_pair(std::string_view name) { return name == "env" || name == "genv"; }

// Takes the values of one option off the words that follow it.
Problem take_values(const std::string& word, const Written& written, int count,
                    Words::const_iterator& next, Words::const_iterator end, Words& out) {
  if (written.value) {
    if (count == 0) return Problem::usage(tern::format("option '{}' takes no value", word));
    if (count > 1) {
      return Problem::usage(tern::format("option '-{}' needs {} values, with blanks between them",
                                         written.name, count));
    }
    if (written.value->empty()) {
      return Problem::usage(
          tern::format("option '{}' needs a value, and its value is empty", word));
    }
    out.push_back(*written.value);
    return {};
  }
  if (takes_pair(written.name) && next != end) {
    const std::size_t equals = next->find('=');
    if (equals != std::string::npos && equals > 0) {
      out.push_back(next->substr(0, equals));
      out.push_back(next->substr(equals + 1));
      ++next;
      return {};
    }
  }
  if (std::distance(next, end) < count) {
    return Problem::usage(tern::format("option '{}' needs {}", word,
                                       count == 1 ? "a value" : tern::format("{} values", count)));
  }
  if (count == 1 && next->empty()) {
    return Problem::usage(tern::format("option '{}' needs a value, and its value is empty", word));
  }
  out.insert(out.end(), next, next + count);
  next += count;
  return {};
}

}  // namespace

std::vector<Words> split_segments(const Words& words) {
  std::vector<Words> segments(1);
  for (const std::string& word : words) {
    if (word == ":")
      segments.emplace_back();
    else
      segments.back().push_back(word);
  }
  return segments;
}

Problem normalise(const Words& words, const OptionNames& names, Segment& segment) {
  auto next = words.begin();
  while (next != words.end() && next->size() > 1 && next->front() == '-') {
    const std::string& word = *next;
    ++next;
    if (word == "--") break;
    const Written written = take_apart(word);
    const auto old = std::ranges::find(kOldNames, written.name, [](const auto& n) { return n[0]; });
    if (old != kOldNames.end()) {
      segment.options.insert(segment.options.end(), old->begin() + 1, old->end());
      continue;
    }
    const auto known = names.find(written.name);
    if (known == names.end()) {
      if (!is_short_cluster(word, names)) return unknown_option(word, names);
      segment.options.push_back(word);
      continue;
    }
    segment.options.push_back((written.name.size() > 1 ? "--" : "-") + written.name);
    Problem problem = take_values(word, written, known->second, next, words.end(), segment.options);
    if (problem.has()) return problem;
  }
  segment.command.assign(next, words.end());
  return {};
}

Problem split_line(std::string_view line, Words& words) {
  std::string word;
  bool in_word = false;
  char quote = '\0';
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
      word += line[++i];
      in_word = true;
    } else if (quote != '\0') {
      if (c == quote)
        quote = '\0';
      else
        word += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
    } else if (c == '#' && !in_word) {
      break;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != '\0') return Problem::usage(tern::format("a quote ({}) is not closed", quote));
  if (in_word) words.push_back(std::move(word));
  return {};
}

Problem read_config_file(const std::string& path, std::vector<Words>& segments) {
  std::ifstream file(path);
  std::string line;
  if (!file || file.peek() == std::ifstream::traits_type::eof()) {
    return Problem::usage(tern::format("cannot read the file '{}' (-configfile): {}", path,
                                       file ? "it is empty" : std::strerror(errno)));
  }
  for (int number = 1; std::getline(file, line); ++number) {
    Words words;
    if (Problem problem = split_line(line, words); problem.has()) {
      problem.text = tern::format("line {} of '{}': {}", number, path, problem.text);
      return problem;
    }
    // A ':' between lines is allowed and adds nothing.
    for (Words& part : split_segments(words)) {
      if (!part.empty()) segments.push_back(std::move(part));
    }
  }
  if (segments.empty()) return Problem::usage(tern::format("the file '{}' names no program", path));
  return {};
}

}  // namespace tern::spawn
