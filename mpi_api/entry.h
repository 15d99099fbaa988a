// mpi_api/entry.h - what every MPI function does on its way in and out.
//
// Threading: with MPI_THREAD_MULTIPLE one recursive lock serialises the library, but for what lanes
// do by themselves (lanes.h); every wait drops it while it idles. Below that level a guard costs
// one load and one branch.
//
// The order of locks: the entry lock, then those of lanes. Who holds a lane without the entry lock
// may only try to take others.
#pragma once
#include <atomic>
#include <cstdint>

#include "mpi_api/errors.h"
#include "mpi_api/object.h"

namespace tern::mpi {

// State that every entry point looks at, together in one cache line.
struct EntryState {
  std::atomic<bool> initialized{false};  // Between MPI_Init and MPI_Finalize, or a session is open.
  bool checks = true;                    // TERN_CHECKS
  bool threaded = false;                 // MPI_THREAD_MULTIPLE was granted.
};
extern EntryState entry_state;

inline bool is_initialized() { return entry_state.initialized.load(std::memory_order_relaxed); }
inline bool checks_on() { return entry_state.checks; }

class Lane;  // lanes.h

// The lock. Recursive, because user callbacks that MPI calls may call MPI.
void lock_entry();
bool try_lock_entry();
void unlock_entry();
bool entry_is_mine();

// Drops all levels that this thread holds, those of its lane included, and takes them again: around
// yields and sleeps. Precondition: the thread holds the entry lock.
struct HeldLocks {
  int entry_levels = 0;
  Lane* lane = nullptr;
  int lane_levels = 0;
};
HeldLocks release_entry_fully();
void reacquire_entry(const HeldLocks& held);

// Holds a lane, for a thread that has the entry lock. nullptr: nothing to hold.
class LaneHold {
 public:
  explicit LaneHold(Lane* lane) : lane_(lane) {
    if (lane_ != nullptr) [[unlikely]]
      take();
  }
  ~LaneHold() {
    if (lane_ != nullptr) [[unlikely]]
      drop();
  }
  LaneHold(const LaneHold&) = delete;
  LaneHold& operator=(const LaneHold&) = delete;

 private:
  void take();
  void drop();
  Lane* lane_;
  Lane* before_ = nullptr;
};

class EntryGuard {
 public:
  // function: the entry's name, for the hang report; a string literal.
  explicit EntryGuard([[maybe_unused]] const char* function) : locked_(entry_state.threaded) {
    if (locked_) [[unlikely]]
      lock_entry();
  }
  ~EntryGuard() {
    if (locked_) [[unlikely]]
      unlock_entry();
  }
  EntryGuard(const EntryGuard&) = delete;
  EntryGuard& operator=(const EntryGuard&) = delete;

 private:
  bool locked_;
};

// The same for calls of point-to-point communication, which work in the lane of their communicator.
class P2pGuard {
 public:
  explicit P2pGuard(MPI_Comm comm) : locked_(entry_state.threaded) {
    if (locked_) [[unlikely]]
      lock(comm);
  }
  ~P2pGuard() {
    if (locked_) [[unlikely]]
      unlock();
  }
  P2pGuard(const P2pGuard&) = delete;
  P2pGuard& operator=(const P2pGuard&) = delete;

 private:
  void lock(MPI_Comm comm);
  void unlock();
  bool locked_;
  Lane* lane_ = nullptr;
  Lane* before_ = nullptr;
};

// An array of counts or displacements that is int[] in MPI_X and MPI_Count[]/MPI_Aint[] in MPI_X_c.
struct IntArray {
  const void* data = nullptr;
  bool wide = false;

  MPI_Count operator[](MPI_Count index) const {
    return wide ? static_cast<const MPI_Count*>(data)[index]
                : static_cast<MPI_Count>(static_cast<const int*>(data)[index]);
  }
  bool is_null() const { return data == nullptr; }
};

}  // namespace tern::mpi
