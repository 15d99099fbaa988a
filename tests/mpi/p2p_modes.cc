// tests/mpi/p2p_modes.cc - every send mode and every way to receive, over all message sizes.
//
// Ranks are paired; both ends of a pair draw the same plan from the seed. Covers the protocol
// boundaries (each listed size and its neighbours), posted and unexpected arrival, misaligned
// buffers, status contents and that nothing outside the message is touched. Not here: matching
// order (p2p_matching), buffered-send buffers as such (bsend).
#include <memory>

#include "buffer.h"

namespace {

using check::Buffer;
using check::Random;

enum class SendMode {
  kSend,
  kBsend,
  kSsend,
  kRsend,
  kIsend,
  kIbsend,
  kIssend,
  kIrsend,
  kSendInit,
  kBsendInit,
  kSsendInit,
  kRsendInit,
  kCount
};
enum class ReceiveMode { kRecv, kIrecvWait, kIrecvTest, kRecvInit, kCount };

bool is_ready(SendMode mode) {
  return mode == SendMode::kRsend || mode == SendMode::kIrsend || mode == SendMode::kRsendInit;
}

constexpr int kDataTag = 7;
constexpr int kPostedTag = 8;  // "My receive is posted", which is what makes a ready send legal.

// Starts (or for a blocking mode, does) the send; the returned request may be null.
MPI_Request start_send(SendMode mode, const void* data, int size, int to) {
  MPI_Comm comm = MPI_COMM_WORLD;
  MPI_Request request = MPI_REQUEST_NULL;
  switch (mode) {
    case SendMode::kSend:
      EXPECT_OK(MPI_Send(data, size, MPI_BYTE, to, kDataTag, comm));
      break;
    case SendMode::kBsend:
      EXPECT_OK(MPI_Bsend(data, size, MPI_BYTE, to, kDataTag, comm));
      break;
    case SendMode::kSsend:
      EXPECT_OK(MPI_Ssend(data, size, MPI_BYTE, to, kDataTag, comm));
      break;
    case SendMode::kRsend:
      EXPECT_OK(MPI_Rsend(data, size, MPI_BYTE, to, kDataTag, comm));
      break;
    case SendMode::kIsend:
      EXPECT_OK(MPI_Isend(data, size, MPI_BYTE, to, kDataTag, comm, &request));
      break;
    case SendMode::kIbsend:
      EXPECT_OK(MPI_Ibsend(data, size, MPI_BYTE, to, kDataTag, comm, &request));
      break;
    case SendMode::kIssend:
      EXPECT_OK(MPI_Issend(data, size, MPI_BYTE, to, kDataTag, comm, &request));
      break;
    case SendMode::kIrsend:
      EXPECT_OK(MPI_Irsend(data, size, MPI_BYTE, to, kDataTag, comm, &request));
      break;
    case SendMode::kSendInit:
      EXPECT_OK(MPI_Send_init(data, size, MPI_BYTE, to, kDataTag, comm, &request));
      break;
    case SendMode::kBsendInit:
      EXPECT_OK(MPI_Bsend_init(data, size, MPI_BYTE, to, kDataTag, comm, &request));
      break;
    case SendMode::kSsendInit:
      EXPECT_OK(MPI_Ssend_init(data, size, MPI_BYTE, to, kDataTag, comm, &request));
      break;
    case SendMode::kRsendInit:
      EXPECT_OK(MPI_Rsend_init(data, size, MPI_BYTE, to, kDataTag, comm, &request));
      break;
    case SendMode::kCount:
      break;
  }
  if (mode >= SendMode::kSendInit) EXPECT_OK(MPI_Start(&request));
  return request;
}

void finish_send(SendMode mode, MPI_Request request) {
  if (request == MPI_REQUEST_NULL) return;
  EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
  if (mode >= SendMode::kSendInit) {
    EXPECT(request != MPI_REQUEST_NULL);  // Persistent: inactive, not gone.
    EXPECT_OK(MPI_Request_free(&request));
  }
  EXPECT(request == MPI_REQUEST_NULL);
}

void send_side(SendMode mode, int size, int to, std::uint64_t key, int misalignment) {
  Buffer buffer(size, misalignment);
  buffer.fill(key);
  if (is_ready(mode)) {
    MPI_Recv(nullptr, 0, MPI_BYTE, to, kPostedTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }
  MPI_Request request = start_send(mode, buffer.data(), size, to);
  finish_send(mode, request);
  buffer.holds(key, size, "send buffer after the send");
}

void receive_side(SendMode send_mode, ReceiveMode mode, int size, int room, int from,
                  std::uint64_t key, int misalignment) {
  Buffer buffer(room, misalignment);
  MPI_Comm comm = MPI_COMM_WORLD;
  MPI_Status status;
  status.MPI_ERROR = 4711;  // Calls that return one status must leave this field alone.
  MPI_Request request = MPI_REQUEST_NULL;
  if (is_ready(send_mode) && mode == ReceiveMode::kRecv) mode = ReceiveMode::kIrecvWait;
  if (mode == ReceiveMode::kRecv) {
    EXPECT_OK(MPI_Recv(buffer.data(), room, MPI_BYTE, from, kDataTag, comm, &status));
  } else if (mode == ReceiveMode::kRecvInit) {
    EXPECT_OK(MPI_Recv_init(buffer.data(), room, MPI_BYTE, from, kDataTag, comm, &request));
    EXPECT_OK(MPI_Start(&request));
  } else {
    EXPECT_OK(MPI_Irecv(buffer.data(), room, MPI_BYTE, from, kDataTag, comm, &request));
  }
  if (is_ready(send_mode)) MPI_Send(nullptr, 0, MPI_BYTE, from, kPostedTag, comm);
  if (mode == ReceiveMode::kIrecvTest) {
    for (int done = 0; !done;) EXPECT_OK(MPI_Test(&request, &done, &status));
  } else if (request != MPI_REQUEST_NULL) {
    EXPECT_OK(MPI_Wait(&request, &status));
  }
  if (mode == ReceiveMode::kRecvInit) EXPECT_OK(MPI_Request_free(&request));
  EXPECT(request == MPI_REQUEST_NULL);
  int count = -1;
  EXPECT_OK(MPI_Get_count(&status, MPI_BYTE, &count));
  EXPECT_EQ(count, size);
  EXPECT_EQ(status.MPI_SOURCE, from);
  EXPECT_EQ(status.MPI_TAG, kDataTag);
  EXPECT_EQ(status.MPI_ERROR, 4711);
  buffer.holds(key, size, "received message");
}

// One message inside the pair (low, high); both ends call this with the same random stream.
void one_message(Random& random, SendMode mode, int size, int low, int high) {
  int from = random.chance(50) ? low : high;
  int to = low + high - from;
  auto receive_mode = static_cast<ReceiveMode>(random.below(static_cast<int>(ReceiveMode::kCount)));
  int room = random.chance(50) ? size : size + random.below(200);
  int send_misalignment = random.below(17), receive_misalignment = random.below(17);
  std::uint64_t key = random.next();
  if (check::rank == from) send_side(mode, size, to, key, send_misalignment);
  if (check::rank == to)
    receive_side(mode, receive_mode, size, room, from, key, receive_misalignment);
}

// An attached buffer that holds the largest message, detached (which waits for delivery) at the
// end.
class BsendBuffer {
 public:
  explicit BsendBuffer(int message)
      : size_(message + MPI_BSEND_OVERHEAD), memory_(new char[size_]) {
    MPI_Buffer_attach(memory_.get(), size_);
  }
  ~BsendBuffer() {
    void* address = nullptr;
    int size = 0;
    MPI_Buffer_detach(&address, &size);
    EXPECT(address == memory_.get());
    EXPECT_EQ(size, size_);
  }

 private:
  int size_;
  std::unique_ptr<char[]> memory_;
};

// Runs every mode with every size inside each pair (2k, 2k + 1); a rank without partner looks on.
void sweep(const std::vector<int>& sizes, int pairs) {
  BsendBuffer attached(2 * sizes.back() + 16 * MPI_BSEND_OVERHEAD);
  int low = check::rank & ~1, high = low + 1;
  if (high >= check::size || low / 2 >= pairs) return;
  Random random(1, low, sizes.size());
  for (int mode = 0; mode < static_cast<int>(SendMode::kCount); ++mode) {
    for (int size : sizes) {
      // A buffered send's room is only free again after delivery, which a reply proves.
      one_message(random, static_cast<SendMode>(mode), size, low, high);
      int peer = low + high - check::rank;
      MPI_Sendrecv(nullptr, 0, MPI_BYTE, peer, 9, nullptr, 0, MPI_BYTE, peer, 9, MPI_COMM_WORLD,
                   MPI_STATUS_IGNORE);
    }
  }
}

void small_messages_in_every_mode() { sweep(check::small_sizes(), check::size); }
void medium_messages_in_every_mode() { sweep(check::medium_sizes(), check::size); }
void large_messages_in_every_mode() { sweep(check::large_sizes(), 1); }

// Random pairs across all ranks, so that every pair of ranks meets in both directions.
void random_pairs() {
  constexpr int kRounds = 120, kBufferedMax = 131073;
  // A sender may run ahead of the receivers by all rounds: there must be room for that.
  BsendBuffer attached(kRounds * (kBufferedMax + MPI_BSEND_OVERHEAD));
  for (int round = 0; round < kRounds; ++round) {
    Random plan(2, round);
    std::vector<int> order(check::size);
    for (int i = 0; i < check::size; ++i) order[i] = i;
    plan.shuffle(order);
    for (int i = 0; i + 1 < check::size; i += 2) {
      Random random(3, round, i);
      auto mode = static_cast<SendMode>(random.below(static_cast<int>(SendMode::kCount)));
      bool buffered =
          mode == SendMode::kBsend || mode == SendMode::kIbsend || mode == SendMode::kBsendInit;
      int size = check::random_size(random, buffered ? 0 : 1);
      if (check::rank == order[i] || check::rank == order[i + 1]) {
        one_message(random, mode, size, order[i], order[i + 1]);
      }
    }
  }
}

// The message is there before the receive: data first, then a note, and the receive only after it.
void unexpected_in_every_nonblocking_mode() {
  int low = check::rank & ~1, high = low + 1;
  if (high >= check::size) return;
  BsendBuffer attached(16 << 20);
  Random random(4, low);
  std::vector<int> sizes = check::small_sizes();
  for (int size : check::medium_sizes()) sizes.push_back(size);
  sizes.push_back(1 << 20);
  for (int size : sizes) {
    auto mode =
        random.pick(std::vector<SendMode>{SendMode::kIsend, SendMode::kIssend, SendMode::kIbsend,
                                          SendMode::kSendInit, SendMode::kSsendInit});
    std::uint64_t key = random.next();
    if (check::rank == low) {
      Buffer buffer(size);
      buffer.fill(key);
      MPI_Request request = start_send(mode, buffer.data(), size, high);
      MPI_Send(nullptr, 0, MPI_BYTE, high, kPostedTag, MPI_COMM_WORLD);
      finish_send(mode, request);
      MPI_Recv(nullptr, 0, MPI_BYTE, high, kPostedTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    } else {
      MPI_Recv(nullptr, 0, MPI_BYTE, low, kPostedTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      receive_side(mode, ReceiveMode::kRecv, size, size, low, key, 0);
      MPI_Send(nullptr, 0, MPI_BYTE, low, kPostedTag, MPI_COMM_WORLD);
    }
  }
}

// A persistent pair started many times with the contents changing in between.
void persistent_requests_restart() {
  int low = check::rank & ~1, high = low + 1;
  if (high >= check::size) return;
  int peer = low + high - check::rank;
  for (int size : {0, 5, 96, 3000, 70000}) {
    Buffer out(size), in(size);
    MPI_Request requests[2];
    EXPECT_OK(MPI_Recv_init(in.data(), size, MPI_BYTE, peer, 3, MPI_COMM_WORLD, &requests[0]));
    EXPECT_OK(MPI_Send_init(out.data(), size, MPI_BYTE, peer, 3, MPI_COMM_WORLD, &requests[1]));
    for (int round = 0; round < 50; ++round) {
      out.fill(check::mix(check::rank * 1000 + round));
      EXPECT_OK(MPI_Startall(2, requests));
      MPI_Status statuses[2];
      EXPECT_OK(MPI_Waitall(2, requests, statuses));
      EXPECT_EQ(statuses[0].MPI_SOURCE, peer);
      if (!in.holds(check::mix(peer * 1000 + round), size, "persistent receive")) break;
    }
    EXPECT_OK(MPI_Request_free(&requests[0]));
    EXPECT_OK(MPI_Request_free(&requests[1]));
    EXPECT(requests[0] == MPI_REQUEST_NULL && requests[1] == MPI_REQUEST_NULL);
  }
}

// One rank alone still has itself to talk to.
void to_oneself() {
  BsendBuffer attached(20 << 20);
  Random random(5, check::rank);
  for (int round = 0; round < 60; ++round) {
    int size = check::random_size(random, 3);
    std::uint64_t key = random.next();
    Buffer out(size, random.below(9)), in(size, random.below(9));
    out.fill(key);
    auto mode = random.pick(std::vector<SendMode>{
        SendMode::kIsend, SendMode::kIssend, SendMode::kIbsend, SendMode::kBsend,
        SendMode::kSendInit, SendMode::kIrsend, SendMode::kRsend, SendMode::kSsend});
    bool needs_posted = is_ready(mode) || mode == SendMode::kSsend;
    bool posted_first = needs_posted || random.chance(50);
    MPI_Request receive = MPI_REQUEST_NULL, send = MPI_REQUEST_NULL;
    if (!posted_first) send = start_send(mode, out.data(), size, check::rank);
    EXPECT_OK(
        MPI_Irecv(in.data(), size, MPI_BYTE, check::rank, kDataTag, MPI_COMM_WORLD, &receive));
    if (posted_first) send = start_send(mode, out.data(), size, check::rank);
    MPI_Status status;
    EXPECT_OK(MPI_Wait(&receive, &status));
    finish_send(mode, send);
    EXPECT_EQ(status.MPI_SOURCE, check::rank);
    in.holds(key, size, "message to oneself");
  }
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(
      argc, argv,
      {{"small_messages_in_every_mode", small_messages_in_every_mode},
       {"medium_messages_in_every_mode", medium_messages_in_every_mode},
       {"large_messages_in_every_mode", large_messages_in_every_mode},
       {"random_pairs", random_pairs},
       {"unexpected_in_every_nonblocking_mode", unexpected_in_every_nonblocking_mode},
       {"persistent_requests_restart", persistent_requests_restart},
       {"to_oneself", to_oneself}});
}
