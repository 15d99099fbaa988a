// survive.cc - traffic whose every byte is checked, for as long as asked, while somebody breaks the
// network. Usage: survive SECONDS [WORD...]
//
// Rounds of exchanges between all pairs, with sizes of every protocol; large messages are sent out
// of memory with gaps in one round and received into such memory in the next. Prints "running" when
// all are connected. Words:
//   expect-loss   it succeeds when a peer is lost: the error must be returned (not raised
//                 otherwise, not a hang); its text is printed
//   may-lose      it succeeds either way
//   pause         it waits for SIGUSR1 between MPI_Init ("initialized") and its first message
//   eager, large  only messages that are copied, only such that are read by their receiver
//   listen        after the first round the last rank computes, and all others wait for its message
#include <mpi.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

namespace {

int rank = 0;
int size = 0;
unsigned long long rounds = 0;
unsigned long long bytes = 0;

unsigned char pattern(int from, int to, unsigned long long round, std::size_t i) {
  return static_cast<unsigned char>(from * 31 + to * 17 + static_cast<int>(round) * 7 +
                                    static_cast<int>(i * 13 + (i >> 8)));
}

bool check(int error, const char* what) {
  if (error == MPI_SUCCESS) return true;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(error, text, &length);
  int error_class = 0;
  MPI_Error_class(error, &error_class);
  std::printf("lost in %s, class %d: %s\n", what, error_class, text);
  return false;
}

// A message's memory: in one piece, or in blocks with gaps.
struct Buffer {
  Buffer() = default;
  Buffer(std::size_t length, bool with_gaps) : gaps(with_gaps) {
    const std::size_t blocks = (length + kBlock - 1) / kBlock;
    memory.assign(gaps ? blocks * kStride : length, 0);
    count = static_cast<int>(gaps ? blocks : length);
  }
  unsigned char& operator[](std::size_t i) {
    return memory[gaps ? i / kBlock * kStride + i % kBlock : i];
  }
  MPI_Datatype type() const { return gaps ? spread : MPI_BYTE; }

  static constexpr std::size_t kBlock = 2000;  // Divides all lengths of large messages.
  static constexpr std::size_t kStride = 3000;
  static MPI_Datatype spread;  // A block and the gap behind it.
  std::vector<unsigned char> memory;
  int count = 0;
  bool gaps = false;
};
MPI_Datatype Buffer::spread = MPI_DATATYPE_NULL;

// One exchange of `length` bytes with every other rank; false when MPI reported an error.
bool exchange(std::size_t length) {
  const bool is_large = length >= 60000;
  std::vector<Buffer> out(static_cast<std::size_t>(size));
  std::vector<Buffer> in(static_cast<std::size_t>(size));
  std::vector<MPI_Request> requests;
  bool ok = true;
  for (int step = 1; step < size && ok; ++step) {
    const int peer = (rank + step) % size;
    auto& to = out[static_cast<std::size_t>(peer)];
    auto& from = in[static_cast<std::size_t>(peer)];
    to = Buffer(length, is_large && rounds % 3 == 1);
    from = Buffer(length, is_large && rounds % 3 == 2);
    for (std::size_t i = 0; i < length; ++i) to[i] = pattern(rank, peer, rounds, i);
    requests.resize(requests.size() + 2, MPI_REQUEST_NULL);
    MPI_Request* const two = &requests[requests.size() - 2];
    ok = check(MPI_Irecv(from.memory.data(), from.count, from.type(), peer, 5, MPI_COMM_WORLD,
                         &two[0]),
               "MPI_Irecv") &&
         check(MPI_Isend(to.memory.data(), to.count, to.type(), peer, 5, MPI_COMM_WORLD, &two[1]),
               "MPI_Isend");
  }
  for (MPI_Request& request : requests) {
    if (request != MPI_REQUEST_NULL)
      ok = check(MPI_Wait(&request, MPI_STATUS_IGNORE), "MPI_Wait") && ok;
    if (!ok) return false;
  }
  for (int peer = 0; peer < size; ++peer) {
    if (peer == rank) continue;
    auto& from = in[static_cast<std::size_t>(peer)];
    for (std::size_t i = 0; i < length; ++i) {
      if (from[i] == pattern(peer, rank, rounds, i)) continue;
      std::printf("WRONG DATA from %d in round %llu, byte %zu of %zu\n", peer, rounds, i, length);
      std::exit(3);
    }
    bytes += length;
  }
  return true;
}

// The last rank does nothing for `seconds`, the others wait for it.
bool listen(double seconds) {
  int word = 0;
  if (rank < size - 1) {
    return check(MPI_Recv(&word, 1, MPI_INT, size - 1, 6, MPI_COMM_WORLD, MPI_STATUS_IGNORE),
                 "MPI_Recv");
  }
  sleep(static_cast<unsigned>(seconds));
  bool ok = true;
  for (int peer = 0; peer < size - 1 && ok; ++peer)
    ok = check(MPI_Send(&word, 1, MPI_INT, peer, 6, MPI_COMM_WORLD), "MPI_Send");
  return ok;
}

}  // namespace

int main(int argc, char** argv) {
  sigset_t go_on_signal;
  sigemptyset(&go_on_signal);
  sigaddset(&go_on_signal, SIGUSR1);
  sigprocmask(SIG_BLOCK, &go_on_signal, nullptr);
  MPI_Init(&argc, &argv);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Datatype block = MPI_DATATYPE_NULL;
  MPI_Type_contiguous(Buffer::kBlock, MPI_BYTE, &block);
  MPI_Type_create_resized(block, 0, Buffer::kStride, &Buffer::spread);
  MPI_Type_free(&block);
  MPI_Type_commit(&Buffer::spread);
  const double seconds = argc > 1 ? std::atof(argv[1]) : 1;
  const auto told = [&](const char* word) {
    for (int i = 2; i < argc; ++i) {
      if (std::strcmp(argv[i], word) == 0) return true;
    }
    return false;
  };
  const bool expect_loss = told("expect-loss");
  if (told("pause")) {
    std::printf("initialized\n");
    std::fflush(stdout);
    const timespec at_most{60, 0};
    sigtimedwait(&go_on_signal, nullptr, &at_most);
  }
  constexpr std::size_t kSizes[] = {0, 8, 200, 4000, 9000, 16384, 60000, 400000, 3000000};
  constexpr std::size_t kEager = 6;
  const std::span all(kSizes);
  const auto sizes = told("eager")   ? all.first(kEager)
                     : told("large") ? all.subspan(kEager)
                                     : all.first(all.size() - 1);
  const double end = MPI_Wtime() + seconds;
  bool ok = true;
  for (int go_on = 1; go_on != 0 && ok;) {
    for (const std::size_t length : sizes) ok = ok && exchange(length);
    if (!ok) break;
    if (++rounds == 1 && rank == 0) {
      std::printf("running\n");
      std::fflush(stdout);
    }
    if (told("listen")) ok = listen(seconds);
    go_on = ok && MPI_Wtime() < end ? 1 : 0;
    ok = ok && check(MPI_Bcast(&go_on, 1, MPI_INT, 0, MPI_COMM_WORLD), "MPI_Bcast");
  }
  if (!ok) {
    std::fflush(stdout);
    std::_Exit(expect_loss || told("may-lose") ? 0 : 4);  // There is nobody left to finalize with.
  }
  std::printf("rank %d: %llu rounds, %llu bytes, all right\n", rank, rounds, bytes);
  MPI_Finalize();
  return expect_loss ? 5 : 0;
}
