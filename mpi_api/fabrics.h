// mpi_api/fabrics.h - which fabrics this build has, and which of them can be used here.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/config.h"
#include "core/engine.h"

namespace tern::shm {
class ShmFabric;  // shm/fabric.h
}

namespace tern::mpi {

// The fabrics that TERN_FABRIC lists: which are open, and which wait until they are needed.
//
// A fabric that leads to other hosts costs time, memory and descriptors. A job on one host has it
// opened only when it deals with processes of other jobs, unless its own go over it, too.
class FabricSet {
 public:
  explicit FabricSet(Config config) : config_(std::move(config)) {}

  // Adds to the engine those that a job on one host or on several needs, in the order of
  // preference. One that cannot be used is left out: a peer that no other reaches says why. Returns
  // an MPI error class.
  int open(Engine& engine, const HostIdentity& host, bool one_host);
  // Adds the others; the engine's card has their addresses then.
  void open_rest(Engine& engine);
  bool has_rest() const { return !waiting_.empty(); }

  // Lanes (lanes.h) are of shared memory, where it is what the engine prefers.
  bool can_make_lanes() const;
  static constexpr unsigned kLanesMax = 8;
  // Preconditions: can_make_lanes(); 0 < number <= count <= kLanesMax.
  void open_lanes(unsigned count);
  std::unique_ptr<Fabric> make_lane(unsigned number) const;

 private:
  struct Absent {
    std::string_view name;
    std::string why;
  };
  bool add(Engine& engine, const HostIdentity& host, std::string_view name);
  std::string reasons() const;

  Config config_;
  shm::ShmFabric* shm_ = nullptr;  // The engine's, when it is open.
  std::vector<std::string_view> open_;
  std::vector<std::string_view> waiting_;
  std::vector<Absent> refused_;
};

struct FabricReport {
  std::string name;
  bool usable;
  std::string detail;  // What it can do here, or why it cannot be used and what to do.
};
// Tries every fabric out; for tern-info. Slow (a process is forked).
std::vector<FabricReport> report_fabrics(const Config& config);

}  // namespace tern::mpi
