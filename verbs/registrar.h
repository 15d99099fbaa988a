// verbs/registrar.h - registers user memory for transfers that the device makes by itself.
//
// Each use registers and each end of one deregisters: memory that the program frees and gets again
// can never be mistaken for what it was before. Threading: one thread at a time.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "core/registration.h"
#include "verbs/table.h"

namespace tern::verbs {

class VerbsRegistrar final : public Registrar {
 public:
  VerbsRegistrar(const IbvTable& table, ibv_pd* pd) : table_(table), pd_(pd) {}
  bool add(Region& region, std::string& why) override;
  void remove(Region& region) override;
  // Whether the pages are still those that were registered cannot be asked of a device.
  bool is_current(const Region&) override { return true; }

  // A registration of exactly this memory; nullptr with a reason.
  Region* acquire(std::span<const std::byte> memory, std::string& why);
  void release(Region& region);

 private:
  const IbvTable& table_;
  ibv_pd* pd_;
};

}  // namespace tern::verbs
