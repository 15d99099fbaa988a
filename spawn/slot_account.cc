// spawn/slot_account.cc - see slot_account.h.
#include "spawn/slot_account.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <thread>

namespace tern::spawn {
namespace {

constexpr std::array<char, 8> kAccountMagic = {'t', 'e', 'r', 'n', 's', 'l', 't', '1'};
// CPUs beyond count as never in use, launchers beyond are not counted.
constexpr std::size_t kCpus = 4096;
constexpr int kPlaces = 4096;
constexpr off_t kTableLock = 0;  // The byte whose lock means lock().
constexpr std::chrono::milliseconds kLockTime{1000};
constexpr std::chrono::microseconds kLockPause{200};

struct flock lock_of(off_t byte, short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

}  // namespace

struct SlotAccount::Entry {
  std::int32_t ranks = 0;
  std::array<std::uint16_t, kCpus> ranks_on{};
};

namespace {

constexpr std::size_t kEntryBytes = 8320;  // On cache lines of its own, behind one for the head.
constexpr off_t place_offset(int place) {
  return 64 + static_cast<off_t>(place) * static_cast<off_t>(kEntryBytes);
}

}  // namespace

SlotAccount::SlotAccount(int fd) : fd_(fd), own_(std::make_unique<Entry>()) {
  static_assert(sizeof(Entry) <= kEntryBytes);
}

SlotAccount::~SlotAccount() { ::close(fd_); }

std::unique_ptr<SlotAccount> SlotAccount::open(const char* name) {
  const int fd = ::memfd_create(name, MFD_CLOEXEC);
  if (fd < 0) return nullptr;
  std::unique_ptr<SlotAccount> account(new SlotAccount(fd));
  // The head, which is never written again.
  if (::pwrite(fd, kAccountMagic.data(), kAccountMagic.size(), 0) !=
      static_cast<ssize_t>(kAccountMagic.size())) {
    return nullptr;
  }
  return account;
}

std::unique_ptr<SlotAccount> SlotAccount::inherit(int fd) {
  std::array<char, kAccountMagic.size()> magic{};
  if (fd <= STDERR_FILENO ||
      ::pread(fd, magic.data(), magic.size(), 0) != static_cast<ssize_t>(magic.size()) ||
      magic != kAccountMagic) {
    return nullptr;
  }
  (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return std::unique_ptr<SlotAccount>(new SlotAccount(fd));
}

// The kernel's locks belong to a process and end with it; they do not pass to its children.
void SlotAccount::lock() {
  struct flock wanted = lock_of(kTableLock, F_WRLCK);
  const auto end = std::chrono::steady_clock::now() + kLockTime;
  while (::fcntl(fd_, F_SETLK, &wanted) != 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(kLockPause);
  }
}

void SlotAccount::unlock() {
  struct flock wanted = lock_of(kTableLock, F_UNLCK);
  (void)::fcntl(fd_, F_SETLK, &wanted);
}

SlotUse SlotAccount::read() const {
  SlotUse use;
  use.ranks_on.assign(kCpus, 0);
  struct stat file {};
  if (::fstat(fd_, &file) != 0) return use;
  auto entry = std::make_unique<Entry>();
  for (int place = 0; place < kPlaces && place_offset(place) < file.st_size; ++place) {
    struct flock holder = lock_of(place_offset(place), F_WRLCK);
    // Who asks is not told of its own locks.
    const bool lives =
        place == place_ || (::fcntl(fd_, F_GETLK, &holder) == 0 && holder.l_type != F_UNLCK);
    if (!lives || ::pread(fd_, entry.get(), sizeof(Entry), place_offset(place)) !=
                      static_cast<ssize_t>(sizeof(Entry))) {
      continue;
    }
    use.ranks += entry->ranks;
    for (std::size_t cpu = 0; cpu < kCpus; ++cpu) use.ranks_on[cpu] += entry->ranks_on[cpu];
  }
  return use;
}

// The first place that nobody alive holds.
bool SlotAccount::take_place() {
  for (int place = 0; place_ < 0 && place < kPlaces; ++place) {
    struct flock wanted = lock_of(place_offset(place), F_WRLCK);
    if (::fcntl(fd_, F_SETLK, &wanted) == 0) place_ = place;
  }
  return place_ >= 0;
}

void SlotAccount::enter(const std::vector<CpuSet>& ranks) {
  if (!take_place()) return;
  for (const CpuSet& rank : ranks) add(rank, 1);
  write();
}

void SlotAccount::leave(const CpuSet& rank) {
  if (place_ < 0) return;
  add(rank, -1);
  write();
}

void SlotAccount::add(const CpuSet& rank, int sign) {
  own_->ranks += sign;
  for (const int cpu : rank) {
    const auto index = static_cast<std::size_t>(cpu);
    if (index < kCpus)
      own_->ranks_on[index] = static_cast<std::uint16_t>(own_->ranks_on[index] + sign);
  }
}

void SlotAccount::write() const {
  (void)!::pwrite(fd_, own_.get(), sizeof(Entry), place_offset(place_));
}

}  // namespace tern::spawn
