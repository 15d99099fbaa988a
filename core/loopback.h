// core/loopback.h - the fabric to oneself: messages wait in a queue until the next poll.
//
// It makes this process a peer like any other. The messages lie one behind the other in memory that
// is used again and again, so that a small one allocates nothing: threads that send to themselves
// would meet in the allocator. Threading and failure as for every fabric.
#pragma once
#include <cstddef>
#include <memory>
#include <string>

#include "core/fabric.h"

namespace tern {

class LoopbackFabric final : public Fabric {
 public:
  explicit LoopbackFabric(const ProcessId& self) : self_(self) {}

  std::string_view name() const override { return "self"; }
  FabricLimits limits() const override;
  std::string address() const override { return {}; }
  void set_own_card(std::string_view) override {}
  void set_doorbell(DoorbellWord& bell) override { bell_ = &bell; }
  std::string why_unreachable(const Card& card) const override;
  Link* connect(Peer& peer, const Card& card, std::string& why) override;
  Post send(Link& link, std::span<const std::byte> head, std::span<const std::byte> body) override;
  Post get(Link& link, const DataView& to, RemoteSpan from, std::size_t size,
           std::uint32_t op) override;
  int poll(FabricSink& sink) override;
  bool drained() const override { return waiting_.size == 0; }

 private:
  struct SelfLink final : Link {
    bool can_get() const override { return true; }
  };
  struct Messages {
    std::unique_ptr<std::byte[]> memory;
    std::size_t size = 0;
    std::size_t room = 0;
    // Where `bytes` more can be written.
    std::byte* add(std::size_t bytes);
  };

  ProcessId self_;
  SelfLink link_;
  Peer* peer_ = nullptr;
  DoorbellWord* bell_ = nullptr;  // Of other threads of this process, which may sleep.
  Messages waiting_;
  Messages handled_;  // By poll(), while others come.
};

}  // namespace tern
