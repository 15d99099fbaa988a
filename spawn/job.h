// spawn/job.h - one job: starts its ranks, serves them, and ends when they have ended.
//
// The place where everything of mpiexec meets: event loop, signals, PMI server, output and input
// relays, guard. What happens when a rank dies is in job_end.cc, the rest in job.cc.
// Threading: one thread. Failure: run() always returns an exit code, and nothing it started is
// left.
#pragma once
#include <sys/resource.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "spawn/event_loop.h"
#include "spawn/guard.h"
#include "spawn/launcher_contact.h"
#include "spawn/output_relay.h"
#include "spawn/pmi1_channel.h"
#include "spawn/pmi1_server.h"
#include "spawn/prepare.h"
#include "spawn/process.h"
#include "spawn/report.h"
#include "spawn/signals.h"
#include "spawn/stdin_relay.h"

namespace tern::spawn {

class Job final : private Pmi1ServerSink {
 public:
  // The first two must outlive the job.
  // `account` has the ranks of this job in it; nullptr: one is opened when a rank spawns.
  Job(const JobPlan& plan, PreparedJob& prepared, std::unique_ptr<SlotAccount> account);
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // Runs the job to its end and returns mpiexec's exit code.
  int run();

  // Called once when all ranks have been started, or with the problem that kept one from it (which
  // is then not printed).
  void when_started(std::function<void(const Problem&)> what) { when_started_ = std::move(what); }
  EventLoop& loop() { return loop_; }
  // Something that the ranks find in their key-value space.
  void preset(const std::string& key, const std::string& value) { server_.preset(key, value); }
  // Ends the job as a failed one, saying why.
  void end(std::string_view why);

  // The signal that ended the job on the user's behalf; 0: none. mpiexec should then die of the
  // same signal, so that a shell loop around it ends, too.
  int ended_by_signal() const;

 private:
  struct Rank {
    pid_t pid = 0;
    bool running = false;
    bool group_left = false;  // It has ended, but processes that it started have not.
    int status = 0;           // From waitpid.
    std::unique_ptr<Pmi1Channel> channel;
  };

  // job.cc
  Problem start_all();
  Problem start_rank(int rank);
  Problem connect_streams(int rank, ProcessStart& start);
  void execute(int rank, Program& program, ProcessStart& start, StartError& error);
  void say_what_starts() const;
  void on_signal(const Signals::Arrived& signal);
  void reap(pid_t first);
  void send_to(int rank, std::string_view text) override;
  void forget_group(int rank);
  void finish_output();

  // job_spawn.cc
  // A conversation with the launcher of processes that a program of another MPI has asked for. It
  // lasts as long as this job: its end is the end of those processes.
  struct Spawning {
    int rank = 0;
    int wanted = 0;
    EventLoop::Clock::time_point until;
    std::unique_ptr<LauncherContact> contact;
  };
  void on_spawn(int rank, std::string_view address) override;
  void on_spawn_request(int rank, SpawnRequest request) override;
  std::error_code start_launcher(int rank, const std::string& address);
  int slots_fd();
  void look_at(Spawning& spawning);
  bool reap_launcher(pid_t pid, int status);
  void signal_launchers(int number) const;

  // job_end.cc
  void on_exit(int rank, int status);
  void judge(int rank, int status);
  void on_abort(int rank, int code, std::string_view message) override;
  void on_timeout();
  void on_interrupt(int number);
  void fail(int rank, std::string_view what, int code);
  void end_ranks();
  void kill_ranks();
  void end_survivors();
  void signal_groups(int number);
  bool reader_gone() const;
  RankName name_of(int rank) const;
  void print_exit_codes() const;

  Rank& at(int rank) { return ranks_[static_cast<std::size_t>(rank)]; }
  const Rank& at(int rank) const { return ranks_[static_cast<std::size_t>(rank)]; }
  Program& program_for(int rank) const {
    return prepared_
        .programs[static_cast<std::size_t>(prepared_.program_of[static_cast<std::size_t>(rank)])];
  }

  const JobPlan& plan_;
  PreparedJob& prepared_;
  rlimit files_{};  // As mpiexec was started.
  EventLoop loop_;
  Signals signals_;
  Pmi1Server server_;
  OutputRelay output_;
  StdinRelay input_;
  Guard guard_;
  int null_input_ = -1;
  std::vector<int> input_ends_;  // Of the rank being started.
  std::unique_ptr<SlotAccount> account_;
  std::vector<Rank> ranks_;
  std::unordered_map<pid_t, int> rank_of_;
  int running_ = 0;
  // Of jobs that ranks have spawned. They outlive the ranks, and this job waits for them.
  std::vector<pid_t> launchers_;
  std::vector<std::unique_ptr<Spawning>> spawnings_;
  std::function<void(const Problem&)> when_started_;

  int exit_code_ = 0;
  bool ending_ = false;  // From now on deaths are expected.
  bool timed_out_ = false;
  bool given_up_ = false;
  int interrupt_ = 0;  // The first signal that asked for the end.
};

}  // namespace tern::spawn
