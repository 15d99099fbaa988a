// spawn/spawned.cc - see spawned.h.
#include "spawn/spawned.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <utility>

#include "core/format.h"
#include "spawn/abstract_socket.h"
#include "spawn/handover.h"
#include "spawn/job.h"
#include "spawn/pmi1_line.h"
#include "spawn/prepare.h"
#include "spawn/report.h"
#include "spawn/spawn_plan.h"

namespace tern::spawn {
namespace {

namespace fs = std::filesystem;

// A request is written at once; a process that stops in the middle of it is not waited for.
constexpr int kRequestTimeoutMs = 30'000;
constexpr std::size_t kRequestBytesMax = 64U << 20;

bool read_request(int fd, std::string& text) {
  std::array<char, 16384> piece;
  while (!text.ends_with(kEndLine) && text.size() < kRequestBytesMax) {
    pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
    const int count = ::poll(&ready, 1, kRequestTimeoutMs);
    if (count < 0 && errno == EINTR) continue;
    const ssize_t size = count > 0 ? ::read(fd, piece.data(), piece.size()) : 0;
    if (size <= 0) return false;
    text.append(piece.data(), static_cast<std::size_t>(size));
  }
  return text.ends_with(kEndLine);
}

// Copies that the info keys ask for; the private ones are removed at the end.
class Copies {
 public:
  ~Copies() {
    std::error_code ignored;
    if (!directory_.empty()) fs::remove_all(directory_, ignored);
  }

  Problem make(const SpawnPlan::Extra& extra, Program& program) {
    std::error_code error;
    for (const std::string& file : extra.preload_files) {
      const fs::path to = fs::path(program.directory) / fs::path(file).filename();
      if (fs::equivalent(file, to, error)) continue;
      fs::copy_file(file, to, fs::copy_options::overwrite_existing, error);
      if (error) {
        return {tern::format("cannot copy {} to {}: {}", file, program.directory, error.message())};
      }
    }
    return extra.preload_binary ? copy_program(program) : Problem();
  }

 private:
  Problem copy_program(Program& program) {
    if (directory_.empty()) {
      std::string pattern = "/tmp/tern-spawn-XXXXXX";
      if (::mkdtemp(pattern.data()) == nullptr) {
        return {tern::format("cannot make a directory in /tmp: {}", std::strerror(errno))};
      }
      directory_ = pattern;
    }
    std::error_code error;
    const fs::path from = fs::path(program.directory) / program.file;
    const fs::path to = fs::path(directory_) / from.filename();
    fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
    if (error) return {tern::format("cannot copy {}: {}", from.string(), error.message())};
    program.file = to.string();
    return {};
  }

  std::string directory_;
};

// The process that asked for the job, on the other end of a socket.
class Origin {
 public:
  using End = std::function<void(const std::string& why)>;
  Origin(int fd, EventLoop& loop, End end) : fd_(fd), loop_(loop), end_(std::move(end)) {}

  void answer(const SpawnAnswer& answer) const { (void)send_all(fd_, answer.encode()); }

  void watch() {
    (void)loop_.add(fd_, EPOLLIN, [this](std::uint32_t) { receive(); });
  }
  bool is_attached() const { return attached_; }

 private:
  void receive() {
    std::array<char, 256> piece;
    const ssize_t size = ::read(fd_, piece.data(), piece.size());
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (size > 0) said_.append(piece.data(), static_cast<std::size_t>(size));
    const bool given_up = said_.starts_with(kGiveUpLine);
    if (given_up || said_.starts_with(kDetachLine)) attached_ = false;
    if (size > 0 && attached_) return;
    loop_.remove(fd_);
    ::close(fd_);
    if (given_up) end_("the process that spawned this job waited in vain for MPI_Init");
    if (attached_) end_("the process that spawned this job has ended without disconnecting");
  }

