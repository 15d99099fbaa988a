// shm/segment.h - memory that processes of one host share without a name.
//
// A memfd has no name in any file system: nothing is left behind whatever kills its owner, and no
// limit of /dev/shm applies. Another process gets at it through /proc/PID/fd/N, which the kernel
// allows between processes of one user (no SYS_PTRACE needed), and which needs no help of the
// owner.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace tern::shm {

class Segment {
 public:
  // A new, zeroed segment of `size` bytes. `tag` shows in /proc/PID/maps as memfd:tern-TAG. An
  // empty Segment with a sentence in `why` on failure.
  static Segment create(const char* tag, std::size_t size, std::string& why);
  // Maps the segment that process `pid` has open as `fd`; it must be exactly `size` bytes.
  static Segment open(std::uint32_t pid, std::uint32_t fd, std::size_t size, std::string& why);

  Segment() = default;
  Segment(Segment&& other) noexcept;
  Segment& operator=(Segment&& other) noexcept;
  ~Segment();

  explicit operator bool() const { return base_ != nullptr; }
  template <class T>
  T& as() const {
    return *static_cast<T*>(base_);
  }
  int fd() const { return fd_; }
  // Identifies the segment on this host for as long as the host runs. Needs the descriptor.
  std::uint64_t inode() const;
  // Whether process `pid` lives and has the segment with this inode open as `fd`.
  static bool is_open(std::uint32_t pid, std::uint32_t fd, std::uint64_t inode);
  // Once the other side has mapped it, the descriptor is of no more use.
  void close_descriptor();

 private:
  void* base_ = nullptr;
  std::size_t size_ = 0;
  int fd_ = -1;
};

}  // namespace tern::shm
