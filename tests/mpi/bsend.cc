// tests/mpi/bsend.cc - the buffers of buffered sends: attach, detach, overflow, automatic, per
// communicator.
//
// What makes a buffered send special is that it completes locally, whatever the receiver does, and
// that the attached memory is the only limit. The MPI 4.1 functions are compiled in when offered.
#include <memory>

#include "buffer.h"

namespace {

using check::Random;

int to() { return (check::rank + 1) % check::size; }
int from() { return (check::rank + check::size - 1) % check::size; }
MPI_Comm world() { return MPI_COMM_WORLD; }

void expect_message(MPI_Comm comm, int tag, int size, std::uint64_t key) {
  check::Buffer in(size);
  EXPECT_OK(MPI_Recv(in.data(), size, MPI_BYTE, from(), tag, comm, MPI_STATUS_IGNORE));
  in.holds(key, size, "buffered message");
}

// All ranks send everything before any of them receives; the user's buffer is reused at once.
void sends_complete_without_receives() {
  std::vector<int> sizes = {0, 1, 100, 5000, 70000, 300000, 17, 1 << 20};
  int room = 0;
  for (int size : sizes) room += size + 8 + MPI_BSEND_OVERHEAD;  // 8: a library may align.
  std::vector<char> memory(room);
  for (int round = 0; round < 5; ++round) {
    EXPECT_OK(MPI_Buffer_attach(memory.data(), room));
    std::vector<unsigned char> data(1 << 20);
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      check::fill(data.data(), sizes[i], check::rank * 100 + i);
      if (i % 2) {
        EXPECT_OK(MPI_Bsend(data.data(), sizes[i], MPI_BYTE, to(), static_cast<int>(i), world()));
      } else {
        MPI_Request request;
        EXPECT_OK(MPI_Ibsend(data.data(), sizes[i], MPI_BYTE, to(), static_cast<int>(i), world(),
                             &request));
        EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
      }
    }
    std::fill(data.begin(), data.end(), 0);
    MPI_Barrier(world());
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      expect_message(world(), static_cast<int>(i), sizes[i], from() * 100 + i);
    }
    void* address = nullptr;
    int size = 0;
    EXPECT_OK(MPI_Buffer_detach(&address, &size));
    EXPECT(address == memory.data());
    EXPECT_EQ(size, room);
  }
}

// Detaching waits for the delivery of what is buffered: right after it the memory may be destroyed.
void detach_keeps_messages_whole() {
  for (int size : {10, 3000, 200000}) {
    int room = 4 * (size + MPI_BSEND_OVERHEAD);
    auto memory = std::make_unique<char[]>(room);
    std::vector<unsigned char> data(size);
    MPI_Request receives[4];
    std::vector<check::Buffer> in(4, check::Buffer(size));
    for (int i = 0; i < 4; ++i)
      MPI_Irecv(in[i].data(), size, MPI_BYTE, from(), i, world(), &receives[i]);
    EXPECT_OK(MPI_Buffer_attach(memory.get(), room));
    for (int i = 0; i < 4; ++i) {
      check::fill(data.data(), size, check::rank + i);
      EXPECT_OK(MPI_Bsend(data.data(), size, MPI_BYTE, to(), i, world()));
    }
    void* address = nullptr;
    int detached = 0;
    EXPECT_OK(MPI_Buffer_detach(&address, &detached));
    std::memset(memory.get(), 0xFF, room);
    EXPECT_OK(MPI_Waitall(4, receives, MPI_STATUSES_IGNORE));
    for (int i = 0; i < 4; ++i) in[i].holds(from() + i, size, "message across a detach");
  }
}

