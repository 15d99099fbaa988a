// core/connector.h - connections to many peers: runs the table of core/connect.h for each, with
// timers, a budget of endpoints and a bound on dials in flight.
//
// No I/O and no clock: the owner (a fabric, or the simulator) passes in what happened and the time,
// and carries out what the Driver is told. The same inputs give the same calls. Nothing here waits.
// Cost: O(1) per call, O(log n) where a timer changes; nothing runs for a connection that nothing
// is awaited from. Threading: one thread at a time (the owner locks when a service thread calls,
// too). Failure: a peer that cannot be reached becomes kFailed and is reported once, with a reason.
//
// What an owner does:
//   - derives its link from Connection, attach()es it when the peer is first heard of, and
//   detach()es
//     it at the end;
//   - calls dial() when there is something to send and the link is not up. When the peer has sent
//     something, too: receiving opens nothing;
//   - passes every datagram to receive(). Message::decode() names the sender; find() its
//   connection;
//   - calls lost() when the endpoint has broken, and traffic() when a message arrives on an
//   endpoint
//     that is not up;
//   - calls watch() when it begins to await something: room, an acknowledgement;
//   - calls advance() when next_time() has come.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/connect.h"
#include "core/connect_message.h"
#include "core/ids.h"

namespace tern::connect {

using Micros = std::uint64_t;  // Of any clock that never goes back.
inline constexpr Micros kNever = ~Micros{0};

// One peer. The owner's object derives from it; only the connector changes it.
class Connection {
 public:
  const ProcessId& peer() const { return peer_; }
  State state() const { return state_; }
  // Messages may be sent. (The one thing that the path of a message looks at; Driver::up() and
  // Driver::quiesce()/down() tell of each change.)
  bool is_up() const { return state_ == State::kReady; }
  Reason reason() const { return reason_; }                             // kFailed: why.
  std::uint64_t peer_incarnation() const { return peer_incarnation_; }  // 0: not heard of yet.
  std::uint32_t epoch() const { return own_epoch_; }            // Of the current or last endpoint.
  std::uint32_t peer_epoch() const { return bound_epoch_; }     // What it is or was bound to.
  std::uint32_t handshake_us() const { return handshake_us_; }  // How long it last took to come up.
  // Driver::probe() is going to be called (or something else has to happen first).
  bool is_watched() const { return again_at_ != kNever; }

 protected:
  Connection() = default;
  ~Connection() = default;  // Precondition: detached.
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

 private:
  friend class Connector;
  friend class TimerHeap;
  friend class ConnectionList;

  ProcessId peer_;
  State state_ = State::kIdle;
  Reason reason_ = Reason::kNone;  // The last trouble; what counts when the deadline comes.
  bool wanted_ = false;            // Something is to be sent.
  bool goes_first_ = false;        // Our request counts when both dial at once.
  bool listed_ = false;
  bool fresh_ = false;          // Came up, and nothing has got through yet.
  std::uint8_t fruitless_ = 0;  // Times in a row that it broke before anything got through.
  std::uint32_t own_epoch_ = 0;
  std::uint32_t bound_epoch_ = 0;
  std::uint32_t seen_epoch_ = 0;   // The latest endpoint of the peer's that we ever bound to.
  std::uint32_t timer_place_ = 0;  // In the heap, from 1; 0: no timer.
  std::uint32_t pause_us_ = 0;     // The last one between two repetitions.
  std::uint32_t backoff_us_ = 0;   // The last one in Queued.
  std::uint32_t handshake_us_ = 0;
  std::uint64_t peer_incarnation_ = 0;  // 0: not heard of yet.
  Resume remote_;                       // From the request or accept that bound the endpoint.
  std::uint64_t activity_ = 0;          // When last looked at.
  Micros since_ = 0;                    // Connecting, or up: since when.
  Micros again_at_ = kNever;
  Micros give_up_at_ = kNever;
  Micros due_ = kNever;         // The earlier of the two, when in the heap.
  Connection* next_ = nullptr;  // In the list of its state.
  Connection* previous_ = nullptr;
};

// Why a connection is down.
enum class Down : std::uint8_t {
  kLost,       // It broke here or there. What was not acknowledged will be sent again after up().
  kClosed,     // Closed in agreement for the budget. Everything had completed.
  kFailed,     // Given up; Connection::reason(). Nothing more comes.
  kRestarted,  // The peer is a new process: what was not acknowledged fails, numbers begin at 0.
};

// What the connector asks of its owner. None of these may call the connector.
class Driver {
 public:
  // Makes an endpoint that can receive as soon as it is activated, and calls
  // ReceiveWindow::begin(). False when there are no resources (it is tried again later).
  virtual bool create_endpoint(Connection& connection) = 0;
  // Describes it for the peer.
  virtual void describe_endpoint(const Connection& connection, EndpointBlob& own) = 0;
  // Connects it to the peer's endpoint: it receives from now on. Nothing is to be sent before up().
  // False when it cannot be; destroy_endpoint() follows.
  virtual bool activate_endpoint(Connection& connection, const EndpointBlob& remote) = 0;
  // Everything that has arrived on the endpoint is delivered (or dropped uncounted) before it goes:
  // afterwards resume() does not change until the next activate_endpoint().
  virtual void destroy_endpoint(Connection& connection) = 0;
  // Sends a datagram to the peer, or not: it may be lost.
  virtual void send(Connection& connection, std::span<const std::byte> datagram) = 0;

