// spawn/wireup.h - what a process asks of whatever launched it.
//
// Who am I, publish my business card, fetch another rank's card, barrier, abort. A card is opaque
// bytes here. Backends: PMI-1 (pmi1_client.h: our own mpiexec, Hydra and others that speak
// the same text), PMI-2 (pmi2_client.h: Slurm), PMIx (pmix_client.h: Slurm, Open MPI's mpirun,
// PRRTE), and a singleton for a program started without a launcher. It is not for traffic: after
// the cards everything goes over Tern's own connections. Threading: one thread at a time. Failure:
// error codes and sentences; nothing throws, nothing ends the process. Make one WireUp per process
// and keep it: the launcher's socket exists once.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/ids.h"

namespace tern::spawn {

// How long a launcher that is alive may take to answer.
inline constexpr std::chrono::milliseconds kAnswerTimeout{60'000};

// Which host a rank runs on, as runs of equal shares: hosts first_host, first_host + 1, ... get
// ranks_per_host consecutive ranks each; when the ranks outnumber the blocks' places, the blocks
// repeat. Empty: not known. Memory grows with irregularity only.
struct HostBlock {
  int first_host = 0;
  int host_count = 0;
  int ranks_per_host = 0;
};

// Where ranks are, for who asks about many of them: of() takes a binary search. Borrows the blocks.
class HostFinder {
 public:
  explicit HostFinder(std::span<const HostBlock> blocks);
  // -1: not known.
  int of(int rank) const;

 private:
  std::span<const HostBlock> blocks_;
  std::vector<std::int64_t> ends_;  // Places in all blocks up to and with this one.
};

struct LaunchInfo {
  std::uint64_t job_id = 0;  // The same in all ranks of a job, different between jobs.
  int rank = 0;
  int size = 1;
  int local_rank = 0;  // Among the ranks of this host.
  int local_size = 1;
  int shared_cores = 0;    // That the ranks of this host have together; 0: not known.
  int appnum = -1;         // -1: none.
  int universe_size = -1;  // -1: not known.
  std::string kvs_name;
  std::string initial_errhandler;  // mpiexec -initial-errhandler; empty: not given.
  std::string parent_port;         // Spawned processes: where the parents listen.
  std::vector<HostBlock> hosts;

  ProcessId id() const { return {job_id, static_cast<std::uint64_t>(rank)}; }
  // Index of the host that `of_rank` runs on, or -1 when that is not known.
  int host_of(int of_rank) const { return HostFinder(hosts).of(of_rank); }
};

// The reading of PMI-1's PMI_process_mapping, "(vector,(first,hosts,per_host),...)"; empty when the
// text is anything else.
std::vector<HostBlock> parse_process_mapping(std::string_view text);

// What a launcher reports, only from inside poll(). The sink may start requests; it must not poll.
class WireUpSink {
 public:
  // Exactly once per request_card. `why` is empty on success, else a sentence and the card is
  // empty.
  virtual void on_card(int rank, std::span<const std::byte> card, std::string_view why) = 0;
  virtual void on_barrier_done() = 0;
  // The launcher is gone; every outstanding card was answered with an error before.
  virtual void on_lost() = 0;

 protected:
  ~WireUpSink() = default;
};

class WireUp {
 public:
  virtual ~WireUp() = default;

  virtual const LaunchInfo& info() const = 0;

  // Publishes this process's card, once. Under our mpiexec and PMIx it does not wait for anyone;
  // under other launchers cards become visible by a barrier, so there every rank must call it, and
  // it returns when all have.
  virtual std::error_code put_card(std::span<const std::byte> card) = 0;

  // Asks for the card of another rank. The answer comes through poll(); under our mpiexec that may
  // be long after, when the other rank has put its card. Precondition: 0 <= rank < size.
  virtual void request_card(int rank) = 0;

  // Starts a barrier among all ranks of the job; one at a time.
  virtual void start_barrier() = 0;

  // Delivers what has arrived, without blocking; returns how many events. While nothing is
  // outstanding it makes no system call.
  virtual int poll(WireUpSink& sink) = 0;

  // A descriptor that becomes readable when poll() has something to deliver, while anything is
  // outstanding; else -1.
  virtual int event_fd() const = 0;

  // Has a launcher started for processes that this one spawns, which makes contact at `address`
  // (launcher_contact.h). Returns at once.
  virtual std::error_code start_launcher(const std::string& address) = 0;

  // Tells the launcher to end the whole job with this exit code. Returns; the caller ends itself.
  virtual void abort(int code, std::string_view message) = 0;

  // This process needs the launcher no more, and its exit is no failure from now on. Other
  // launchers answer, which is waited for no longer than timeout. Under our mpiexec put_card may
  // follow and starts the next life (MPI sessions may come after MPI_Finalize); others do not allow
  // that.
  virtual std::error_code finalize(std::chrono::milliseconds timeout) = 0;
};

// Finds out who launched this process and connects to it. nullptr with one sentence for the user in
// `error` when the environment names a launcher that cannot be used; N ranks of a job never become
// N singletons. Blocks for a few round trips under foreign launchers only. Removes PMI_FD from the
// environment, so that a program this process starts is a program on its own.
std::unique_ptr<WireUp> make_wireup(std::string& error);

}  // namespace tern::spawn