void overflow_is_an_error_and_loses_nothing() {
  MPI_Comm_set_errhandler(world(), MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);  // Attaching has no communicator.
  constexpr int kSize = 1000, kRoom = 3 * (kSize + MPI_BSEND_OVERHEAD);
  std::vector<char> memory(kRoom), data(10 * kSize);
  check::fill(data.data(), kSize, check::rank);
  EXPECT_CLASS(MPI_Bsend(data.data(), kSize, MPI_BYTE, to(), 1, world()),
               MPI_ERR_BUFFER);  // None yet.
  EXPECT_OK(MPI_Buffer_attach(memory.data(), kRoom));
  EXPECT_CLASS(MPI_Bsend(data.data(), 10 * kSize, MPI_BYTE, to(), 1, world()), MPI_ERR_BUFFER);
  // A self-message nobody receives keeps its room, so that some later one must fail.
  int fitted = 0, error = MPI_SUCCESS;
  while (fitted < 100 && error == MPI_SUCCESS) {
    error = MPI_Bsend(data.data(), kSize, MPI_BYTE, check::rank, 2, world());
    if (error == MPI_SUCCESS) ++fitted;
  }
  // The standard promises room for three of these; a library that delivers to itself at once takes
  // all.
  EXPECT_MSG(fitted >= 3, "only %d messages fitted", fitted);
  if (error != MPI_SUCCESS) EXPECT_CLASS(error, MPI_ERR_BUFFER);
  for (int i = 0; i < fitted; ++i) {
    check::Buffer in(kSize);
    EXPECT_OK(MPI_Recv(in.data(), kSize, MPI_BYTE, check::rank, 2, world(), MPI_STATUS_IGNORE));
    in.holds(check::rank, kSize, "buffered message to oneself");
  }
  EXPECT_OK(MPI_Bsend(data.data(), kSize, MPI_BYTE, to(), 1, world()));  // Room again.
  expect_message(world(), 1, kSize, from());
  EXPECT_CLASS(MPI_Buffer_attach(memory.data(), kRoom), MPI_ERR_BUFFER);  // One at a time.
  void* address = nullptr;
  int size = 0;
  EXPECT_OK(MPI_Buffer_detach(&address, &size));
  MPI_Comm_set_errhandler(world(), MPI_ERRORS_ARE_FATAL);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_ARE_FATAL);
}

// The buffer is reclaimed as messages are delivered: far more passes through it than fits at once.
void room_is_reused() {
  constexpr int kSize = 5000, kRoom = 4 * (kSize + MPI_BSEND_OVERHEAD);
  std::vector<char> memory(kRoom);
  std::vector<unsigned char> data(kSize);
  EXPECT_OK(MPI_Buffer_attach(memory.data(), kRoom));
  for (int i = 0; i < 200; ++i) {
    Random sent(1, check::rank, i), coming(1, from(), i);
    int out_size = sent.below(kSize), in_size = coming.below(kSize);
    check::fill(data.data(), out_size, sent.next());
    EXPECT_OK(MPI_Bsend(data.data(), out_size, MPI_BYTE, to(), i, world()));
    expect_message(world(), i, in_size, coming.next());
    // The next rank has received: at most one of ours is ever in the buffer.
    MPI_Sendrecv(nullptr, 0, MPI_BYTE, from(), 999, nullptr, 0, MPI_BYTE, to(), 999, world(),
                 MPI_STATUS_IGNORE);
  }
  void* address = nullptr;
  int size = 0;
  EXPECT_OK(MPI_Buffer_detach(&address, &size));
}

#if MPI_AT_LEAST(4, 1)
void send_many(MPI_Comm comm, int count, int size) {
  std::vector<unsigned char> data(size);
  for (int i = 0; i < count; ++i) {
    check::fill(data.data(), size, check::rank * 1000 + i);
    EXPECT_OK(MPI_Bsend(data.data(), size, MPI_BYTE, to(), i, comm));
  }
}
void receive_many(MPI_Comm comm, int count, int size) {
  for (int i = 0; i < count; ++i) expect_message(comm, i, size, from() * 1000 + i);
}

