// verbs/fabric.h - the fabric over InfiniBand and RoCE: reliable-connected queue pairs, made when
// they are needed and made again when they break.
//
// core/connector.h decides when connections come and go, core/replay.h numbers the messages; this
// carries it out. Small messages are copied into registered slots and sent to the peer's shared
// receive queue; they stay in their slot until the peer has acknowledged them. Large ones are read
// by their receiver out of the sender's memory (get), or written by the sender into the receiver's
// (put). Receive slots are promised to peers before they send, so the device never has to retry for
// want of one.
//
// Files: fabric.cc set-up and the calls of core/fabric.h, datapath.cc messages, transfers.cc RDMA
// reads and writes, rail.cc a second port for them, queue_pair.cc the states of a queue pair,
// driver.cc what the connector asks for, service.cc the thread, diagnose.cc what to tell people.
// Threading: as core/fabric.h says, and a service thread that answers connection requests while the
// program computes; core/turnstile.h lets one of them in at a time. What the engine is to be told
// waits for the next poll(). Failure: as core/fabric.h says.
#pragma once
#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/connector.h"
#include "core/counters.h"
#include "core/doorbell.h"
#include "core/fabric.h"
#include "core/pool.h"
#include "core/registration.h"
#include "core/turnstile.h"
#include "verbs/constants.h"
#include "verbs/link.h"
#include "verbs/port.h"
#include "verbs/rail.h"
#include "verbs/registrar.h"
#include "verbs/signal.h"
#include "verbs/slots.h"

namespace tern::verbs {

// How large messages travel: the receiver reads them, where the device can, or the sender writes
// them. A read needs no processor of the sender's.
enum class Rendezvous : std::uint8_t { kRead, kWrite };

struct VerbsOptions {
  PortOptions port;
  bool connect_thread = true;                 // TERN_CONNECT_THREAD
  const CmTable* cm = nullptr;                // TERN_VERBS_CM=rdmacm: librdmacm; else nullptr.
  double peer_timeout_s = 60;                 // TERN_PEER_TIMEOUT
  std::size_t connections_max = 0;            // TERN_MAX_CONNECTIONS
  Rendezvous rendezvous = Rendezvous::kRead;  // TERN_VERBS_RENDEZVOUS
  RegistrationOptions registration;
};

class VerbsFabric final : public Fabric, private connect::Driver {
 public:
  // nullptr with a sentence in `why` when this process cannot take part.
  static std::unique_ptr<VerbsFabric> create(const IbvTable& table, const ProcessId& self,
                                             const VerbsOptions& options, std::string& why);
  ~VerbsFabric() override;

  std::string_view name() const override { return "verbs"; }
  FabricLimits limits() const override;
  std::string address() const override;
  void set_own_card(std::string_view card) override;
  std::string why_unreachable(const Card& card) const override;
  Link* connect(Peer& peer, const Card& card, std::string& why) override;
  Post send(Link& link, std::span<const std::byte> head, std::span<const std::byte> body) override;
  Post get(Link& link, const DataView& to, RemoteSpan from, std::size_t size,
           std::uint32_t op) override;
  Post put(Link& link, std::span<const std::byte> head, const DataView& from, RemoteSpan to,
           std::size_t size, std::uint32_t op) override;
  void* expose(std::span<const std::byte> memory, std::uint64_t& key) override;
  void conceal(void* exposure) override;
  int poll(FabricSink& sink) override;
  bool drained() const override;
  bool release(const Peer& peer, bool gone) override;
  void set_doorbell(DoorbellWord& bell) override { bell_ = &bell; }
  std::uint32_t before_sleep() override;
  bool works_on_cores() const override { return is_soft(); }

  const Port& port() const { return *port_; }
  // The second one, or why one that is named is not used.
  std::string second_port_text() const;
  connect::Counters counters();
  RegistrationCache::Counters registrations() const {
    return memory_ != nullptr ? memory_->counters() : RegistrationCache::Counters{};
  }
  // For tests: breaks the link's queue pair as a failing network would.
  bool break_link(Link& link);

 private:
  VerbsFabric(std::unique_ptr<Port> port, const ProcessId& self, const VerbsOptions& options);
  bool start(std::string& why);

