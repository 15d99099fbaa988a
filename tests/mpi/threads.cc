// tests/mpi/threads.cc - MPI_THREAD_MULTIPLE: several threads of each rank in every kind of call.
//
// Threads draw their traffic from (seed, thread), so both ends know it. Shared communicators with
// wildcards, own communicators, concurrent collectives, duplication, and matched probes that race
// for the same messages. Nothing here depends on which thread is faster.
#include <mutex>
#include <thread>

#include "buffer.h"
#include "mixture.h"

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

// Threads in every kind of call at once: mixtures on more communicators than there are lanes,
// beside a thread of collectives and one that makes and frees communicators, all the time.
void everything_at_once() {
  constexpr int kComms = 12, kRounds = 12;
  std::vector<MPI_Comm> comms(kComms);
  for (MPI_Comm& comm : comms) MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  MPI_Comm collective, parent;
  MPI_Comm_dup(comms[0], &collective);
  MPI_Comm_dup(comms[1], &parent);
  on_threads([&](int t) {
    for (int round = 0; round < kRounds; ++round) {
      if (t == kThreads - 1) {
        MPI_Comm comm;
        EXPECT_OK(MPI_Comm_split(parent, 0, 0, &comm));
        if (!Mixture(comm, 200, round).run()) return;
        EXPECT_OK(MPI_Comm_free(&comm));
        int sum = 0;
        EXPECT_OK(MPI_Allreduce(&check::rank, &sum, 1, MPI_INT, MPI_SUM, collective));
        EXPECT_EQ(sum, check::size * (check::size - 1) / 2);
      } else {
        for (int c = t; c < kComms; c += kThreads - 1) {
          if (!Mixture(comms[c], 100 + c, round).run()) return;
        }
      }
    }
  });
  for (MPI_Comm comm : comms) MPI_Comm_free(&comm);
  MPI_Comm_free(&collective);
  MPI_Comm_free(&parent);
}

// Requests of several communicators and of MPI_COMM_WORLD in one call, answered by another thread.
void requests_of_many_communicators() {
  constexpr int kComms = 10, kRounds = 20;
  std::vector<MPI_Comm> comms(kComms);
  for (int i = 1; i < kComms; ++i) MPI_Comm_dup(MPI_COMM_WORLD, &comms[i]);
  comms[0] = MPI_COMM_WORLD;
  std::thread sender([&] {
    for (int round = 0; round < kRounds; ++round) {
      Random order(40, check::rank, round);
      for (int i = 0, first = order.below(kComms); i < kComms; ++i) {
        int c = (first + i) % kComms, value = round * 100 + c;
        EXPECT_OK(MPI_Send(&value, 1, MPI_INT, to(), 70, comms[c]));
      }
    }
  });
  for (int round = 0; round < kRounds; ++round) {
    std::vector<MPI_Request> requests(kComms);
    std::vector<MPI_Status> statuses(kComms);
    std::vector<int> values(kComms, -1), indices(kComms);
    for (int c = 0; c < kComms; ++c)
      EXPECT_OK(MPI_Irecv(&values[c], 1, MPI_INT, from(), 70, comms[c], &requests[c]));
    int left = kComms, flag = 0, count = 0, index = -1;
    if (round % 4 == 0) {
      EXPECT_OK(MPI_Waitall(kComms, requests.data(), statuses.data()));
      for (const MPI_Status& status : statuses) EXPECT_EQ(status.MPI_SOURCE, from());
    } else if (round % 4 == 1) {
      while (!flag) EXPECT_OK(MPI_Testall(kComms, requests.data(), &flag, statuses.data()));
    } else if (round % 4 == 2) {
      for (; left > 0; left -= count)
        EXPECT_OK(MPI_Waitsome(kComms, requests.data(), &count, indices.data(), statuses.data()));
    } else {
      for (; left > 0; --left)
        EXPECT_OK(MPI_Waitany(kComms, requests.data(), &index, MPI_STATUS_IGNORE));
    }
    for (int c = 0; c < kComms; ++c) EXPECT_EQ(values[c], round * 100 + c);
  }
  sender.join();
  for (int i = 1; i < kComms; ++i) MPI_Comm_free(&comms[i]);
}

