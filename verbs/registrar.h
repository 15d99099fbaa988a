// verbs/registrar.h - registers user memory for transfers that the device makes by itself; used
// through core/registration.h.
//
// For the cache's self-check it remembers which page frames it has registered and compares them
// with those that are there now. Only a privileged process may see these (CAP_SYS_ADMIN).
// Threading: one thread at a time. Failure: a sentence for people.
#pragma once
#include <string>
#include <unordered_map>
#include <vector>

#include "core/registration.h"
#include "verbs/table.h"

namespace tern::verbs {

class VerbsRegistrar final : public Registrar {
 public:
  // second_pd: of a second device, or nullptr.
  VerbsRegistrar(const IbvTable& table, ibv_pd* pd, ibv_pd* second_pd, bool remember_frames)
      : table_(table), pd_(pd), second_pd_(second_pd), remembers_(remember_frames) {}
  bool add(Region& region, std::string& why) override;
  void remove(Region& region) override;
  bool is_current(const Region& region) override;

  static bool may_see_frames();

 private:
  using Frames = std::vector<std::uint64_t>;
  const IbvTable& table_;
  ibv_pd* pd_;
  ibv_pd* second_pd_;
  bool remembers_;
  std::unordered_map<const void*, Frames> frames_;  // By handle.
};

}  // namespace tern::verbs
