// mpi_api/coll/schedule.h - a collective operation as a graph of steps, and what runs it.
//
// An algorithm describes one member's part: sends, receives, reductions and copies, each naming the
// steps that must have finished before it starts. Nothing runs while the graph is built; start()
// then starts all steps without predecessors, and completion callbacks start the others. Blocking,
// non-blocking and persistent calls differ only in who waits for done(), so that there is one
// implementation of every algorithm. A schedule knows ranks and bytes; how they reach other members
// is the Channel's business (the engine's in the library, a simulator's in the tests).
//
// Threading: one thread at a time (entry lock). Failure: a message that was too long lets the
// schedule go on (the other members rely on it) and is reported at the end; a lost peer or missing
// memory ends it early. No polling, no recursion; no allocation once its storage has grown.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

#include "core/request.h"

namespace tern::mpi {
class Datatype;
class Op;
}  // namespace tern::mpi

namespace tern::mpi::coll {

class HostMap;  // host_map.h

// Messages of one collective between two members are told apart by their sub-tag; those with the
// same one arrive in the order sent. Sub-tags count modulo this.
inline constexpr int kSubTags = 256;

// The way to the other members of the communicator.
class Channel {
 public:
  // Starts a send. True: it is finished already, and `request` was not used.
  virtual bool send(int rank, int sub, const DataView& data, tern::Request& request) = 0;
  virtual void receive(int rank, int sub, const DataView& data, tern::Request& request) = 0;
  // Takes a receive back if it has not been matched; it then completes with kCancelled.
  virtual void cancel_receive(tern::Request& request) = 0;

 protected:
  ~Channel() = default;
};

using Step = std::uint32_t;
inline constexpr Step kNoStep = ~Step{0};
// Predecessors of a step; kNoStep entries are ignored.
using After = std::initializer_list<Step>;

class Schedule {
 public:
  Schedule();
  ~Schedule();  // Precondition: no messages in flight.
  Schedule(const Schedule&) = delete;
  Schedule& operator=(const Schedule&) = delete;

  // --- building ---
  // Empties the schedule and makes it one of member `rank` of `size`.
  void reset(int rank, int size, Channel& channel);
  // What reduce() steps apply; borrowed.
  void set_reduction(const Op& op, const Datatype& type);
  // Which members share a host, for algorithms in two levels; borrowed. nullptr: there are none.
  void set_hosts(const HostMap* hosts) { hosts_ = hosts; }

  int rank() const { return rank_; }
  int size() const { return size_; }
  const Op& op() const { return *op_; }
  const Datatype& type() const { return *type_; }
  const HostMap* hosts() const { return hosts_; }

  Step send(int to, int sub, const DataView& data, After after = {});
  Step receive(int from, int sub, const DataView& data, After after = {});
  // inout = in op inout on count elements.
  Step reduce(const std::byte* in, std::byte* inout, std::size_t count, After after = {});
  Step copy(const DataView& from, const DataView& to, After after = {});
  // Does nothing: stands for all its predecessors.
  Step join(After after = {});
  // One more predecessor for a step that was added later than `before`.
  void order(Step before, Step step);

  // Memory until the schedule is reset, aligned to 64 bytes. nullptr when there is none: then
  // out_of_memory() is true and the schedule must not be started.
  std::byte* scratch(std::size_t size_bytes);
  // The same for count elements of the reduction's datatype; returns where the first one's origin
  // lies.
  std::byte* scratch_elements(std::size_t count);
  // The same for n values.
  template <class T>
  std::span<T> scratch_array(std::size_t n) {
    std::byte* const place = scratch(n * sizeof(T));
    return {reinterpret_cast<T*>(place), place == nullptr ? 0 : n};
  }
  // While it lives, what is added is a part of the collective, among some of the members: rank(),
  // size() and the ranks of steps are places in their list, and steps without predecessors wait for
  // `after`. So an algorithm for all members serves for some. Not nested.
  class Part {
   public:
    // own_place: this member's in the list, which must stay until the part is gone.
    Part(Schedule& schedule, std::span<const int> members, int own_place, Step after = kNoStep);
    ~Part();
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;
    // A step after everything that has been added so far.
    Step end();

