// verbs/registrar.cc - see registrar.h.
#include "verbs/registrar.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "core/counters.h"
#include "verbs/slots.h"

namespace tern::verbs {
namespace {

// The frame of each page; 0 for one that is not there or that this process may not see.
std::vector<std::uint64_t> frames_of(std::uintptr_t begin, std::uintptr_t end) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  constexpr std::uint64_t kFrameMask = (std::uint64_t{1} << 55) - 1;
  std::vector<std::uint64_t> frames((end - begin + page - 1) / page);
  const int map = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (map < 0) return frames;
  const std::size_t bytes = frames.size() * sizeof frames[0];
  const auto offset = static_cast<off_t>(begin / page * sizeof frames[0]);
  const ssize_t got = pread(map, frames.data(), bytes, offset);
  close(map);
  const std::size_t known = got > 0 ? static_cast<std::size_t>(got) / sizeof frames[0] : 0;
  std::fill(frames.begin() + static_cast<long>(known), frames.end(), 0);
  for (std::uint64_t& frame : frames) frame &= kFrameMask;
  return frames;
}

}  // namespace

bool VerbsRegistrar::may_see_frames() {
  const char here = 0;
  const auto address = reinterpret_cast<std::uintptr_t>(&here);
  return frames_of(address, address + 1).front() != 0;
}

bool VerbsRegistrar::is_current(const Region& region) {
  const auto known = frames_.find(region.handle);
  if (known == frames_.end() || known->second == frames_of(region.begin, region.end)) return true;
  std::fprintf(stderr,
               "tern: memory at %#zx (%zu bytes) was replaced, and the hooks of the registration "
               "cache did not see it; set TERN_REGISTRATION_CACHE=0 and please report this\n",
               static_cast<std::size_t>(region.begin), region.size());
  return false;
}

bool VerbsRegistrar::add(Region& region, std::string& why) {
  constexpr int kAccess = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE;
  ibv_mr* const mr =
      table_.reg_mr(pd_, reinterpret_cast<void*>(region.begin), region.size(), kAccess);
  if (mr == nullptr) {
    why = registration_problem(region.size(), errno);
    return false;
  }
  region.handle = mr;
  region.local_key = mr->lkey;
  region.remote_key = mr->rkey;
  ibv_mr* const second = second_pd_ == nullptr
                             ? nullptr
                             : table_.reg_mr(second_pd_, reinterpret_cast<void*>(region.begin),
                                             region.size(), kAccess);
  region.second_handle = second;
  region.second_local_key = second != nullptr ? second->lkey : 0;
  region.second_remote_key = second != nullptr ? second->rkey : 0;
  if (remembers_) frames_[mr] = frames_of(region.begin, region.end);
  counters::registrations().registered.add(1);
  counters::registrations().bytes.add(region.size());
  return true;
}

void VerbsRegistrar::remove(Region& region) {
  if (remembers_) frames_.erase(region.handle);
  if (region.second_handle != nullptr) {
    table_.dereg_mr(static_cast<ibv_mr*>(region.second_handle));
  }
  table_.dereg_mr(static_cast<ibv_mr*>(region.handle));
  counters::registrations().deregistered.add(1);
  counters::registrations().bytes.subtract(region.size());
}

}  // namespace tern::verbs
