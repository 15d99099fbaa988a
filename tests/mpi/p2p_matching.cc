// tests/mpi/p2p_matching.cc - which receive gets which message.
//
// The non-overtaking rule under random schedules with wildcards, thousands of posted and of
// unexpected messages, MPI_PROC_NULL, truncation, and that a synchronous send really waits. Every
// rank recomputes from the seed what every other rank sends.
#include <memory>

#include "buffer.h"

namespace {

using check::Buffer;
using check::Random;

MPI_Comm world() { return MPI_COMM_WORLD; }

// What one rank sends to another in one round: a list of (tag, size), in sending order.
struct Message {
  int tag;
  int size;
};
constexpr int kTags = 4;

std::vector<Message> plan(int round, int from, int to, int count) {
  Random random(10, round, from, to);
  std::vector<Message> messages(random.between(count / 2, count));
  for (Message& message : messages) {
    message.tag = random.below(kTags);
    // At least room for the sequence number.
    message.size = 4 + (random.chance(90) ? random.below(200) : random.between(3000, 80000));
  }
  return messages;
}

// Message bytes: its index in the plan, then a pattern that depends on where it belongs.
std::uint64_t key_of(int round, int from, int to, int index) {
  return Random(11, round, from, to, index).next();
}
std::vector<unsigned char> compose(int round, int from, int to, int index, int size) {
  std::vector<unsigned char> bytes(size);
  std::memcpy(bytes.data(), &index, 4);
  check::fill(bytes.data() + 4, size - 4, key_of(round, from, to, index));
  return bytes;
}

// Starts all sends of this rank, interleaving the destinations at random.
struct Outbox {
  std::vector<std::vector<unsigned char>> data;
  std::vector<MPI_Request> requests;

  Outbox(int round, int count) {
    Random random(12, round, check::rank);
    std::vector<std::vector<Message>> plans;
    std::vector<std::size_t> next(check::size, 0);
    std::vector<int> destinations;
    for (int to = 0; to < check::size; ++to) {
      plans.push_back(plan(round, check::rank, to, count));
      destinations.insert(destinations.end(), plans[to].size(), to);
    }
    random.shuffle(destinations);
    for (int to : destinations) {
      int index = static_cast<int>(next[to]++);
      const Message& message = plans[to][index];
      data.push_back(compose(round, check::rank, to, index, message.size));
      requests.emplace_back();
      auto send = random.chance(20) ? MPI_Issend : MPI_Isend;
      EXPECT_OK(send(data.back().data(), message.size, MPI_BYTE, to, message.tag, world(),
                     &requests.back()));
    }
  }
  void finish() {
    EXPECT_OK(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE));
  }
};

// What is still to come, per source, in sending order. Indices into the plan.
struct Expected {
  int round;
  std::vector<std::vector<Message>> plans;
  std::vector<std::vector<int>> left;

  Expected(int round_number, int count) : round(round_number) {
    for (int from = 0; from < check::size; ++from) {
      plans.push_back(plan(round, from, check::rank, count));
      left.emplace_back();
      for (std::size_t i = 0; i < plans[from].size(); ++i)
        left[from].push_back(static_cast<int>(i));
    }
  }
  int total() const {
    std::size_t sum = 0;
    for (const auto& list : left) sum += list.size();
    return static_cast<int>(sum);
  }
  // Position in left[from] of the first message with that tag (or any), or -1.
  int find(int from, int tag) const {
    for (std::size_t k = 0; k < left[from].size(); ++k) {
      if (tag == MPI_ANY_TAG || plans[from][left[from][k]].tag == tag) return static_cast<int>(k);
    }
    return -1;
  }
  bool any(int from, int tag) const {
    if (from != MPI_ANY_SOURCE) return find(from, tag) >= 0;
    for (int source = 0; source < check::size; ++source) {
      if (find(source, tag) >= 0) return true;
    }
    return false;
  }
  // Takes the message a receive(tag) from this source must have got and compares.
  bool take(int from, int tag, const unsigned char* bytes, const MPI_Status& status) {
    int position = find(from, tag);
    if (!EXPECT_MSG(position >= 0, "unexpected message from %d tag %d", from, tag)) return false;
    int index = left[from][position];
    left[from].erase(left[from].begin() + position);
    int count = -1, got = -1;
    MPI_Get_count(&status, MPI_BYTE, &count);
    std::memcpy(&got, bytes, 4);
    if (!EXPECT_MSG(got == index, "round %d: from %d, receive tag %d got message %d, expected %d",
                    round, from, tag, got, index)) {
      return false;
    }
    EXPECT_EQ(status.MPI_TAG, plans[from][index].tag);
    EXPECT_EQ(count, plans[from][index].size);
    long bad =
        check::first_difference(bytes + 4, count - 4, key_of(round, from, check::rank, index));
    return EXPECT_MSG(bad < 0, "message %d from %d is corrupt at byte %ld", index, from, bad);
  }
};

