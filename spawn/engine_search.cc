// spawn/engine_search.cc - see engine_search.h.
#include "spawn/engine_search.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace tern::spawn {
namespace {

struct Kind {
  Engine engine;
  std::string_view name;
  std::vector<const char*> programs;
  const char* package;  // Of Debian.
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {Engine::kSlurm, "srun", {"srun"}, "slurm-client"},
      {Engine::kPrrte, "prrte", {"prterun"}, "prrte"},
      {Engine::kOpenMpi, "openmpi", {"mpirun.openmpi", "orterun"}, "openmpi-bin"},
      {Engine::kHydra, "hydra", {"mpiexec.hydra", "mpiexec.mpich"}, "mpich"},
  };
  return all;
}

// Every Tern installation has links of others' names to a file called mpiexec.
bool is_tern(const std::string& file) {
  std::error_code failed;
  const auto resolved = std::filesystem::canonical(file, failed);
  return failed || resolved.filename() == "mpiexec";
}

const Kind& kind_of(Engine engine) { return *std::ranges::find(kinds(), engine, &Kind::engine); }

}  // namespace

bool is_program(const std::string& file) {
  struct stat status;
  return ::stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::access(file.c_str(), X_OK) == 0;
}

std::string_view engine_name(Engine engine) { return kind_of(engine).name; }

EngineNeeds engine_needs(Engine engine) {
  return {kind_of(engine).programs[0], kind_of(engine).package};
}

const std::vector<Engine>& all_engines() {
  static const std::vector<Engine> all = {Engine::kSlurm, Engine::kPrrte, Engine::kOpenMpi,
                                          Engine::kHydra};
  return all;
}

std::string search_path(std::string_view path, std::string_view program) {
  while (!path.empty()) {
    const std::size_t end = std::min(path.find(':'), path.size());
    std::string file = std::string(path.substr(0, end)) + "/" + std::string(program);
    if (end > 0 && is_program(file) && !is_tern(file)) return file;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return {};
}

std::vector<FoundEngine> find_engines(std::string_view path) {
  std::vector<FoundEngine> found;
  for (const Kind& kind : kinds()) {
    for (const char* program : kind.programs) {
      std::string file = search_path(path, program);
      if (file.empty()) continue;
      found.push_back({kind.engine, std::move(file)});
      break;
    }
  }
  return found;
}

std::vector<FoundEngine> find_engines() {
  const char* const path = std::getenv("PATH");
  return find_engines(path == nullptr ? std::string_view() : std::string_view(path));
}

}  // namespace tern::spawn
