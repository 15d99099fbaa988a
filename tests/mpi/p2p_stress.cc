// tests/mpi/p2p_stress.cc - heavy traffic that must neither deadlock nor lose or corrupt a byte.
//
// Floods in both directions before anyone receives, large messages between all pairs at once, and
// random traffic among all ranks with checksums. Everything here is a correct MPI program: no test
// relies on the buffering of blocking sends.
#include <memory>

#include "buffer.h"

namespace {

using check::Random;

MPI_Comm world() { return MPI_COMM_WORLD; }

// Both sides start all their sends before either posts a receive.
void flood(int size, int count) {
  int partner = check::size - 1 - check::rank;  // The middle rank of an odd job floods itself.
  std::vector<unsigned char> out(std::size_t(size) * count + 8), in(size + 1);
  std::vector<MPI_Request> requests(count);
  for (int i = 0; i < count; ++i) {
    check::fill(out.data() + std::size_t(size) * i, size, check::rank * 1000003 + i);
    EXPECT_OK(MPI_Isend(out.data() + std::size_t(size) * i, size, MPI_BYTE, partner, 1, world(),
                        &requests[i]));
  }
  for (int i = 0; i < count; ++i) {
    EXPECT_OK(MPI_Recv(in.data(), size, MPI_BYTE, partner, 1, world(), MPI_STATUS_IGNORE));
    long bad = check::first_difference(in.data(), size, partner * 1000003 + i);
    if (!EXPECT_MSG(bad < 0, "message %d of %d bytes is wrong at byte %ld", i, size, bad)) return;
  }
  EXPECT_OK(MPI_Waitall(count, requests.data(), MPI_STATUSES_IGNORE));
}
void eager_floods_head_to_head() {
  flood(0, 2000);
  flood(8, 20000 / check::size);
  flood(96, 6000 / check::size);
  flood(2000, 4000 / check::size);
  flood(16384, 600 / check::size);
}
void rendezvous_floods_head_to_head() {
  flood(70000, 200 / check::size);
  flood(1 << 20, 16 / check::size + 1);
}

// Everyone sends to rank 0, which looks for the slowest first: the others' messages must wait
// somewhere.
void many_to_one_in_reverse_order() {
  constexpr int kCount = 300, kSize = 1000;
  std::vector<unsigned char> data(kSize);
  if (check::rank > 0) {
    check::fill(data.data(), kSize, check::rank);
    for (int i = 0; i < kCount; ++i)
      EXPECT_OK(MPI_Send(data.data(), kSize, MPI_BYTE, 0, i, world()));
  } else {
    for (int from = check::size - 1; from > 0; --from) {
      for (int i = 0; i < kCount; ++i) {
        EXPECT_OK(MPI_Recv(data.data(), kSize, MPI_BYTE, from, i, world(), MPI_STATUS_IGNORE));
        if (!EXPECT(check::first_difference(data.data(), kSize, from) < 0)) return;
      }
    }
  }
}

// Megabytes between all pairs in both directions at once, receives posted before or after the
// sends.
void all_pairs_exchange_large_messages() {
  for (bool receive_first : {true, false}) {
    for (int size : {300000, (4 << 20) / check::size + 1}) {
      std::vector<std::unique_ptr<check::Buffer>> out, in;
      std::vector<MPI_Request> requests;
      for (int peer = 0; peer < check::size; ++peer) {
        out.push_back(std::make_unique<check::Buffer>(size, peer));
        in.push_back(std::make_unique<check::Buffer>(size, check::rank));
        out.back()->fill(check::rank * 100 + peer);
      }
      auto receive_all = [&] {
        for (int peer = 0; peer < check::size; ++peer) {
          requests.emplace_back();
          EXPECT_OK(
              MPI_Irecv(in[peer]->data(), size, MPI_BYTE, peer, 1, world(), &requests.back()));
        }
      };
      if (receive_first) receive_all();
      for (int peer = 0; peer < check::size; ++peer) {
        requests.emplace_back();
        EXPECT_OK(MPI_Isend(out[peer]->data(), size, MPI_BYTE, peer, 1, world(), &requests.back()));
      }
      if (!receive_first) receive_all();
      EXPECT_OK(
          MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE));
      for (int peer = 0; peer < check::size; ++peer) {
        in[peer]->holds(peer * 100 + check::rank, size, "large message among all pairs");
      }
    }
  }
}

