// spawn/main.cc - the program mpiexec, also installed as mpirun and mpiexec.hydra.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "core/format.h"
#include "spawn/connections_picture.h"
#include "spawn/engine.h"
#include "spawn/handover.h"
#include "spawn/job.h"
#include "spawn/options.h"
#include "spawn/prepare.h"
#include "spawn/report.h"
#include "spawn/spawn_request.h"
#include "spawn/spawned.h"

namespace tern::spawn {
namespace {

// mpiexec may be started with a closed stdin, stdout or stderr. Without something in their place
// the next descriptor it opens would get that number, and ranks would write their output into it.
void fill_standard_descriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) (void)::open("/dev/null", O_RDWR);
  }
}

void print(const std::string& text) { (void)!::write(STDOUT_FILENO, text.data(), text.size()); }

int stop(const Problem& problem) {
  say(problem.text);
  return static_cast<int>(problem.code);
}

void say_what_has_no_effect(const Words& options) {
  std::string names;
  for (const std::string& option : options) names += (names.empty() ? "" : ", ") + option;
  if (!names.empty()) remark(tern::format("without effect here: {}", names));
}

JobEnd run_here(const JobPlan& plan) {
  PreparedJob prepared;
  if (const Problem wrong = prepare(plan, environ, nullptr, prepared); wrong.has())
    return {stop(wrong), 0};
  if (plan.display_allocation) print(describe_allocation(plan, prepared));
  if (plan.display_map) print(describe_map(prepared));
  Job job(plan, prepared, nullptr);
  const int code = job.run();
  return {code, job.ended_by_signal()};
}

int run(const Words& words) {
  JobPlan plan;
  std::string show;
  const Problem problem = read_command_line(words, std::getenv("MPIEXEC_TIMEOUT"), plan, show);
  if (problem.has()) return stop(problem);
  if (!show.empty()) {
    print(show);
    return 0;
  }
  set_quiet(plan.quiet);
  say_what_has_no_effect(plan.without_effect);
  ConnectionsPicture picture;
  if (const Problem wrong = picture.begin(plan); wrong.has()) return stop(wrong);
  const bool handed = needs_engine(plan, [](const char* name) { return std::getenv(name); });
  const JobEnd job = handed ? hand_over(plan, environ) : run_here(plan);
  if (const Problem undrawn = picture.finish(); undrawn.has()) say(undrawn.text);
  if (job.ended_by_signal != 0 && job.ended_by_signal != SIGQUIT) {
    ::signal(job.ended_by_signal, SIG_DFL);
    sigset_t one;
    ::sigemptyset(&one);
    ::sigaddset(&one, job.ended_by_signal);
    ::sigprocmask(SIG_UNBLOCK, &one, nullptr);
    ::raise(job.ended_by_signal);
  }
  return job.code;
}

}  // namespace
}  // namespace tern::spawn

int main(int argc, char** argv) {
  tern::spawn::fill_standard_descriptors();
  if (argc == 4 && std::strcmp(argv[1], tern::spawn::kSpawnedOption) == 0) {
    return tern::spawn::run_spawned(argv[2], argv[3]);
  }
  return tern::spawn::run(tern::spawn::Words(argv + 1, argv + argc));
}
