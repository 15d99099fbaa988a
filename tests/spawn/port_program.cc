// tests/spawn/port_program.cc - what the jobs of the port tests do; a plain MPI program.
//
// port_program VERB ARGUMENTS...; the Python scripts beside it say in which combinations. A line
// "ok ..." on stdout is rank 0's word that everything it checked was right.
#include <mpi.h>
#include <mpix.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace {

int rank = 0;
int size = 1;

#define REQUIRE(condition)                                                                \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: rank %d: %s\n", __FILE__, __LINE__, rank, #condition); \
      MPI_Abort(MPI_COMM_WORLD, 9);                                                       \
    }                                                                                     \
  } while (false)

void say(const std::string& text) {
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

std::string read_file(const char* path) {
  std::string line;
  std::getline(std::ifstream(path), line);
  return line;
}

void write_file(const std::string& path, const std::string& text) {
  const std::string unfinished = path + ".new";
  std::ofstream(unfinished) << text << '\n';
  REQUIRE(std::rename(unfinished.c_str(), path.c_str()) == 0);
}

// "CLASS text" of an error code.
std::string words(int error) {
  int error_class = 0;
  int length = 0;
  char text[MPI_MAX_ERROR_STRING];
  MPI_Error_class(error, &error_class);
  MPI_Error_string(error, text, &length);
  const char* name = error_class == MPI_SUCCESS            ? "MPI_SUCCESS"
                     : error_class == MPI_ERR_PORT         ? "MPI_ERR_PORT"
                     : error_class == MPI_ERR_NAME         ? "MPI_ERR_NAME"
                     : error_class == MPI_ERR_SERVICE      ? "MPI_ERR_SERVICE"
                     : error_class == MPI_ERR_PROC_ABORTED ? "MPI_ERR_PROC_ABORTED"
                     : error_class == MPI_ERR_INFO_VALUE   ? "MPI_ERR_INFO_VALUE"
                     : error_class == MPI_ERR_INFO         ? "MPI_ERR_INFO"
                     : error_class == MPI_ERR_ARG          ? "MPI_ERR_ARG"
                     : error_class == MPI_ERR_ROOT         ? "MPI_ERR_ROOT"
                                                           : "another class";
  return std::string(name) + " " + text;
}

MPI_Info timeout_info(const char* seconds) {
  MPI_Info info = MPI_INFO_NULL;
  if (std::strcmp(seconds, "-") != 0) {
    MPI_Info_create(&info);
    MPI_Info_set(info, "timeout", seconds);
  }
  return info;
}

// Everybody sends to everybody of the other group: a small message, a long one, and checks what
// comes. The value depends on sender, receiver and side.
void exchange(MPI_Comm inter, int words_count) {
  int local = 0;
  int here = 0;
  int remote = 0;
  int is_inter = 0;
  MPI_Comm_test_inter(inter, &is_inter);
  MPI_Comm_size(inter, &local);
  MPI_Comm_rank(inter, &here);
  MPI_Comm_remote_size(inter, &remote);
  REQUIRE(is_inter && remote > 0);
  const auto count = static_cast<std::size_t>(words_count);
  std::vector<std::vector<int>> out(static_cast<std::size_t>(remote), std::vector<int>(count));
  std::vector<std::vector<int>> in = out;
  std::vector<MPI_Request> requests(2 * static_cast<std::size_t>(remote));
  for (int r = 0; r < remote; ++r) {
    const auto at = static_cast<std::size_t>(r);
    for (std::size_t i = 0; i < count; ++i) out[at][i] = here * 1000 + r * 10 + static_cast<int>(i);
    MPI_Isend(out[at].data(), words_count, MPI_INT, r, local, inter, &requests[2 * at]);
    MPI_Irecv(in[at].data(), words_count, MPI_INT, r, remote, inter, &requests[2 * at + 1]);
  }
  MPI_Waitall(2 * remote, requests.data(), MPI_STATUSES_IGNORE);
  for (int r = 0; r < remote; ++r) {
    for (std::size_t i = 0; i < count; ++i) {
      REQUIRE(in[static_cast<std::size_t>(r)][i] == r * 1000 + here * 10 + static_cast<int>(i));
    }
  }
}

void meet(MPI_Comm inter) {
  exchange(inter, 1);
  exchange(inter, 50000);
  MPI_Comm_disconnect(&inter);
  REQUIRE(inter == MPI_COMM_NULL);
}

void open_port(char* port, const char* file) {
  MPI_Open_port(MPI_INFO_NULL, port);
  REQUIRE(std::strlen(port) <= 254);
  write_file(file, port);
}

// serve FILE COUNT: the world accepts COUNT clients one after another.
void serve(char** arguments) {
  char port[MPI_MAX_PORT_NAME] = "";
  if (rank == 0) open_port(port, arguments[0]);
  const int count = std::atoi(arguments[1]);
  for (int i = 0; i < count; ++i) {
    MPI_Comm inter = MPI_COMM_NULL;
    // A root other than 0 would not have the port; all ranks but the root may pass anything.
    MPI_Comm_accept(rank == 0 ? port : "", MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter);
    meet(inter);
  }
  if (rank == 0) MPI_Close_port(port);
  if (rank == 0) say("ok served " + std::to_string(count));
}

// connect FILE COUNT: the world connects COUNT times.
void connect(char** arguments) {
  const int root = size - 1;
  const std::string port = rank == root ? read_file(arguments[0]) : "";
  const int count = std::atoi(arguments[1]);
  for (int i = 0; i < count; ++i) {
    MPI_Comm inter = MPI_COMM_NULL;
    MPI_Comm_connect(port.c_str(), MPI_INFO_NULL, root, MPI_COMM_WORLD, &inter);
    meet(inter);
  }
  if (rank == 0) say("ok connected " + std::to_string(count));
}

// threads FILE THREADS COUNT: COUNT clients for each of several threads that accept on one port.
void threads(char** arguments) {
  char port[MPI_MAX_PORT_NAME];
  open_port(port, arguments[0]);
  const int count = std::atoi(arguments[2]);
  std::vector<std::thread> all;
  for (int t = 0; t < std::atoi(arguments[1]); ++t) {
    all.emplace_back([&] {
      for (int i = 0; i < count; ++i) {
        MPI_Comm inter = MPI_COMM_NULL;
        MPI_Comm_accept(port, MPI_INFO_NULL, 0, MPI_COMM_SELF, &inter);
        meet(inter);
      }
    });
  }
  for (std::thread& thread : all) thread.join();
  MPI_Close_port(port);
  say("ok all threads");
}

// refused FILE TIMEOUT: connect fails; each rank says how.
void refused(char** arguments) {
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  const std::string port = rank == 0 ? read_file(arguments[0]) : "";
  MPI_Info info = timeout_info(arguments[1]);
  MPI_Comm inter = MPI_COMM_NULL;
  const int error = MPI_Comm_connect(port.c_str(), info, 0, MPI_COMM_WORLD, &inter);
  REQUIRE(inter == MPI_COMM_NULL);
  say("rank " + std::to_string(rank) + " " + words(error));
  if (info != MPI_INFO_NULL) MPI_Info_free(&info);
}

// ports: what can be wrong with the server's side.
void wrong(char**) {
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  char port[MPI_MAX_PORT_NAME];
  char other[MPI_MAX_PORT_NAME];
  MPI_Info unknown = MPI_INFO_NULL;
  MPI_Info_create(&unknown);
  for (const char* key : {"ip_port", "no_such_key"}) MPI_Info_set(unknown, key, "7");
  MPI_Open_port(unknown, port);
  MPI_Open_port(unknown, other);
  MPI_Info_free(&unknown);
  REQUIRE(std::strcmp(port, other) != 0);
  MPI_Comm inter = MPI_COMM_NULL;
  MPI_Info info = timeout_info("0.2");
  say("late " + words(MPI_Comm_accept(port, info, 0, MPI_COMM_WORLD, &inter)));
  MPI_Info_set(info, "timeout", "soon");
  say("value " + words(MPI_Comm_accept(port, info, 0, MPI_COMM_WORLD, &inter)));
  MPI_Info_free(&info);
  REQUIRE(MPI_Close_port(port) == MPI_SUCCESS);
  say("closed " + words(MPI_Comm_accept(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter)));
  say("twice " + words(MPI_Close_port(port)));
  say("itself " + words(MPI_Comm_connect(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter)));
  say("garbage " + words(MPI_Comm_connect("hello", MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter)));
  REQUIRE(MPI_Close_port(other) == MPI_SUCCESS);
}

// closed OPEN CLOSED COUNT: a server with a closed port, in accept on the other one.
void closed(char** arguments) {
  char gone[MPI_MAX_PORT_NAME];
  char port[MPI_MAX_PORT_NAME];
  open_port(gone, arguments[1]);
  MPI_Close_port(gone);
  open_port(port, arguments[0]);
  MPI_Comm inter = MPI_COMM_NULL;
  MPI_Comm_accept(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter);
  meet(inter);
  say("ok");
}

// busy FILE SECONDS: has a port, and does not accept.
void busy(char** arguments) {
  char port[MPI_MAX_PORT_NAME];
  open_port(port, arguments[0]);
  for (int i = 0; i < 20 * std::atoi(arguments[1]); ++i) usleep(50000);
}

// What ends a job; the last rank does it.
void end_badly(const std::string& how, MPI_Comm inter) {
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank != size - 1) MPI_Barrier(MPI_COMM_WORLD);  // Never over.
  int value = 0;
  if (how == "fatal") MPI_Send(&value, 1, MPI_INT, 77, 0, MPI_COMM_WORLD);
  if (how == "abort") MPI_Abort(MPI_COMM_WORLD, 7);
  if (how == "abort both") MPI_Abort(inter, 7);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ABORT);
  MPI_Comm_set_errhandler(inter, MPI_ERRORS_ABORT);
  if (how == "errors abort") MPI_Send(&value, 1, MPI_INT, 77, 0, MPI_COMM_WORLD);
  if (how == "errors abort both") MPI_Send(&value, 1, MPI_INT, 77, 0, inter);
}

