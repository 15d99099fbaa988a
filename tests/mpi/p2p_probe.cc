// tests/mpi/p2p_probe.cc - probe, matched probe and cancel.
//
// Every rank runs the same tests against its ring neighbours (itself, when alone), with random
// sizes on both sides of the protocol boundaries.
#include "buffer.h"

namespace {

using check::Buffer;
using check::Random;

int to() { return (check::rank + 1) % check::size; }
int from() { return (check::rank + check::size - 1) % check::size; }
MPI_Comm world() { return MPI_COMM_WORLD; }

int count_of(const MPI_Status& status) {
  int count = -1;
  MPI_Get_count(&status, MPI_BYTE, &count);
  return count;
}

// Zero-byte note to the next rank and from the previous: earlier messages of that source have
// arrived.
void pass_note() {
  MPI_Sendrecv(nullptr, 0, MPI_BYTE, to(), 99, nullptr, 0, MPI_BYTE, from(), 99, world(),
               MPI_STATUS_IGNORE);
}

// Probe (blocking or polling, with wildcards) tells source, tag and size, and consumes nothing.
void probe_describes_and_keeps_the_message() {
  for (int round = 0; round < 80; ++round) {
    Random sent(1, round, check::rank), coming(1, round, from()), mine(2, round, check::rank);
    int out_size = check::random_size(sent, 3), out_tag = sent.below(50);
    int in_size = check::random_size(coming, 3), in_tag = coming.below(50);
    Buffer out(out_size), in(in_size);
    out.fill(round * 10 + check::rank);
    MPI_Request request;
    EXPECT_OK(MPI_Isend(out.data(), out_size, MPI_BYTE, to(), out_tag, world(), &request));
    int source = mine.chance(50) ? MPI_ANY_SOURCE : from();
    int tag = mine.chance(50) ? MPI_ANY_TAG : in_tag;
    for (int look = 0; look < 3; ++look) {
      MPI_Status status;
      status.MPI_ERROR = 4711;
      if (mine.chance(50)) {
        EXPECT_OK(MPI_Probe(source, tag, world(), &status));
      } else {
        for (int flag = 0; !flag;) EXPECT_OK(MPI_Iprobe(source, tag, world(), &flag, &status));
      }
      EXPECT_EQ(status.MPI_SOURCE, from());
      EXPECT_EQ(status.MPI_TAG, in_tag);
      if (!check::library_is("MPICH")) EXPECT_EQ(status.MPI_ERROR, 4711);  // 4.0 clears it.
      EXPECT_EQ(count_of(status), in_size);
    }
    MPI_Status status;
    EXPECT_OK(MPI_Recv(in.data(), in_size, MPI_BYTE, from(), in_tag, world(), &status));
    in.holds(round * 10 + from(), in_size, "probed message");
    EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    MPI_Barrier(world());  // The next round's wildcard must not see a neighbour that ran ahead.
  }
}

void iprobe_finds_nothing_that_does_not_match() {
  int value = check::rank, flag = 1;
  MPI_Status status;
  EXPECT_OK(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, world(), &flag, &status));
  EXPECT_EQ(flag, 0);
  MPI_Barrier(world());
  MPI_Request request;
  MPI_Isend(&value, 1, MPI_INT, to(), 5, world(), &request);
  pass_note();  // Now the message with tag 5 is here.
  EXPECT_OK(MPI_Iprobe(from(), 6, world(), &flag, &status));
  EXPECT_EQ(flag, 0);
  EXPECT_OK(MPI_Iprobe(MPI_ANY_SOURCE, 5, MPI_COMM_SELF, &flag, &status));
  EXPECT_EQ(flag, 0);
  if (check::size > 1) {
    EXPECT_OK(MPI_Iprobe(check::rank, 5, world(), &flag, &status));
    EXPECT_EQ(flag, 0);
  }
  EXPECT_OK(MPI_Iprobe(from(), 5, world(), &flag, &status));
  EXPECT_EQ(flag, 1);
  int received = -1;
  EXPECT_OK(MPI_Recv(&received, 1, MPI_INT, from(), 5, world(), &status));
  EXPECT_EQ(received, from());
  MPI_Wait(&request, MPI_STATUS_IGNORE);
}

