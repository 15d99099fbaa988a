// core/loopback.h - the fabric to oneself: messages wait in a queue until the next poll.
//
// It makes this process a peer like any other. Threading and failure as for every fabric.
#pragma once
#include <deque>
#include <string>
#include <vector>

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
  bool drained() const override { return messages_.empty(); }

 private:
  struct SelfLink final : Link {
    bool can_get() const override { return true; }
  };
  struct Message {
    std::vector<std::byte> bytes;
    std::size_t head_bytes;
  };

  ProcessId self_;
  SelfLink link_;
  Peer* peer_ = nullptr;
  DoorbellWord* bell_ = nullptr;  // Of other threads of this process, which may sleep.
  std::deque<Message> messages_;
};

}  // namespace tern
