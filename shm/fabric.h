// shm/fabric.h - the fabric between processes of one host.
//
// First contact: the sender opens the peer's inbox (its business card says where), makes a ring and
// offers it there; messages may follow at once. Nothing exists for a pair that does not talk, and
// no descriptor stays open per peer. Large messages: copy.h. Sleeping: core/doorbell.h, in the
// inbox. Threading and failure: as core/fabric.h says.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/counters.h"
#include "core/doorbell.h"
#include "core/fabric.h"
#include "shm/copy.h"
#include "shm/ring.h"
#include "shm/segment.h"

namespace tern::shm {

struct ShmOptions {
  bool single_copy = true;  // TERN_SHM_SINGLE_COPY
  bool shared_copy = true;  // Both ends copy large messages: where they have a core each.
};

class ShmFabric final : public Fabric {
 public:
  // nullptr with a sentence in `why` when this process cannot take part.
  static std::unique_ptr<ShmFabric> create(const ProcessId& self, const HostIdentity& host,
                                           const ShmOptions& options, std::string& why);
  ~ShmFabric() override;
  // Lets the lanes 1..count be used: from now on others may offer rings there.
  void open_lanes(unsigned count);
  // The fabric of an open lane, with rings and links of its own; this one outlives it, and the two
  // need no lock between them. The addresses on cards are the same: a lane reaches its namesake.
  std::unique_ptr<ShmFabric> make_lane(unsigned number) const;

  std::string_view name() const override { return "shm"; }
  FabricLimits limits() const override;
  std::string address() const override;
  void set_own_card(std::string_view card) override { own_card_ = card; }
  std::string why_unreachable(const Card& card) const override;
  Link* connect(Peer& peer, const Card& card, std::string& why) override;
  Post send(Link& link, std::span<const std::byte> head, std::span<const std::byte> body) override;
  Post send_eager(Link& link, std::uint64_t context, std::uint64_t source_and_tag,
                  const std::byte* body, std::size_t body_bytes) override;
  Post get(Link& link, const DataView& to, RemoteSpan from, std::size_t size,
           std::uint32_t op) override;
  int poll(FabricSink& sink) override;
  bool drained() const override;
  std::string why_gone(const Card& card) const override;
  bool close(Link& link) override;
  bool release(const Peer& peer, bool gone) override;
  void leave() override;
  std::uint32_t before_sleep() override;
  std::unique_ptr<SharedMemory> share(std::size_t size, std::uint64_t& key) override;
  std::unique_ptr<SharedMemory> join(std::uint64_t key, std::size_t size) override;
  DoorbellWord* bell_of(Link& link) override;
  Doorbell* doorbell() override { return doorbell_; }

 private:
  struct ShmLink;
  struct Incoming;
  struct Job;   // A copy into this process.
  struct Help;  // A copy out of this process that its receiver asked us to share.

  ShmFabric(const ProcessId& self, const HostIdentity& host, const ShmOptions& options,
            std::shared_ptr<Segment> inboxes, std::uint64_t nonce, unsigned lane);
  Inbox& inbox() const { return inboxes_->as<Inboxes>().lanes[lane_].inbox; }

  bool offer(ShmLink& link) const;
  void destroy(ShmLink& link);
  int accept_offers(FabricSink& sink);
  void attach(FabricSink& sink, const RingOffer& offer);
  int settle_links(FabricSink& sink);
  int look_for_ended(FabricSink& sink);
  static bool has_left(const ShmLink& link);
  static bool was_killed(const ShmLink& link, int copy_error);
  static Post outcome_of_copy(const ShmLink& from, int error);
  bool has_ended(ShmLink& link) const;
  int receive(FabricSink& sink, Incoming& incoming);
  void begin_help(Incoming& incoming, std::span<const std::byte> body);
  int copy_turn(FabricSink& sink);
  bool advance_job(Job& job);
  bool advance_help(Help& help);

  ProcessId self_;
  HostIdentity host_;
  ShmOptions options_;
  std::string own_card_;
  std::shared_ptr<Segment> inboxes_;  // Of all lanes.
  std::uint64_t nonce_;
  unsigned lane_;
  std::uint64_t inbox_position_ = 0;
  counters::FabricCounters& counters_;
  std::shared_ptr<Doorbell> own_doorbell_;  // Of the process; lanes share it.
  Doorbell* doorbell_;
  std::vector<std::unique_ptr<Incoming>> incoming_;
  bool goodbyes_ = false;  // An incoming ring has come to its end.
  std::vector<std::unique_ptr<ShmLink>> links_;
  // Looking after the processes at the other ends.
  std::uint32_t polls_until_look_ = 1;
  std::uint64_t next_look_ms_ = 0;
  std::size_t next_looked_at_ = 0;   // Index in links_.
  std::vector<ShmLink*> unsettled_;  // Offered, but not yet mapped by the peer.
  std::vector<Job> jobs_;
  std::vector<Help> helps_;
};

}  // namespace tern::shm