// A thread that waits on one communicator must let messages of another come to their end: its own
// message is sent only when a long one, whose receive was posted before, has been received. With
// which of the two is MPI_COMM_WORLD either way.
void waiting_helps_other_communicators() {
  constexpr int kInts = 1 << 18;
  MPI_Comm own;
  MPI_Comm_dup(MPI_COMM_WORLD, &own);
  for (int way = 0; way < 2; ++way) {
    const MPI_Comm of_long = way == 0 ? MPI_COMM_WORLD : own,
                   of_short = way == 0 ? own : MPI_COMM_WORLD;
    std::vector<int> in(kInts, -1), out(kInts, check::rank + way);
    MPI_Request receive;
    EXPECT_OK(MPI_Irecv(in.data(), kInts, MPI_INT, from(), 80, of_long, &receive));
    std::thread sender([&] {
      EXPECT_OK(MPI_Ssend(out.data(), kInts, MPI_INT, to(), 80, of_long));
      EXPECT_OK(MPI_Send(&way, 1, MPI_INT, to(), 81, of_short));
    });
    int got = -1;
    EXPECT_OK(MPI_Recv(&got, 1, MPI_INT, from(), 81, of_short, MPI_STATUS_IGNORE));
    EXPECT_EQ(got, way);
    EXPECT_OK(MPI_Wait(&receive, MPI_STATUS_IGNORE));
    EXPECT(in == std::vector<int>(kInts, from() + way));
    sender.join();
  }
  MPI_Comm_free(&own);
}

// Communicators that are freed while messages on them are under way, and sends whose requests are.
void freed_in_flight() {
  constexpr int kInts = 100000;
  on_threads([&](int t) {
    for (int round = 0; round < 6; ++round) {
      MPI_Comm comm;
      // One at a time: this is collective over MPI_COMM_SELF, which the threads share.
      static std::mutex mutex;
      {
        std::lock_guard<std::mutex> lock(mutex);
        EXPECT_OK(MPI_Comm_dup(MPI_COMM_SELF, &comm));
      }
      std::vector<int> in(kInts, -1), out(kInts, t * 100 + round);
      int small_in = -1, small_out = round;
      MPI_Request requests[2], freed;
      EXPECT_OK(MPI_Irecv(in.data(), kInts, MPI_INT, 0, 90, comm, &requests[0]));
      EXPECT_OK(MPI_Irecv(&small_in, 1, MPI_INT, MPI_ANY_SOURCE, 91, comm, &requests[1]));
      EXPECT_OK(MPI_Isend(out.data(), kInts, MPI_INT, 0, 90, comm, &freed));
      EXPECT_OK(MPI_Request_free(&freed));
      EXPECT_OK(MPI_Send(&small_out, 1, MPI_INT, 0, 91, comm));
      EXPECT_OK(MPI_Comm_free(&comm));
      EXPECT_OK(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE));
      EXPECT(in == out);
      EXPECT_EQ(small_in, round);
    }
  });
}

// A message that does not fit is an error of its own communicator only.
void errors_belong_to_their_communicator() {
  on_threads([&](int t) {
    static std::mutex mutex;
    MPI_Comm comm;
    {
      std::lock_guard<std::mutex> lock(mutex);
      EXPECT_OK(MPI_Comm_dup(MPI_COMM_SELF, &comm));
    }
    EXPECT_OK(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN));
    for (int round = 0; round < 50; ++round) {
      int out[4] = {t, round, 3, 4}, in[4] = {-1, -1, -1, -1};
      const bool fits = round % 3 != 0;
      MPI_Request request;
      MPI_Status status;
      EXPECT_OK(MPI_Irecv(in, fits ? 4 : 2, MPI_INT, 0, 5, comm, &request));
      EXPECT_OK(MPI_Send(out, 4, MPI_INT, 0, 5, comm));
      const int error = MPI_Wait(&request, &status);
      if (fits) {
        EXPECT_OK(error);
      } else {
        EXPECT_CLASS(error, MPI_ERR_TRUNCATE);
      }
      EXPECT(in[0] == t && in[1] == round && in[2] == (fits ? 3 : -1));
      EXPECT_OK(MPI_Isend(out, 4, MPI_INT, 0, 6, comm, &request));
      const int other = MPI_Recv(in, fits ? 4 : 1, MPI_INT, 0, 6, comm, &status);
      EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
      if (fits) {
        EXPECT_OK(other);
      } else {
        EXPECT_CLASS(other, MPI_ERR_TRUNCATE);
      }
    }
    EXPECT_CLASS(MPI_Send(&t, 1, MPI_INT, 5, 0, comm), MPI_ERR_RANK);
    EXPECT_OK(MPI_Comm_free(&comm));
  });
}

