// spawn/foreign_slots.cc - see foreign_slots.h.
#include "spawn/foreign_slots.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "core/format.h"
#include "spawn/abstract_socket.h"
#include "spawn/pmi1_line.h"

namespace tern::spawn {
namespace {

namespace fs = std::filesystem;

// Somebody who looks for the account at the same time has done so by then.
constexpr std::chrono::milliseconds kClaimTime{1000};
constexpr std::chrono::microseconds kClaimPause{500};

constexpr std::size_t kWordBits = sizeof(unsigned long) * CHAR_BIT;

bool read_mask(pid_t pid, CpuMask& mask) {
  return ::sched_getaffinity(pid, sizeof mask, reinterpret_cast<cpu_set_t*>(mask.data())) == 0;
}

CpuSet cpus_in(const CpuMask& mask) {
  CpuSet cpus;
  for (std::size_t cpu = 0; cpu < mask.size() * kWordBits; ++cpu) {
    if ((mask[cpu / kWordBits] >> cpu % kWordBits & 1) != 0) cpus.push_back(static_cast<int>(cpu));
  }
  return cpus;
}

// Calls see(pid) for each process that /proc shows, until it returns true.
template <class See>
void for_each_process(const See& see) {
  std::error_code error;
  for (fs::directory_iterator it("/proc", error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    const auto pid = to_number(it->path().filename().native());
    if (pid && see(static_cast<pid_t>(*pid))) return;
  }
}

// The name in brackets may hold anything; behind the last one stand the state and the parent.
pid_t parent_of(pid_t pid) {
  std::string line;
  std::getline(std::ifstream(tern::format("/proc/{}/stat", pid)), line);
  const std::size_t end = line.rfind(") ");
  if (end == std::string::npos || line.size() < end + 5) return -1;
  const std::string rest = line.substr(end + 4);
  return static_cast<pid_t>(to_number(rest.substr(0, rest.find(' '))).value_or(-1));
}

bool is_slurm(pid_t launcher) {
  std::string name;
  std::getline(std::ifstream(tern::format("/proc/{}/comm", launcher)), name);
  return name == "slurmstepd";
}

// Of the ranks that the launcher has started on this host, this one included.
std::vector<CpuMask> masks_of_ranks(pid_t launcher) {
  std::vector<CpuMask> masks;
  for_each_process([&](pid_t pid) {
    CpuMask mask{};
    if (parent_of(pid) == launcher && read_mask(pid, mask)) masks.push_back(mask);
    return false;
  });
  return masks;
}

// Opens what another process has open under this name, as links in /proc/PID/fd show it.
int open_of_others(const std::string& link) {
  int found = -1;
  for_each_process([&](pid_t pid) {
    const fs::path folder = tern::format("/proc/{}/fd", pid);
    std::error_code error;
    for (fs::directory_iterator it(folder, error); !error && it != fs::directory_iterator();
         it.increment(error)) {
      std::error_code gone;
      if (fs::read_symlink(it->path(), gone).native() != link || gone) continue;
      found = ::open(it->path().c_str(), O_RDWR | O_CLOEXEC);
      if (found >= 0) return true;
    }
    return false;
  });
  return found;
}

// Where it is not given in time, two may open an account each.
int claim(const std::string& name) {
  const auto end = std::chrono::steady_clock::now() + kClaimTime;
  int claimed = claim_abstract(name);
  while (claimed < 0 && errno == EADDRINUSE && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(kClaimPause);
    claimed = claim_abstract(name);
  }
  return claimed;
}

// A rank that may use all of the job's cores is not bound.
void enter_ranks(SlotAccount& account) {
  CpuMask all{};
  const bool known = cores_of_foreign_job(all);
  std::vector<CpuSet> ranks;
  for (const CpuMask& mask : masks_of_ranks(::getppid())) {
    ranks.push_back(known && mask != all ? cpus_in(mask) : CpuSet());
  }
  account.enter(ranks);
}

}  // namespace

bool cores_of_foreign_job(CpuMask& mask) {
  const pid_t launcher = ::getppid();
  mask.fill(0);
  if (!is_slurm(launcher)) return read_mask(launcher, mask);
  for (const CpuMask& one : masks_of_ranks(launcher)) {
    std::ranges::transform(mask, one, mask.begin(), std::bit_or<>());
  }
  return true;
}

std::unique_ptr<SlotAccount> open_foreign_account(std::uint64_t job_id) {
  const std::string name = tern::format("tern-slots-{:016x}", job_id);
  const int claimed = claim(name);
  const int found = open_of_others(tern::format("/memfd:{} (deleted)", name));
  std::unique_ptr<SlotAccount> account =
      found >= 0 ? SlotAccount::inherit(found) : SlotAccount::open(name.c_str());
  if (account != nullptr && found < 0) enter_ranks(*account);
  if (claimed >= 0) ::close(claimed);
  return account;
}

}  // namespace tern::spawn