   private:
    Schedule& schedule_;
    int rank_, size_;  // Of the whole.
    Step first_;
  };

  // A layout that lives as long as the graph.
  const Layout& keep(Layout layout);
  bool out_of_memory() const { return out_of_memory_; }

  // --- running ---
  // May be called again when done, for another run of the same graph.
  void start();
  // Ends it early, as the loss of a member would; failed_rank() is -1.
  void stop();
  bool stopped() const { return stopped_; }
  bool done() const { return done_; }
  // Valid when done: what went wrong first, and with whom.
  Outcome outcome() const { return outcome_; }
  int failed_rank() const { return failed_rank_; }
  // Called once per run right after done() becomes true, inside start() or inside progress. May
  // destroy or reset the schedule, unless messages_in_flight().
  void (*on_done)(Schedule&) = nullptr;
  void* owner = nullptr;
  // Only after a failure: sends that the engine has not let go of. on_drained is called when the
  // last one is gone.
  bool messages_in_flight() const { return in_flight_ != 0; }
  void (*on_drained)(Schedule&) = nullptr;

  // For tests and tools.
  std::size_t steps() const { return nodes_.size(); }
  std::size_t messages() const { return messages_; }
  // Memory held on to for the next graph, and giving it back. Precondition: no messages in flight.
  std::size_t memory_bytes() const;
  void release_memory();

 private:
  enum class Kind : std::uint8_t { kSend, kReceive, kReduce, kCopy, kJoin };
  struct Node {
    Kind kind;
    std::uint8_t sub;
    int peer;
    std::uint32_t message = 0;  // Sends and receives: index into requests_.
    std::uint32_t predecessors = 0;
    std::uint32_t unfinished = 0;  // Predecessors, in this run.
    std::uint32_t first_edge = kNoStep;
    std::uint32_t last_edge = kNoStep;
    Step next_ready = kNoStep;
    DataView from;  // What is sent or copied; reductions: base is the left operand.
    DataView to;    // Where it goes; reductions: base is the right operand and the result.
  };
  struct Edge {
    Step to;
    std::uint32_t next;
  };
  struct StepRequest : tern::Request {
    Schedule* schedule = nullptr;
    Step step = kNoStep;
    bool started = false;  // The channel has it.
  };
  using Memory = std::unique_ptr<std::byte[], void (*)(void*)>;
  struct Chunk {
    Memory memory;
    std::size_t size_bytes;
  };

  Step add(Kind kind, int peer, int sub, After after);
  static void on_request_done(tern::Request& request);
  void run(Step step);
  void run_message(const Node& node, Step step);
  void finish(Step step);
  void drain();
  void fail(Outcome outcome, int rank);
  bool grow_requests();

  // --- hot ---
  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::unique_ptr<StepRequest[]> requests_;
  std::size_t requests_capacity_ = 0;
  std::size_t messages_ = 0;
  Channel* channel_ = nullptr;
  const int* part_ = nullptr;  // Ranks of the part's members; nullptr: everybody.
  Step gate_ = kNoStep;        // What the part waits for.
  int rank_ = 0;
  int size_ = 0;
  const Op* op_ = nullptr;
  const Datatype* type_ = nullptr;
  const HostMap* hosts_ = nullptr;
  Step first_ready_ = kNoStep;
  Step last_ready_ = kNoStep;
  std::size_t unfinished_ = 0;  // Steps.
  std::size_t in_flight_ = 0;   // Messages that the channel has.
  std::size_t receiving_ = 0;   // Of them, receives.
  bool started_ = false;
  bool draining_ = false;  // A caller further up runs what becomes ready.
  bool stopped_ = false;
  bool done_ = false;
  bool out_of_memory_ = false;
  Outcome outcome_ = Outcome::kOk;
  int failed_rank_ = -1;

  // --- scratch: the chunk in use is the last; earlier ones were too small ---
  static constexpr std::size_t kInlineBytes = 1024;
  std::vector<Chunk> chunks_;
  std::size_t used_bytes_ = 0;  // Of the chunk in use.
  std::size_t inline_used_bytes_ = 0;
  std::deque<Layout> layouts_;
  alignas(64) std::byte inline_[kInlineBytes];
};

}  // namespace tern::mpi::coll
