// spawn/job.cc - starting the ranks and the events of their life; see job.h.
#include "spawn/job.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/format.h"
#include "spawn/program.h"

namespace tern::spawn {
namespace {

// Every rank needs a socket and perhaps pipes in mpiexec; ranks get the old limit back.
rlimit raise_file_limit() {
  rlimit original{};
  if (::getrlimit(RLIMIT_NOFILE, &original) != 0) return {RLIM_INFINITY, RLIM_INFINITY};
  const rlimit raised{original.rlim_max, original.rlim_max};
  (void)::setrlimit(RLIMIT_NOFILE, &raised);
  return original;
}

std::string start_failure(const Program& program, int rank, const StartError& error) {
  const std::string& file = program.name;
  if (std::strcmp(error.step, kStepExecute) == 0 && error.error_number == ENOENT) {
    return tern::format("cannot execute '{}': the interpreter or loader that it names is missing",
                        file);
  }
  if (std::strcmp(error.step, kStepExecute) == 0 && error.error_number == ENOEXEC) {
    return tern::format("cannot execute '{}': it is not a program for this machine", file);
  }
  return tern::format(
      "cannot start rank {} ('{}'): failed to {}: {}{}", rank, file, error.step,
      std::strerror(error.error_number),
      error.error_number == EAGAIN ? "; is the limit of processes reached (ulimit -u)?" : "");
}

}  // namespace

Job::Job(const JobPlan& plan, PreparedJob& prepared, std::unique_ptr<SlotAccount> account)
    : plan_(plan),
      prepared_(prepared),
      files_(raise_file_limit()),
      server_(prepared.facts.kvs_name, prepared.facts.universe_size, prepared.program_of, *this),
      output_(loop_, plan.output, prepared.facts.size),
      input_(loop_),
      guard_(static_cast<std::size_t>(prepared.facts.size)),
      account_(std::move(account)),
      ranks_(static_cast<std::size_t>(prepared.facts.size)) {}

Job::~Job() {
  if (null_input_ >= 0) ::close(null_input_);
}

int Job::run() {
  null_input_ = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (!loop_.ok() || null_input_ < 0 ||
      !signals_.watch(loop_, [this](const Signals::Arrived& signal) { on_signal(signal); })) {
    say(tern::format("cannot set up its event loop: {}", std::strerror(errno)));
    return static_cast<int>(ExitCode::kFailure);
  }
  guard_.start();
  const Problem problem = start_all();
  if (when_started_) when_started_(problem);
  if (problem.has()) {
    if (!when_started_) say(problem.text);
    exit_code_ = static_cast<int>(problem.code);
    if (running_ > 0) end_ranks();
  } else {
    say_what_starts();
    input_.start();
    if (plan_.timeout.count() > 0) loop_.after(plan_.timeout, [this] { on_timeout(); });
  }
  while ((running_ > 0 || !launchers_.empty()) && !given_up_) loop_.run_once();
  end_survivors();
  finish_output();
  if (plan_.print_exit_codes) print_exit_codes();
  return exit_code_;
}

Problem Job::start_all() {
  for (int rank = 0; rank < prepared_.facts.size; ++rank) {
    if (Problem problem = start_rank(rank); problem.has()) return problem;
  }
  return {};
}

Problem Job::start_rank(int rank) {
  Program& program = program_for(rank);
  Rank& self = at(rank);
  self.channel = std::make_unique<Pmi1Channel>();
  const int pmi_fd = self.channel->open(
      loop_, [this, rank](std::string_view line) { server_.on_line(rank, line); });
  struct stat channel {};
  if (pmi_fd < 0 || ::fstat(pmi_fd, &channel) != 0) {
    return {tern::format("cannot make a socket for rank {}: {}", rank, std::strerror(errno)),
            ExitCode::kFailure};
  }
  ProcessStart start;
  Problem problem = connect_streams(rank, start);
  StartError error;
  if (!problem.has()) {
    start.environment = program.environment->for_rank(rank, pmi_fd, channel.st_ino);
    start.directory = program.directory.empty() ? nullptr : program.directory.c_str();
    start.kept = pmi_fd;
    start.cpus = &prepared_.cpus[static_cast<std::size_t>(rank)];
    start.must_bind = prepared_.must_bind;
    start.group = guard_.place_of(static_cast<std::size_t>(rank));
    start.signals = &signals_;
    start.files = &files_;
    execute(rank, program, start, error);
  }
  ::close(pmi_fd);
  output_.close_ends();
  for (const int end : std::exchange(input_ends_, {})) ::close(end);
  if (problem.has()) return problem;
  if (self.pid < 0) {
    forget_group(rank);
    const bool not_executable = std::strcmp(error.step, kStepExecute) == 0;
    return {start_failure(program, rank, error),
            not_executable ? ExitCode::kNotExecutable : ExitCode::kFailure};
  }
  self.running = true;
  ++running_;
  rank_of_[self.pid] = rank;
  return {};
}

void Job::execute(int rank, Program& program, ProcessStart& start, StartError& error) {
  const auto try_once = [&] {
    std::vector<char*> arguments;
    for (std::string& word : program.arguments) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    start.file = program.file.c_str();
    start.arguments = arguments.data();
    return start_process(start, error);
  };
  at(rank).pid = try_once();
  if (at(rank).pid >= 0 || error.error_number != ENOEXEC ||
      !is_script(program.file, program.directory)) {
    return;
  }
  // A script without a #! line is run by the shell, as shells and execvp do it.
  program.arguments[0] = program.file;
  program.arguments.insert(program.arguments.begin(), "sh");
  program.file = "/bin/sh";
  at(rank).pid = try_once();
}

// A file or pipe is inherited by the one rank that reads it: see stdin_relay.h.
Problem Job::connect_streams(int rank, ProcessStart& start) {
  const bool reads = plan_.stdin_to == StdinTo::kAll ||
                     (plan_.stdin_to == StdinTo::kOneRank && plan_.stdin_rank == rank);
  if (!reads) {
    start.input = null_input_;
  } else if (plan_.stdin_to == StdinTo::kAll || ::isatty(STDIN_FILENO) != 0) {
    start.input = input_.add_rank();
    if (start.input < 0) {
      return {tern::format("cannot make a pipe for the input of rank {}: {}", rank,
                           std::strerror(errno)),
              ExitCode::kFailure};
    }
    input_ends_.push_back(start.input);
  }
  return output_.open(rank, start.output, start.error);
}

void Job::say_what_starts() const {
  if (plan_.report_bindings) {
    const std::string text = describe_bindings(prepared_);
    (void)!::write(STDERR_FILENO, text.data(), text.size());
  }
  if (!plan_.verbose) return;
  for (int rank = 0; rank < prepared_.facts.size; ++rank) {
    say(tern::format("started {}", describe(name_of(rank))));
  }
}

void Job::send_to(int rank, std::string_view text) { at(rank).channel->send(text); }

void Job::on_signal(const Signals::Arrived& signal) {
  switch (signal.number) {
    case SIGCHLD:
      reap(signal.child);
      break;
    case SIGINT:
    case SIGTERM:
    case SIGHUP:
    case SIGQUIT:
      on_interrupt(signal.number);
      break;
    case SIGTSTP:
      // Ctrl-Z reaches mpiexec alone; the ranks stop with it and go on with it.
      signal_groups(SIGTSTP);
      ::kill(::getpid(), SIGSTOP);
      break;
    case SIGCONT:
      signal_groups(SIGCONT);
      input_.start();
      break;
    default:
      signal_groups(signal.number);
  }
}

void Job::forget_group(int rank) {
  volatile pid_t* const place = guard_.place_of(static_cast<std::size_t>(rank));
  if (place != nullptr) *place = 0;
}

// The rank that died first comes first: it is most likely the cause of the others' deaths, and
// waitpid alone would go by the order in which they were started.
void Job::reap(pid_t first) {
  int status = 0;
  const auto ended = [this](pid_t pid, int its_status) {
    guard_.forget(pid);
    if (reap_launcher(pid, its_status)) return;
    const auto found = rank_of_.find(pid);
    if (found != rank_of_.end() && at(found->second).running) on_exit(found->second, its_status);
  };
  if (first > 0 && ::waitpid(first, &status, WNOHANG) == first) ended(first, status);
  while (true) {
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) break;
    ended(pid, status);
  }
}

void Job::finish_output() {
  output_.finish();
  // A reader that does not read must not keep mpiexec after a second Ctrl-C.
  while (!output_.flushed() && !given_up_) loop_.run_once();
}

}  // namespace tern::spawn
