// shm/copy.cc - see copy.h.
#include "shm/copy.h"

#include <sys/prctl.h>
#include <sys/uio.h>

#include <cerrno>

namespace tern::shm {
namespace {

template <class Call>
int copy_all(Call call, std::uint32_t pid, std::byte* local, std::uint64_t remote,
             std::size_t size) {
  while (size > 0) {
    const iovec here{local, size};
    const iovec there{reinterpret_cast<void*>(remote), size};
    const ssize_t copied = call(static_cast<pid_t>(pid), &here, 1, &there, 1, 0);
    if (copied < 0) return errno;
    if (copied == 0) return EFAULT;
    local += copied;
    remote += static_cast<std::uint64_t>(copied);
    size -= static_cast<std::size_t>(copied);
  }
  return 0;
}

}  // namespace

void allow_single_copy() { prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); }

int copy_from_process(std::uint32_t pid, std::byte* to, std::uint64_t from, std::size_t size) {
  return copy_all(process_vm_readv, pid, to, from, size);
}

int copy_to_process(std::uint32_t pid, std::uint64_t to, const std::byte* from, std::size_t size) {
  return copy_all(process_vm_writev, pid, const_cast<std::byte*>(from), to, size);
}

std::uint32_t open_ticket(CopyTicket& ticket) {
  ticket.helper_done.store(0, std::memory_order_relaxed);
  ticket.helper_failed.store(0, std::memory_order_relaxed);
  const std::uint64_t before = ticket.claim.load(std::memory_order_relaxed);
  const auto generation = static_cast<std::uint32_t>(before >> 32) + 1;
  ticket.claim.store(std::uint64_t{generation} << 32, std::memory_order_release);
  return generation;
}

std::int64_t claim_chunk(CopyTicket& ticket, std::uint32_t generation, std::uint32_t chunks) {
  std::uint64_t claim = ticket.claim.load(std::memory_order_acquire);
  while (static_cast<std::uint32_t>(claim >> 32) == generation &&
         static_cast<std::uint32_t>(claim) < chunks) {
    if (ticket.claim.compare_exchange_weak(claim, claim + 1, std::memory_order_acq_rel)) {
      return static_cast<std::int64_t>(static_cast<std::uint32_t>(claim));
    }
  }
  return -1;
}

}  // namespace tern::shm