  // Messages may flow. First, what the peer has not received is sent again: SendWindow::resume(). A
  // bare acknowledgement may be due, too.
  virtual void up(Connection& connection, const Resume& remote) = 0;
  // Nothing new may be sent except bare acknowledgements. Call Connector::quiet() as soon as all
  // that was posted has completed; also when that is so already (later, not from inside).
  virtual void quiesce(Connection& connection) = 0;
  // The endpoint is destroyed already (or never was). For kLost and kClosed: returns whether there
  // is something to send (unacknowledged, queued, transfers to repeat), which dials again.
  virtual bool down(Connection& connection, Down why) = 0;
  // A look at an endpoint that is up or being closed: returns whether anything is awaited from the
  // peer, and then it is called again after Options::probe_us. When nothing has come from the peer
  // since the last call, it also posts something that needs no credit and that breaks the endpoint
  // if the peer's end is no more. For what comes to be awaited later, there is Connector::watch().
  virtual bool probe(Connection& connection) = 0;

  // ReceiveWindow::resume() of this peer.
  virtual Resume resume(const Connection& connection) = 0;
  // The peer has received all numbered messages up to this one, says a close.
  virtual void acknowledged(Connection& connection, std::uint64_t received) = 0;
  // A number that grows with all that has been completed with this peer, in either direction: what
  // is least recently used, and whether a connection that keeps breaking gets anywhere.
  virtual std::uint64_t activity(const Connection& connection) = 0;

 protected:
  ~Driver() = default;
};

struct Options {
  ProcessId self;
  std::uint64_t incarnation =
      1;                   // Not 0; greater than that of every earlier life of this id (time).
  std::uint64_t seed = 1;  // For the jitter of pauses.
  std::size_t connections_max = 0;  // TERN_MAX_CONNECTIONS: endpoints at a time; 0: no limit.
  std::size_t dials_max = 64;       // Requests in flight at a time.
  Micros pause_first_us = 20'000;   // Until the first repetition; each further pause is twice as
  Micros pause_max_us = 1'000'000;  // long, up to this, and varied by a quarter either way.
  Micros give_up_us = 30'000'000;   // TERN_PEER_TIMEOUT: without any answer.
  Micros hold_us = 20'000;          // A new connection that nothing has passed is kept this long.
  Micros probe_us = 1'000'000;      // Between two looks at a peer that something is awaited from.
  std::uint8_t fruitless_max = 8;   // Reconnections in a row without anything getting through.
};

// Monotone counters, for reports and tests.
struct Counters {
  std::uint64_t opened = 0;  // Became Ready.
  std::uint64_t closed = 0;  // In agreement, for the budget.
  std::uint64_t lost = 0;
  std::uint64_t failed = 0;
  std::uint64_t restarted = 0;
  std::uint64_t created = 0;  // Endpoints.
  std::uint64_t destroyed = 0;
  std::uint64_t sent = 0;      // Datagrams.
  std::uint64_t repeated = 0;  // Of those, because no answer came.
  std::uint64_t received = 0;
  std::uint64_t ignored = 0;             // Late, doubled, meant for others, garbage.
  std::uint64_t handshake_us_total = 0;  // From first request or first word of the peer to Ready.
};

// The connections of one state, in the order in which they came to it. Intrusive.
class ConnectionList {
 public:
  Connection* first() const { return first_; }
  std::size_t size() const { return size_; }
  void append(Connection& connection);
  void remove(Connection& connection);
  static Connection* next(const Connection& connection) { return connection.next_; }

