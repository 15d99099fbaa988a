// spawn/slot_account.h - which cores the ranks of a job and of all that it spawns are using.
//
// A job that spawns opens the account; each launcher of a spawned job gets the descriptor, enters
// its ranks before they start and takes each off when it has ended. So those that come later find
// the cores that are free. What a launcher has entered is gone when it dies, however it dies. It is
// a file without a name: per launcher a lock, its number of ranks, and per CPU the number of ranks
// that are bound to it. Threading: one thread at a time. Failure: what cannot be noted is not
// counted; nobody is kept from starting by it.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "spawn/placement.h"

namespace tern::spawn {

// What is in use by ranks that are running.
struct SlotUse {
  int ranks = 0;
  std::vector<int> ranks_on;  // Bound to this CPU, by the kernel's number.

  int on(int cpu) const {
    const auto index = static_cast<std::size_t>(cpu);
    return index < ranks_on.size() ? ranks_on[index] : 0;
  }
};

class SlotAccount {
 public:
  // Empty; nullptr when the system has no such files. The name is shown by /proc.
  static std::unique_ptr<SlotAccount> open(const char* name = "tern-slots");
  // The one that another process has opened; takes the descriptor over. nullptr when it is none.
  static std::unique_ptr<SlotAccount> inherit(int fd);
  ~SlotAccount();
  SlotAccount(const SlotAccount&) = delete;
  SlotAccount& operator=(const SlotAccount&) = delete;

  // To pass on to a launcher; closed on exec() as it is.
  int fd() const { return fd_; }

  // Between these two nobody else enters ranks. A process that stops in between is not waited for
  // longer than a second.
  void lock();
  void unlock();
  // Of all that live, this process included.
  SlotUse read() const;

  // Ranks with the CPUs that they are bound to; none: not bound.
  void enter(const std::vector<CpuSet>& ranks);
  void leave(const CpuSet& rank);

 private:
  struct Entry;
  explicit SlotAccount(int fd);
  bool take_place();
  void add(const CpuSet& rank, int sign);
  void write() const;

  const int fd_;
  int place_ = -1;  // Of this process's entry; -1: it has none yet.
  std::unique_ptr<Entry> own_;
};

}  // namespace tern::spawn
