// mpi_api/info.h - info objects: short lists of texts by key (MPI-5.0 chapter 10).
//
// Keys keep the order in which they were set first. Whoever wants to keep hints copies them.
// Threading: every method may be called by any thread at any time.
#pragma once
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mpi_api/object.h"

namespace tern::mpi {

class Info final : public SharedObject {
 public:
  struct Entry {
    std::string key;
    std::string value;
  };

  Info() : SharedObject(Kind::kInfo) {}
  explicit Info(std::vector<Entry> entries)
      : SharedObject(Kind::kInfo), entries_(std::move(entries)) {}

  std::optional<std::string> get(std::string_view key) const;
  void set(std::string_view key, std::string_view value);
  // False when there is no such key.
  bool remove(std::string_view key);
  // The n-th key (from 0), nullopt when there are not so many.
  std::optional<std::string> key(int n) const;
  int size() const;
  std::vector<Entry> entries() const;

 private:
  mutable std::mutex lock_;
  std::vector<Entry> entries_;
};

// Creates MPI_INFO_ENV; called once by MPI_Init, which is early enough to see the directory that
// the program was started in.
void make_predefined_infos();

}  // namespace tern::mpi
