// spawn/engine_search.h - the launchers of others that are installed here.
//
// Looks at files only. Threading: any. Failure: none; what is not found is not there.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace tern::spawn {

// In the order of preference.
enum class Engine { kSlurm, kPrrte, kOpenMpi, kHydra };

// As --launcher takes it.
std::string_view engine_name(Engine engine);

struct FoundEngine {
  Engine engine = Engine::kHydra;
  std::string program;  // Absolute.
};

// What is needed to have it: its main program and Debian's package.
struct EngineNeeds {
  const char* program;
  const char* package;
};
EngineNeeds engine_needs(Engine engine);

// All there could be, in the order of preference.
const std::vector<Engine>& all_engines();

// The first file of this name that can be executed and is not Tern's; empty: none.
std::string search_path(std::string_view path, std::string_view program);
bool is_program(const std::string& file);

// Those that `path` (as $PATH) leads to, each once. Tern's own mpiexec answers to the names of
// others and is none of them.
std::vector<FoundEngine> find_engines(std::string_view path);
// Of this process's PATH.
std::vector<FoundEngine> find_engines();

}  // namespace tern::spawn
