// spawn/spawn_request.cc - see spawn_request.h.
#include "spawn/spawn_request.h"

#include "spawn/pmi1_line.h"

namespace tern::spawn {
namespace {

void put(std::string& text, std::string_view key, std::string_view value) {
  text += key;
  text += '=';
  text += encode_value(value);
  text += '\n';
}

// Calls visit(key, value) for each line; false when a line is none, or visit() says so.
template <class Visit>
bool for_each_line(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return false;
    const std::string_view line = text.substr(0, end + 1);
    text.remove_prefix(end + 1);
    if (line == kEndLine) return text.empty();
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) return false;
    const auto value = decode_value(line.substr(equals + 1, line.size() - equals - 2));
    if (!value || !visit(line.substr(0, equals), *value)) return false;
  }
  return false;
}

}  // namespace

std::string SpawnRequest::encode() const {
  std::string text;
  put(text, "directory", directory);
  put(text, "port", port);
  put(text, "universe", std::to_string(universe_size));
  for (const auto& [key, value] : values) {
    put(text, "kvs-key", key);
    put(text, "kvs-value", value);
  }
  for (const SpawnCommand& command : commands) {
    put(text, "program", command.program);
    put(text, "count", std::to_string(command.count));
    for (const std::string& argument : command.arguments) put(text, "argument", argument);
    for (const auto& [key, value] : command.info) {
      put(text, "key", key);
      put(text, "value", value);
    }
  }
  return text.append(kEndLine);
}

std::optional<SpawnRequest> SpawnRequest::decode(std::string_view text) {
  SpawnRequest request;
  const auto take = [&](std::string_view key, const std::string& value) {
    if (key == "directory") {
      request.directory = value;
    } else if (key == "port") {
      request.port = value;
    } else if (key == "universe") {
      request.universe_size = to_number(value).value_or(0);
    } else if (key == "kvs-key") {
      request.values.emplace_back(value, "");
    } else if (key == "kvs-value" && !request.values.empty()) {
      request.values.back().second = value;
    } else if (key == "program") {
      request.commands.emplace_back().program = value;
    } else if (request.commands.empty()) {
      return false;
    } else if (SpawnCommand& command = request.commands.back(); key == "count") {
      command.count = to_number(value).value_or(0);
    } else if (key == "argument") {
      command.arguments.push_back(value);
    } else if (key == "key") {
      command.info.emplace_back(value, "");
    } else if (key == "value" && !command.info.empty()) {
      command.info.back().second = value;
    } else {
      return false;
    }
    return true;
  };
  if (!for_each_line(text, take)) return std::nullopt;
  return request;
}

std::string SpawnAnswer::encode() const {
  std::string text;
  for (const int count : counts) put(text, "started", std::to_string(count));
  if (!failure.empty()) put(text, "failure", failure);
  return text.append(kEndLine);
}

std::optional<SpawnAnswer> SpawnAnswer::decode(std::string_view text) {
  SpawnAnswer answer;
  const auto take = [&](std::string_view key, const std::string& value) {
    if (key == "failure") answer.failure = value;
    if (key == "started") answer.counts.push_back(to_number(value).value_or(0));
    return true;
  };
  if (!for_each_line(text, take)) return std::nullopt;
  return answer;
}

}  // namespace tern::spawn
