// mpi_api/coll/shared.cc - making the shared memory, waiting for flags, writing and reading
// contributions; see shared.h.
#include "mpi_api/coll/shared.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/clock.h"
#include "core/small_copy.h"
#include "mpi_api/coll/comm_hosts.h"
#include "mpi_api/coll/execution.h"
#include "mpi_api/entry.h"
#include "mpi_api/runtime.h"

namespace tern::mpi::coll {
namespace {

// Looking at the flag alone, before everything else that may have arrived is looked after as well.
constexpr int kLooks = 256;
// So many collectives that waited for nobody may go by before the same is done.
constexpr std::uint64_t kProgressEvery = 16;
// Waiting so long is a reason to see whether all members have called the same thing.
constexpr std::uint64_t kPatienceMs = 100;

struct FlagWait {
  const std::atomic<std::uint64_t>* word;
  std::uint64_t value;
  FlagWait* next = nullptr;
  // Counted once only: a thread that gets events goes on polling, and its owner needs the lock.
  bool counted = false;
  bool over() const { return word->load(std::memory_order_acquire) >= value; }
};
FlagWait* flag_waits = nullptr;

std::unique_ptr<SharedMemory> share(std::size_t size, std::uint64_t& key) {
  for (const auto& fabric : engine().fabrics()) {
    if (auto memory = fabric->share(size, key)) return memory;
  }
  return nullptr;
}

std::unique_ptr<SharedMemory> join(std::uint64_t key, std::size_t size) {
  for (const auto& fabric : engine().fabrics()) {
    if (auto memory = fabric->join(key, size)) return memory;
  }
  return nullptr;
}

// What each member tells the others while the memory is made.
struct Vote {
  std::uint64_t key;
  std::uint64_t yes;
};
using Votes = std::array<Vote, kSharedMembersMax>;

// Straight from everybody to everybody, so that afterwards there is a link between any two.
bool exchange(Comm& comm, const Vote& mine, Votes& all) {
  return launch(comm, {}, {}, [&](Schedule& s) {
           const DataView own = DataView::bytes_at(&mine, sizeof mine);
           allgather(s, Algorithm::kFlat, &own,
                     Blocks(all.data(), sizeof mine, *to_datatype(MPI_BYTE)));
         }) == MPI_SUCCESS;
}

bool unanimous(const Votes& votes, int size) {
  return std::all_of(votes.begin(), votes.begin() + size,
                     [](const Vote& vote) { return vote.yes != 0; });
}

void get_for_writing(const std::byte* memory, std::size_t size) {
  for (std::size_t line = 0; line < size; line += 64) {
    asm volatile("prefetchw %0" : : "m"(memory[line]));
  }
}

}  // namespace

// --- making ---

SharedGroup* prepare_shared(Comm& comm, Collective which) {
  --comm.collectives_until_shared;
  // Reductions from the first one on: messages would fold in another order, and the same call on
  // the same data shall give the same bits every time (MPI-5.0 section 6.9.1).
  if (which >= Collective::kReduce) comm.collectives_until_shared = 0;
  if (comm.collectives_until_shared > 0) return nullptr;
  if (!comm.hosts_known && find_hosts(comm, true) != MPI_SUCCESS) return nullptr;
  if (comm.hosts != nullptr) return nullptr;  // No memory is shared by all hosts.
  // Members that another job may take away are not relied upon.
  if (is_of_one_job(comm)) comm.shared.reset(SharedGroup::make(comm).release());
  return comm.shared.get();
}

std::unique_ptr<SharedGroup> SharedGroup::make(Comm& comm) {
  const std::size_t size = arena_bytes(comm.size());
  std::unique_ptr<SharedMemory> memory;
  Vote vote{0, 1};
  Votes votes{};
  if (comm.rank() == 0) {
    memory = share(size, vote.key);
    vote.yes = memory != nullptr ? 1 : 0;
    if (memory != nullptr) {
      const bool crowded = engine().wait_state().policy.spin_us == 0;
      new (memory->base()) ArenaHead{kArenaMagic, comm.context(), crowded ? 1U : 0U};
    }
  }
  if (!exchange(comm, vote, votes) || !unanimous(votes, comm.size())) return nullptr;
  if (comm.rank() != 0) memory = join(votes[0].key, size);
  std::unique_ptr<SharedGroup> group(new SharedGroup(comm));
  vote.yes = memory != nullptr && group->bind(std::move(memory)) ? 1 : 0;
  if (!exchange(comm, vote, votes) || !unanimous(votes, comm.size())) return nullptr;
  group->memory_->close();
  return group;
}

SharedGroup::SharedGroup(Comm& comm)
    : rank_(comm.rank()), size_(comm.size()), failures_(engine().failures()), comm_(comm) {}

bool SharedGroup::bind(std::unique_ptr<SharedMemory> memory) {
  memory_ = std::move(memory);
  ArenaHead head{};
  std::memcpy(&head, memory_->base(), sizeof head);
  crowded_ = head.crowded != 0;
  lanes_ = reinterpret_cast<Lane*>(memory_->base() + kLanesOffset);
  for (int i = 0; i < size_; ++i) {
    Peer& peer = comm_.peer(i);
    if (i == rank_ || peer.link == nullptr) continue;
    bells_[static_cast<std::size_t>(i)] = peer.fabric->bell_of(*peer.link);
  }
  const auto bells = std::count(bells_.begin(), bells_.end(), nullptr);
  return head.magic == kArenaMagic && head.context == comm_.context() &&
         bells == kSharedMembersMax - size_ + 1;
}

// --- waiting ---

int flags_raised() {
  int raised = 0;
  for (FlagWait* wait = flag_waits; wait != nullptr; wait = wait->next) {
    if (wait->counted || !wait->over()) continue;
    wait->counted = true;
    ++raised;
  }
  return raised;
}

bool SharedGroup::await_slowly(const std::atomic<std::uint64_t>& word, std::uint64_t value) {
  FlagWait wait{&word, value};
  // Where ranks share cores, or threads this process, looking longer keeps others from working.
  if (engine().wait_state().policy.spin_us != 0 && !entry_state.threaded) {
    for (int i = 0; i < kLooks; ++i) {
      if (wait.over()) return true;
      if (i > kLooks / 8) _mm_pause();
    }
  }
  wait.next = std::exchange(flag_waits, &wait);
  const std::uint64_t since_ms = coarse_ms();
  engine().wait_until([&] {
    look_for_lost();
    if (wait.over() || lost_) return true;
    look_for_quarrel(since_ms);
    return lost_;
  });
  FlagWait** place = &flag_waits;
  while (*place != &wait) place = &(*place)->next;
  *place = wait.next;
  return !lost_;
}

void SharedGroup::look_for_lost() {
  if (engine().failures() == failures_) [[likely]]
    return;
  failures_ = engine().failures();
  for (int i = 0; i < size_; ++i) {
    if (i == rank_ || comm_.peer(i).state != Peer::State::kFailed) continue;
    bells_[static_cast<std::size_t>(i)] = nullptr;  // It went with the link.
    lost_rank_ = i;
    lost_ = true;
  }
}

// A program that is right never gets here with a difference: all members make the same calls.
void SharedGroup::look_for_quarrel(std::uint64_t waiting_since_ms) {
  if (coarse_ms() - waiting_since_ms < kPatienceMs) return;
  const std::uint64_t own = lanes_[rank_].calls[calls_ % kCalls].load(std::memory_order_relaxed);
  for (int i = 0; i < size_; ++i) {
    const std::uint64_t theirs = lanes_[i].calls[calls_ % kCalls].load(std::memory_order_relaxed);
    if (theirs == own || theirs >> kMarkNumber != own >> kMarkNumber) continue;
    fail(MPI_ERR_NOT_SAME,
         "the members of the communicator have not called the same: rank {} {}, rank {} {}; all "
         "must make the same calls in the same order, with the same root and matching counts",
         comm_.told_rank(rank_), describe(own), comm_.told_rank(i), describe(theirs));
    break_down(comm_, MPI_ERR_NOT_SAME);
    return;
  }
}

std::string SharedGroup::describe(std::uint64_t mark) {
  const auto bits = [mark](unsigned first, unsigned end) {
    return mark >> first & ((std::uint64_t{1} << (end - first)) - 1);
  };
  const std::uint64_t which = bits(kMarkWhich, kMarkNumber);
  std::string text = "calls ";
  text += which < kCollectives ? selections()[which].name : "nothing known";
  if (const std::uint64_t root = bits(kMarkRoot, kMarkWay); root != 0) {
    text += " with root " + std::to_string(root - 1);
  }
  if (which < kCollectives && reduces(mark)) {
    text += " of " + std::to_string(mark & kMarkBytes) + " bytes";
  } else if (bits(kMarkWay, kMarkWhich) == static_cast<std::uint64_t>(Way::kMessages)) {
    text += " with a large count";
  }
  if (bits(kMarkWay, kMarkWhich) == static_cast<std::uint64_t>(Way::kRequest)) {
    text += " without blocking";
  }
  return text;
}

void SharedGroup::ring(int reader) {
  look_for_lost();
  const std::size_t first = reader == kAll ? 0 : static_cast<std::size_t>(reader);
  const std::size_t last = reader == kAll ? static_cast<std::size_t>(size_) : first + 1;
  for (std::size_t i = first; i < last; ++i) {
    if (bells_[i] != nullptr) Doorbell::ring_if_armed(*bells_[i]);
  }
}

bool SharedGroup::has_left(int rank, std::uint64_t number) {
  std::uint64_t& left = left_[static_cast<std::size_t>(rank)];
  if (left >= number || rank == rank_) return true;
  const std::atomic<std::uint64_t>& word = lanes_[rank].left.value;
  if (!await(word, number)) return false;
  left = word.load(std::memory_order_relaxed);
  return true;
}

bool SharedGroup::was_read(const Use& use) {
  if (use.reader != kAll) return has_left(use.reader, use.number);
  for (int i = 0; i < size_; ++i) {
    if (!has_left(i, use.number)) return false;
  }
  return true;
}

// --- contributions ---

void SharedGroup::end(std::uint64_t number) {
  lanes_[rank_].left.value.store(number, std::memory_order_release);
  ring(kAll);
  if (number % kProgressEvery == 0) engine().progress();
}

int SharedGroup::result(int error) {
  if (lost_) [[unlikely]] {
    error = lost_member(comm_, comm_, lost_rank_);
    tell_of_breakdowns();
    return error;
  }
  const int too_long = std::exchange(too_long_rank_, -1);
  if (too_long < 0) return error;
  error = sent_too_much(comm_, too_long);
  // Inputs that do not fit together go in different numbers of pieces: nothing fits any more.
  if (reduces(lanes_[rank_].calls[calls_ % kCalls].load(std::memory_order_relaxed))) {
    break_down(comm_, error);
    tell_of_breakdowns();
  }
  return error;
}

bool SharedGroup::open(Outgoing& out, std::uint64_t number, std::size_t bytes, int reader,
                       std::uint32_t flags) {
  if (lost_) [[unlikely]]
    return false;
  Lane& lane = lanes_[rank_];
  if (size_ == 2 || reader != kAll) flags |= kForOne;
  Use& head_use = heads_used_[number % kHeads];
  if (!was_read(head_use)) return false;
  head_use = {number, reader};
  Head& head = lane.heads[number % kHeads];
  out = {&head, head.data, nullptr, number, bytes, reader};
  std::size_t place = 0;
  if (bytes > kHeadBytes) {
    const bool small = bytes <= kSmallBytes;
    const std::size_t slot = small ? next_small_++ % kSmalls
                             : (flags & kForOne) != 0
                                 ? next_big_for_one_++ % kBigsForOne
                                 : kBigsForOne + next_big_for_all_++ % (kBigs - kBigsForOne);
    Use& use = small ? smalls_used_[slot] : bigs_used_[slot];
    if (!was_read(use)) return false;
    use = {number, reader};
    out.data = small ? lane.small[slot] : lane.big[slot];
    out.ready = small ? nullptr : &lane.ready[slot].value;
    place = 1 + slot + (small ? 0 : kSmalls);
  }
  head.bytes = static_cast<std::uint32_t>(bytes);
  head.place = static_cast<std::uint16_t>(place);
  head.flags = static_cast<std::uint16_t>(flags);
  if (out.ready != nullptr) head.number.store(number, std::memory_order_release);
  return true;
}

void SharedGroup::filled(Outgoing& out, std::size_t bytes) {
  if (out.ready != nullptr) {
    out.ready->store(ready_value(out.number, bytes), std::memory_order_release);
  } else if (bytes == out.bytes) {
    out.head->number.store(out.number, std::memory_order_release);
  } else {
    return;
  }
  ring(out.reader);
  if (bytes != out.bytes) return;
  // The others have these lines, from when they read them: have them back before they are written.
  const Lane& lane = lanes_[rank_];
  get_for_writing(lane.heads[(out.number + 1) % kHeads].data, 1);
  if (bytes > kHeadBytes && out.ready == nullptr) {
    get_for_writing(lane.small[next_small_ % kSmalls], std::min<std::size_t>(bytes, 2048));
  }
}

void SharedGroup::append(Outgoing& out, std::size_t position, const DataView& data,
                         std::size_t from, std::size_t bytes) {
  const std::byte* const run = data.run();
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t size = out.ready == nullptr ? bytes : std::min(kChunkBytes, bytes - done);
    std::byte* const place = out.data + position + done;
    if (run != nullptr) {
      small_copy(place, run + from + done, size);
    } else {
      pack(data, from + done, {place, size});
    }
    done += size;
    if (out.ready != nullptr) filled(out, position + done);
  }
}