void automatic_buffer_has_no_limit() {
  EXPECT_OK(MPI_Buffer_attach(MPI_BUFFER_AUTOMATIC, 0));
  send_many(world(), 100, 50000);
  MPI_Barrier(world());
  receive_many(world(), 100, 50000);
  EXPECT_OK(MPI_Buffer_flush());
  void* address = nullptr;
  int size = -1;
  EXPECT_OK(MPI_Buffer_detach(&address, &size));
  EXPECT(address == MPI_BUFFER_AUTOMATIC);
  EXPECT_EQ(size, 0);
}

// A communicator's own buffer is used for its messages alone; the process's buffer for the others.
void communicators_have_their_own_buffers() {
  MPI_Comm comm;
  MPI_Comm_dup(world(), &comm);
  MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(world(), MPI_ERRORS_RETURN);
  constexpr int kSize = 2000;
  std::vector<char> memory(10 * (kSize + MPI_BSEND_OVERHEAD));
  int room = static_cast<int>(memory.size());
  EXPECT_OK(MPI_Comm_attach_buffer(comm, memory.data(), room));
  send_many(comm, 10, kSize);
  char byte = 0;
  EXPECT_CLASS(MPI_Bsend(&byte, 1, MPI_BYTE, to(), 0, world()), MPI_ERR_BUFFER);
  receive_many(comm, 10, kSize);
  MPI_Barrier(comm);
  EXPECT_OK(MPI_Comm_flush_buffer(comm));
  send_many(comm, 10, kSize);  // All the room is free again after a flush.
  MPI_Request request;
  receive_many(comm, 10, kSize);
  EXPECT_OK(MPI_Comm_iflush_buffer(comm, &request));
  EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
  void* address = nullptr;
  int size = 0;
  EXPECT_OK(MPI_Comm_detach_buffer(comm, &address, &size));
  EXPECT(address == memory.data());
  EXPECT_EQ(size, room);
  EXPECT_CLASS(MPI_Bsend(&byte, 1, MPI_BYTE, to(), 0, comm), MPI_ERR_BUFFER);
  EXPECT_OK(MPI_Comm_attach_buffer(comm, MPI_BUFFER_AUTOMATIC, 0));
  send_many(comm, 50, 10000);
  receive_many(comm, 50, 10000);
  EXPECT_OK(MPI_Comm_detach_buffer(comm, &address, &size));
  EXPECT(address == MPI_BUFFER_AUTOMATIC);
  MPI_Comm_free(&comm);
  MPI_Comm_set_errhandler(world(), MPI_ERRORS_ARE_FATAL);
}

void flush_waits_for_delivery() {
  constexpr int kSize = 30000, kRoom = 4 * (kSize + MPI_BSEND_OVERHEAD);
  std::vector<char> memory(kRoom);
  EXPECT_OK(MPI_Buffer_attach(memory.data(), kRoom));
  for (int round = 0; round < 20; ++round) {
    send_many(world(), 4, kSize);
    MPI_Request request;
    EXPECT_OK(MPI_Buffer_iflush(&request));
    receive_many(world(), 4, kSize);
    EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    if (round % 2) EXPECT_OK(MPI_Buffer_flush());
  }
  void* address = nullptr;
  MPI_Count size = 0;
  EXPECT_OK(MPI_Buffer_detach_c(&address, &size));
  EXPECT_EQ(size, kRoom);
}
#endif

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv, {
    {"sends_complete_without_receives", sends_complete_without_receives},
        {"detach_keeps_messages_whole", detach_keeps_messages_whole},
        {"overflow_is_an_error_and_loses_nothing", overflow_is_an_error_and_loses_nothing},
#if MPI_AT_LEAST(4, 1)
        {"automatic_buffer_has_no_limit", automatic_buffer_has_no_limit},
        {"communicators_have_their_own_buffers", communicators_have_their_own_buffers},
        {"flush_waits_for_delivery", flush_waits_for_delivery},
#endif
    {
      "room_is_reused", room_is_reused
    }
  });
}
