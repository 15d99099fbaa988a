// mpi_api/lanes.h - lanes: how several threads send and receive at the same time.
//
// With MPI_THREAD_MULTIPLE one lock is around the library. A lane is a second engine beside that
// lock: with a lock, queues and rings in shared memory of its own. The point-to-point messages of a
// communicator whose members all have lanes and share a host are matched in the lane that its
// context names, so all members agree without a word; collectives stay with the first engine. The
// most frequent calls (lanes::send and so on) take the lock of the lane only. Everything else takes
// the entry lock first and then that of the lane (P2pGuard), and works as without lanes.
//
// Progress: whoever makes progress in the first engine looks at the lanes, too, and who waits in a
// lane looks at the rest now and then. Waiting for long is always done in the first engine, which
// knows how to sleep.
//
// What completes in a lane may happen under the lock of the lane alone. Where its end touches more,
// the end is put off until somebody has the entry lock as well (Lane::later).
// Threading: as said per function. Failure: the functions of namespace lanes give false, and
// nothing has happened.
#pragma once
#include <immintrin.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/engine.h"
#include "mpi_api/comm.h"
#include "mpi_api/datatype.h"
#include "mpi_api/owned_lock.h"
#include "mpi_api/request.h"

namespace tern::mpi {

class FabricSet;
class LaneRequest;

class Lane final : private CardSource {
 public:
  Lane(const Engine& first, const EngineOptions& options, std::unique_ptr<Fabric> fabric);
  ~Lane();

  OwnedLock& lock() { return lock_; }
  // The rest with the lock.
  Engine& engine() { return engine_; }

  // Polls until condition() holds; false as soon as it pays no more. Drops the lock in between.
  template <class Condition>
  bool poll_until(Condition condition) {
    Waiter waiter(engine_.wait_state());
    for (unsigned idle_turns = 0; !condition();) {
      if (engine_.progress() > 0) {
        waiter.reset();
        if (lock_.wanted()) stand_back();
        continue;
      }
      if (condition()) return true;
      if (waiter.next() != Waiter::Step::kSpin) return false;
      rest(++idle_turns);
    }
    return true;
  }
  // One turn for calls that test without waiting.
  void poll_once();

  // A receive that can be started; nullptr: none is left (refill()).
  LaneRequest* take_up();
  void set_aside(LaneRequest& request);
  // An operation that counts for its communicator has begun or ended.
  void begin_use(Comm& comm);
  void end_use(Comm& comm);
  // end(op) needs more than the lock of the lane: the next settle() calls it.
  void later(tern::Request& op, void (*end)(tern::Request&)) { endings_.push_back({&op, end}); }

  // --- With the entry lock, too ---

  // Does what was put off; returns how much that was.
  int settle();
  // Makes requests for take_up(); false: no memory.
  bool refill();
  // The last reference is gone. False: an operation is in flight, whose end destroys it.
  bool may_destroy(Comm& comm);

 private:
  // --- CardSource ---
  void request_card(const ProcessId& id) override { cards_wanted_.push_back(id); }
  int poll() override { return 0; }
  int pending_fd() const override { return -1; }

  void rest(unsigned idle_turns);
  void stand_back();

  struct Ending {
    tern::Request* op;
    void (*end)(tern::Request&);
  };

  OwnedLock lock_;
  Engine engine_;
  unsigned polls_ = 0;
  LaneRequest* first_set_aside_ = nullptr;
  std::vector<LaneRequest*> requests_;  // All of them.
  std::vector<Ending> endings_;
  std::vector<Comm*> doomed_;  // Without references and operations.
  std::vector<ProcessId> cards_wanted_;
  std::size_t failures_seen_ = 0;
};

// All lanes of this process. With the entry lock.
class Lanes {
 public:
  // Precondition: the fabric set has shared memory, which the engine prefers.
  Lanes(FabricSet& fabrics, Engine& first, const EngineOptions& options, unsigned count);

  // The same for all processes that can use lanes with one another; never 0.
  std::uint64_t token() const { return token_; }
  // The lane of a communicator.
  Lane& of_context(std::uint64_t context);

  // Progress of all lanes that are free, now and then; returns how many events were handled.
  int turn();
  // The answer to a lane's request for a card.
  void on_card(const ProcessId& id, std::string_view text, std::string_view why);
  bool drained();
  // Calls visit(lane) with the lane's lock.
  template <class Visit>
  void for_each(Visit visit) {
    for (const auto& lane : lanes_) {
      if (lane == nullptr) continue;
      lane->lock().lock();
      visit(*lane);
      lane->lock().unlock();
    }
  }

 private:
  int turn_of(Lane& lane);

  FabricSet& fabrics_;
  Engine& first_;
  EngineOptions options_;
  std::uint64_t token_;
  std::vector<std::unique_ptr<Lane>> lanes_;  // nullptr: not needed so far.
  unsigned turns_left_out_ = 0;
};

// A receive of a predefined datatype, made once and used again and again.
class LaneRequest final : public Request {
 public:
  explicit LaneRequest(Lane& home);

  void receive(const DataView& data, int source, int tag, Comm& from);
  int result(MPI_Status& status) override;
  void cancel() override;
  void end() override;

 private:
  friend class Lane;
  LaneRequest* next_set_aside_ = nullptr;
};

// What each member of a new communicator tells the others when they ask: its lanes' token, or 0.
std::uint64_t lanes_offer();
// The result, from the offers of all members.
class LaneVote {
 public:
  void count(std::uint64_t offer) {
    const std::uint64_t first = offers_++ == 0 ? offer : first_;
    same_ = same_ && offer == first && offer != 0;
    first_ = first;
  }
  Comm::Lanes result() const { return same_ ? Comm::Lanes::kAll : Comm::Lanes::kNone; }

 private:
  int offers_ = 0;
  std::uint64_t first_ = 0;
  bool same_ = true;
};
// Whether all members are of this process's job; the same at all of them.
bool is_of_own_job(const Group& group);
// Gives a new intracommunicator its lane where `members` says that all members have lanes. Not to
// one that names processes of other jobs, which the first engine must be able to let go of.
void assign_lane(Comm& comm, Comm::Lanes members);

// The parallel ways of calls, which need no entry lock. Preconditions: MPI_THREAD_MULTIPLE; nothing
// else, for arguments that are not quite simple are left to the long way.
namespace lanes {

bool send(const void* buf, MPI_Count count, MPI_Datatype datatype, int dest, int tag,
          MPI_Comm comm);
// True: *request is that of a send that is complete.
bool isend(const void* buf, MPI_Count count, MPI_Datatype datatype, int dest, int tag,
           MPI_Comm comm, MPI_Request* request);
bool irecv(void* buf, MPI_Count count, MPI_Datatype datatype, int source, int tag, MPI_Comm comm,
           MPI_Request* request);
// True: received, or failed with *error, which has been raised in the name of `function`.
bool recv(const char* function, void* buf, MPI_Count count, MPI_Datatype datatype, int source,
          int tag, MPI_Comm comm, MPI_Status* status, int* error);
// True: all have been completed well.
bool wait(MPI_Request* request, MPI_Status* status);
bool waitall(MPI_Count count, MPI_Request requests[], MPI_Status statuses[]);
// True: *flag says whether all have been completed well.
bool test(MPI_Request* request, int* flag, MPI_Status* status);
bool testall(MPI_Count count, MPI_Request requests[], int* flag, MPI_Status statuses[]);

}  // namespace lanes

}  // namespace tern::mpi
