// mpi_api/fabrics.h - which fabrics this build has, and which of them can be used here.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"
#include "core/engine.h"

namespace tern::mpi {

// Adds the fabrics that TERN_FABRIC lists to the engine. Returns an MPI error class. `refused` gets
// the reasons why the other fabrics of this build are not there.
int add_fabrics(Engine& engine, const Config& config, const HostIdentity& host,
                std::string* refused = nullptr);

struct FabricReport {
  std::string name;
  bool usable;
  std::string detail;  // What it can do here, or why it cannot be used and what to do.
};
// Tries every fabric out; for tern-info. Slow (a process is forked).
std::vector<FabricReport> report_fabrics(const Config& config);

}  // namespace tern::mpi
