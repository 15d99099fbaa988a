// core/connect.h - the life of one connection: states, inputs, actions, and the one table of them.
//
// Pure data: no I/O, no clock, no memory, no randomness. core/connector.h runs the table for many
// peers; docs/architecture.md shows it (a test compares the two). A connection is one pair of
// endpoints (queue pairs), ours and the peer's. Each endpoint has a number that grows with every
// one created towards that peer ("epoch"), and each process has an incarnation that grows with
// every life of it, so a message that is late, doubled or meant for an earlier life names endpoints
// that are not the current ones and does nothing.
//
// How two processes connect:      dialer                          answerer
//                                 Idle, Queued
//                                 create endpoint  -- request -->  Idle
//                                 Requested                        create, activate endpoint
//                                 activate         <-- accept ---  Accepted
//                                 Ready            -- confirm -->  Ready
//
// Requests and accepts are sent again, with growing pauses, until they are answered. When both dial
// at once, the request of the smaller process id counts: the other process answers it with the
// endpoint that it has already made. An answerer without a free slot says busy, and the dialer
// gives its own endpoint up before it tries again, so nobody holds a slot while it waits for
// another's.
//
// How a connection is closed when the budget needs its slot:
//                                 Ready                            Ready
//                                 Draining: stops sending
//                                 Closing          --- close --->  Yielding: stops sending
//                                 Idle             <-- gone -----  Idle
//
// A broken endpoint is destroyed at once; when something is still to be sent, the connection is
// dialed again, and both sides say what they have received (core/replay.h sends the rest again).
// The side that has nothing to send only says gone, which may get lost: who awaits something from
// a silent peer therefore has its endpoint probed, which breaks when the peer's is no more.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tern::connect {

enum class State : std::uint8_t {
  kIdle,       // No endpoint, nothing to do.
  kQueued,     // To be dialed when a slot is free, or after a pause.
  kRequested,  // Endpoint made, request sent, no answer yet.
  kAccepted,   // The peer's request answered; the endpoint receives but does not send yet.
  kReady,      // Messages flow.
  kDraining,   // Chosen to be closed: no new messages; waits for those under way.
  kClosing,    // Drained and said so; waits for the peer to agree.
  kYielding,   // The peer closes: no new messages; waits for those under way, then agrees.
  kFailed,     // Given up for good; only a new life of the peer gets out of here.
};
inline constexpr std::size_t kStates = 9;

enum class Input : std::uint8_t {
  // From the owner (a fabric).
  kDial,    // There is something to send.
  kLost,    // The endpoint has broken.
  kQuiet,   // Asked by kQuiesce: everything that was posted has completed.
  kRefuse,  // Never talk to this peer again.
  kLeave,   // This process ends.
  // From the connector that runs the table.
  kGrant,       // A slot is free.
  kEvict,       // The budget needs this connection's slot.
  kPreempt,     // A request of a pair that goes first needs this dial's slot.
  kNoEndpoint,  // kCreate failed: out of resources.
  kBadRemote,   // kActivate failed: the peer's endpoint cannot be used.
  kRetry,       // No answer yet: say it again. With an endpoint that is up: time to look after it.
  kExpired,     // No answer until the deadline, and something is to be sent.
  kForgotten,   // No answer until the deadline, and nothing is to be sent.
  // From the peer, compared with what is known, so that each names the current endpoints.
  kRequest,         // A request, and we answer.
  kRequestAgain,    // A repetition of the request that was answered.
  kRequestCrossed,  // A request while our own goes first.
  kRequestNoSlot,   // A request, and there is no slot.
  kAccept,          // The answer to our request.
  kAcceptAgain,     // A repetition of it.
  kAcceptOther,     // The peer bound another endpoint to ours than ours is bound to.
  kConfirm,         // The peer is ready (or a message of it has arrived).
  kBusy,            // No slot there; later.
  kReject,          // Never.
  kClose,           // The peer wants to close.
  kGone,            // The peer has no such connection (any more).
  kRestarted,       // The peer is a new process under the same id.
};
inline constexpr std::size_t kInputs = 26;

enum class Action : std::uint8_t {
  kNone,
  kCreate,    // Make an endpoint. Failure: the input kNoEndpoint, the rest is left out.
  kActivate,  // Connect it to the peer's. Failure: the input kBadRemote, the rest is left out.
  kDestroy,   // Destroy the endpoint.
  kUp,        // Tell the owner that messages may flow, and what the peer has received so far.
  kQuiesce,   // Ask the owner to send nothing new and to say kQuiet when all posted has completed.
  kDownLost,  // Tell the owner that the endpoint is gone and messages may have been lost.
  kDownClosed,     // Tell the owner that the connection was closed in agreement.
  kDownFailed,     // Tell the owner that the peer is given up.
  kDownRestarted,  // Tell the owner that the peer has no memory: numbers start again.
  kSendRequest,
  kSendAccept,
  kSendConfirm,
  kSendBusy,
  kSendReject,
  kSendClose,
  kSendGone,
  kRepeat,  // Have kRetry after a pause (which grows) until the state changes.
  kPause,   // Queued: not before a pause has passed.
  kProbe,   // Ask the owner to see whether the peer is there, and have kRetry while it is needed.
};
inline constexpr std::size_t kActions = 20;

// Everything that can happen. What is not in the table changes nothing.
struct Row {
  State from;
  Input input;
  State to;
  std::array<Action, 6> actions;  // In this order; ends at kNone.
};
// One rule is not in the table: a connection that becomes Idle while something is to be sent gets
// kDial.

std::span<const Row> table();
const Row* find_row(State state, Input input);  // nullptr: nothing happens.

// True where an endpoint exists, that is where a slot is used.
constexpr bool has_endpoint(State state) {
  return state != State::kIdle && state != State::kQueued && state != State::kFailed;
}
// True where the endpoint is bound to one of the peer's.
constexpr bool is_bound(State state) { return has_endpoint(state) && state != State::kRequested; }

std::string_view name(State state);
std::string_view name(Input input);
std::string_view name(Action action);

// For the documentation: a Mermaid state diagram (without the inputs of a process that ends), and
// the table as Markdown.
std::string diagram();
std::string table_as_markdown();

}  // namespace tern::connect
