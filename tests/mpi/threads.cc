// tests/mpi/threads.cc - MPI_THREAD_MULTIPLE: several threads of each rank in every kind of call.
//
// Threads draw their traffic from (seed, thread), so both ends know it. Shared communicators with
// wildcards, own communicators, concurrent collectives, duplication, and matched probes that race
// for the same messages. Nothing here depends on which thread is faster.
#include <mutex>
#include <thread>

#include "buffer.h"

namespace {

using check::Random;

constexpr int kThreads = 3;  // Enough to collide; the machine may have two cores.

int to() { return (check::rank + 1) % check::size; }
int from() { return (check::rank + check::size - 1) % check::size; }

template <typename Body>
void on_threads(Body body) {
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) threads.emplace_back(body, t);
  for (std::thread& thread : threads) thread.join();
}

// Ring traffic of one thread: random sizes, blocking and not, in one (communicator, tag).
void ring_traffic(MPI_Comm comm, int tag, int id, int rounds) {
  Random mine(1, id, check::rank);
  for (int round = 0; round < rounds; ++round) {
    Random sent(2, id, round, check::rank), coming(2, id, round, from());
    int out_size = check::random_size(sent, 1) % 300000,
        in_size = check::random_size(coming, 1) % 300000;
    check::Buffer out(out_size), in(in_size);
    out.fill(sent.next());
    MPI_Request requests[2];
    MPI_Status status;
    if (mine.chance(50)) {
      EXPECT_OK(MPI_Sendrecv(out.data(), out_size, MPI_BYTE, to(), tag, in.data(), in_size,
                             MPI_BYTE, from(), tag, comm, &status));
    } else {
      EXPECT_OK(MPI_Irecv(in.data(), in_size, MPI_BYTE, from(), tag, comm, &requests[0]));
      auto send = mine.chance(30) ? MPI_Issend : MPI_Isend;
      EXPECT_OK(send(out.data(), out_size, MPI_BYTE, to(), tag, comm, &requests[1]));
      if (mine.chance(50)) {
        EXPECT_OK(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE));
      } else {
        for (int done = 0; !done;) EXPECT_OK(MPI_Testall(2, requests, &done, MPI_STATUSES_IGNORE));
      }
    }
    if (!in.holds(coming.next(), in_size, "message between threads")) return;
  }
}

void one_tag_per_thread() {
  on_threads([](int t) { ring_traffic(MPI_COMM_WORLD, t, t, 60); });
}

void one_communicator_per_thread() {
  std::vector<MPI_Comm> comms(kThreads);
  for (MPI_Comm& comm : comms) MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  on_threads([&](int t) { ring_traffic(comms[t], 0, 10 + t, 60); });
  for (MPI_Comm& comm : comms) MPI_Comm_free(&comm);
}

// All threads receive with wildcards from one communicator what all threads of the previous rank
// send: each message exactly once, and in order within (sending thread = tag) per receiving thread.
void wildcards_on_a_shared_communicator() {
  constexpr int kEach = 300;
  std::mutex mutex;
  std::vector<std::vector<int>> seen(kThreads, std::vector<int>(kEach, 0));
  on_threads([&](int t) {
    std::vector<int> last(kThreads, -1);
    std::vector<MPI_Request> sends(kEach);
    std::vector<int> values(kEach);
    for (int i = 0; i < kEach; ++i) {
      values[i] = i;
      EXPECT_OK(MPI_Isend(&values[i], 1, MPI_INT, to(), t, MPI_COMM_WORLD, &sends[i]));
      int value = -1;
      MPI_Status status;
      EXPECT_OK(MPI_Recv(&value, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &status));
      EXPECT_EQ(status.MPI_SOURCE, from());
      int sender = status.MPI_TAG;
      if (!EXPECT(sender >= 0 && sender < kThreads && value >= 0 && value < kEach)) continue;
      EXPECT_MSG(value > last[sender], "message %d of thread %d after %d", value, sender,
                 last[sender]);
      last[sender] = value;
      std::lock_guard<std::mutex> lock(mutex);
      ++seen[sender][value];
    }
    EXPECT_OK(MPI_Waitall(kEach, sends.data(), MPI_STATUSES_IGNORE));
  });
  for (auto& sender : seen) EXPECT(sender == std::vector<int>(kEach, 1));
  MPI_Barrier(MPI_COMM_WORLD);
}

