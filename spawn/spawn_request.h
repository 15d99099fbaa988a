// spawn/spawn_request.h - what MPI_Comm_spawn asks for, on its way from the library to mpiexec.
//
// Text lines "key=value" with encoded values (pmi1_line.h), ended by the line "end". Pure.
// Failure: nullopt for text that encode() cannot have made.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tern::spawn {

struct SpawnCommand {
  std::string program;
  std::vector<std::string> arguments;  // Without the program's name.
  int count = 0;
  std::vector<std::pair<std::string, std::string>> info;
};

struct SpawnRequest {
  std::string directory;  // The working directory of the process that asks.
  std::string port;       // Where the new processes connect to; empty: they are no MPI programs.
  int universe_size = 0;  // 0: not known.
  std::vector<SpawnCommand> commands;
  // What the new processes find in their key-value space: programs of other MPIs leave a port
  // there.
  std::vector<std::pair<std::string, std::string>> values;

  std::string encode() const;
  static std::optional<SpawnRequest> decode(std::string_view text);
};

// A line that ends a request or an answer.
inline constexpr std::string_view kEndLine = "end\n";

// mpiexec's answer: how many processes of each command it has started, or why none.
struct SpawnAnswer {
  std::vector<int> counts;
  std::string failure;

  std::string encode() const;
  static std::optional<SpawnAnswer> decode(std::string_view text);
};

// The launcher's argument before those that say where the process waits that asked for it, and what
// the account of slots is (spawned.h).
inline constexpr char kSpawnedOption[] = "--tern-spawned";
// What the process says when the new ones are connected to it no more. Without it, the end of the
// conversation is the end of the new processes.
inline constexpr std::string_view kDetachLine = "detach\n";
// What it says when it goes on without the new ones, which shall end.
inline constexpr std::string_view kGiveUpLine = "give up\n";

}  // namespace tern::spawn
