// survive.cc - traffic whose every byte is checked, for as long as asked, while somebody breaks the
// network. Usage: survive SECONDS [expect-loss|pause]
//
// Rounds of exchanges between all pairs, with sizes of every protocol. With expect-loss the program
// succeeds when a peer is lost: the error must be returned (not raised otherwise, not a hang), and
// its text is printed. With pause it waits between MPI_Init ("initialized") and its first message.
// Prints "running" when all are connected.
#include <mpi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
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

// One exchange of `length` bytes with every other rank; false when MPI reported an error.
bool exchange(std::size_t length) {
  std::vector<std::vector<unsigned char>> out(static_cast<std::size_t>(size));
  std::vector<std::vector<unsigned char>> in(static_cast<std::size_t>(size));
  std::vector<MPI_Request> requests;
  bool ok = true;
  for (int step = 1; step < size && ok; ++step) {
    const int peer = (rank + step) % size;
    auto& to = out[static_cast<std::size_t>(peer)];
    auto& from = in[static_cast<std::size_t>(peer)];
    to.resize(length);
    from.assign(length, 0);
    for (std::size_t i = 0; i < length; ++i) to[i] = pattern(rank, peer, rounds, i);
    requests.resize(requests.size() + 2, MPI_REQUEST_NULL);
    MPI_Request* const two = &requests[requests.size() - 2];
    ok = check(MPI_Irecv(from.data(), static_cast<int>(length), MPI_BYTE, peer, 5, MPI_COMM_WORLD,
                         &two[0]),
               "MPI_Irecv") &&
         check(MPI_Isend(to.data(), static_cast<int>(length), MPI_BYTE, peer, 5, MPI_COMM_WORLD,
                         &two[1]),
               "MPI_Isend");
  }
  for (MPI_Request& request : requests) {
    if (request != MPI_REQUEST_NULL)
      ok = check(MPI_Wait(&request, MPI_STATUS_IGNORE), "MPI_Wait") && ok;
    if (!ok) return false;
  }
  for (int peer = 0; peer < size; ++peer) {
    const auto& from = in[static_cast<std::size_t>(peer)];
    for (std::size_t i = 0; i < from.size(); ++i) {
      if (from[i] == pattern(peer, rank, rounds, i)) continue;
      std::printf("WRONG DATA from %d in round %llu, byte %zu of %zu\n", peer, rounds, i, length);
      std::exit(3);
    }
    bytes += from.size();
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const double seconds = argc > 1 ? std::atof(argv[1]) : 1;
  const bool expect_loss = argc > 2 && std::strcmp(argv[2], "expect-loss") == 0;
  if (argc > 2 && std::strcmp(argv[2], "pause") == 0) {
    std::printf("initialized\n");
    std::fflush(stdout);
    sleep(8);
  }
  const std::size_t sizes[] = {0, 8, 200, 4000, 9000, 16384, 60000, 400000};
  const double end = MPI_Wtime() + seconds;
  bool ok = true;
  for (int go_on = 1; go_on != 0 && ok;) {
    for (const std::size_t length : sizes) ok = ok && exchange(length);
    if (!ok) break;
    if (++rounds == 1 && rank == 0) {
      std::printf("running\n");
      std::fflush(stdout);
    }
    go_on = MPI_Wtime() < end ? 1 : 0;
    ok = check(MPI_Bcast(&go_on, 1, MPI_INT, 0, MPI_COMM_WORLD), "MPI_Bcast");
  }
  if (!ok) {
    std::fflush(stdout);
    std::_Exit(expect_loss ? 0 : 4);  // There is nobody left to finalize with.
  }
  std::printf("rank %d: %llu rounds, %llu bytes, all right\n", rank, rounds, bytes);
  MPI_Finalize();
  return expect_loss ? 5 : 0;
}