// Matched probes race for the same messages: nobody gets one twice or the size of another.
void matched_probes_race() {
  constexpr int kEach = 200;
  std::vector<std::atomic<int>> seen(kThreads * kEach);
  on_threads([&](int t) {
    std::vector<MPI_Request> sends(kEach);
    std::vector<std::vector<unsigned char>> data(kEach);
    for (int i = 0; i < kEach; ++i) {
      int index = t * kEach + i;
      Random random(3, check::rank, index);
      data[i].resize(4 + check::random_size(random));
      check::fill(data[i].data(), data[i].size(), index);
      std::memcpy(data[i].data(), &index, 4);
      EXPECT_OK(MPI_Isend(data[i].data(), static_cast<int>(data[i].size()), MPI_BYTE, to(), 50,
                          MPI_COMM_WORLD, &sends[i]));
      MPI_Message message;
      MPI_Status status;
      int flag = 1, count = 0, got = -1;
      if (i % 2) {
        EXPECT_OK(MPI_Mprobe(MPI_ANY_SOURCE, 50, MPI_COMM_WORLD, &message, &status));
      } else {
        flag = 0;
        while (!flag) EXPECT_OK(MPI_Improbe(from(), 50, MPI_COMM_WORLD, &flag, &message, &status));
      }
      MPI_Get_count(&status, MPI_BYTE, &count);
      std::vector<unsigned char> in(count);
      EXPECT_OK(MPI_Mrecv(in.data(), count, MPI_BYTE, &message, &status));
      if (!EXPECT(count >= 4)) continue;
      std::memcpy(&got, in.data(), 4);
      if (!EXPECT(got >= 0 && got < kThreads * kEach)) continue;
      ++seen[got];
      Random theirs(3, from(), got);
      EXPECT_EQ(count, 4 + check::random_size(theirs));
      std::vector<unsigned char> expected(count);
      check::fill(expected.data(), expected.size(), got);
      EXPECT(std::equal(in.begin() + 4, in.end(), expected.begin() + 4));
    }
    EXPECT_OK(MPI_Waitall(kEach, sends.data(), MPI_STATUSES_IGNORE));
  });
  for (auto& count : seen) EXPECT_EQ(count.load(), 1);
}

// Each thread runs its own sequence of collectives on its own communicator.
void concurrent_collectives() {
  std::vector<MPI_Comm> comms(kThreads);
  for (int t = 0; t < kThreads; ++t)
    MPI_Comm_split(MPI_COMM_WORLD, 0, t % 2 ? -check::rank : 0, &comms[t]);
  on_threads([&](int t) {
    int me = 0, size = check::size;
    MPI_Comm_rank(comms[t], &me);
    for (int round = 0; round < 40; ++round) {
      Random random(4, t, round);  // The same on all ranks.
      int count = random.below(500) + 1, root = random.below(size), kind = random.below(4);
      std::vector<int> in(count), out(static_cast<std::size_t>(count) * size, -1);
      for (int i = 0; i < count; ++i) in[i] = me * 1000 + i + t;
      MPI_Request request = MPI_REQUEST_NULL;
      if (kind == 0) {
        EXPECT_OK(MPI_Allreduce(in.data(), out.data(), count, MPI_INT, MPI_SUM, comms[t]));
        EXPECT_EQ(out[count - 1], size * (size - 1) / 2 * 1000 + size * (count - 1 + t));
      } else if (kind == 1) {
        EXPECT_OK(MPI_Bcast(in.data(), count, MPI_INT, root, comms[t]));
        EXPECT_EQ(in[count - 1], root * 1000 + count - 1 + t);
      } else if (kind == 2) {
        EXPECT_OK(MPI_Iallgather(in.data(), count, MPI_INT, out.data(), count, MPI_INT, comms[t],
                                 &request));
        EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
        for (int r = 0; r < size; ++r) EXPECT_EQ(out[r * count], r * 1000 + t);
      } else {
        EXPECT_OK(MPI_Barrier(comms[t]));
      }
    }
  });
  for (MPI_Comm& comm : comms) MPI_Comm_free(&comm);
}

// Threads make communicators out of different parents at the same time, in any interleaving.
void concurrent_duplication() {
  std::vector<MPI_Comm> parents(kThreads);
  for (MPI_Comm& comm : parents) MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  on_threads([&](int t) {
    for (int round = 0; round < 20; ++round) {
      MPI_Comm comm;
      MPI_Request request;
      if (round % 3 == 0) {
        EXPECT_OK(MPI_Comm_dup(parents[t], &comm));
      } else if (round % 3 == 1) {
        EXPECT_OK(MPI_Comm_split(parents[t], 0, 0, &comm));
      } else {
        EXPECT_OK(MPI_Comm_idup(parents[t], &comm, &request));
        EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
      }
      ring_traffic(comm, 1, 100 + t * 20 + round, 2);
      EXPECT_OK(MPI_Comm_free(&comm));
    }
  });
  for (MPI_Comm& comm : parents) MPI_Comm_free(&comm);
}

// One thread waits for what only another thread of the same rank will send.
void a_waiting_thread_does_not_stop_the_others() {
  int got = -1, value = 1234;
  std::thread waiter([&] {
    EXPECT_OK(MPI_Recv(&got, 1, MPI_INT, check::rank, 60, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
  });
  ring_traffic(MPI_COMM_WORLD, 61, 500, 20);  // The main thread works on meanwhile.
  EXPECT_OK(MPI_Send(&value, 1, MPI_INT, check::rank, 60, MPI_COMM_WORLD));
  waiter.join();
  EXPECT_EQ(got, 1234);
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(
      argc, argv,
      {{"one_tag_per_thread", one_tag_per_thread},
       {"one_communicator_per_thread", one_communicator_per_thread},
       {"wildcards_on_a_shared_communicator", wildcards_on_a_shared_communicator},
       {"matched_probes_race", matched_probes_race},
       {"concurrent_collectives", concurrent_collectives},
       {"concurrent_duplication", concurrent_duplication},
       {"a_waiting_thread_does_not_stop_the_others", a_waiting_thread_does_not_stop_the_others}},
      MPI_THREAD_MULTIPLE);
}