// survive FILE accept|connect HOW: connects, says so, and then waits for a peer that gets killed.
void survive(char** arguments) {
  char port[MPI_MAX_PORT_NAME];
  MPI_Comm inter = MPI_COMM_NULL;
  if (std::strcmp(arguments[1], "accept") == 0) {
    if (rank == 0) open_port(port, arguments[0]);
    MPI_Comm_accept(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter);
  } else {
    MPI_Comm_connect(read_file(arguments[0]).c_str(), MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter);
  }
  exchange(inter, 10);
  MPI_Comm_set_errhandler(inter, MPI_ERRORS_RETURN);
  MPI_Barrier(inter);  // Nobody ends before everybody can bear it.
  say("connected");
  const std::string how = arguments[2];
  int error = MPI_SUCCESS;
  int value = 0;
  std::vector<int> large(1 << 20);
  if (how == "recv") error = MPI_Recv(&value, 1, MPI_INT, 0, 5, inter, MPI_STATUS_IGNORE);
  if (how == "any") {
    error = MPI_Recv(&value, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, inter, MPI_STATUS_IGNORE);
  }
  if (how == "probe") error = MPI_Probe(0, 5, inter, MPI_STATUS_IGNORE);
  if (how == "send") error = MPI_Send(large.data(), 1 << 20, MPI_INT, 0, 5, inter);
  if (how == "ssend") error = MPI_Ssend(&value, 1, MPI_INT, 0, 5, inter);
  if (how.starts_with("fatal") || how.find("abort") != std::string::npos) end_badly(how, inter);
  if (how == "hang") {
    while (true) usleep(100000);
  }
  say("rank " + std::to_string(rank) + " " + words(error));
  // What comes later fails as well, and at once.
  REQUIRE(MPI_Recv(&value, 1, MPI_INT, 0, 6, inter, MPI_STATUS_IGNORE) != MPI_SUCCESS);
  REQUIRE(MPI_Send(&value, 1, MPI_INT, 0, 6, inter) != MPI_SUCCESS);
  MPI_Comm_disconnect(&inter);
  say("ok survived");
}