// A matched message belongs to its handle: no receive or probe can see it, the next one is visible.
void matched_messages_are_taken_out() {
  for (int size : {0, 8, 100, 5000, 70000, 1 << 20}) {
    Buffer first(size), second(size + 1), in_first(size), in_second(size + 1);
    first.fill(1 + check::rank);
    second.fill(100 + check::rank);
    MPI_Request requests[2];
    MPI_Isend(first.data(), size, MPI_BYTE, to(), 5, world(), &requests[0]);
    MPI_Isend(second.data(), size + 1, MPI_BYTE, to(), 5, world(), &requests[1]);
    pass_note();
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    EXPECT_OK(MPI_Mprobe(from(), MPI_ANY_TAG, world(), &message, &status));
    EXPECT(message != MPI_MESSAGE_NULL && message != MPI_MESSAGE_NO_PROC);
    EXPECT_EQ(count_of(status), size);
    // Both were here before, so the wildcard now finds the second.
    EXPECT_OK(MPI_Probe(from(), 5, world(), &status));
    EXPECT_EQ(count_of(status), size + 1);
    EXPECT_OK(MPI_Recv(in_second.data(), size + 1, MPI_BYTE, from(), 5, world(), &status));
    in_second.holds(100 + from(), size + 1, "message behind a matched one");
    int flag = 1;
    EXPECT_OK(MPI_Iprobe(from(), 5, world(), &flag, &status));
    EXPECT_EQ(flag, 0);
    EXPECT_OK(MPI_Mrecv(in_first.data(), size, MPI_BYTE, &message, &status));
    EXPECT(message == MPI_MESSAGE_NULL);
    EXPECT_EQ(status.MPI_SOURCE, from());
    EXPECT_EQ(status.MPI_TAG, 5);
    EXPECT_EQ(count_of(status), size);
    in_first.holds(1 + from(), size, "matched message");
    EXPECT_OK(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE));
    MPI_Barrier(world());  // A neighbour that runs ahead would put a third message there.
  }
}

// Many messages matched first (by both probes), then received in random order by both receives.
void matched_messages_are_received_in_any_order() {
  for (int round = 0; round < 5; ++round) {
    constexpr int kCount = 40;
    std::vector<Buffer> out, in;
    std::vector<MPI_Request> requests(kCount), receives;
    for (int i = 0; i < kCount; ++i) {
      Random random(3, round, check::rank, i);
      out.emplace_back(check::random_size(random, 2));
      out[i].fill(1000 * check::rank + i);
      MPI_Isend(out[i].data(), static_cast<int>(out[i].size()), MPI_BYTE, to(), i % 3, world(),
                &requests[i]);
    }
    Random mine(4, round, check::rank);
    std::vector<MPI_Message> messages(kCount);
    std::vector<int> order;
    for (int i = 0; i < kCount; ++i) {
      Random random(3, round, from(), i);
      int size = check::random_size(random, 2);
      MPI_Status status;
      if (mine.chance(50)) {
        EXPECT_OK(MPI_Mprobe(from(), i % 3, world(), &messages[i], &status));
      } else {
        for (int flag = 0; !flag;) {
          EXPECT_OK(MPI_Improbe(from(), i % 3, world(), &flag, &messages[i], &status));
        }
      }
      EXPECT_EQ(count_of(status), size);
      in.emplace_back(size);
      order.push_back(i);
    }
    mine.shuffle(order);
    for (int i : order) {
      int size = static_cast<int>(in[i].size());
      if (mine.chance(50)) {
        EXPECT_OK(MPI_Mrecv(in[i].data(), size, MPI_BYTE, &messages[i], MPI_STATUS_IGNORE));
      } else {
        receives.emplace_back();
        EXPECT_OK(MPI_Imrecv(in[i].data(), size, MPI_BYTE, &messages[i], &receives.back()));
      }
      EXPECT(messages[i] == MPI_MESSAGE_NULL);
    }
    EXPECT_OK(MPI_Waitall(static_cast<int>(receives.size()), receives.data(), MPI_STATUSES_IGNORE));
    for (int i = 0; i < kCount; ++i)
      in[i].holds(1000 * from() + i, in[i].size(), "matched message");
    EXPECT_OK(MPI_Waitall(kCount, requests.data(), MPI_STATUSES_IGNORE));
    pass_note();
  }
}

