// core/engine.h - the engine: peers, matching, eager and rendezvous, progress.
//
// One Engine per process, and one more for each lane of the MPI layer (mpi_api/lanes.h). It knows
// fabrics only through core/fabric.h, and neither MPI objects nor verbs. Every operation is started
// without blocking and completes inside progress().
// Threading: one thread at a time; the MPI layer's locks see to it. Failure: operations end
// with an Outcome; nothing throws.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/doorbell.h"
#include "core/fabric.h"
#include "core/match.h"
#include "core/op_table.h"
#include "core/peer.h"
#include "core/pool.h"
#include "core/request.h"
#include "core/task.h"
#include "core/wait.h"
#include "core/wire.h"

namespace tern {

// Where business cards come from. The answer arrives later through Engine::on_card.
class CardSource {
 public:
  virtual void request_card(const ProcessId& id) = 0;
  // Lets answers arrive; returns how many did. Costs nothing while none is outstanding.
  virtual int poll() = 0;
  // A descriptor that becomes readable when an answer comes, while one is outstanding; else -1.
  virtual int pending_fd() const = 0;

 protected:
  ~CardSource() = default;
};

struct EngineOptions {
  std::size_t eager_max_bytes = 0;  // 0: the fabric's own choice.
  WaitPolicy wait;
};

class Engine final : private FabricSink {
 public:
  Engine(const ProcessId& self, CardSource& cards, const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Fabrics are asked in the order added: the first that reaches a peer is used for it.
  void add_fabric(std::unique_ptr<Fabric> fabric);
  // Makes this process's card, with the addresses of all fabrics added so far, and shows it to
  // them.
  const Card& make_card(HostIdentity host);
  // The same for fabrics that were added later: who gets the card from now on may use them.
  const Card& show_card();
  // For people who wonder why a peer is not reached: other fabrics, and why they are not there.
  void set_absent_fabrics(std::string reasons) { absent_fabrics_ = std::move(reasons); }
  const std::string& absent_fabrics() const { return absent_fabrics_; }

  const ProcessId& self() const { return self_; }
  // Of no use before make_card().
  const Card& own_card() const { return own_card_; }
  // The record of a peer, created on first use; it lives as long as the engine.
  Peer& peer(const ProcessId& id);

  // Starts a send of data to `to`. request.done may be set on return (small messages).
  void send(Peer& to, const Envelope& envelope, const DataView& data, SendMode mode,
            Request& request);
  // The short way for a small message to a connected peer with nothing queued: true when it is
  // sent and the buffer is free. False: nothing happened; use send().
  static bool send_now(Peer& to, const Envelope& envelope, const std::byte* data,
                       std::size_t size_bytes);

  // Connects to a peer before there is anything to send: says a word, which the engine there
  // answers as soon as it is called, whatever for (Peer::greetings there, Peer::answers here).
  void greet(Peer& peer);

  // Starts a receive. pattern may hold kAnySource/kAnyTag.
  void receive(const Envelope& pattern, const DataView& data, Request& request) {
    request.envelope = pattern;
    request.data = data;
    receive(request);
  }
  // The same with request.envelope (the pattern) and request.data already in place.
  void receive(Request& request);
  // Takes a receive that has not been matched out of the queue and completes it with kCancelled;
  // false when it is too late.
  bool cancel_receive(Request& request);
  // Takes back a send that has not left this process, or asks the receiver to give up one that it
  // has not matched; that then completes one way or the other. False when it is too late.
  bool cancel_send(Request& request);

  // The earliest message that matches and is not yet received, or nullptr. Does not progress.
  const UnexpectedMessage* probe(const Envelope& pattern);
  // The same, and from now on no other receive can match it (MPI_Mprobe).
  UnexpectedMessage* take(const Envelope& pattern);
  // Receives a message obtained by take().
  void receive_taken(UnexpectedMessage& message, const DataView& data, Request& request);

  // One non-blocking turn; returns how many events were handled.
  int progress();

  // Ends the sleep of a thread of this process that waits for something that no fabric reports.
  void wake() { Doorbell::ring_if_armed(doorbell_->word()); }
  // Whether this progress() is the last one before a sleep: what it does not find will ring.
  bool about_to_sleep() const { return about_to_sleep_; }
  // Somebody who makes progress here will sleep: returns for how long at most, in microseconds.
  std::uint32_t before_sleep();

  // Progresses until condition() holds, idling as the wait policy says. In a task: returns to the
  // program until it holds.
  template <class Condition>
  void wait_until(Condition condition) {
    if (condition()) return;
    if (running_task_ != nullptr) [[unlikely]]
      return running_task_->wait(condition);
    Waiter waiter(wait_);
    while (true) {
      const int events = progress();
      if (condition()) return;
      if (events > 0) {
        waiter.reset();
      } else {
        Condition asked = condition;  // A copy: what has an address cannot stay in registers.
        const auto ask = [](void* held) { return (*static_cast<Condition*>(held))(); };
        if (idle(waiter, ask, &asked)) return;
      }
    }
  }

  // Runs body() beside the program, as far as it comes now, and the rest as part of progress(). It
  // may start operations and wait_until(), but not progress(). False when there is no memory.
  bool start_task(std::function<void()> body);

  // The process has ended, as somebody else found out: its operations fail with kPeerLost.
  void lose(Peer& peer, std::string_view why);
  // Fails the receives that wait for a message and for which `select` holds; their `peer` becomes
  // `lost`.
  template <class Select>
  void fail_receives(Peer& lost, Select select) {
    // One after the other: the completion of one may take back, free or post others.
    const std::uint64_t last = posted_.last_order();
    while (Request* const request = posted_.find_if([&](const Request& posted) {
      return posted.match_order <= last && select(posted.envelope);
    })) {
      fail_receive(*request, lost);
    }
  }
  // Ends the link to a process that is no longer connected and drops its record. False: something
  // is still on its way in one of the two directions; try again later.
  bool forget(Peer& peer);

  // An answer from the CardSource; empty text means that there is none, `why` says the reason.
  void on_card(const ProcessId& id, std::string_view text, std::string_view why);

  // True when nothing that was sent still needs this process (queues empty, links drained).
  bool drained() const;

  // For tools, tests and error messages.
  std::size_t peers_connected() const;
  // Grows with every peer that fails; the records of those that are there now.
  std::size_t failures() const { return failures_; }
  std::vector<Peer*> failed_peers() const;
  // What this process and the peer have exchanged since the engine knows the peer.
  static counters::Volumes traffic_with(const Peer& peer);
  template <class Visit>
  void for_each_peer(Visit visit) const {
    for (const auto& [id, peer] : peers_) visit(*peer);
  }
  std::size_t unexpected_count() const { return unexpected_.size(); }
  std::size_t posted_count() const { return posted_.size(); }
  // The patterns of the receives that wait for a message, in no order.
  template <class Visit>
  void for_each_posted(Visit visit) const {
    (void)posted_.find_if([&visit](const Request& posted) {
      visit(posted.envelope);
      return false;
    });
  }
  std::uint64_t dropped_messages() const { return dropped_; }
  WaitState& wait_state() { return wait_; }
  std::span<const std::unique_ptr<Fabric>> fabrics() const { return fabrics_; }

 private:
  // --- FabricSink ---
  Peer* on_contact(std::string_view card) override;
  void on_message(Peer& from, std::span<const std::byte> head,
                  std::span<const std::byte> body) override;
  void on_complete(std::uint32_t op, bool ok) override;
  void on_peer_down(Peer& peer, std::string_view why) override;
  void on_peer_ended(Peer& peer, std::string_view why) override;

  // --- connections (engine.cc) ---
  void ensure_link(Peer& peer);
  void use_card(Peer& peer, const Card& card);
  void start_counting(Peer& peer);
  void stop_counting(Peer& peer);
  void fail_peer(Peer& peer, std::string_view why);
  void fail_receive(Request& request, Peer& lost);

  // --- sending (send.cc) ---
  using Stage = PendingSend::Stage;
  // One step of a send after another until all is posted (true) or the fabric has no credit
  // (false).
  bool advance(Peer& peer, PendingSend& send);
  bool advance_data(Peer& peer, Request& request, Stage& stage);
  bool post_start(Peer& peer, Request& request, Stage& stage);
  bool post_fragments(Peer& peer, Request& request, Stage stage);
  Post post_piece(Peer& peer, std::span<const std::byte> head, Request& request,
                  std::size_t size_bytes);
  bool post_rendezvous(Peer& peer, Request& request);
  Post post(Peer& peer, std::span<const std::byte> head, const DataView& data, std::size_t position,
            std::size_t size_bytes);
  void enqueue(Peer& peer, PendingSend& send);
  void send_control(Peer& peer, std::span<const std::byte> head);
  void flush(Peer& peer);
  int flush_all();

  // --- receiving (receive.cc) ---
  void on_other_message(Peer& from, std::span<const std::byte> head,
                        std::span<const std::byte> body);
  void keep_eager(Peer& from, const wire::EnvelopeHead& head, std::span<const std::byte> body);
  void acknowledge_match(Peer& to, std::uint32_t sender_op);
  void begin_stream(Peer& from, const wire::FirstHead& head, std::span<const std::byte> body);
  void feed_stream(Peer& from, std::span<const std::byte> body);
  void finish_into(Request& request, std::span<const std::byte> body);
  void announce(Peer& from, const wire::RendezvousHead& head);
  void start_matched(UnexpectedMessage& message, Request& request);
  void note_match(Peer& from, Request& request, const Envelope& envelope, std::size_t total);
  UnexpectedMessage* new_unexpected(Peer& from, const wire::EnvelopeHead& head,
                                    std::size_t total_bytes);
  void free_unexpected(UnexpectedMessage& message);
  void on_greet(Peer& from, const wire::GreetHead& head);
  void drop(Peer& from, const char* what);

  // --- rendezvous (rendezvous.cc) ---
  void start_transfer(Request& request);
  void finish_transfer(Request& request, Outcome outcome);
  void on_clear(Peer& from, const wire::ClearHead& head);
  bool put(Peer& to, Request& request, const wire::ClearHead& head);
  void on_written(Peer& from, const wire::WrittenHead& head);
  void on_data(Peer& from, const wire::DataHead& head, std::span<const std::byte> body);
  void on_ack(Peer& from, const wire::AckHead& head);
  void on_cancel(Peer& from, const wire::AckHead& head);
  void on_cancelled(Peer& from, const wire::AckHead& head);

  void complete(Request& request, Outcome outcome);
  // The same for one that is not in the operation table.
  static void finish(Request& request, Outcome outcome) {
    request.outcome = outcome;
    request.set_done();
    if (request.on_done != nullptr) request.on_done(request);
  }
  // `holds` says of its argument whether what is waited for has come. True: it has, and nobody
  // needs to ask again.
  bool idle(Waiter& waiter, bool (*holds)(void*), void* argument);
  void run(Task& task);
  int run_tasks();

  // First, so that they go last: operations that are queued below lie on their stacks.
  std::vector<std::unique_ptr<Task>> tasks_;
  Task* running_task_ = nullptr;
  ProcessId self_;
  CardSource& cards_;
  EngineOptions options_;
  std::vector<std::unique_ptr<Fabric>> fabrics_;
  std::size_t fabrics_shown_ = 0;  // That many have been shown the card.
  std::string absent_fabrics_;
  Card own_card_;
  std::unordered_map<ProcessId, std::unique_ptr<Peer>, ProcessIdHash> peers_;
  PostedQueue posted_;
  UnexpectedQueue unexpected_;
  OpTable ops_;
  Pool<UnexpectedMessage> unexpected_pool_;
  Pool<PendingSend> pending_pool_;
  Peer* pending_peers_ = nullptr;
  std::vector<std::byte> scratch_;  // One fragment of data that has gaps.
  WaitState wait_;
  bool about_to_sleep_ = false;
  DoorbellWord own_bell_;
  std::unique_ptr<Doorbell> own_doorbell_;
  Doorbell* doorbell_;
  std::size_t failures_ = 0;
  std::uint64_t dropped_ = 0;  // Malformed or stale messages.
};

inline bool Engine::send_now(Peer& to, const Envelope& envelope, const std::byte* data,
                             std::size_t size_bytes) {
  // max_body_bytes is 0 until there is a link, so a zero-byte message needs the test of the link.
  if (size_bytes > to.max_body_bytes || to.link == nullptr || to.pending_first != nullptr) {
    return false;
  }
  if (to.fabric->send_eager(*to.link, envelope.context,
                            wire::source_and_tag(envelope.source, envelope.tag), data,
                            size_bytes) != Post::kDone) {
    return false;
  }
  to.traffic->count(counters::Protocol::kEager, size_bytes);
  return true;
}

}  // namespace tern