constexpr int kRoom = 80004;

// Blocking receives with every combination of wildcards: the first match in sending order must
// come.
void wildcards_never_overtake() {
  for (int round = 0; round < 6; ++round) {
    constexpr int kCount = 40;
    Outbox outbox(round, kCount);
    Expected expected(round, kCount);
    Random random(13, round, check::rank);
    std::vector<unsigned char> buffer(kRoom);
    while (expected.total() > 0) {
      int from = random.chance(40) ? MPI_ANY_SOURCE : random.below(check::size);
      int tag = random.chance(40) ? MPI_ANY_TAG : random.below(kTags);
      if (!expected.any(from, tag)) continue;
      MPI_Status status;
      EXPECT_OK(MPI_Recv(buffer.data(), kRoom, MPI_BYTE, from, tag, world(), &status));
      if (from != MPI_ANY_SOURCE) EXPECT_EQ(status.MPI_SOURCE, from);
      if (!expected.take(status.MPI_SOURCE, tag, buffer.data(), status)) return;
    }
    outbox.finish();
    MPI_Barrier(world());  // A rank that runs ahead must not feed this round's MPI_ANY_SOURCE.
  }
}

struct Posted {
  int from, tag;
  std::vector<unsigned char> bytes;
  MPI_Request request;
};

// All receives of a round are posted in random patterns and completed in random order. Without
// MPI_ANY_SOURCE the match is fully determined by the order of posting.
void posted_receives_match_in_order() {
  for (int round = 100; round < 104; ++round) {
    constexpr int kCount = 30;
    Expected expected(round, kCount);
    Expected unposted = expected;  // What the posted receives leave over.
    Random random(14, round, check::rank);
    std::vector<std::unique_ptr<Posted>> posted;
    while (unposted.total() > 0) {
      int from = random.below(check::size);
      int tag = random.chance(50) ? MPI_ANY_TAG : random.below(kTags);
      int position = unposted.find(from, tag);
      if (position < 0) continue;
      unposted.left[from].erase(unposted.left[from].begin() + position);
      posted.push_back(std::make_unique<Posted>(
          Posted{from, tag, std::vector<unsigned char>(kRoom), MPI_REQUEST_NULL}));
    }
    // Half of the receives before anything is sent by this rank, the others among the arrivals.
    std::size_t early = posted.size() / 2;
    auto post = [](Posted& receive) {
      EXPECT_OK(MPI_Irecv(receive.bytes.data(), kRoom, MPI_BYTE, receive.from, receive.tag, world(),
                          &receive.request));
    };
    for (std::size_t i = 0; i < early; ++i) post(*posted[i]);
    Outbox outbox(round, kCount);
    for (std::size_t i = early; i < posted.size(); ++i) post(*posted[i]);
    std::vector<MPI_Status> statuses(posted.size());
    std::vector<int> order(posted.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
    random.shuffle(order);
    for (int i : order) EXPECT_OK(MPI_Wait(&posted[i]->request, &statuses[i]));
    for (std::size_t i = 0; i < posted.size(); ++i) {
      EXPECT_EQ(statuses[i].MPI_SOURCE, posted[i]->from);
      if (!expected.take(posted[i]->from, posted[i]->tag, posted[i]->bytes.data(), statuses[i]))
        return;
    }
    outbox.finish();
  }
}

// Everything received through posted (MPI_ANY_SOURCE, MPI_ANY_TAG): seen in the order of posting,
// each source's messages must be in the order of sending.
void posted_wildcards_keep_each_source_in_order() {
  for (int round = 200; round < 204; ++round) {
    constexpr int kCount = 30;
    Expected expected(round, kCount);
    std::vector<std::vector<unsigned char>> buffers(expected.total(),
                                                    std::vector<unsigned char>(kRoom));
    std::vector<MPI_Request> requests(buffers.size());
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      EXPECT_OK(MPI_Irecv(buffers[i].data(), kRoom, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG, world(),
                          &requests[i]));
    }
    // Within a round of MPI_ANY_TAG receives nothing else may be in flight: start together.
    Outbox outbox(round, kCount);
    std::vector<MPI_Status> statuses(buffers.size());
    EXPECT_OK(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), statuses.data()));
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      if (!expected.take(statuses[i].MPI_SOURCE, MPI_ANY_TAG, buffers[i].data(), statuses[i]))
        return;
    }
    outbox.finish();
    MPI_Barrier(world());  // The next round's messages must not meet this round's receives.
  }
}