void matched_receive_can_truncate() {
  MPI_Comm_set_errhandler(world(), MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  for (int size : {16, 5000, 200000}) {
    Buffer out(size), in(size / 2), next(size);
    out.fill(check::rank);
    MPI_Request requests[2];
    MPI_Isend(out.data(), size, MPI_BYTE, to(), 1, world(), &requests[0]);
    MPI_Isend(out.data(), size, MPI_BYTE, to(), 1, world(), &requests[1]);
    MPI_Message message;
    MPI_Status status;
    EXPECT_OK(MPI_Mprobe(from(), 1, world(), &message, &status));
    EXPECT_CLASS(MPI_Mrecv(in.data(), size / 2, MPI_BYTE, &message, &status), MPI_ERR_TRUNCATE);
    in.untouched_outside(size / 2, "truncated matched message");
    EXPECT_OK(MPI_Recv(next.data(), size, MPI_BYTE, from(), 1, world(), &status));
    next.holds(from(), size, "message after a truncated one");
    EXPECT_OK(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE));
  }
  MPI_Comm_set_errhandler(world(), MPI_ERRORS_ARE_FATAL);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_ARE_FATAL);
}

// A cancelled receive leaves the message that would have matched to the next receive.
void cancelled_receive_takes_no_message() {
  int first = -1, second = -1, value = 1000 + check::rank, cancelled = 0;
  MPI_Request request;
  MPI_Status status;
  EXPECT_OK(MPI_Irecv(&first, 1, MPI_INT, from(), 3, world(), &request));
  EXPECT_OK(MPI_Cancel(&request));
  EXPECT(request != MPI_REQUEST_NULL);  // Cancelled requests are still to be completed.
  EXPECT_OK(MPI_Wait(&request, &status));
  EXPECT_OK(MPI_Test_cancelled(&status, &cancelled));
  EXPECT_EQ(cancelled, 1);
  MPI_Barrier(world());
  EXPECT_OK(MPI_Irecv(&second, 1, MPI_INT, from(), 3, world(), &request));
  EXPECT_OK(MPI_Send(&value, 1, MPI_INT, to(), 3, world()));
  EXPECT_OK(MPI_Wait(&request, &status));
  EXPECT_OK(MPI_Test_cancelled(&status, &cancelled));
  EXPECT_EQ(cancelled, 0);
  EXPECT_EQ(first, -1);
  EXPECT_EQ(second, 1000 + from());
}

