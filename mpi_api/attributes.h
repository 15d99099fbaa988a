// mpi_api/attributes.h - cached attributes of communicators, datatypes and windows (section 7.7).
//
// A keyval (key of an attribute) is created for one kind of object, with the program's copy and
// delete functions. Objects keep (keyval, value) pairs. The rules - copy on dup, delete on free,
// keyvals that outlive MPI_*_free_keyval while in use - are in attributes.cc and hold for all kinds
// of objects. Threading: under the entry lock, which is kept while the program's functions run (it
// is recursive). Failure: an MPI error class, or whatever the program's function returned.
#pragma once
#include <cstdint>
#include <vector>

#include "mpi.h"

namespace tern::mpi {

class Attributes {
 public:
  // Objects that can have attributes.
  enum class Owner : std::uint8_t { kComm, kDatatype, kWin };

  // In the order they were set.
  struct Value {
    int keyval;
    void* value;
  };

  // The value of a key that the program created; nullptr when it is not set here.
  Value* find(int keyval);

  // Sets a value; a former one is deleted first. `handle` is the object's own, for the callbacks.
  template <class Handle>
  int set(Handle handle, int keyval, void* value);
  // Deletes a value; nothing happens when there is none.
  template <class Handle>
  int remove(Handle handle, int keyval);
  // Deletes all, latest first (as MPI_Finalize must for MPI_COMM_SELF); stops at the first failure.
  template <class Handle>
  int remove_all(Handle handle);
  // Asks the copy functions which values of `from` the new object gets.
  template <class Handle>
  int copy_from(Attributes& from, Handle from_handle);

  bool empty() const { return values_.empty(); }

 private:
  void erase(int keyval);

  std::vector<Value> values_;
};

}  // namespace tern::mpi