// patient FILE: accepts clients, of whom some get killed, until one that lives says 1.
void patient(char** arguments) {
  char port[MPI_MAX_PORT_NAME];
  open_port(port, arguments[0]);
  int value = 0;
  int lost = 0;
  while (value != 1) {
    MPI_Comm inter = MPI_COMM_NULL;
    MPI_Comm_accept(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter);
    MPI_Comm_set_errhandler(inter, MPI_ERRORS_RETURN);
    int error = MPI_Recv(&value, 1, MPI_INT, 0, 0, inter, MPI_STATUS_IGNORE);
    if (error == MPI_SUCCESS) error = MPI_Send(&value, 1, MPI_INT, 0, 0, inter);
    if (error != MPI_SUCCESS) value = 0;
    lost += error != MPI_SUCCESS ? 1 : 0;
    MPI_Comm_disconnect(&inter);
  }
  MPI_Close_port(port);
  say("ok lost " + std::to_string(lost));
}

// short FILE VALUE: the client of that.
void visit(char** arguments) {
  MPI_Comm inter = MPI_COMM_NULL;
  const int value = std::atoi(arguments[1]);
  int answer = 0;
  do {
    const std::string port = read_file(arguments[0]);
    MPI_Comm_connect(port.c_str(), MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter);
    MPI_Send(&value, 1, MPI_INT, 0, 0, inter);
    MPI_Recv(&answer, 1, MPI_INT, 0, 0, inter, MPI_STATUS_IGNORE);
    REQUIRE(answer == value);
    MPI_Comm_disconnect(&inter);
  } while (value != 1);
  say("ok");
}

