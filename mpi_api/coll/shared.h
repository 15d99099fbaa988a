// mpi_api/coll/shared.h - blocking collectives through memory that all members share.
//
// Members of one host need no messages for what is small: each has a lane in a segment, writes its
// contribution there and raises a flag; the others wait for the flag and read. Every collective has
// a number, which is the flag's value, and a member reports the number of the last collective that
// it has left, so that a lane's memory is used again only after everybody has read it. What does
// not fit a lane goes in pieces or, where members do not know each other's sizes, by messages.
//
// Not for non-blocking and persistent forms: these are schedules (schedule.h). Algorithm::kShared
// in the table of algorithms says when this is used; the segment is made when a communicator has
// shown that it is used for collectives.
// Threading: one collective per communicator at a time, under the entry lock, which is dropped
// while a wait idles. Failure: MPI error classes, sentences kept by fail(). After a member was lost
// every call fails: nobody knows what the others have seen. What others wrote is checked before
// it is used as a size or a place. Who waits long looks whether the others have called the same
// thing: each member leaves a mark of every call (Lane::calls), also of those that go by messages.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/doorbell.h"
#include "core/fabric.h"
#include "mpi_api/coll/algorithms.h"
#include "mpi_api/coll/form.h"
#include "mpi_api/coll/shared_layout.h"
#include "mpi_api/comm.h"

namespace tern::mpi::coll {

class SharedGroup {
 public:
  // All members call this at the same place among the communicator's collectives. nullptr, at all
  // members, when one of them cannot take part.
  static std::unique_ptr<SharedGroup> make(Comm& comm);

  // The communicator is broken: whoever waits need not any longer.
  void give_up() { lost_ = true; }

  enum class Way : std::uint8_t { kShared, kMessages, kRequest };
  // What a call must have in common at all members.
  struct Call {
    Collective which;
    Way way;
    int root;           // -1: none.
    std::size_t bytes;  // As far as all members know it alike; else 0.
  };
  // Every call on the communicator begins with this.
  void enter(const Call& call) {
    lanes_[rank_].calls[++calls_ % kCalls].store(mark_of(call), std::memory_order_relaxed);
  }
  // For waits that take long: breaks the communicator when a member's call differs from this one's.
  void look_for_quarrel(std::uint64_t waiting_since_ms);

  // Arguments as in algorithms.h, alltoall not in place; results are MPI error classes.
  int barrier();
  int bcast(const DataView& data, int root);
  int gather(const DataView* own, const Blocks& all, int root);
  int scatter(const Blocks& all, const DataView* own, int root);
  int allgather(const DataView* own, const Blocks& all);
  int alltoall(const Blocks& from, const Blocks& to);

  // Elements have no gaps and are not longer than kChunkBytes.
  struct Reduction {
    const Op& op;
    const Datatype& type;
    Operands data;
  };
  int reduce(const Reduction& r, int root);
  int allreduce(const Reduction& r);
  // data.count: of all blocks, kBigBytes at most.
  int reduce_scatter(const Reduction& r, std::span<const std::size_t> starts);
  int scan(const Reduction& r, bool exclusive);

 private:
  static constexpr int kAll = -1;

  // A contribution while it is being written.
  struct Outgoing {
    Head* head;
    std::byte* data;
    std::atomic<std::uint64_t>* ready;  // Of large ones, which are read as they grow.
    std::uint64_t number;
    std::size_t bytes;
    int reader;
  };
  // Somebody else's contribution.
  struct Incoming {
    std::byte* data;
    const std::atomic<std::uint64_t>* ready;
    std::uint64_t number;
    std::size_t bytes;
    std::size_t here;  // So many of them can be read.
    std::uint32_t flags;
  };
  // Which collective used a part of the lane last, and who reads it.
  struct Use {
    std::uint64_t number = 0;
    int reader = kAll;
  };

  explicit SharedGroup(Comm& comm);
  bool bind(std::unique_ptr<SharedMemory> memory);
  int other(int distance) const { return (rank_ + distance) % size_; }

  // --- waiting (shared.cc); false: a member was lost ---
  bool await(const std::atomic<std::uint64_t>& word, std::uint64_t value) {
    return word.load(std::memory_order_acquire) >= value || await_slowly(word, value);
  }
  bool await_slowly(const std::atomic<std::uint64_t>& word, std::uint64_t value);
  bool was_read(const Use& use);
  bool has_left(int rank, std::uint64_t number);
  void look_for_lost();
  // The number of the call in the highest 24 bits, and what it must have in common.
  static constexpr unsigned kMarkNumber = 40;
  static constexpr unsigned kMarkWhich = 34;
  static constexpr unsigned kMarkWay = 32;
  static constexpr unsigned kMarkRoot = 27;
  static constexpr std::uint64_t kMarkBytes = (std::uint64_t{1} << kMarkRoot) - 1;
  std::uint64_t mark_of(const Call& call) const {
    return calls_ << kMarkNumber | static_cast<std::uint64_t>(call.which) << kMarkWhich |
           static_cast<std::uint64_t>(call.way) << kMarkWay |
           static_cast<std::uint64_t>(call.root + 1) << kMarkRoot | (call.bytes & kMarkBytes);
  }
  static std::string describe(std::uint64_t mark);
  static bool reduces(std::uint64_t mark) {
    return (mark >> kMarkWhich & 0x3f) >= static_cast<std::uint64_t>(Collective::kReduce);
  }
  void ring(int reader);

  // --- a collective and its contributions (shared.cc) ---
  // Every member draws the next number, and says when it needs nothing more of that collective.
  std::uint64_t begin() { return ++number_; }
  void end(std::uint64_t number);
  // The end of a call: the error class of what happened, and `error` when nothing did.
  int result(int error = MPI_SUCCESS);