// Thousands of messages wait unmatched, or thousands of receives: found by tag in any order.
void many_outstanding(bool posted) {
  int count = check::size <= 2 ? 10000 : 2500;
  int to = (check::rank + 1) % check::size, from = (check::rank + check::size - 1) % check::size;
  std::vector<int> values(count), received(count, -1), order(count);
  std::vector<MPI_Request> sends(count), receives(count);
  for (int i = 0; i < count; ++i) order[i] = i;
  Random random(15, check::rank, posted);
  random.shuffle(order);
  auto receive_all = [&] {
    for (int tag : order) {
      EXPECT_OK(MPI_Irecv(&received[tag], 1, MPI_INT, from, tag, world(), &receives[tag]));
    }
  };
  auto send_all = [&] {
    for (int i = 0; i < count; ++i) {
      values[i] = check::rank * 100000 + i;
      EXPECT_OK(MPI_Isend(&values[i], 1, MPI_INT, to, i, world(), &sends[i]));
    }
  };
  MPI_Status status;
  if (posted) {
    receive_all();
    MPI_Sendrecv(nullptr, 0, MPI_INT, from, count, nullptr, 0, MPI_INT, to, count, world(),
                 &status);
    send_all();
  } else {
    send_all();
    // The note follows all the messages, so they are all here (unmatched) when it is.
    MPI_Sendrecv(nullptr, 0, MPI_INT, to, count, nullptr, 0, MPI_INT, from, count, world(),
                 &status);
    receive_all();
  }
  EXPECT_OK(MPI_Waitall(count, receives.data(), MPI_STATUSES_IGNORE));
  EXPECT_OK(MPI_Waitall(count, sends.data(), MPI_STATUSES_IGNORE));
  for (int i = 0; i < count; ++i) {
    if (!EXPECT_EQ(received[i], from * 100000 + i)) break;
  }
}
void many_unexpected_messages() { many_outstanding(false); }
void many_posted_receives() { many_outstanding(true); }

// MPICH 4.0 leaves the status of nonblocking receives from MPI_PROC_NULL as it was.
void expect_proc_null_status(const MPI_Status& status, const char* what) {
  if (check::library_is("MPICH") && (what[4] == 'I' || std::strstr(what, "_init"))) return;
  int count = -1;
  MPI_Get_count(&status, MPI_INT, &count);
  EXPECT_MSG(status.MPI_SOURCE == MPI_PROC_NULL && status.MPI_TAG == MPI_ANY_TAG && count == 0,
             "%s: source %d, tag %d, count %d", what, status.MPI_SOURCE, status.MPI_TAG, count);
}