// join FD: with another process that has the other end of the socket.
void join(char** arguments) {
  MPI_Comm inter = MPI_COMM_NULL;
  MPI_Comm_join(std::atoi(arguments[0]), &inter);
  int remote = 0;
  MPI_Comm_remote_size(inter, &remote);
  REQUIRE(remote == 1);
  meet(inter);
  say("ok joined");
}

// publish NAME FILE: publishes a port, waits until FILE is there, accepts and unpublishes.
void publish(char** arguments) {
  char port[MPI_MAX_PORT_NAME];
  MPI_Open_port(MPI_INFO_NULL, port);
  MPI_Publish_name(arguments[0], MPI_INFO_NULL, port);
  say("published");
  MPI_Comm inter = MPI_COMM_NULL;
  MPI_Comm_accept(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter);
  meet(inter);
  MPI_Unpublish_name(arguments[0], MPI_INFO_NULL, port);
  say("ok");
}

// lookup NAME TIMEOUT: looks a name up and connects.
void lookup(char** arguments) {
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  char port[MPI_MAX_PORT_NAME];
  MPI_Info info = timeout_info(arguments[1]);
  const int error = MPI_Lookup_name(arguments[0], info, port);
  if (info != MPI_INFO_NULL) MPI_Info_free(&info);
  if (error != MPI_SUCCESS) return say(words(error));
  MPI_Comm inter = MPI_COMM_NULL;
  MPI_Comm_connect(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter);
  meet(inter);
  say("ok");
}

// names: rules of publishing inside one process.
void names(char**) {
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  const std::string odd = "a name/with \"odd\" ..% characters";
  char port[MPI_MAX_PORT_NAME];
  char found[MPI_MAX_PORT_NAME];
  MPI_Open_port(MPI_INFO_NULL, port);
  REQUIRE(MPI_Publish_name(odd.c_str(), MPI_INFO_NULL, port) == MPI_SUCCESS);
  REQUIRE(MPI_Lookup_name(odd.c_str(), MPI_INFO_NULL, found) == MPI_SUCCESS);
  REQUIRE(std::strcmp(port, found) == 0);
  say("twice " + words(MPI_Publish_name(odd.c_str(), MPI_INFO_NULL, port)));
  say("unknown " + words(MPI_Lookup_name("nobody", MPI_INFO_NULL, found)));
  say("not ours " + words(MPI_Unpublish_name("nobody", MPI_INFO_NULL, port)));
  say("other port " + words(MPI_Unpublish_name(odd.c_str(), MPI_INFO_NULL, "another")));
  REQUIRE(MPI_Unpublish_name(odd.c_str(), MPI_INFO_NULL, port) == MPI_SUCCESS);
  say("gone " + words(MPI_Lookup_name(odd.c_str(), MPI_INFO_NULL, found)));
  say("too long " + words(MPI_Publish_name(std::string(400, 'n').c_str(), MPI_INFO_NULL, port)));
  // Left behind on purpose: MPI_Finalize withdraws it.
  REQUIRE(MPI_Publish_name(odd.c_str(), MPI_INFO_NULL, port) == MPI_SUCCESS);
  MPI_Close_port(port);
}