// Random traffic: what rank `from` sends in a round is known to all from the seed.
struct Packet {
  int to;
  int size;
  std::uint64_t key;
};
std::vector<Packet> packets_of(int round, int from) {
  Random random(1, round, from);
  std::vector<Packet> packets(random.between(50, 150));
  for (Packet& packet : packets) {
    packet.to = random.below(check::size);
    packet.size = check::random_size(random, 1);
    packet.key = random.next();
  }
  return packets;
}

// What this rank has still to receive in this round, per source in order.
struct Inbox {
  std::vector<std::vector<Packet>> expected;
  std::vector<std::size_t> next;
  int left = 0;

  explicit Inbox(int round) : expected(check::size), next(check::size, 0) {
    for (int from = 0; from < check::size; ++from) {
      for (const Packet& packet : packets_of(round, from)) {
        if (packet.to == check::rank) expected[from].push_back(packet);
      }
      left += static_cast<int>(expected[from].size());
    }
  }
  void received(int from, const unsigned char* data, int count) {
    --left;
    if (!EXPECT_MSG(next[from] < expected[from].size(), "too many messages from %d", from)) return;
    const Packet& packet = expected[from][next[from]++];
    EXPECT_EQ(count, packet.size);
    long bad = check::first_difference(data, packet.size, packet.key);
    EXPECT_MSG(bad < 0, "message of %d bytes from %d is wrong at byte %ld", packet.size, from, bad);
  }
};

// Receives one message by a randomly chosen method; all take the sources as they come.
void receive_one(Inbox& inbox, Random& random, int tag, std::vector<unsigned char>& buffer) {
  MPI_Status status;
  MPI_Message message;
  int count = 0, flag = 0;
  switch (random.below(4)) {
    case 0:
      EXPECT_OK(MPI_Probe(MPI_ANY_SOURCE, tag, world(), &status));
      MPI_Get_count(&status, MPI_BYTE, &count);
      EXPECT_OK(MPI_Recv(buffer.data(), count, MPI_BYTE, status.MPI_SOURCE, tag, world(), &status));
      break;
    case 1:
      EXPECT_OK(MPI_Mprobe(MPI_ANY_SOURCE, tag, world(), &message, &status));
      MPI_Get_count(&status, MPI_BYTE, &count);
      EXPECT_OK(MPI_Mrecv(buffer.data(), count, MPI_BYTE, &message, &status));
      break;
    case 2:
      while (!flag) EXPECT_OK(MPI_Improbe(MPI_ANY_SOURCE, tag, world(), &flag, &message, &status));
      MPI_Get_count(&status, MPI_BYTE, &count);
      EXPECT_OK(MPI_Mrecv(buffer.data(), count, MPI_BYTE, &message, &status));
      break;
    default:
      EXPECT_OK(MPI_Recv(buffer.data(), static_cast<int>(buffer.size()), MPI_BYTE, MPI_ANY_SOURCE,
                         tag, world(), &status));
      MPI_Get_count(&status, MPI_BYTE, &count);
  }
  inbox.received(status.MPI_SOURCE, buffer.data(), count);
}