// Cancelling some of many posted receives: the others get the messages, in posting order.
void cancel_among_many() {
  constexpr int kCount = 200;
  Random random(5, check::rank);
  std::vector<int> values(kCount, -1);
  std::vector<MPI_Request> requests(kCount);
  std::vector<int> kept;
  for (int i = 0; i < kCount; ++i) {
    int source = random.chance(50) ? from() : MPI_ANY_SOURCE;
    EXPECT_OK(MPI_Irecv(&values[i], 1, MPI_INT, source, 3, world(), &requests[i]));
  }
  for (int i = 0; i < kCount; ++i) {
    if (random.chance(50)) {
      EXPECT_OK(MPI_Cancel(&requests[i]));
    } else {
      kept.push_back(i);
    }
  }
  // Each rank tells its source how many messages it still waits for.
  int mine = static_cast<int>(kept.size()), wanted = 0;
  MPI_Sendrecv(&mine, 1, MPI_INT, from(), 4, &wanted, 1, MPI_INT, to(), 4, world(),
               MPI_STATUS_IGNORE);
  for (int i = 0; i < wanted; ++i) EXPECT_OK(MPI_Send(&i, 1, MPI_INT, to(), 3, world()));
  std::vector<MPI_Status> statuses(kCount);
  EXPECT_OK(MPI_Waitall(kCount, requests.data(), statuses.data()));
  std::size_t next = 0;
  for (int i = 0; i < kCount; ++i) {
    int cancelled = -1;
    MPI_Test_cancelled(&statuses[i], &cancelled);
    bool keep = next < kept.size() && kept[next] == i;
    EXPECT_EQ(cancelled, keep ? 0 : 1);
    if (keep) EXPECT_EQ(values[i], static_cast<int>(next++));
  }
}

// Cancel after the message has come: too late, and the message is not lost.
void cancel_of_a_completed_receive_does_nothing() {
  int value = check::rank, received = -1, cancelled = 1;
  MPI_Request request;
  MPI_Status status;
  EXPECT_OK(MPI_Irecv(&received, 1, MPI_INT, from(), 3, world(), &request));
  EXPECT_OK(MPI_Send(&value, 1, MPI_INT, to(), 3, world()));
  for (int done = 0; !done;) {
    EXPECT_OK(MPI_Request_get_status(request, &done, MPI_STATUS_IGNORE));
  }
  EXPECT_OK(MPI_Cancel(&request));
  EXPECT_OK(MPI_Wait(&request, &status));
  EXPECT_OK(MPI_Test_cancelled(&status, &cancelled));
  EXPECT_EQ(cancelled, 0);
  EXPECT_EQ(received, from());
}

void cancelled_persistent_receive_can_restart() {
  int received = -1, value = 7 + check::rank, cancelled = 0;
  MPI_Request request;
  MPI_Status status;
  EXPECT_OK(MPI_Recv_init(&received, 1, MPI_INT, from(), 3, world(), &request));
  for (int round = 0; round < 10; ++round) {
    EXPECT_OK(MPI_Start(&request));
    EXPECT_OK(MPI_Cancel(&request));
    EXPECT_OK(MPI_Wait(&request, &status));
    EXPECT_OK(MPI_Test_cancelled(&status, &cancelled));
    EXPECT_EQ(cancelled, 1);
    EXPECT(request != MPI_REQUEST_NULL);
    MPI_Barrier(world());
    EXPECT_OK(MPI_Start(&request));
    EXPECT_OK(MPI_Send(&value, 1, MPI_INT, to(), 3, world()));
    EXPECT_OK(MPI_Wait(&request, &status));
    EXPECT_OK(MPI_Test_cancelled(&status, &cancelled));
    EXPECT_EQ(cancelled, 0);
    EXPECT_EQ(received, 7 + from());
    MPI_Barrier(world());
  }
  EXPECT_OK(MPI_Request_free(&request));
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(
      argc, argv,
      {{"probe_describes_and_keeps_the_message", probe_describes_and_keeps_the_message},
       {"iprobe_finds_nothing_that_does_not_match", iprobe_finds_nothing_that_does_not_match},
       {"matched_messages_are_taken_out", matched_messages_are_taken_out},
       {"matched_messages_are_received_in_any_order", matched_messages_are_received_in_any_order},
       {"matched_receive_can_truncate", matched_receive_can_truncate},
       {"cancelled_receive_takes_no_message", cancelled_receive_takes_no_message},
       {"cancel_among_many", cancel_among_many},
       {"cancel_of_a_completed_receive_does_nothing", cancel_of_a_completed_receive_does_nothing},
       {"cancelled_persistent_receive_can_restart", cancelled_persistent_receive_can_restart}});
}
