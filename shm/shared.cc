// shm/shared.cc - segments for whoever asks: Fabric::share and Fabric::join.
#include <unistd.h>

#include "shm/fabric.h"

namespace tern::shm {
namespace {

class SharedSegment final : public SharedMemory {
 public:
  explicit SharedSegment(Segment segment) : segment_(std::move(segment)) {}
  std::byte* base() const override { return &segment_.as<std::byte>(); }
  void close() override { segment_.close_descriptor(); }

 private:
  Segment segment_;
};

std::unique_ptr<SharedMemory> owned(Segment segment) {
  return segment ? std::make_unique<SharedSegment>(std::move(segment)) : nullptr;
}

}  // namespace

// A key is the maker's process number and its descriptor.
std::unique_ptr<SharedMemory> ShmFabric::share(std::size_t size, std::uint64_t& key) {
  std::string why;
  Segment segment = Segment::create("shared", size, why);
  key = static_cast<std::uint64_t>(getpid()) << 32 | static_cast<std::uint32_t>(segment.fd());
  return owned(std::move(segment));
}

std::unique_ptr<SharedMemory> ShmFabric::join(std::uint64_t key, std::size_t size) {
  std::string why;
  return owned(Segment::open(static_cast<std::uint32_t>(key >> 32), static_cast<std::uint32_t>(key),
                             size, why));
}

}  // namespace tern::shm
