// spawn/spawn_keys.h - the info keys of MPI_Comm_spawn: one table for mpiexec, tern-info and the
// documentation.
//
// The keys of the standard, and those that users of Open MPI have in their programs, under its
// names and with the prefix tern_ instead of ompi_. What a key does is in spawn_plan.cc. Pure.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace tern::spawn {

struct SpawnKey {
  enum class Id : std::uint8_t {
    kHost,
    kHostFile,
    kAddHost,
    kAddHostFile,
    kWorkingDirectory,
    kPath,
    kFile,
    kArchitecture,
    kSoft,
    kEnvironment,
    kPerNode,
    kOnePerNode,
    kPerObject,
    kMapBy,
    kRankBy,
    kBindTo,
    kMapper,
    kErrhandler,
    kPrefix,
    kPreloadBinary,
    kPreloadFiles,
    kStdinTarget,
    kNonMpi,
    kParam,
  };
  std::string_view name;
  Id id;
  std::string_view value;    // What it takes.
  std::string_view meaning;  // One sentence.
};

std::span<const SpawnKey> spawn_keys();

// Of the table, by its name or by its other prefix; nullptr when there is none.
const SpawnKey* find_spawn_key(std::string_view name);

// A number is true when it is not zero; "yes" and "true" in any case are true; all else is false.
bool is_true(std::string_view value);

}  // namespace tern::spawn