bool SharedGroup::write(std::uint64_t number, const DataView& data, int reader) {
  Outgoing out;
  const std::size_t bytes = data.bytes();
  if (!open(out, number, bytes, reader)) return false;
  append(out, 0, data, 0, bytes);
  if (out.ready == nullptr) filled(out, bytes);
  return true;
}

bool SharedGroup::open(Incoming& in, std::uint64_t number, int rank) {
  Lane& lane = lanes_[rank];
  Head& head = lane.heads[number % kHeads];
  if (!await(head.number, number)) return false;
  const std::size_t place = head.place;
  in = {head.data, nullptr, number, head.bytes, head.bytes, head.flags};
  std::size_t room = kHeadBytes;
  if (place > kSmalls && place <= kSmalls + kBigs) {
    in.data = lane.big[place - 1 - kSmalls];
    in.ready = &lane.ready[place - 1 - kSmalls].value;
    in.here = 0;
    room = kBigBytes;
  } else if (place != 0 && place <= kSmalls) {
    in.data = lane.small[place - 1];
    room = kSmallBytes;
  }
  // More than there is room for was not written by a sound member.
  in.bytes = std::min(in.bytes, room);
  in.here = std::min(in.here, room);
  return true;
}

bool SharedGroup::reach_slowly(Incoming& in, std::size_t end) {
  if (!await(*in.ready, ready_value(in.number, end))) return false;
  const std::uint64_t value = in.ready->load(std::memory_order_relaxed);
  const bool still = value >> kReadyBits == in.number;
  in.here = still ? std::min<std::size_t>(value & ((1U << kReadyBits) - 1), in.bytes) : end;
  return true;
}

