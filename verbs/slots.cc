// verbs/slots.cc - see slots.h.
#include "verbs/slots.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>

#include "core/counters.h"
#include "core/format.h"

namespace tern::verbs {

std::string registration_problem(std::size_t bytes, int error) {
  std::string text = format("{} bytes of memory cannot be registered with the RDMA device ({})",
                            bytes, std::strerror(error));
  rlimit limit{};
  if (error == ENOMEM && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
      limit.rlim_cur != RLIM_INFINITY) {
    text += format(
        "; the limit of locked memory is {} KiB: raise it (`ulimit -l unlimited`, "
        "`* - memlock unlimited` in /etc/security/limits.conf, LimitMEMLOCK=infinity of "
        "the service that starts the job)",
        limit.rlim_cur / 1024);
  }
  return text;
}

bool SlotPool::grow(std::string& why) {
  const std::size_t size = chunk_slots_ * slot_bytes_;
  void* const memory =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    why = format("there is no memory for {} bytes of message buffers", size);
    return false;
  }
  ibv_mr* const region = table_.reg_mr(pd_, memory, size, access_);
  if (region == nullptr) {
    why = registration_problem(size, errno);
    munmap(memory, size);
    return false;
  }
  counters::of_fabric("verbs").memory_bytes.add(size);
  Chunk& chunk = chunks_.emplace_back(
      Chunk{static_cast<std::byte*>(memory), region, std::vector<Slot>(chunk_slots_)});
  for (std::size_t i = chunk_slots_; i-- > 0;) {
    Slot& slot = chunk.slots[i];
    slot.memory = chunk.memory + i * slot_bytes_;
    slot.local_key = region->lkey;
    slot.remote_key = region->rkey;
    slot.pool = this;
    put(slot);
  }
  return true;
}

SlotPool::~SlotPool() {
  counters::of_fabric("verbs").memory_bytes.subtract(bytes());
  for (const Chunk& chunk : chunks_) {
    table_.dereg_mr(chunk.region);
    munmap(chunk.memory, chunk_slots_ * slot_bytes_);
  }
}

}  // namespace tern::verbs
