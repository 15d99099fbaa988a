// mpi_api/coll/execution.h - one collective on a communicator: a schedule, its messages, its end.
//
// The same for the three forms of a call: blocking (start, wait), non-blocking (start, a request)
// and persistent (a request that starts the same graph again and again). Operations are recycled,
// so that a small collective allocates nothing. Threading: under the entry lock. Failure: MPI error
// classes, sentences kept by fail().
#pragma once
#include <cstddef>
#include <span>

#include "mpi_api/breakdowns.h"
#include "mpi_api/coll/comm_hosts.h"
#include "mpi_api/coll/form.h"
#include "mpi_api/coll/schedule.h"
#include "mpi_api/comm.h"
#include "mpi_api/errors.h"
#include "mpi_api/runtime.h"

namespace tern::mpi::coll {

class Execution final : private Channel {
 public:
  // The next collective on comm, with an empty schedule; nullptr when there is no memory. Every
  // member calls this for each collective, in the same order: it draws the collective's tag. comm
  // outlives the execution. The schedule of an intercommunicator is one of the local group, and
  // rank i of the remote group has the number local size + i in it.
  static Execution* begin(Comm& comm, bool persistent);
  // Gives it back. Sends that a failure left behind keep it alive for themselves.
  void end();

  // Starts, waits and ends. Returns the error class.
  int run();
  // While it runs, it is in the list where end_executions() finds it.
  void list();
  void unlist();
  // The error class of what a finished schedule's outcome is.
  int error() const;
  Comm& comm() const { return *comm_; }

  Schedule schedule;

 private:
  Execution() = default;
  ~Execution() = default;
  void recycle();

  // The way to a group. Messages carry the collective's tag and the sub-tag: kSubTags is a power of
  // two.
  struct Route {
    Comm* comm = nullptr;
    std::uint64_t context = 0;
    std::uint32_t sequence = 0;
    std::uint32_t tags = 0;  // Mask of the bits that a tag may have.
    int first = 0;           // Number of the group's rank 0 in the schedule.

    void take(Comm& to, bool persistent, int first_rank);
    int tag(int sub) const {
      return static_cast<int>((sequence * kSubTags + static_cast<std::uint32_t>(sub)) & tags);
    }
  };
  const Route& route_to(int rank) const { return rank < schedule.size() ? own_ : remote_; }
  bool send(int rank, int sub, const DataView& data, tern::Request& request) override;
  void receive(int rank, int sub, const DataView& data, tern::Request& request) override;
  void cancel_receive(tern::Request& request) override;

  Engine* engine_ = nullptr;
  Comm* comm_ = nullptr;
  Route own_;
  Route remote_;                // Intercommunicators.
  std::size_t kept_bytes_ = 0;  // While free: counted in the bound on what free operations hold.
  Execution* next_free_ = nullptr;
  Execution* next_running_ = nullptr;
  Execution* previous_running_ = nullptr;
  friend void end_executions(const Comm& comm);
};

// The communicator is broken: what runs on it fails.
void end_executions(const Comm& comm);

// Makes the request of a non-blocking or persistent form and (non-blocking) starts it. Takes over
// the execution. `used` must live as long as the request: one reference of each is taken.
int begin_request(Execution& execution, const Form& form, std::span<Object* const> used);

// Errors of collectives: the class, its sentence kept by fail(). `rank` is the one in `group`,
// which is comm or, for an intercommunicator, may be its local group.
[[gnu::cold]] int sent_too_much(const Comm& comm, int rank);
// These two end the communicator's collectives: the other members rely on what does not come.
[[gnu::cold]] int lost_member(Comm& comm, Comm& group, int rank);
[[gnu::cold]] int no_memory(Comm& comm);

// Runs one collective: build(schedule) describes it.
template <class Build>
int launch(Comm& comm, const Form& form, std::span<Object* const> used, Build build) {
  if (comm.broken != nullptr) [[unlikely]]
    return broken_down(comm);
  if (!comm.hosts_known) [[unlikely]] {
    if (const int error = find_hosts(comm, form.request == nullptr)) return error;
  }
  Execution* const execution = Execution::begin(comm, form.persistent);
  if (execution == nullptr) [[unlikely]]
    return no_memory(comm);
  build(execution->schedule);
  if (execution->schedule.out_of_memory()) [[unlikely]] {
    execution->end();
    return no_memory(comm);
  }
  return form.request == nullptr ? execution->run() : begin_request(*execution, form, used);
}

}  // namespace tern::mpi::coll