int sum_of_ranks() {
  int sum = -1;
  MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  return sum;
}

// Completes them while the world goes on with collectives of its own.
void complete(std::vector<MPI_Request>& requests) {
  int all = 0;
  while (all == 0) {
    REQUIRE(sum_of_ranks() == size * (size - 1) / 2);
    int done = 0;
    MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE);
    // Together, or the numbers of collectives would differ.
    MPI_Allreduce(&done, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (done != 0) continue;
    usleep(1000);
  }
}

// iserve FILE COUNT: accepts for COUNT clients are posted all at once.
void iserve(char** arguments) {
  char port[MPI_MAX_PORT_NAME] = "";
  if (rank == 0) open_port(port, arguments[0]);
  const auto count = static_cast<std::size_t>(std::atoi(arguments[1]));
  std::vector<MPI_Comm> inters(count, MPI_COMM_NULL);
  std::vector<MPI_Request> requests(count);
  for (std::size_t i = 0; i < count; ++i) {
    char copy[MPI_MAX_PORT_NAME];
    std::memcpy(copy, port, sizeof copy);
    MPIX_Comm_iaccept(rank == 0 ? copy : nullptr, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inters[i],
                      &requests[i]);
    std::memset(copy, 'x', sizeof copy - 1);  // Not looked at any more.
  }
  complete(requests);
  for (MPI_Comm inter : inters) meet(inter);
  if (rank == 0) MPI_Close_port(port);
  if (rank == 0) say("ok served");
}

// iconnect FILE COUNT: COUNT connections are made at the same time.
void iconnect(char** arguments) {
  const std::string port = rank == 0 ? read_file(arguments[0]) : "";
  const auto count = static_cast<std::size_t>(std::atoi(arguments[1]));
  std::vector<MPI_Comm> inters(count, MPI_COMM_NULL);
  std::vector<MPI_Request> requests(count);
  for (std::size_t i = 0; i < count; ++i) {
    MPIX_Comm_iconnect(port.c_str(), MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inters[i], &requests[i]);
  }
  complete(requests);
  // Which of the server's accepts took which connection is open: all of them must be usable.
  std::vector<std::thread> all;
  for (MPI_Comm inter : inters) all.emplace_back([inter] { meet(inter); });
  for (std::thread& thread : all) thread.join();
  if (rank == 0) say("ok connected");
}

// ifail: non-blocking calls that come to nothing; every rank is told.
void ifail(char**) {
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  char port[MPI_MAX_PORT_NAME] = "";
  if (rank == 0) MPI_Open_port(MPI_INFO_NULL, port);
  const std::string me = "rank " + std::to_string(rank) + " ";
  MPI_Comm inter = MPI_COMM_WORLD;
  MPI_Request request = MPI_REQUEST_NULL;
  MPI_Info info = timeout_info("0.1");
  MPIX_Comm_iaccept(port, info, 0, MPI_COMM_WORLD, &inter, &request);
  MPI_Info_free(&info);
  say(me + "late " + words(MPI_Wait(&request, MPI_STATUS_IGNORE)));
  REQUIRE(inter == MPI_COMM_NULL && request == MPI_REQUEST_NULL);
  MPIX_Comm_iaccept(port, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter, &request);
  if (rank == 0) MPI_Close_port(port);
  say(me + "closed " + words(MPI_Wait(&request, MPI_STATUS_IGNORE)));
  MPIX_Comm_iconnect("hello", MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter, &request);
  say(me + "garbage " + words(MPI_Wait(&request, MPI_STATUS_IGNORE)));
  MPIX_Comm_iconnect(rank == 0 ? nullptr : "", MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter, &request);
  say(me + "null " + words(MPI_Wait(&request, MPI_STATUS_IGNORE)));
  // What every rank can see for itself is an error of the call.
  say(me + "root " +
      words(MPIX_Comm_iconnect(port, MPI_INFO_NULL, size, MPI_COMM_WORLD, &inter, &request)));
  REQUIRE(sum_of_ranks() == size * (size - 1) / 2);
}

