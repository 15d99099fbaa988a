// verbs/registrar.cc - see registrar.h.
#include "verbs/registrar.h"

#include <cerrno>

#include "core/counters.h"
#include "verbs/slots.h"

namespace tern::verbs {

bool VerbsRegistrar::add(Region& region, std::string& why) {
  constexpr int kAccess = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ;
  ibv_mr* const mr =
      table_.reg_mr(pd_, reinterpret_cast<void*>(region.begin), region.size(), kAccess);
  if (mr == nullptr) {
    why = registration_problem(region.size(), errno);
    return false;
  }
  region.handle = mr;
  region.local_key = mr->lkey;
  region.remote_key = mr->rkey;
  counters::registrations().registered.add(1);
  counters::registrations().bytes.add(region.size());
  return true;
}

void VerbsRegistrar::remove(Region& region) {
  table_.dereg_mr(static_cast<ibv_mr*>(region.handle));
  counters::registrations().deregistered.add(1);
  counters::registrations().bytes.subtract(region.size());
}

Region* VerbsRegistrar::acquire(std::span<const std::byte> memory, std::string& why) {
  auto region = std::make_unique<Region>();
  region->begin = reinterpret_cast<std::uintptr_t>(memory.data());
  region->end = region->begin + memory.size();
  return add(*region, why) ? region.release() : nullptr;
}

void VerbsRegistrar::release(Region& region) {
  remove(region);
  const std::unique_ptr<Region> end(&region);
}

}  // namespace tern::verbs
