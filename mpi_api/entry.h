// mpi_api/entry.h - what every MPI function does on its way in and out.
//
// Threading: with MPI_THREAD_MULTIPLE one recursive lock serialises the library; every wait drops
// it while it idles. Below that level EntryGuard costs one load and one branch.
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

// The lock. Recursive, because user callbacks that MPI calls may call MPI.
void lock_entry();
void unlock_entry();
// Drops all levels that this thread holds, and takes them again: around yields and sleeps.
int release_entry_fully();
void reacquire_entry(int levels);

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