// Buffered sends of several threads leave by several communicators, from one buffer.
void buffered_sends_of_threads() {
  constexpr int kEach = 40;
  std::vector<MPI_Comm> comms(kThreads);
  for (MPI_Comm& comm : comms) MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  std::vector<char> buffer(kThreads * kEach * (sizeof(int) + MPI_BSEND_OVERHEAD + 64));
  EXPECT_OK(MPI_Buffer_attach(buffer.data(), static_cast<int>(buffer.size())));
  on_threads([&](int t) {
    for (int i = 0; i < kEach; ++i) {
      int value = t * 1000 + i, got = -1;
      EXPECT_OK(MPI_Bsend(&value, 1, MPI_INT, to(), 7, comms[t]));
      EXPECT_OK(MPI_Recv(&got, 1, MPI_INT, from(), 7, comms[t], MPI_STATUS_IGNORE));
      EXPECT_EQ(got, value);
    }
  });
  void* detached = nullptr;
  int bytes = 0;
  EXPECT_OK(MPI_Buffer_detach(&detached, &bytes));
  EXPECT(detached == buffer.data());
  for (MPI_Comm& comm : comms) MPI_Comm_free(&comm);
}

// Threads that have gone to sleep are woken by what another thread of their process sends.
void sleeping_threads_wake() {
  std::vector<MPI_Comm> comms(kThreads);
  for (MPI_Comm& comm : comms) MPI_Comm_dup(MPI_COMM_SELF, &comm);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      int got = -1;
      EXPECT_OK(MPI_Recv(&got, 1, MPI_INT, 0, t, comms[t], MPI_STATUS_IGNORE));
      EXPECT_EQ(got, t);
    });
  }
  usleep(20000);  // Long enough for most of them to sleep; right, if slower, in any case.
  for (int t = 0; t < kThreads; ++t) EXPECT_OK(MPI_Ssend(&t, 1, MPI_INT, 0, t, comms[t]));
  for (std::thread& thread : threads) thread.join();
  for (MPI_Comm& comm : comms) MPI_Comm_free(&comm);
}

// Ranks of different thread levels in one job: traffic of each rank's main thread.
void ranks_of_different_levels() {
  for (int round = 0; round < 4; ++round) {
    MPI_Comm comm, part;
    MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    ring_traffic(comm, 1, 600 + round, 20);
    MPI_Comm_split(comm, check::rank % 2, 0, &part);
    int sum = 0, one = 1, members = 0;
    EXPECT_OK(MPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, part));
    MPI_Comm_size(part, &members);
    EXPECT_EQ(sum, members);
    MPI_Comm_free(&part);
    MPI_Comm_free(&comm);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "levels") {
    // Which rank asks for which level differs from run to run.
    return check::main(argc, argv, {{"ranks_of_different_levels", ranks_of_different_levels}},
                       getpid() % 2 != 0 ? MPI_THREAD_MULTIPLE : MPI_THREAD_SERIALIZED);
  }
  return check::main(
      argc, argv,
      {{"one_tag_per_thread", one_tag_per_thread},
       {"one_communicator_per_thread", one_communicator_per_thread},
       {"wildcards_on_a_shared_communicator", wildcards_on_a_shared_communicator},
       {"matched_probes_race", matched_probes_race},
       {"concurrent_collectives", concurrent_collectives},
       {"concurrent_duplication", concurrent_duplication},
       {"a_waiting_thread_does_not_stop_the_others", a_waiting_thread_does_not_stop_the_others},
       {"everything_at_once", everything_at_once},
       {"requests_of_many_communicators", requests_of_many_communicators},
       {"waiting_helps_other_communicators", waiting_helps_other_communicators},
       {"freed_in_flight", freed_in_flight},
       {"errors_belong_to_their_communicator", errors_belong_to_their_communicator},
       {"buffered_sends_of_threads", buffered_sends_of_threads},
       {"sleeping_threads_wake", sleeping_threads_wake}},
      MPI_THREAD_MULTIPLE);
}
