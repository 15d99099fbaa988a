// spawn/job_end.cc - how a job ends: ranks that finish, die, abort, or are told to end; see job.h.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "core/format.h"
#include "spawn/job.h"

namespace tern::spawn {
namespace {

using std::chrono::milliseconds;

// Between SIGTERM and SIGKILL when the job has failed: enough to close files, short enough not to
// keep the user waiting for a job that is lost.
constexpr milliseconds kFailureGrace{3'000};
// After a signal from the user: enough for a program that saves its work on Ctrl-C. A second signal
// cuts it short.
constexpr milliseconds kInterruptGrace{10'000};
constexpr milliseconds kInterruptHint{1'000};
// A process that does not even die of SIGKILL hangs in the kernel; mpiexec does not hang with it.
constexpr milliseconds kKillGrace{5'000};
constexpr milliseconds kSurvivorPoll{5};

std::string count_of(int ranks) { return ranks == 1 ? "1 rank" : tern::format("{} ranks", ranks); }

std::string others_are_ended(int others) {
  if (others == 0) return "No other rank was running";
  if (others == 1) return "The other rank is being ended";
  return tern::format("The other {} ranks are being ended", others);
}

}  // namespace

RankName Job::name_of(int rank) const { return {rank, at(rank).pid, program_for(rank).name}; }

void Job::on_exit(int rank, int status) {
  Rank& self = at(rank);
  self.running = false;
  self.status = status;
  --running_;
  if (account_ != nullptr) account_->leave(prepared_.cpus[static_cast<std::size_t>(rank)]);
  // What it said last decides how its end is judged.
  self.channel->receive_all();
  judge(rank, status);
  server_.on_exit(rank);
  self.channel->close();
  self.group_left = ::kill(-self.pid, 0) == 0;
  if (!self.group_left) forget_group(rank);
}

void Job::judge(int rank, int status) {
  const int code = exit_code_of(status);
  if (ending_) {
    // The user ended the job: the ranks' own codes say how it went.
    if (interrupt_ != 0 && exit_code_ == 0) exit_code_ = code;
    return;
  }
  const Pmi1Server::Stage stage = server_.stage(rank);
  if (status == 0) {
    if (stage == Pmi1Server::Stage::kInside && running_ > 0) {
      fail(rank, "exited with code 0, but without calling MPI_Finalize", 1);
    }
    return;
  }
  if (stage != Pmi1Server::Stage::kFinished) {
    fail(rank, describe_end(status), code);
    return;
  }
  // After MPI_Finalize the others do not depend on it any more; its exit code counts nevertheless.
  if (exit_code_ == 0) exit_code_ = code;
  if (WIFSIGNALED(status)) {
    say(tern::format("{} {} after MPI_Finalize", describe(name_of(rank)), describe_end(status)));
  }
}

void Job::fail(int rank, std::string_view what, int code) {
  exit_code_ = code;
  // mpiexec | head: the reader has seen enough. That is no failure worth a word.
  if (code != 128 + SIGPIPE || !reader_gone()) {
    say(tern::format("{} {}. {}, and the exit code of the job is {}", describe(name_of(rank)), what,
                     others_are_ended(running_), code));
  }
  end_ranks();
}

bool Job::reader_gone() const {
  pollfd output{.fd = STDOUT_FILENO, .events = 0, .revents = 0};
  return output_.reader_gone() || (::poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0);
}

void Job::on_abort(int rank, int code, std::string_view message) {
  if (ending_) return;
  // Exit codes have eight bits; 0 would mean success.
  exit_code_ = (code & 0xff) == 0 ? 1 : code & 0xff;
  // The rank has printed its message itself, except where stderr goes to files.
  const bool print =
      !message.empty() && (plan_.output.directory_only || !plan_.output.error_pattern.empty());
  const int others = running_ - (at(rank).running ? 1 : 0);
  say(tern::format("{} called MPI_Abort with code {}{}{}. {}", describe(name_of(rank)), code,
                   print ? ": " : "", print ? message : "", others_are_ended(others)));
  end_ranks();
}

void Job::end(std::string_view why) {
  if (ending_) return;
  exit_code_ = static_cast<int>(ExitCode::kFailure);
  say(tern::format("{}; {} still running {} being ended", why, count_of(running_),
                   running_ == 1 ? "is" : "are"));
  end_ranks();
}

void Job::on_timeout() {
  if (ending_) return;
  exit_code_ = static_cast<int>(ExitCode::kTimeout);
  timed_out_ = true;
  say(tern::format(
      "the time limit of {:g} s (-timeout) has passed; {} still running {} being ended",
      static_cast<double>(plan_.timeout.count()) / 1000, count_of(running_),
      running_ == 1 ? "is" : "are"));
  end_ranks();
}

void Job::on_interrupt(int number) {
  // The second one, or one for a job that is ending anyway: at once.
  const bool over = running_ == 0 && launchers_.empty();
  if (ending_ || over) {
    given_up_ = over;
    kill_ranks();
    return;
  }
  interrupt_ = number;
  ending_ = true;
  signal_groups(number);
  signal_groups(SIGCONT);
  loop_.after(kInterruptHint, [this, number] {
    if (running_ == 0) return;
    remark(tern::format("waiting for {} to end after signal {} ({}); send it once more to kill {}",
                        count_of(running_), number, ::strsignal(number),
                        running_ == 1 ? "it" : "them"));
  });
  loop_.after(kInterruptGrace, [this] { kill_ranks(); });
}

int Job::ended_by_signal() const {
  return interrupt_ != 0 && exit_code_ == 128 + interrupt_ ? interrupt_ : 0;
}

void Job::end_ranks() {
  ending_ = true;
  spawnings_.clear();
  signal_groups(SIGTERM);
  signal_groups(SIGCONT);  // A stopped process does not die of SIGTERM before it goes on.
  loop_.after(kFailureGrace, [this] {
    if (running_ == 0) return;
    say(tern::format("{} did not end within {} s of SIGTERM and {} killed", count_of(running_),
                     kFailureGrace.count() / 1000, running_ == 1 ? "is" : "are"));
    kill_ranks();
  });
}

void Job::kill_ranks() {
  signal_groups(SIGKILL);
  loop_.after(kKillGrace, [this] {
    if (running_ == 0) return;
    for (int rank = 0; rank < prepared_.facts.size; ++rank) {
      if (at(rank).running) {
        say(
            tern::format("{} does not even end after SIGKILL; it hangs in the kernel, and mpiexec "
                         "leaves it there",
                         describe(name_of(rank))));
      }
    }
    given_up_ = true;
  });
}

void Job::signal_groups(int number) {
  for (const Rank& rank : ranks_) {
    if (rank.running || rank.group_left) ::kill(-rank.pid, number);
  }
  signal_launchers(number);
}

// What ranks have left running in the background ends with the job, so that nothing piles up on the
// machine. (A service that is to stay makes itself a session of its own: setsid.)
void Job::end_survivors() {
  const auto still_there = [this] {
    bool any = false;
    for (Rank& rank : ranks_) {
      rank.group_left = rank.group_left && ::kill(-rank.pid, 0) == 0;
      any |= rank.group_left;
    }
    return any;
  };
  if (!still_there()) return;
  if (!ending_) end_ranks();
  const auto deadline = EventLoop::Clock::now() + kFailureGrace;
  while (still_there() && !given_up_) {
    if (EventLoop::Clock::now() > deadline) {
      signal_groups(SIGKILL);
      return;
    }
    loop_.after(kSurvivorPoll, [] {});
    loop_.run_once();
  }
}

void Job::print_exit_codes() const {
  std::string text = "Exit codes:";
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    text += tern::format(" [{}] {}", rank,
                         ranks_[rank].pid > 0 ? exit_code_of(ranks_[rank].status) : -1);
  }
  text += '\n';
  (void)!::write(STDOUT_FILENO, text.data(), text.size());
}

}  // namespace tern::spawn