void random_traffic_among_all_ranks() {
  std::vector<unsigned char> buffer(8388608);
  for (int round = 0; round < 6; ++round) {
    Random random(2, round, check::rank);
    Inbox inbox(round);
    std::vector<std::vector<unsigned char>> data;
    std::vector<MPI_Request> requests;
    for (const Packet& packet : packets_of(round, check::rank)) {
      data.emplace_back(packet.size + 1);
      check::fill(data.back().data(), packet.size, packet.key);
      requests.emplace_back();
      auto send = random.chance(25) ? MPI_Issend : MPI_Isend;
      EXPECT_OK(send(data.back().data(), packet.size, MPI_BYTE, packet.to, round, world(),
                     &requests.back()));
      if (inbox.left > 0 &&
          random.chance(10)) {  // Interleave, but only take what is already there.
        int flag = 0;
        MPI_Status status;
        EXPECT_OK(MPI_Iprobe(MPI_ANY_SOURCE, round, world(), &flag, &status));
        if (flag) receive_one(inbox, random, round, buffer);
      }
    }
    while (inbox.left > 0) receive_one(inbox, random, round, buffer);
    EXPECT_OK(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE));
  }
}

// The window of posted receives is refilled as it completes, so that matching sees constant churn.
void sliding_window_of_wildcard_receives() {
  constexpr int kWindow = 16, kCount = 400, kSize = 3000;
  std::vector<std::vector<unsigned char>> in(kWindow, std::vector<unsigned char>(kSize));
  std::vector<MPI_Request> receives(kWindow, MPI_REQUEST_NULL);
  int total = kCount * check::size, posted = 0, sent = 0;
  std::vector<int> seen(check::size, 0);
  auto post = [&](int slot) {
    if (posted == total) return;
    ++posted;
    EXPECT_OK(
        MPI_Irecv(in[slot].data(), kSize, MPI_BYTE, MPI_ANY_SOURCE, 77, world(), &receives[slot]));
  };
  for (int slot = 0; slot < kWindow; ++slot) post(slot);
  std::vector<std::vector<unsigned char>> out(total);
  std::vector<MPI_Request> sends;
  for (int done = 0; done < total;) {
    for (int burst = 0; burst < 8 && sent < total; ++burst, ++sent) {
      int to = (check::rank + sent) % check::size;
      Random random(3, check::rank, sent);
      out[sent].resize(8 + random.below(kSize - 8));
      std::uint64_t key = random.next();
      std::memcpy(out[sent].data(), &key, 8);
      check::fill(out[sent].data() + 8, out[sent].size() - 8, key);
      sends.emplace_back();
      EXPECT_OK(MPI_Isend(out[sent].data(), static_cast<int>(out[sent].size()), MPI_BYTE, to, 77,
                          world(), &sends.back()));
    }
    int count = 0, slots[kWindow];
    MPI_Status statuses[kWindow];
    auto some = sent < total ? MPI_Testsome : MPI_Waitsome;
    EXPECT_OK(some(kWindow, receives.data(), &count, slots, statuses));
    if (!EXPECT(count != MPI_UNDEFINED)) return;
    for (int k = 0; k < count; ++k, ++done) {
      int length = 0;
      MPI_Get_count(&statuses[k], MPI_BYTE, &length);
      std::uint64_t key = 0;
      std::memcpy(&key, in[slots[k]].data(), 8);
      EXPECT(check::first_difference(in[slots[k]].data() + 8, length - 8, key) < 0);
      ++seen[statuses[k].MPI_SOURCE];
      post(slots[k]);
    }
  }
  EXPECT_OK(MPI_Waitall(static_cast<int>(sends.size()), sends.data(), MPI_STATUSES_IGNORE));
  for (int from = 0; from < check::size; ++from) EXPECT_EQ(seen[from], kCount);
  MPI_Barrier(world());
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(
      argc, argv,
      {{"eager_floods_head_to_head", eager_floods_head_to_head},
       {"rendezvous_floods_head_to_head", rendezvous_floods_head_to_head},
       {"many_to_one_in_reverse_order", many_to_one_in_reverse_order},
       {"all_pairs_exchange_large_messages", all_pairs_exchange_large_messages},
       {"random_traffic_among_all_ranks", random_traffic_among_all_ranks},
       {"sliding_window_of_wildcard_receives", sliding_window_of_wildcard_receives}});
}