void proc_null_completes_at_once() {
  int value = 17, null = MPI_PROC_NULL;
  MPI_Status status;
  MPI_Request request;
  for (auto send : {MPI_Send, MPI_Bsend, MPI_Ssend, MPI_Rsend}) {
    EXPECT_OK(send(&value, 1, MPI_INT, null, 0, world()));
  }
  for (auto send : {MPI_Isend, MPI_Ibsend, MPI_Issend, MPI_Irsend}) {
    EXPECT_OK(send(&value, 1, MPI_INT, null, 0, world(), &request));
    EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
  }
  for (auto init : {MPI_Send_init, MPI_Bsend_init, MPI_Ssend_init, MPI_Rsend_init}) {
    EXPECT_OK(init(&value, 1, MPI_INT, null, 0, world(), &request));
    for (int i = 0; i < 2; ++i) {
      EXPECT_OK(MPI_Start(&request));
      EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    }
    EXPECT_OK(MPI_Request_free(&request));
  }
  EXPECT_OK(MPI_Recv(&value, 1, MPI_INT, null, 5, world(), &status));
  expect_proc_null_status(status, "MPI_Recv");
  EXPECT_OK(MPI_Irecv(&value, 1, MPI_INT, null, MPI_ANY_TAG, world(), &request));
  EXPECT_OK(MPI_Wait(&request, &status));
  expect_proc_null_status(status, "MPI_Irecv");
  EXPECT_OK(MPI_Recv_init(&value, 1, MPI_INT, null, 5, world(), &request));
  EXPECT_OK(MPI_Start(&request));
  EXPECT_OK(MPI_Wait(&request, &status));
  expect_proc_null_status(status, "MPI_Recv_init");
  EXPECT_OK(MPI_Request_free(&request));
  EXPECT_OK(MPI_Probe(null, 5, world(), &status));
  expect_proc_null_status(status, "MPI_Probe");
  int flag = 0;
  EXPECT_OK(MPI_Iprobe(null, 5, world(), &flag, &status));
  EXPECT_EQ(flag, 1);
  expect_proc_null_status(status, "MPI_Iprobe");
  MPI_Message message = MPI_MESSAGE_NULL;
  EXPECT_OK(MPI_Mprobe(null, 5, world(), &message, &status));
  EXPECT(message == MPI_MESSAGE_NO_PROC);
  expect_proc_null_status(status, "MPI_Mprobe");
  EXPECT_OK(MPI_Mrecv(&value, 1, MPI_INT, &message, &status));
  EXPECT(message == MPI_MESSAGE_NULL);
  expect_proc_null_status(status, "MPI_Mrecv");
  EXPECT_OK(MPI_Improbe(null, 5, world(), &flag, &message, &status));
  EXPECT(flag && message == MPI_MESSAGE_NO_PROC);
  EXPECT_OK(MPI_Imrecv(&value, 1, MPI_INT, &message, &request));
  EXPECT(message == MPI_MESSAGE_NULL);
  EXPECT_OK(MPI_Wait(&request, &status));
  expect_proc_null_status(status, "MPI_Imrecv");
  EXPECT_EQ(value, 17);
}

// A message that is longer than the receive: error, nothing written past the buffer, and the next
// messages come through whole.
void truncation_is_an_error_and_harmless() {
  MPI_Comm_set_errhandler(world(), MPI_ERRORS_RETURN);
  int to = (check::rank + 1) % check::size, from = (check::rank + check::size - 1) % check::size;
  Random random(16);
  for (int size : {1, 9, 40, 100, 5000, 40000, 70000, 1 << 20, 3 << 20}) {
    for (int variant = 0; variant < 4; ++variant) {
      bool posted = variant & 1, blocking = variant & 2;
      int room = random.below(size);
      Buffer out(size), in(room), next(size);
      out.fill(20 + check::rank);
      MPI_Request sends[2], receive = MPI_REQUEST_NULL;
      MPI_Status status;
      if (posted) MPI_Irecv(in.data(), room, MPI_BYTE, from, 1, world(), &receive);
      MPI_Isend(out.data(), size, MPI_BYTE, to, 1, world(), &sends[0]);
      MPI_Isend(out.data(), size, MPI_BYTE, to, 1, world(), &sends[1]);
      if (!posted && !blocking) MPI_Irecv(in.data(), room, MPI_BYTE, from, 1, world(), &receive);
      if (receive == MPI_REQUEST_NULL) {
        EXPECT_CLASS(MPI_Recv(in.data(), room, MPI_BYTE, from, 1, world(), &status),
                     MPI_ERR_TRUNCATE);
      } else {
        EXPECT_CLASS(MPI_Wait(&receive, &status), MPI_ERR_TRUNCATE);
      }
      EXPECT_EQ(status.MPI_SOURCE, from);
      in.untouched_outside(room, "truncated message");
      EXPECT_OK(MPI_Recv(next.data(), size, MPI_BYTE, from, 1, world(), &status));
      next.holds(20 + from, size, "message after a truncated one");
      EXPECT_OK(MPI_Waitall(2, sends, MPI_STATUSES_IGNORE));  // The sender did nothing wrong.
    }
  }
  MPI_Comm_set_errhandler(world(), MPI_ERRORS_ARE_FATAL);
}

