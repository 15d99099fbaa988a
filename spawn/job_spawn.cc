// spawn/job_spawn.cc - launchers for the jobs that ranks spawn; see job.h and spawned.h.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/format.h"
#include "spawn/job.h"
#include "spawn/pmi1_line.h"
#include "spawn/spawn_request.h"

namespace tern::spawn {
namespace {

// As the library allows (mpi_api/spawn_calls.cc).
constexpr std::chrono::seconds kLauncherTime{60};
constexpr std::chrono::milliseconds kLookEvery{2};

}  // namespace

// A second mpiexec serves the new processes, so that they are a job of their own in every respect;
// the rank speaks with it directly. When it cannot be started the rank notices by itself.
void Job::on_spawn(int rank, std::string_view address) {
  if (!ending_) (void)start_launcher(rank, std::string(address));
}

// Jobs that spawn nothing need no account.
int Job::slots_fd() {
  if (account_ == nullptr) {
    account_ = SlotAccount::open();
    if (account_ == nullptr) return -1;
    std::vector<CpuSet> running;
    for (int rank = 0; rank < prepared_.facts.size; ++rank) {
      if (at(rank).running) running.push_back(prepared_.cpus[static_cast<std::size_t>(rank)]);
    }
    account_->enter(running);
  }
  return account_->fd();
}

std::error_code Job::start_launcher(int rank, const std::string& address) {
  std::string option = kSpawnedOption;
  std::string place = address;
  std::string name = "mpiexec";
  std::string slots = std::to_string(slots_fd());
  std::array<char*, 5> arguments = {name.data(), option.data(), place.data(), slots.data(),
                                    nullptr};
  ProcessStart start;
  start.kept = account_ != nullptr ? account_->fd() : -1;
  start.file = "/proc/self/exe";
  start.arguments = arguments.data();
  start.environment = environ;
  start.signals = &signals_;
  start.files = &files_;
  StartError error;
  const pid_t pid = start_process(start, error);
  if (pid >= 0) {
    launchers_.push_back(pid);
    return {};
  }
  say(tern::format(
      "cannot start a launcher for the processes that rank {} spawns: failed to {}: {}", rank,
      error.step, std::strerror(error.error_number)));
  return {error.error_number, std::generic_category()};
}

// Here it is this mpiexec that speaks with the other one, in place of a rank that only knows PMI-1.
void Job::on_spawn_request(int rank, SpawnRequest request) {
  if (ending_) return;
  std::error_code ignored;
  const auto own = std::filesystem::path("/proc") / std::to_string(at(rank).pid) / "cwd";
  request.directory = std::filesystem::read_symlink(own, ignored).string();
  request.universe_size = prepared_.facts.universe_size;
  auto spawning = std::make_unique<Spawning>();
  spawning->rank = rank;
  for (const SpawnCommand& command : request.commands) spawning->wanted += command.count;
  spawning->until = EventLoop::Clock::now() + kLauncherTime;
  std::string why;
  const auto start = [this, rank](const std::string& address) {
    return start_launcher(rank, address);
  };
  spawning->contact = LauncherContact::start(start, request, why);
  if (spawning->contact == nullptr) {
    return send_to(rank, tern::format("cmd=spawn_result rc=-1 msg={}\n", encode_value(why)));
  }
  look_at(*spawnings_.emplace_back(std::move(spawning)));
}

void Job::look_at(Spawning& spawning) {
  spawning.contact->poll();
  std::string why = spawning.contact->answer().failure;
  if (!spawning.contact->answered()) {
    if (EventLoop::Clock::now() < spawning.until) {
      loop_.after(kLookEvery, [this, &spawning] {
        const auto same = [&](const auto& one) { return one.get() == &spawning; };
        if (std::ranges::any_of(spawnings_, same)) look_at(spawning);
      });
      return;
    }
    why = "the launcher does not answer";
  }
  if (!why.empty()) {
    // The protocol has no place for a reason that clients would show.
    say(tern::format("rank {} cannot spawn: {}", spawning.rank, why));
    send_to(spawning.rank, tern::format("cmd=spawn_result rc=-1 msg={}\n", encode_value(why)));
    std::erase_if(spawnings_, [&](const auto& one) { return one.get() == &spawning; });
    return;
  }
  int started = 0;
  for (const int count : spawning.contact->answer().counts) started += count;
  std::string codes;
  for (int i = 0; i < spawning.wanted; ++i) {
    codes += codes.empty() ? "" : ",";
    codes += i < started ? "0" : "1";
  }
  send_to(spawning.rank, tern::format("cmd=spawn_result rc=0 errcodes={}\n", codes));
}

bool Job::reap_launcher(pid_t pid, int status) {
  if (std::erase(launchers_, pid) == 0) return false;
  // Not zero only when the spawned job failed while it was connected to this one.
  if (exit_code_ == 0 && !ending_) exit_code_ = exit_code_of(status);
  return true;
}

// When this job fails, the launchers of those that are still connected to it notice that by
// themselves, and the others are not concerned. What the user wants is for all of them.
void Job::signal_launchers(int number) const {
  if (ending_ && interrupt_ == 0 && !timed_out_) return;
  for (const pid_t pid : launchers_) ::kill(pid, number);
}

}  // namespace tern::spawn
