// ucx/fabric.h - the fabric over UCX: TCP, and every other network that UCX knows.
//
// One worker per process, an endpoint per peer that is talked to, made when it is needed. Messages
// are active messages: a small one is copied into UCX's buffer at once, a longer one is lent to it
// (lend()) or copied into a parcel that lives until UCX has sent it. What cannot be sent now is
// refused (kNoCredit) once a few are on their way. UCX keeps the order and repeats what is lost;
// that a peer is gone it finds out by the kernel's TCP or the device's retries (sockets.h).
//
// Files: worker.cc the settings of UCX, fabric.cc links, datapath.cc messages, event_bell.cc waking
// a process that sleeps. Threading: as core/fabric.h says. Failure: as core/fabric.h says.
#pragma once
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/counters.h"
#include "core/fabric.h"
#include "core/pool.h"
#include "ucx/event_bell.h"
#include "ucx/link.h"
#include "ucx/worker.h"

namespace tern::ucx {

struct UcxOptions {
  WorkerOptions worker;
  bool thread = true;  // TERN_CONNECT_THREAD
};

class UcxFabric final : public Fabric {
 public:
  // nullptr with a sentence in `why` when this process cannot take part.
  static std::unique_ptr<UcxFabric> create(const UcpTable& table, const ProcessId& self,
                                           const UcxOptions& options, std::string& why);
  ~UcxFabric() override;

  std::string_view name() const override { return "ucx"; }
  FabricLimits limits() const override;
  std::string address() const override { return worker_->address(); }
  void set_own_card(std::string_view card) override { own_card_ = card; }
  std::string why_unreachable(const Card& card) const override;
  // What it uses, for people.
  std::string text() const;
  Link* connect(Peer& peer, const Card& card, std::string& why) override;
  Post send(Link& link, std::span<const std::byte> head, std::span<const std::byte> body) override;
  Post lend(Link& link, std::span<const std::byte> head, std::span<const std::byte> body,
            std::uint32_t op) override;
  Post get(Link&, const DataView&, RemoteSpan, std::size_t, std::uint32_t) override {
    return Post::kNoCredit;  // Links say that they cannot.
  }
  void* expose(std::span<const std::byte>, std::uint64_t&) override { return nullptr; }
  int poll(FabricSink& sink) override;
  bool drained() const override { return in_flight_ == 0; }
  bool close(Link& link) override;
  bool release(const Peer& peer, bool gone) override;
  void set_doorbell(DoorbellWord& bell) override { bell_word_ = &bell; }
  std::uint32_t before_sleep() override;

 private:
  // A link that a peer has opened to this process.
  struct Incoming {
    Peer* peer;
    ProcessId id;
  };

  UcxFabric(std::unique_ptr<Worker> worker, const ProcessId& self, const UcxOptions& options);
  bool start(std::string& why);

  // --- links (fabric.cc) ---
  bool open_endpoint(UcxLink& link, const Card& card, std::string& why);
  void close_endpoint(UcxLink& link, bool force);
  bool is_closed(UcxLink& link);
  void fail(UcxLink& link, ucs_status_t status);
  int settle(FabricSink& sink);
  bool settle(FabricSink& sink, UcxLink& link);
  void expect_sockets();
  void look_after_sockets();
  bool is_heard(const ProcessId& id) const;
  void forget_incoming(const ProcessId& id);
  std::string describe_failure(const UcxLink& link) const;
  static void on_endpoint_error(void* link, ucp_ep_h, ucs_status_t status);

  // --- messages (datapath.cc) ---
  Post post(UcxLink& link, Kind kind, std::span<const std::byte> head,
            std::span<const std::byte> body);
  Post post_parcel(UcxLink& link, Parcel& parcel, std::span<const std::byte> head,
                   std::span<const std::byte> body);
  int report_returned(FabricSink& sink);
  Post refused(UcxLink& link, ucs_status_t status);
  void free_parcel(Parcel& parcel);
  void on_arrival(std::span<const std::byte> header, std::span<const std::byte> data);
  void on_hello(std::uint64_t token, std::span<const std::byte> card);
  static ucs_status_t on_active_message(void* fabric, const void* header, std::size_t header_bytes,
                                        void* data, std::size_t bytes,
                                        const ucp_am_recv_param_t* param);
  static void on_sent(void* request, ucs_status_t status, void* parcel);

  std::unique_ptr<Worker> worker_;
  const UcpTable& table_;
  counters::FabricCounters& counters_;
  ProcessId self_;
  UcxOptions options_;
  std::string own_card_;

  FabricSink* sink_ = nullptr;  // While in poll().
  int events_ = 0;
  std::uint32_t polls_ = 0;
  std::uint32_t idle_polls_ = 0;
  std::uint32_t in_flight_ = 0;  // Of all links.
  std::unordered_map<std::uint64_t, Incoming> incoming_;
  std::vector<std::unique_ptr<UcxLink>> links_;
  std::vector<UcxLink*> unsettled_;                        // Failing or closing.
  std::vector<std::pair<std::uint32_t, bool>> returned_;   // Lent messages: op, success.
  std::vector<std::pair<std::uint32_t, bool>> reporting_;  // Those being told to the sink.
  Pool<HeadParcel> head_parcels_;
  Pool<SmallParcel> small_parcels_;
  Pool<LargeParcel> large_parcels_;
  std::array<std::byte, kCopiedBytesMax> scratch_;
  int looks_left_ = 0;  // At the sockets, because there are new ones.
  std::uint64_t next_look_ms_ = 0;

  DoorbellWord* bell_word_ = nullptr;
  std::unique_ptr<EventBell> bell_;
};

}  // namespace tern::ucx
