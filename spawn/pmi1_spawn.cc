// spawn/pmi1_spawn.cc - see pmi1_spawn.h.
#include "spawn/pmi1_spawn.h"

#include <string>
#include <utility>

#include "spawn/pmi1_line.h"

namespace tern::spawn {

bool Pmi1SpawnBlock::add(std::string_view line) {
  bytes_ += line.size() + 1;
  // The rest of one that is too long is not kept.
  sound_ = sound_ && bytes_ <= kBytesMax;
  if (line == "endcmd") return so_far_ >= total_;
  const std::size_t equals = line.find('=');
  if (equals == std::string_view::npos) {
    sound_ = false;
  } else if (sound_) {
    sound_ = apply(line.substr(0, equals), line.substr(equals + 1));
  }
  return false;
}

// The value is all of the line behind the '='. Numbers of keys and values follow their order.
bool Pmi1SpawnBlock::apply(std::string_view key, std::string_view value) {
  if (key == "mcmd") {
    request_.commands.emplace_back();
    return value == "spawn";
  }
  if (request_.commands.empty()) return false;
  SpawnCommand& command = request_.commands.back();
  const std::string text(value);
  const auto number = to_number(value);
  if (key == "nprocs") {
    command.count = number.value_or(0);
    return command.count > 0;
  }
  if (key == "totspawns") {
    total_ = number.value_or(0);
  } else if (key == "spawnssofar") {
    so_far_ = number.value_or(0);
  } else if (key == "execname") {
    command.program = text;
  } else if (key.starts_with("preput_key_")) {
    request_.values.emplace_back(text, "");
  } else if (key.starts_with("preput_val_") && !request_.values.empty()) {
    request_.values.back().second = text;
  } else if (key.starts_with("info_key_")) {
    command.info.emplace_back(text, "");
  } else if (key.starts_with("info_val_") && !command.info.empty()) {
    command.info.back().second = text;
  } else if (key.starts_with("arg") && key != "argcnt") {
    command.arguments.push_back(text);
  }
  return true;
}

std::optional<SpawnRequest> Pmi1SpawnBlock::take() {
  const Pmi1SpawnBlock done = std::exchange(*this, {});
  if (!done.sound_ || done.request_.commands.empty()) return std::nullopt;
  for (const SpawnCommand& command : done.request_.commands) {
    if (command.program.empty() || command.count <= 0) return std::nullopt;
  }
  return done.request_;
}

}  // namespace tern::spawn
