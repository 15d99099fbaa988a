// spawn/pmi1_spawn.h - how programs of other MPIs ask their launcher for processes: PMI-1's block
// of lines from mcmd=spawn to endcmd, one block per command.
//
// Lines in, a request (spawn_request.h) out; no I/O. Failure: nullopt for blocks that make no
// sense.
#pragma once
#include <optional>
#include <string_view>

#include "spawn/spawn_request.h"

namespace tern::spawn {

class Pmi1SpawnBlock {
 public:
  // True with the last line of the last command; then call take().
  bool add(std::string_view line);
  bool is_empty() const { return bytes_ == 0; }
  // The request, without the directory; the block is empty again.
  std::optional<SpawnRequest> take();

 private:
  static constexpr std::size_t kBytesMax = 4U << 20;

  bool apply(std::string_view key, std::string_view value);

  SpawnRequest request_;
  std::size_t bytes_ = 0;
  int total_ = 1;
  int so_far_ = 1;
  bool sound_ = true;
};

}  // namespace tern::spawn
