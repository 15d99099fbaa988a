// core/shared_memory.h - memory that several processes of one host see.
//
// A fabric that has such memory hands it out (Fabric::share, Fabric::join). What lies in it, and
// who writes when, is agreed by those who asked for it. Threading: as its users say.
#pragma once
#include <cstddef>

namespace tern {

class SharedMemory {
 public:
  virtual ~SharedMemory() = default;
  virtual std::byte* base() const = 0;  // Page-aligned; zeroes at first.
  // Everybody who shall have it has joined: nobody else can any more.
  virtual void close() = 0;
};

}  // namespace tern
