// mpi_api/entry.cc - the entry lock, alone and together with that of a lane; see entry.h.
#include "mpi_api/entry.h"

#include <utility>

#include "mpi_api/comm.h"
#include "mpi_api/lanes.h"
#include "mpi_api/owned_lock.h"

namespace tern::mpi {
namespace {

OwnedLock& entry_lock() {
  static OwnedLock* const lock = new OwnedLock;  // Never destroyed: threads may outlive main().
  return *lock;
}

// The lane that this thread has taken after the entry lock. One at a time while it may idle.
thread_local Lane* held_lane = nullptr;

}  // namespace

EntryState entry_state;

void lock_entry() { entry_lock().lock(); }
bool try_lock_entry() { return entry_lock().try_lock(); }
void unlock_entry() { entry_lock().unlock(); }
bool entry_is_mine() { return entry_lock().mine(); }

HeldLocks release_entry_fully() {
  HeldLocks held;
  held.lane = std::exchange(held_lane, nullptr);
  if (held.lane != nullptr) held.lane_levels = held.lane->lock().release_fully();
  held.entry_levels = entry_lock().release_fully();
  return held;
}

void reacquire_entry(const HeldLocks& held) {
  entry_lock().reacquire(held.entry_levels);
  if (held.lane != nullptr) held.lane->lock().reacquire(held.lane_levels);
  held_lane = held.lane;
}

void LaneHold::take() {
  lane_->lock().lock();
  before_ = std::exchange(held_lane, lane_);
}

void LaneHold::drop() {
  held_lane = before_;
  lane_->lock().unlock();
}

void P2pGuard::lock(MPI_Comm comm) {
  lock_entry();
  // The handle has not been checked so far.
  const Comm* const found = find_comm(comm);
  lane_ = found == nullptr ? nullptr : found->lane();
  if (lane_ == nullptr) return;
  lane_->lock().lock();
  before_ = std::exchange(held_lane, lane_);
}

void P2pGuard::unlock() {
  if (lane_ != nullptr) {
    held_lane = before_;
    lane_->lock().unlock();
  }
  unlock_entry();
}

}  // namespace tern::mpi
