// mpi_api/spawned_jobs.h - the launchers of the jobs that this process has spawned.
//
// A conversation stays open with each as long as this process is connected to the job; that it
// closes without a word tells the launcher that this process died. Threading: under the entry lock.
#pragma once
#include <memory>
#include <vector>

#include "mpi_api/connections.h"
#include "spawn/launcher_contact.h"

namespace tern::mpi {

class SpawnedJobs {
 public:
  // Spawns in progress, whose sockets are to be looked at while MPI waits.
  void await(const spawn::LauncherContact& contact) { awaited_.push_back(&contact); }
  void await_no_more(const spawn::LauncherContact& contact) { std::erase(awaited_, &contact); }
  // Of one of them, -1: there is none. Whoever sleeps on it looks at all of them often.
  int awaited_fd() const { return awaited_.empty() ? -1 : awaited_.front()->fd(); }

  void add(std::uint64_t job, std::unique_ptr<spawn::LauncherContact> contact) {
    jobs_.push_back({job, std::move(contact)});
  }
  // Lets go of the jobs that `connections` knows no process of any more.
  void release_unconnected(const Connections& connections);
  // At MPI_Finalize: all of them.
  void release_all();

 private:
  struct Spawned {
    std::uint64_t job;
    std::unique_ptr<spawn::LauncherContact> contact;
  };
  std::vector<Spawned> jobs_;
  std::vector<const spawn::LauncherContact*> awaited_;
};

// In a spawned process, at the end of MPI_Init: connects the world to the processes that spawned
// it.
int connect_to_parent();
// MPI_Comm_get_parent gives MPI_COMM_NULL once the communicator is gone.
void forget_parent(const Comm& comm);

}  // namespace tern::mpi