  bool open(Outgoing& out, std::uint64_t number, std::size_t bytes, int reader,
            std::uint32_t flags = 0);
  // The first `bytes` are written. Must be called for all of them, and may be called before.
  void filled(Outgoing& out, std::size_t bytes);
  // Writes bytes of `data` from `from` on to `position`, and says so chunk by chunk.
  void append(Outgoing& out, std::size_t position, const DataView& data, std::size_t from,
              std::size_t bytes);
  bool write(std::uint64_t number, const DataView& data, int reader);

  bool open(Incoming& in, std::uint64_t number, int rank);
  // Waits until the first `end` bytes can be read. Precondition: end <= in.bytes.
  bool reach(Incoming& in, std::size_t end) { return end <= in.here || reach_slowly(in, end); }
  bool reach_slowly(Incoming& in, std::size_t end);
  // After the last look at these bytes: makes writing them again cheap.
  static void take_over(const Incoming& in, std::size_t position, std::size_t bytes);
  // Copies `bytes` bytes from `position` on to byte `at` of `to`.
  bool read(Incoming& in, std::size_t position, std::size_t bytes, const DataView& to,
            std::size_t at);
  // Copies all of it to byte `at` of `to`; notes when that is more than there is room for.
  bool read_piece(Incoming& in, int rank, const DataView& to, std::size_t at);

  // --- data (shared_data.cc) ---
  bool arrive(std::uint64_t number, int reader);
  bool have_arrived(std::uint64_t number);
  bool deal(std::uint64_t number, const Blocks& from, std::size_t done, std::size_t piece,
            std::uint32_t flags);
  bool take_dealt(Incoming& in, int rank, const DataView& to, std::size_t done);
  template <class Build>
  int by_messages(bool needed, Build build);

  // --- reductions (shared_reduce.cc) ---
  struct Fold;
  bool open(Fold& fold, std::uint64_t number, int rank, std::size_t bytes);
  bool open_all(Fold& fold, std::uint64_t number, int first, int last, std::size_t bytes);
  bool fold(Fold& fold, const std::byte* own, std::byte* result, std::size_t begin,
            std::size_t count);
  bool reduce_piece(const Reduction& r, int root);
  bool allreduce_whole(const Reduction& r);
  bool allreduce_blocks(const Reduction& r);
  bool send_blocks(std::uint64_t number, const Reduction& r, std::span<const std::size_t> starts);
  bool fold_block(std::uint64_t number, const Reduction& r, std::span<const std::size_t> starts,
                  std::byte* result, Outgoing* copy);
  bool scan_whole(const Reduction& r, bool exclusive);
  bool scan_chain(const Reduction& r, bool exclusive);
  // Calls piece(reduction) for pieces that fit a lane.
  template <class Piece>
  int in_pieces(const Reduction& r, Piece piece);

  // --- hot ---
  Lane* lanes_ = nullptr;
  int rank_;
  int size_;
  bool crowded_ = false;  // Some members share cores; all members think the same of it.
  std::uint64_t number_ = 0;
  std::uint64_t calls_ = 0;
  std::size_t failures_;    // Of the engine, when the bells were last looked at.
  bool lost_ = false;       // A member is gone: nothing works any more.
  int lost_rank_ = -1;      // Which one, as far as this process has seen it.
  int too_long_rank_ = -1;  // Whose contribution was too long, in this collective.
  std::size_t next_small_ = 0;
  std::size_t next_big_for_one_ = 0;
  std::size_t next_big_for_all_ = 0;
  std::array<DoorbellWord*, kSharedMembersMax> bells_{};
  std::array<std::uint64_t, kSharedMembersMax> left_{};  // As last seen.
  std::array<Use, kHeads> heads_used_;
  std::array<Use, kSmalls> smalls_used_;
  std::array<Use, kBigs> bigs_used_;

  Comm& comm_;
  std::unique_ptr<SharedMemory> memory_;
};

// So many blocking collectives a communicator goes without: for few the memory does not pay.
inline constexpr int kCollectivesBeforeShared = 2;

// Counts a blocking collective, and makes the memory when it is time to.
[[gnu::cold]] SharedGroup* prepare_shared(Comm& comm, Collective which);

// What the collective that begins now uses; nullptr: messages, as the table of algorithms says or
// because there is no such memory. All members call this for every collective, whatever its size.
// `fit`: shared memory can do this call, as all members know it.
struct SharedUse {
  int root = -1;
  bool commutative = true;
  bool fit = true;
};
inline SharedGroup* shared_for(Collective which, Comm& comm, const Form& form, std::size_t bytes,
                               const SharedUse& use = {}) {
  // One that goes no further leaves no mark: to those who do not know yet it would look like
  // another call.
  if (comm.broken != nullptr) [[unlikely]]
    return nullptr;
  SharedGroup* group = comm.shared.get();
  if (form.request != nullptr) {
    if (group != nullptr) group->enter({which, SharedGroup::Way::kRequest, use.root, 0});
    return nullptr;
  }
  if (group == nullptr && comm.collectives_until_shared != 0) group = prepare_shared(comm, which);
  if (group == nullptr) return nullptr;
  const bool shared = use.fit && select(which, comm.size(), bytes, use.commutative,
                                        Means::kShared) == Algorithm::kShared;
  // Data that are too long or too short are an error of their own; an input to combine must fit.
  const auto way = shared ? SharedGroup::Way::kShared : SharedGroup::Way::kMessages;
  group->enter({which, way, use.root, which >= Collective::kReduce ? bytes : 0});
  return shared ? group : nullptr;
}

// How many waits for flags are over, of all threads: so that nobody falls asleep on a flag that has
// been raised. For progress.
int flags_raised();

}  // namespace tern::mpi::coll