  int fd_;
  EventLoop& loop_;
  End end_;
  std::string said_;
  bool attached_ = true;
};

void name_unknown_keys(const SpawnPlan& plan) {
  const char* const verbose = std::getenv("TERN_VERBOSE");
  if (verbose == nullptr || to_number(verbose).value_or(0) < 1) return;
  for (const std::string& key : plan.unknown_keys) {
    remark(tern::format("the info key `{}` of a spawn call is not known and has no effect", key));
  }
}

Problem prepare_all(SpawnPlan& plan, SlotAccount* account, PreparedJob& prepared, Copies& copies) {
  Problem problem = prepare(plan.job, environ, account, prepared);
  if (problem.has()) return problem;
  for (std::size_t i = 0; i < prepared.programs.size(); ++i) {
    problem = copies.make(plan.extras[i], prepared.programs[i]);
    if (problem.has()) return problem;
  }
  return {};
}

SpawnAnswer answer_to(const JobPlan& plan, const Problem& problem) {
  SpawnAnswer answer{{}, problem.text};
  for (const AppPlan& app : plan.apps) answer.counts.push_back(app.count);
  return answer;
}

int refuse(int fd, const Problem& problem) {
  (void)send_all(fd, SpawnAnswer{{}, problem.text}.encode());
  return 0;  // The process that asked has been told.
}

// On other hosts, by a launcher that reaches them. Whether a program can be executed there shows
// when it calls MPI_Init, or does not.
int run_elsewhere(int fd, const SpawnPlan& plan) {
  const auto preloads = [](const SpawnPlan::Extra& extra) {
    return extra.preload_binary || !extra.preload_files.empty();
  };
  if (std::ranges::any_of(plan.extras, preloads)) {
    return refuse(fd, {"info keys ompi_preload_binary and ompi_preload_files copy inside this host "
                       "only, and the processes are to run on others; put the files where those "
                       "hosts see them"});
  }
  EngineCommand command;
  if (const Problem problem = prepare_handover(plan.job, environ, command); problem.has()) {
    return refuse(fd, problem);
  }
  std::unique_ptr<Origin> origin;
  (void)run_handover(plan.job, std::move(command), [&](HandedJob& job, const Problem& problem) {
    origin =
        std::make_unique<Origin>(fd, job.loop(), [&job](const std::string& why) { job.end(why); });
    origin->answer(answer_to(plan.job, problem));
    origin->watch();
  });
  return 0;  // What goes wrong shows in the processes that are connected to these, or wait for
             // them.
}

int run_here(int fd, const SpawnRequest& request, std::unique_ptr<SlotAccount> account,
             SpawnPlan& plan) {
  PreparedJob prepared;
  Copies copies;
  if (const Problem problem = prepare_all(plan, account.get(), prepared, copies); problem.has()) {
    return refuse(fd, problem);
  }
  Job job(plan.job, prepared, std::move(account));
  for (const auto& [key, value] : request.values) job.preset(key, value);
  Origin origin(fd, job.loop(), [&job](const std::string& why) { job.end(why); });
  bool failed = false;
  job.when_started([&](const Problem& problem) {
    failed = problem.has();
    origin.answer(answer_to(plan.job, problem));
    origin.watch();
  });
  const int code = job.run();
  // What goes wrong in a job of its own harms nobody.
  return failed || !origin.is_attached() ? 0 : code;
}

}  // namespace

int run_spawned(const std::string& address, const std::string& slots) {
  // Before anything else is opened: a number that is none must not name something else.
  std::unique_ptr<SlotAccount> account = SlotAccount::inherit(to_number(slots).value_or(-1));
  const int fd = connect_abstract(address);
  std::string text;
  std::optional<SpawnRequest> request;
  if (fd >= 0 && read_request(fd, text)) request = SpawnRequest::decode(text);
  if (!request) {
    say("the process that spawns has gone before it said what to start");
    return static_cast<int>(ExitCode::kFailure);
  }
  SpawnPlan plan;
  if (const Problem problem = plan_spawn(*request, environ, plan); problem.has()) {
    return refuse(fd, problem);
  }
  name_unknown_keys(plan);
  return plan.job.hosts.only_this_host() ? run_here(fd, *request, std::move(account), plan)
                                         : run_elsewhere(fd, plan);
}

}  // namespace tern::spawn
