// mpi_api/join_call.cc - MPI_Comm_join (MPI-5.0 section 11.10.2): two processes that have a socket
// in common become connected.
//
// Each writes a line "random number, port name" of fixed length to the socket. Who has the smaller
// number serves its port, the other one connects to it. The socket is then as it was.
// Failure: MPI_ERR_OTHER when the other end is closed or silent for TERN_CONNECT_TIMEOUT.
#include <poll.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "impl.h"
#include "mpi_api/errors.h"
#include "mpi_api/fabrics.h"
#include "mpi_api/port.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

struct Greeting {
  std::array<char, 8> magic{'t', 'e', 'r', 'n', 'j', 'o', 'i', 'n'};
  std::uint64_t lot = 0;
  std::array<char, spawn::kPortNameLongest + 2> port{};
};
static_assert(sizeof(Greeting) == 272);

int socket_failure(int fd, const char* what) {
  return fail(MPI_ERR_OTHER, "argument `fd` is {}: {}", fd, what);
}

// Moves all bytes one way before the deadline; progress goes on meanwhile.
template <class Move>
int transfer(int fd, short event, std::size_t size, Deadline deadline, Move move) {
  std::size_t done = 0;
  const char* failure = nullptr;
  engine().wait_until([&] {
    pollfd ready{.fd = fd, .events = event, .revents = 0};
    if (::poll(&ready, 1, 0) > 0) {
      const ssize_t moved = move(done);
      if (moved > 0) done += static_cast<std::size_t>(moved);
      if (moved == 0) failure = "the other end has closed the socket";
      if (moved < 0 && errno != EAGAIN && errno != EINTR) failure = std::strerror(errno);
    }
    if (deadline && std::chrono::steady_clock::now() >= *deadline) {
      failure =
          "the other end does not call MPI_Comm_join in the time that TERN_CONNECT_TIMEOUT "
          "allows";
    }
    return done == size || failure != nullptr;
  });
  return done == size ? MPI_SUCCESS : socket_failure(fd, failure);
}

int swap(int fd, const Greeting& mine, Greeting& theirs, Deadline deadline) {
  const auto* const out = reinterpret_cast<const char*>(&mine);
  auto* const in = reinterpret_cast<char*>(&theirs);
  const auto send = [&](std::size_t done) { return ::write(fd, out + done, sizeof mine - done); };
  const auto receive = [&](std::size_t done) {
    return ::read(fd, in + done, sizeof theirs - done);
  };
  if (const int error = transfer(fd, POLLOUT, sizeof mine, deadline, send)) return error;
  if (const int error = transfer(fd, POLLIN, sizeof theirs, deadline, receive)) return error;
  return theirs.magic == mine.magic && theirs.port.back() == '\0'
             ? MPI_SUCCESS
             : socket_failure(fd,
                              "what came is not from Tern's MPI_Comm_join; the socket must be "
                              "quiet before the call");
}

}  // namespace

namespace impl {

int comm_join(int fd, Comm** intercomm) {
  const Deadline deadline = connect_deadline();
  std::string port;
  runtime().fabrics->open_rest(engine());  // The socket may come from anywhere.
  if (const int error = contact_desk().open_port(port)) return error;
  Greeting mine;
  Greeting theirs;
  std::memcpy(mine.port.data(), port.c_str(), port.size() + 1);
  int error = MPI_SUCCESS;
  if (::getrandom(&mine.lot, sizeof mine.lot, 0) != sizeof mine.lot) {
    error = fail(MPI_ERR_OTHER, "the system gives no random numbers for a connection");
  }
  if (error == MPI_SUCCESS) error = swap(fd, mine, theirs, deadline);
  if (error == MPI_SUCCESS) {
    const auto join = [&](std::span<const std::byte> own, std::vector<std::byte>& other) {
      return mine.lot < theirs.lot
                 ? contact_desk().accept(port, deadline, own, other)
                 : contact_desk().connect(theirs.port.data(), deadline, own, other);
    };
    error = meet(*runtime().self, 0, join, intercomm);
  }
  contact_desk().close_port(port);
  return error;
}

}  // namespace impl
}  // namespace tern::mpi