// root: arguments that only the root looks at, and that are wrong there.
void root(char**) {
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  const std::string me = "rank " + std::to_string(rank) + " ";
  MPI_Comm inter = MPI_COMM_NULL;
  char memory[64] = "";
  const auto stale = reinterpret_cast<MPI_Info>(memory);
  MPI_Info wrong = timeout_info("soon");
  char name[] = "a";
  char* none[] = {name, nullptr};
  const int counts[] = {1, 1};
  const MPI_Info infos[] = {MPI_INFO_NULL, stale};
  const bool here = rank == size - 1;
  const int from = size - 1;
  MPI_Comm world = MPI_COMM_WORLD;
  say(me + "accept null " + words(MPI_Comm_accept(nullptr, MPI_INFO_NULL, from, world, &inter)));
  say(me + "connect null " + words(MPI_Comm_connect(nullptr, MPI_INFO_NULL, from, world, &inter)));
  say(me + "connect info " +
      words(MPI_Comm_connect("x", here ? stale : nullptr, from, world, &inter)));
  say(me + "connect value " + words(MPI_Comm_connect("x", wrong, from, world, &inter)));
  const auto spawn = [&](const char* what, const char* command, int count, MPI_Info info) {
    say(me + what + " " +
        words(MPI_Comm_spawn(command, MPI_ARGV_NULL, count, info, from, world, &inter,
                             MPI_ERRCODES_IGNORE)));
  };
  spawn("spawn null", nullptr, 1, MPI_INFO_NULL);
  spawn("spawn count", name, here ? -3 : 1, MPI_INFO_NULL);
  spawn("spawn none", name, here ? 0 : 1, MPI_INFO_NULL);
  spawn("spawn info", name, 1, stale);
  const auto multiple = [&](const char* what, int count, char** commands, const MPI_Info* all) {
    say(me + what + " " +
        words(MPI_Comm_spawn_multiple(count, commands, MPI_ARGVS_NULL, counts, all, from, world,
                                      &inter, MPI_ERRCODES_IGNORE)));
  };
  multiple("multiple none", here ? 0 : 2, none, infos);
  multiple("multiple null", 1, nullptr, infos);
  multiple("multiple second", 2, none, infos);
  none[1] = name;
  multiple("multiple info", 2, none, infos);
  MPI_Info_free(&wrong);
  REQUIRE(sum_of_ranks() == size * (size - 1) / 2);
}

struct Verb {
  const char* name;
  int arguments;
  void (*run)(char** arguments);
};
constexpr Verb kVerbs[] = {
    {"serve", 2, serve},       {"connect", 2, connect}, {"threads", 3, threads},
    {"refused", 2, refused},   {"wrong", 0, wrong},     {"closed", 2, closed},
    {"busy", 2, busy},         {"survive", 3, survive}, {"join", 1, join},
    {"patient", 1, patient},   {"visit", 2, visit},     {"publish", 1, publish},
    {"lookup", 2, lookup},     {"names", 0, names},     {"iserve", 2, iserve},
    {"iconnect", 2, iconnect}, {"ifail", 0, ifail},     {"root", 0, root},
};

}  // namespace

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  bool found = false;
  for (const Verb& verb : kVerbs) {
    if (argc != verb.arguments + 2 || std::strcmp(argv[1], verb.name) != 0) continue;
    verb.run(argv + 2);
    found = true;
  }
  MPI_Finalize();
  return found ? 0 : 2;
}
