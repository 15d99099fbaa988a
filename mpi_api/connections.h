// mpi_api/connections.h - the processes of other jobs that this one is connected to, and those of
// any job that are lost.
//
// Keeps the business cards of other jobs (the launcher knows the cards of its own job only),
// notices when one of their processes has ended, and lets go of those that no communicator names
// any more. Inside the own job mpiexec hands out the cards and ends the job when a rank dies; but a
// fabric may lose a rank that the launcher still sees, and what waits for that rank must fail, too.
//
// A process that has ended is noticed by looking at it a few times per second, whenever MPI makes
// progress; then every operation that waits for it fails, and so do collectives of each
// communicator that names it. One of the own job that was never spoken to is not looked at: who has
// waited for its message for a second says a word to it, and learns of its end by that. Threading:
// under the entry lock. Failure: none of its own.
#pragma once
#include <chrono>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/card.h"
#include "core/engine.h"
#include "mpi_api/breakdowns.h"
#include "mpi_api/object.h"

namespace tern::mpi {

class Connections {
 public:
  explicit Connections(Engine& engine)
      : engine_(engine), breakdowns_(engine), own_job_(engine.self().job) {}

  // Makes a process known. Its card stays until no communicator and no holder names it.
  void learn(const Card& card);
  bool is_foreign(const ProcessId& id) const { return id.job != own_job_; }

  // While at least one holder names a process, it is not forgotten. Precondition: learn()ed.
  void hold(const ProcessId& id);
  void let_go(const ProcessId& id);

  // The engine asks for the card of a foreign process; answers at once.
  void request_card(const ProcessId& id);

  // A communicator has been made, or is about to be destroyed.
  void track(Comm& comm);
  void untrack(Comm& comm);
  // Communicators that name a foreign process.
  const std::vector<Comm*>& comms() const { return comms_; }

  // Those of other jobs that a communicator names and that have not ended.
  std::vector<ProcessId> connected() const;
  bool is_connected(const ProcessId& id) const;
  // A process has said why it and its job are about to end: what is awaited from them fails.
  void expect_end(const ProcessId& id, std::string_view why);

  // Why this process has certainly ended; empty while it lives or nobody knows.
  std::string_view why_gone(const ProcessId& id) const;
  // The same of any process that the communicator names.
  std::string_view why_lost(const Comm& comm) const;
  // Whether a process of this job is known.
  bool knows_job(std::uint64_t job) const;
  // Whether a message from `source` (may be any) on this communicator can never come.
  bool in_vain(const Comm& comm, int source) const;

  // A probe that waits for a message, for as long as this object lives.
  class Probing {
   public:
    Probing(Connections& connections, const Envelope& pattern)
        : connections_(connections), pattern_(pattern) {
      connections_.probes_.push_back(pattern_);
    }
    ~Probing();
    Probing(const Probing&) = delete;
    Probing& operator=(const Probing&) = delete;

   private:
    Connections& connections_;
    Envelope pattern_;
  };

  Breakdowns& breakdowns() { return breakdowns_; }
  void tell_of_breakdowns() {
    if (breakdowns_.pending()) breakdowns_.handle(all_comms_);
  }

  // Looks after everything, when it is time to; returns how many processes were forgotten. Part of
  // progress.
  int poll();
  // Drops those that were spoken to and never became part of a communicator: nobody needs to wait
  // until they have read what was sent.
  void drop_strangers();

 private:
  using Clock = std::chrono::steady_clock;
  struct Process {
    Card card;
    std::string text;
    int holders = 0;         // Communicators and others.
    bool connected = false;  // A communicator names it, or did.
    bool suspect = false;    // Not there when looked at last: what it sent may still be on its way.
    bool gone = false;
    std::string why;
    std::string said;  // By itself, about its end.
  };

  void look_after();
  void forget_unused();
  void look_at(const ProcessId& id, Process& process);
  void fail_waiting();
  void fail_waiting_for_own_job();
  void lose_in_lanes();
  void meet_awaited();
  void meet(const Envelope& awaited);
  std::vector<Envelope> awaited() const;
  static bool before(const Envelope& a, const Envelope& b);
  void fail_receives_of(const Comm& comm, int rank, Peer& lost);
  template <class Visit>
  void for_each_foreign(const Comm& comm, Visit visit) const;

  Engine& engine_;
  Breakdowns breakdowns_;
  std::uint64_t own_job_;
  std::unordered_map<ProcessId, Process, ProcessIdHash> processes_;
  std::vector<Comm*> comms_;
  std::vector<Comm*> all_comms_;
  std::vector<Peer*> lost_members_;  // Of the own job.
  std::size_t failures_seen_ = 0;    // Engine::failures() when they were gathered.
  int gone_count_ = 0;
  std::uint64_t next_look_ms_ = 0;
  std::uint64_t next_meeting_ms_ = 0;
  std::vector<Envelope> probes_;
  std::vector<Envelope> awaited_;  // Messages, when this was last looked at; sorted.
};

// Connections::why_lost() of this process's connections.
std::string_view why_lost(const Comm& comm);

}  // namespace tern::mpi