bool SharedGroup::read(Incoming& in, std::size_t position, std::size_t bytes, const DataView& to,
                       std::size_t at) {
  std::byte* const run = to.run();
  for (std::size_t done = 0; done < bytes;) {
    if (!reach(in, position + std::min(bytes, done + kChunkBytes))) return false;
    const std::size_t size = std::min(bytes, in.here - position) - done;
    if (run != nullptr) {
      small_copy(run + at + done, in.data + position + done, size);
    } else {
      unpack(to, at + done, {in.data + position + done, size});
    }
    take_over(in, position + done, size);
    done += size;
  }
  return true;
}

// A store makes the line this core's own; from there it returns to the writer at once, while a line
// that two cores share is first to be taken from the other one.
void SharedGroup::take_over(const Incoming& in, std::size_t position, std::size_t bytes) {
  if (in.ready == nullptr || (in.flags & kForOne) == 0) return;
  // Lines that lie inside: those at the ends may hold what others read.
  const std::size_t end = (position + bytes) / 64 * 64;
  for (std::size_t line = (position + 63) / 64 * 64; line < end; line += 64) {
    *const_cast<volatile std::byte*>(in.data + line) = std::byte{0};
  }
}

bool SharedGroup::read_piece(Incoming& in, int rank, const DataView& to, std::size_t at) {
  const std::size_t total = to.bytes();
  const std::size_t room = total - std::min(at, total);
  if (in.bytes > room) too_long_rank_ = rank;
  return read(in, 0, std::min(in.bytes, room), to, at);
}

}  // namespace tern::mpi::coll
