// spawn/handover.cc - see handover.h.
#include "spawn/handover.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "core/format.h"
#include "spawn/engine.h"
#include "spawn/engine_command.h"
#include "spawn/event_loop.h"
#include "spawn/job_env.h"
#include "spawn/launcher_sockets.h"
#include "spawn/prepare.h"
#include "spawn/process.h"
#include "spawn/report.h"
#include "spawn/signals.h"

namespace tern::spawn {
namespace {

// Launchers end the ranks on SIGTERM; one that does not is killed, and its daemons notice.
constexpr std::chrono::seconds kGrace{3};
// When the launcher's connections are looked at: most are made at the start.
constexpr std::chrono::milliseconds kFirstLook{250};
constexpr std::chrono::milliseconds kLongestPause{10'000};
// Until the second look at a child that has failed.
constexpr std::chrono::milliseconds kSecondLook{500};
// As core/config.cc has it.
constexpr int kPeerTimeoutS = 60;

SlurmFacts read_slurm() {
  return {.inside_step = !text_variable("SLURM_STEP_ID").empty(),
          .cpus = count_slurm_cpus(text_variable("SLURM_JOB_CPUS_PER_NODE"))};
}

std::vector<char*> pointers(Words& words) {
  std::vector<char*> all;
  for (std::string& word : words) all.push_back(word.data());
  all.push_back(nullptr);
  return all;
}

class Handover final : public HandedJob {
 public:
  explicit Handover(const JobPlan& plan) : plan_(plan) {}

  EventLoop& loop() override { return loop_; }
  void end(const std::string& why) override {
    say(tern::format("{}; ending the job", why));
    end(SIGTERM);
  }

  JobEnd run(EngineCommand command,
             const std::function<void(HandedJob&, const Problem&)>& started) {
    program_ = command.arguments[0];
    waits_for_failed_ = command.waits_for_failed;
    if (!loop_.ok() ||
        !signals_.watch(loop_, [this](const auto& arrived) { on_signal(arrived); })) {
      say(tern::format("cannot watch for signals: {}", std::strerror(errno)));
      return {static_cast<int>(ExitCode::kFailure), 0};
    }
    const Problem problem = start(command);
    if (started) started(*this, problem);
    if (problem.has()) {
      if (!started) say(problem.text);
      return {static_cast<int>(problem.code), 0};
    }
    if (plan_.timeout.count() > 0) {
      loop_.after(plan_.timeout, [this] {
        say(tern::format("the time limit of {} s has passed; ending the job",
                         static_cast<double>(plan_.timeout.count()) / 1000));
        timed_out_ = true;
        end(SIGTERM);
      });
    }
    look_at_connections(kFirstLook);
    while (!ended_) loop_.run_once();
    if (timed_out_) job_.code = static_cast<int>(ExitCode::kTimeout);
    return job_;
  }

 private:
  void look_at_connections(std::chrono::milliseconds pause) {
    loop_.after(pause, [this, pause] {
      limit_launcher_sockets(child_, number_variable("TERN_PEER_TIMEOUT").value_or(kPeerTimeoutS));
      // Two looks in a row: it may be about to end for that very reason.
      const bool failed = waits_for_failed_ && has_failed_child(child_);
      if (failed && child_failed_) {
        end("a host cannot be reached, or its daemon has failed");
        return;
      }
      child_failed_ = failed;
      look_at_connections(failed ? kSecondLook : std::min(2 * pause, kLongestPause));
    });
  }

  Problem start(EngineCommand& command) {
    const std::vector<char*> arguments = pointers(command.arguments);
    const std::vector<char*> environment = pointers(command.environment);
    const int nothing =
        plan_.stdin_to == StdinTo::kNone ? ::open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
    StartError error;
    child_ = start_process({.file = arguments[0],
                            .arguments = arguments.data(),
                            .environment = environment.data(),
                            .input = nothing,
                            .signals = &signals_,
                            .is_launcher = true},
                           error);
    if (nothing >= 0) ::close(nothing);
    if (child_ >= 0) return {};
    return {tern::format("cannot start {} ({}): {}", program_, error.step,
                         std::strerror(error.error_number)),
            ExitCode::kNotExecutable};
  }

  void on_signal(const Signals::Arrived& arrived) {
    if (arrived.number == SIGCHLD) {
      int status = 0;
      if (::waitpid(child_, &status, WNOHANG) != child_) return;
      ended_ = true;
      job_.code = exit_code_of(status);
      return;
    }
    const bool ends = arrived.number == SIGINT || arrived.number == SIGTERM ||
                      arrived.number == SIGHUP || arrived.number == SIGQUIT;
    if (ends) {
      job_.ended_by_signal = arrived.number;
      if (!arrived.from_terminal) return end(arrived.number);
      give_grace();
    } else if (!arrived.from_terminal) {
      ::kill(child_, arrived.number);
    }
  }

  void end(int number) {
    ::kill(child_, number);
    give_grace();
  }

  void give_grace() {
    if (std::exchange(in_grace_, true)) return;
    loop_.after(kGrace, [this] {
      say(tern::format("{} does not end the job; killing it", program_));
      ::kill(child_, SIGKILL);
    });
  }

  const JobPlan& plan_;
  EventLoop loop_;
  Signals signals_;
  std::string program_;
  JobEnd job_;
  pid_t child_ = -1;
  bool ended_ = false;
  bool timed_out_ = false;
  bool waits_for_failed_ = false;  // Hydra.
  bool child_failed_ = false;      // At the last look.
  bool in_grace_ = false;
};

}  // namespace

Problem prepare_handover(const JobPlan& plan, char* const* environment, EngineCommand& command) {
  FoundEngine engine;
  const auto lookup = [](const char* name) { return std::getenv(name); };
  if (Problem problem = choose_engine(plan, lookup, engine); problem.has()) return problem;
  const SlurmFacts slurm = engine.engine == Engine::kSlurm ? read_slurm() : SlurmFacts();
  command = make_engine_command(engine, plan, environment, random_id(), slurm);
  command.waits_for_failed = engine.engine == Engine::kHydra;
  for (const std::string& option : command.lost) {
    remark(tern::format("{} has no effect with {}, which starts this job", option,
                        engine_name(engine.engine)));
  }
  if (plan.verbose) {
    std::string line;
    for (const std::string& word : command.arguments) line += (line.empty() ? "" : " ") + word;
    remark(tern::format("the job is started by: {}", one_line(line)));
  }
  return {};
}

JobEnd run_handover(const JobPlan& plan, EngineCommand command,
                    const std::function<void(HandedJob&, const Problem&)>& started) {
  return Handover(plan).run(std::move(command), started);
}

JobEnd hand_over(const JobPlan& plan, char* const* environment) {
  EngineCommand command;
  if (const Problem problem = prepare_handover(plan, environment, command); problem.has()) {
    say(problem.text);
    return {static_cast<int>(problem.code), 0};
  }
  return run_handover(plan, std::move(command));
}

}  // namespace tern::spawn