  // --- connect::Driver (driver.cc) ---
  bool create_endpoint(connect::Connection& connection) override;
  void describe_endpoint(const connect::Connection& connection,
                         connect::EndpointBlob& own) override;
  bool activate_endpoint(connect::Connection& connection,
                         const connect::EndpointBlob& remote) override;
  void destroy_endpoint(connect::Connection& connection) override;
  void send(connect::Connection& connection, std::span<const std::byte> datagram) override;
  void up(connect::Connection& connection, const connect::Resume& remote) override;
  void quiesce(connect::Connection& connection) override;
  bool down(connect::Connection& connection, connect::Down why) override;
  bool probe(connect::Connection& connection) override;
  connect::Resume resume(const connect::Connection& connection) override;
  void acknowledged(connect::Connection& connection, std::uint64_t received) override;
  std::uint64_t activity(const connect::Connection& connection) override;

  // --- set-up of what queue pairs share (driver.cc) ---
  bool open_queues(std::string& why);
  RegistrationCache& memory();
  bool make_room_for_window(std::uint32_t window);
  bool make_room_for_receives(std::uint32_t more);
  bool make_room_for_completions(std::uint32_t more);
  bool make_qp(VerbsLink& link);
  void drop_arrivals(VerbsLink& link);

  // --- connections (fabric.cc, service.cc) ---
  VerbsLink& add_link(const ProcessId& id, const SignalAddress& where, std::string_view card);
  void read_signals();
  void settle();
  int report(FabricSink& sink);
  bool report_contact(FabricSink& sink, VerbsLink& link);
  void lose(VerbsLink& link, ibv_wc_status status);
  void watch(VerbsLink& link);
  void watch_all();
  bool awaits(const VerbsLink& link) const;
  bool is_waiting() const { return now() - slept_at_ < kWaitingUs; }
  std::string why_unreachable(const SignalAddress& address) const;
  VerbsLink* new_contact(const ProcessId& id, const Datagram& datagram);
  void make_ready();
  bool has_news() const;
  void serve();
  int serve_once(bool signal_event, bool async_event);
  void read_async_event();
  void lose_device();
  void wake_engine();
  void set_timer();
  void wake_thread_at(connect::Micros time);
  void wake_thread() { wake_thread_at(0); }

  // --- messages (datapath.cc) ---
  Post blocked(VerbsLink& link);
  void await_room(VerbsLink& link);
  bool push(VerbsLink& link, std::span<const std::byte> head, std::span<const std::byte> body);
  void post(VerbsLink& link, Slot& slot);
  void post_request(VerbsLink& link, ibv_send_wr& request, std::uint64_t kind);
  void post_bare(VerbsLink& link);
  void write_mail(VerbsLink& link);
  void free_records(replay::SendRecord* record);
  int reap(FabricSink& sink);
  void on_sent(FabricSink& sink, VerbsLink& link, const ibv_wc& done);
  void on_arrival(FabricSink& sink, Slot& slot, const ibv_wc& done);
  void deliver(FabricSink& sink, VerbsLink& link, const MessageHead& head, Slot& slot);
  void grow_window(VerbsLink& link);
  void give_back(Slot& slot);
  void flush_receives();
  void pump(VerbsLink& link);
  void idle_turn();
  void read_mail();
  void flush_acks();

  // --- RDMA reads and writes (transfers.cc) ---
  TransferJob* new_job(TransferLane::Kind kind, VerbsLink& link, const DataView& local,
                       RemoteSpan remote, std::size_t size, std::uint32_t op);
  void split(VerbsLink& link, TransferJob& job);
  void leave_rail(VerbsLink& link);
  bool gathers(const DataView& view) const;
  bool is_soft() const;
  bool reads() const;
  std::size_t segments_max() const;
  std::size_t piece_bytes_max(TransferLane::Kind kind) const;
  void start(VerbsLink& link);
  void advance_reads(VerbsLink& link);
  void advance_writes(VerbsLink& link);
  bool repeat_writes(VerbsLink& link);
  bool post_rest(VerbsLink& link, TransferJob& job);
  bool announce(VerbsLink& link, TransferJob& job);
  bool post_piece(VerbsLink& link, TransferJob& job);
  void post_to_rail(VerbsLink& link, ibv_send_wr& request, std::uint64_t kind);
  void lose_rail(VerbsLink& link, ibv_wc_status status);
  int reap_rail(FabricSink& sink);
  void on_transfer(FabricSink& sink, VerbsLink& link, TransferLane& lane, TransferLane::Kind kind);
  void on_finished(FabricSink& sink, TransferJob& job);
  void rewind_transfers(VerbsLink& link);
  void resume_writes(VerbsLink& link, std::uint64_t remote_received);
  void end_early(TransferJob& job);
  void end_transfer(TransferJob& job);
  void fail_transfers(VerbsLink& link);