 private:
  Connection* first_ = nullptr;
  Connection* last_ = nullptr;
  std::size_t size_ = 0;
};

// When each connection wants to be looked at; a binary heap with places, so that any can be
// changed.
class TimerHeap {
 public:
  Connection* first() const { return heap_.empty() ? nullptr : heap_.front().connection; }
  Micros first_due() const { return heap_.empty() ? kNever : heap_.front().due; }
  void set(Connection& connection, Micros due);
  void clear(Connection& connection);
  std::size_t size() const { return heap_.size(); }

 private:
  struct Entry {
    Micros due;  // Here, so that comparing touches no connection.
    Connection* connection;
  };
  void place(std::size_t at, const Entry& entry);
  void sift_up(std::size_t at);
  void sift_down(std::size_t at);
  std::vector<Entry> heap_;
};

class Connector {
 public:
  Connector(const Options& options, Driver& driver);
  ~Connector();  // Precondition: everything is detached.
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

  // --- peers ---
  // Precondition: no connection with this id is attached.
  void attach(Connection& connection, const ProcessId& peer);
  // Destroys the endpoint, if any, tells the peer so, and forgets the connection. No down().
  void detach(Connection& connection, Micros now);
  Connection* find(const ProcessId& peer) const;

  // --- what happened ---
  void dial(Connection& connection, Micros now);  // Cheap when it is under way or up already.
  void receive(Connection& connection, const Message& message, Micros now);
  void traffic(Connection& connection, Micros now);
  // Something is awaited from the peer. Only needed when the connection is_up() and not watched.
  void watch(Connection& connection, Micros now);
  void lost(Connection& connection, Micros now);
  void quiet(Connection& connection, Micros now);
  void close(Connection& connection, Micros now);   // As the budget does; nothing when not up.
  void refuse(Connection& connection, Micros now);  // down(kFailed) unless it has failed already.
  void advance(Micros now);
  Micros next_time() const;  // kNever: only the calls above change anything.

  // --- to look at ---
  std::size_t endpoints() const { return endpoints_; }
  std::size_t dials() const { return requested_.size(); }
  std::size_t queued() const { return queued_.size(); }
  const Counters& counters() const { return counters_; }
  const Options& options() const { return options_; }
  static std::string_view reason_text(Reason reason);

 private:
  // Each call from outside holds one: a driver must not call back.
  class Guard {
   public:
    explicit Guard(Connector& connector);
    ~Guard() { connector_.inside_ = false; }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    Connector& connector_;
  };

  // The table (connector.cc).
  void feed(Connection& connection, Input input, const Message* message, Micros now);
  bool carry_out(Connection& connection, Action action, const Message* message, Micros now,
                 Input& failure);
  void enter(Connection& connection, State to, Micros now);
  void bind(Connection& connection, const Message& message);
  void report_up(Connection& connection, Micros now);
  void report_down(Connection& connection, Action action);
  void send(Connection& connection, Message::Type type, const Message* answered);
  void send_gone_to_stranger(Connection& connection, const Message& message);

  // Messages (connector_receive.cc).
  bool check_lives(Connection& connection, const Message& message, Micros now);
  void on_request(Connection& connection, const Message& message, Micros now);
  void on_accept(Connection& connection, const Message& message, Micros now);
  void on_bound(Connection& connection, const Message& message, Micros now);
  bool make_room_for(const Connection& connection, Micros now);

  // Time and slots (connector_slots.cc).
  void update_timer(Connection& connection);
  Micros jittered(Micros pause);
  void on_timer(Connection& connection, Micros now);
  bool slot_free() const {
    return options_.connections_max == 0 || endpoints_ < options_.connections_max;
  }
  void pump(Micros now);
  bool evict_one(Micros now);
  void fail_stalled(Micros now);

  Options options_;
  Driver& driver_;
  std::unordered_map<ProcessId, Connection*, ProcessIdHash> peers_;
  TimerHeap timers_;
  ConnectionList queued_;  // Those that wait for a slot (not those in a pause).
  ConnectionList requested_;
  ConnectionList ready_;
  std::size_t endpoints_ = 0;
  std::size_t leaving_ = 0;  // Endpoints in Draining, Closing, Yielding.
  std::uint64_t random_;
  Micros turnover_at_ = 0;          // When a slot last changed hands.
  Micros evict_again_at_ = kNever;  // Nothing could be evicted; look again then.
  Counters counters_;
  bool starved_ = false;  // An endpoint could not be created: another has to go.
  bool inside_ = false;
};

}  // namespace tern::connect