// In a set of receives only the truncated one fails, and the set says so through its statuses.
void truncation_in_waitall_is_reported_per_request() {
  MPI_Comm_set_errhandler(world(), MPI_ERRORS_RETURN);
  int to = (check::rank + 1) % check::size, from = (check::rank + check::size - 1) % check::size;
  constexpr int kCount = 5;
  int out[kCount] = {1, 2, 3, 4, 5}, in[kCount] = {};
  MPI_Request sends[kCount], receives[kCount];
  MPI_Status statuses[kCount];
  for (int i = 0; i < kCount; ++i) {
    MPI_Irecv(&in[i], i == 2 ? 0 : 1, MPI_INT, from, i, world(), &receives[i]);
  }
  for (int i = 0; i < kCount; ++i) MPI_Isend(&out[i], 1, MPI_INT, to, i, world(), &sends[i]);
  EXPECT_CLASS(MPI_Waitall(kCount, receives, statuses), MPI_ERR_IN_STATUS);
  for (int i = 0; i < kCount; ++i) {
    if (i == 2) {
      EXPECT_CLASS(statuses[i].MPI_ERROR, MPI_ERR_TRUNCATE);
      EXPECT(receives[i] == MPI_REQUEST_NULL);
    } else {  // An implementation may return early and report others as pending.
      EXPECT_CLASS(statuses[i].MPI_ERROR, MPI_SUCCESS, MPI_ERR_PENDING);
    }
  }
  EXPECT_OK(MPI_Waitall(kCount, receives, MPI_STATUSES_IGNORE));
  for (int i = 0; i < kCount; ++i) EXPECT_EQ(in[i], i == 2 ? 0 : out[i]);
  EXPECT_OK(MPI_Waitall(kCount, sends, MPI_STATUSES_IGNORE));
  MPI_Comm_set_errhandler(world(), MPI_ERRORS_ARE_FATAL);
}

// A synchronous send cannot complete before its receive exists, whatever other traffic does.
void synchronous_send_waits_for_its_receive() {
  int low = check::rank & ~1, high = low + 1;
  if (high >= check::size) return;
  int peer = low + high - check::rank;
  for (int size : {0, 1, 64, 100, 4096, 100000}) {
    Buffer data(size);
    MPI_Request request = MPI_REQUEST_NULL;
    if (check::rank == low) {
      data.fill(size);
      EXPECT_OK(MPI_Issend(data.data(), size, MPI_BYTE, peer, 1, world(), &request));
    }
    for (int round = 0; round < 20;
         ++round) {  // Both sides make progress; no receive with tag 1 yet.
      int mine = round, theirs = -1;
      MPI_Sendrecv(&mine, 1, MPI_INT, peer, 2, &theirs, 1, MPI_INT, peer, 2, world(),
                   MPI_STATUS_IGNORE);
      EXPECT_EQ(theirs, round);
      if (check::rank == low) {
        int done = 1;
        EXPECT_OK(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
        EXPECT_MSG(!done, "synchronous send of %d bytes completed before its receive", size);
        if (done) break;
      }
    }
    if (check::rank == low) {
      MPI_Send(nullptr, 0, MPI_BYTE, peer, 3, world());
      EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    } else {
      MPI_Recv(nullptr, 0, MPI_BYTE, peer, 3, world(), MPI_STATUS_IGNORE);
      EXPECT_OK(MPI_Recv(data.data(), size, MPI_BYTE, peer, 1, world(), MPI_STATUS_IGNORE));
      data.holds(size, size, "synchronous message");
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(
      argc, argv,
      {{"wildcards_never_overtake", wildcards_never_overtake},
       {"posted_receives_match_in_order", posted_receives_match_in_order},
       {"posted_wildcards_keep_each_source_in_order", posted_wildcards_keep_each_source_in_order},
       {"many_unexpected_messages", many_unexpected_messages},
       {"many_posted_receives", many_posted_receives},
       {"proc_null_completes_at_once", proc_null_completes_at_once},
       {"truncation_is_an_error_and_harmless", truncation_is_an_error_and_harmless},
       {"truncation_in_waitall_is_reported_per_request",
        truncation_in_waitall_is_reported_per_request},
       {"synchronous_send_waits_for_its_receive", synchronous_send_waits_for_its_receive}});
}