  std::string describe_failure(const VerbsLink& link, connect::Down why) const;  // diagnose.cc

  static connect::Micros now();

  mutable Turnstile turnstile_;
  std::unique_ptr<Port> port_;
  std::unique_ptr<Rail> rail_;  // nullptr: only one port is used.
  std::string why_no_rail_;
  const IbvTable& table_;
  counters::FabricCounters& counters_;
  ProcessId self_;
  VerbsOptions options_;
  std::string own_card_;
  ibv_pd* pd_ = nullptr;
  std::unique_ptr<SignalQueue> signal_;
  std::unique_ptr<connect::Connector> connector_;
  std::vector<std::unique_ptr<VerbsLink>> links_;

  // --- from the first connection on ---
  ibv_comp_channel* channel_ = nullptr;
  ibv_cq* cq_ = nullptr;
  ibv_srq* srq_ = nullptr;
  std::uint32_t cq_entries_ = 0;
  std::uint32_t srq_entries_ = 0;
  std::uint32_t srq_entries_max_ = 0;
  std::uint32_t receives_ = 0;  // Receive slots that exist.
  std::uint32_t queue_pairs_ = 0;
  std::unique_ptr<SlotPool> receive_slots_;
  std::unique_ptr<SlotPool> small_slots_;
  std::unique_ptr<SlotPool> large_slots_;
  std::unique_ptr<SlotPool> mailboxes_;
  replay::BufferBudget budget_{0};
  std::unique_ptr<VerbsRegistrar> registrar_;
  std::unique_ptr<RegistrationCache> memory_;  // From the first large message on.
  std::uint32_t inline_bytes_ = 0;
  std::array<ibv_recv_wr, kReturnBatch> returned_ = {};  // Receive slots to be posted again.
  std::array<ibv_sge, kReturnBatch> returned_pieces_ = {};
  std::uint32_t returned_count_ = 0;
  std::deque<ibv_wc> stashed_;  // Completions that were taken before their turn.
  std::unordered_set<Region*> exposed_;
  Pool<TransferJob> transfer_jobs_;

  std::vector<VerbsLink*> contacts_;                                // To be shown to the engine.
  std::vector<VerbsLink*> failed_;                                  // Likewise.
  std::vector<std::pair<std::uint32_t, bool>> finished_transfers_;  // Likewise: op, success.
  std::vector<VerbsLink*> owing_;     // Have received what the peer does not know.
  std::vector<VerbsLink*> awaiting_;  // Have messages that are not acknowledged.
  std::vector<VerbsLink*> broken_;    // To be reported to the connector.
  std::vector<VerbsLink*> quiescing_;
  connect::Micros owing_since_ = 0;
  std::string problem_;  // The last resource that could not be had.
  std::uint32_t idle_polls_ = 0;
  connect::Micros slept_at_ = 0;  // When the program last had nothing to do but to wait.
  connect::Micros watch_all_at_ = 0;
  bool device_lost_ = false;

  DoorbellWord* bell_ = nullptr;
  std::atomic<bool> stopping_{false};
  int timer_fd_ = -1;  // Wakes the thread, at thread_wakes_at_ or at once.
  connect::Micros thread_wakes_at_ = 0;
  bool has_thread_ = false;               // From the thread's start on.
  bool thread_sees_completions_ = false;  // It watches channel_.
  bool is_ready_ = false;                 // make_ready() has nothing to do.
  std::thread thread_;
};

}  // namespace tern::verbs
