// tests/spawn/spawn_program.cc - jobs that spawn themselves; a plain MPI program.
//
// spawn_program VERB ARGUMENTS... spawns children as VERB says; a child does what its first
// argument says. The Python script beside it looks at what they print.
#include <mpi.h>
#include <mpix.h>
#include <sched.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace {

int rank = 0;
int size = 1;
char* self = nullptr;

#define REQUIRE(condition)                                                                \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: rank %d: %s\n", __FILE__, __LINE__, rank, #condition); \
      MPI_Abort(MPI_COMM_WORLD, 9);                                                       \
    }                                                                                     \
  } while (false)

void say(const std::string& text) {
  const std::string line = text + "\n";
  REQUIRE(write(STDOUT_FILENO, line.data(), line.size()) == static_cast<ssize_t>(line.size()));
}

std::string words(int error) {
  int error_class = 0;
  int length = 0;
  char text[MPI_MAX_ERROR_STRING];
  MPI_Error_class(error, &error_class);
  MPI_Error_string(error, text, &length);
  const char* name = error_class == MPI_SUCCESS            ? "MPI_SUCCESS "
                     : error_class == MPI_ERR_SPAWN        ? "MPI_ERR_SPAWN "
                     : error_class == MPI_ERR_ARG          ? "MPI_ERR_ARG "
                     : error_class == MPI_ERR_PROC_ABORTED ? "MPI_ERR_PROC_ABORTED "
                                                           : "another class ";
  return std::string(name) + text;
}

int attribute(int keyval) {
  int* value = nullptr;
  int found = 0;
  MPI_Comm_get_attr(MPI_COMM_WORLD, keyval, &value, &found);
  return found != 0 ? *value : -1;
}

// Everybody of one side with everybody of the other, and all together in a merged communicator.
void use(MPI_Comm inter, bool high) {
  int remote = 0;
  MPI_Comm_remote_size(inter, &remote);
  for (int r = 0; r < remote; ++r) {
    const int out = rank * 100 + r;
    int in = -1;
    MPI_Sendrecv(&out, 1, MPI_INT, r, 1, &in, 1, MPI_INT, r, 1, inter, MPI_STATUS_IGNORE);
    REQUIRE(in == r * 100 + rank);
  }
  MPI_Comm all = MPI_COMM_NULL;
  MPI_Intercomm_merge(inter, high ? 1 : 0, &all);
  int place = 0;
  int total = 0;
  int sum = 0;
  MPI_Comm_rank(all, &place);
  MPI_Comm_size(all, &total);
  REQUIRE(total == size + remote && place == rank + (high ? remote : 0));
  MPI_Allreduce(&place, &sum, 1, MPI_INT, MPI_SUM, all);
  REQUIRE(sum == total * (total - 1) / 2);
  MPI_Comm_free(&all);
}

MPI_Comm spawn(int count, std::vector<const char*> arguments, MPI_Info info = MPI_INFO_NULL) {
  arguments.push_back(nullptr);
  MPI_Comm inter = MPI_COMM_NULL;
  std::vector<int> codes(static_cast<std::size_t>(count), -1);
  MPI_Comm_spawn(self, const_cast<char**>(arguments.data()), count, info, 0, MPI_COMM_WORLD, &inter,
                 codes.data());
  for (const int code : codes) REQUIRE(code == MPI_SUCCESS);
  return inter;
}

// grow COUNT LOOPS
void grow(char** arguments) {
  const int count = std::atoi(arguments[0]);
  for (int i = 0; i < std::atoi(arguments[1]); ++i) {
    MPI_Comm inter = spawn(count, {"use", "an argument", "", ":"});
    int remote = 0;
    MPI_Comm_remote_size(inter, &remote);
    REQUIRE(remote == count);
    use(inter, false);
    MPI_Comm_disconnect(&inter);
  }
  if (rank == 0) say("ok grown");
}

// ispawn COUNT: several jobs are started at once, one of which cannot be.
void ispawn(char** arguments) {
  const auto count = static_cast<std::size_t>(std::atoi(arguments[0]));
  std::vector<MPI_Comm> inters(count, MPI_COMM_NULL);
  std::vector<MPI_Request> requests(count);
  std::vector<int> codes(3 * count, -1);
  char word[] = "place";
  char* words_of_child[] = {word, nullptr};
  for (std::size_t i = 0; i < count; ++i) {
    MPIX_Comm_ispawn(rank == 0 ? self : nullptr, words_of_child, 3, MPI_INFO_NULL, 0,
                     MPI_COMM_WORLD, &inters[i], &codes[3 * i], &requests[i]);
  }
  MPI_Comm none = MPI_COMM_WORLD;
  MPI_Request failing = MPI_REQUEST_NULL;
  int code = -1;
  MPI_Comm quiet = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &quiet);
  MPI_Comm_set_errhandler(quiet, MPI_ERRORS_RETURN);
  MPIX_Comm_ispawn("no_such_program", MPI_ARGV_NULL, 1, MPI_INFO_NULL, 0, quiet, &none, &code,
                   &failing);
  MPI_Barrier(MPI_COMM_WORLD);
  MPI_Waitall(static_cast<int>(count), requests.data(), MPI_STATUSES_IGNORE);
  for (const int each : codes) REQUIRE(each == MPI_SUCCESS);
  for (MPI_Comm inter : inters) {
    use(inter, false);
    MPI_Comm_disconnect(&inter);
  }
  say("rank " + std::to_string(rank) + " " + words(MPI_Wait(&failing, MPI_STATUS_IGNORE)));
  REQUIRE(none == MPI_COMM_NULL && code == MPI_ERR_SPAWN);
  MPI_Comm_free(&quiet);
  if (rank == 0) say("ok spawned");
}

struct Resources {
  int files = 0;
  long resident_kib = 0;
};

Resources resources() {
  Resources now;
  for (int fd = 0; fd < 1024; ++fd) {
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    now.files += access(path.c_str(), F_OK) == 0 ? 1 : 0;
  }
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) now.resident_kib = std::atol(line.c_str() + 6);
  }
  return now;
}

// cycle COUNT: spawns one child after another; what that takes does not grow.
void cycle(char** arguments) {
  const int count = std::atoi(arguments[0]);
  Resources before;
  for (int i = 0; i < count; ++i) {
    MPI_Comm inter = spawn(1, {"leave"});
    MPI_Comm_disconnect(&inter);
    if (i == count / 5) before = resources();
  }
  const Resources after = resources();
  std::printf("files %d %d resident %ld %ld\n", before.files, after.files, before.resident_kib,
              after.resident_kib);
  std::fflush(stdout);
  // Connections that were given up are let go of a few times per second.
  REQUIRE(after.files <= before.files + 60);
  say("ok cycled");
}

// keys COUNT [KEY VALUE]...: children that report about themselves.
void keys(char** arguments, int argument_count) {
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  const int count = std::atoi(arguments[0]);
  MPI_Info info = MPI_INFO_NULL;
  MPI_Info_create(&info);
  for (int i = 1; i + 1 < argument_count; i += 2) {
    MPI_Info_set(info, arguments[i], arguments[i + 1]);
  }
  // Another program when the environment says so.
  const char* const command = std::getenv("SPAWN_COMMAND");
  const char* const first = std::getenv("SPAWN_ARGUMENT");
  std::vector<const char*> words_of_child = {first != nullptr ? first : "report", nullptr};
  std::vector<int> codes(static_cast<std::size_t>(count), -1);
  MPI_Comm inter = MPI_COMM_WORLD;
  const int error =
      MPI_Comm_spawn(command != nullptr ? command : self, const_cast<char**>(words_of_child.data()),
                     count, info, 0, MPI_COMM_WORLD, &inter, codes.data());
  MPI_Info_free(&info);
  int started = 0;
  for (const int code : codes) {
    REQUIRE(code == MPI_SUCCESS || code == MPI_ERR_SPAWN);
    started += code == MPI_SUCCESS ? 1 : 0;
  }
  if (rank == 0) say("spawn " + words(error) + " started " + std::to_string(started));
  if (error != MPI_SUCCESS) return;
  if (inter == MPI_COMM_NULL) return say("null communicator");
  MPI_Comm_disconnect(&inter);
}

// fail: what cannot be started is an error, and the parent goes on.
void fail(char**) {
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm inter = MPI_COMM_WORLD;
  int codes[3] = {-1, -1, -1};
  for (const char* program : {"no_such_program", "/etc/passwd", "/bin/true"}) {
    const int error =
        MPI_Comm_spawn(program, MPI_ARGV_NULL, 3, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &inter, codes);
    say("rank " + std::to_string(rank) + " " + words(error));
    for (const int code : codes) REQUIRE(code == MPI_ERR_SPAWN);
  }
  const int error = MPI_Comm_spawn("no_such_program", MPI_ARGV_NULL, 1, MPI_INFO_NULL, 0,
                                   MPI_COMM_WORLD, &inter, MPI_ERRCODES_IGNORE);
  REQUIRE(error != MPI_SUCCESS);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
  inter = spawn(1, {"leave"});
  MPI_Comm_disconnect(&inter);
  if (rank == 0) say("ok alive");
}

// several: two programs in one call.
void several(char**) {
  char* commands[] = {self, self};
  char first[] = "place";
  char second[] = "7";
  char* arguments[] = {first, nullptr};
  char* other_arguments[] = {first, second, nullptr};
  char** all_arguments[] = {arguments, other_arguments};
  const int counts[] = {2, 1};
  const MPI_Info infos[] = {MPI_INFO_NULL, MPI_INFO_NULL};
  int codes[3] = {-1, -1, -1};
  MPI_Comm inter = MPI_COMM_NULL;
  MPI_Comm_spawn_multiple(2, commands, all_arguments, counts, infos, 0, MPI_COMM_WORLD, &inter,
                          codes);
  for (const int code : codes) REQUIRE(code == MPI_SUCCESS);
  use(inter, false);
  MPI_Comm_disconnect(&inter);
  if (rank == 0) say("ok several");
}

// crash: a child that is killed while it is connected.
void crash(char**) {
  MPI_Comm inter = spawn(2, {"crash"});
  MPI_Comm_set_errhandler(inter, MPI_ERRORS_RETURN);
  int value = 0;
  say(words(MPI_Recv(&value, 1, MPI_INT, 0, 0, inter, MPI_STATUS_IGNORE)));
  MPI_Comm_disconnect(&inter);
  say("ok parent lives");
}

// slots: children that are bound find the CPUs that others leave free, and these come back.
void slots(char**) {
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Info info = MPI_INFO_NULL;
  MPI_Info_create(&info);
  MPI_Info_set(info, "bind_to", "hwthread");
  constexpr int kJobs = 2;
  MPI_Comm inters[kJobs];
  int cpus[kJobs] = {-1, -1};
  const auto spawn_bound = [&](MPI_Comm& inter) {
    char word[] = "cpu";
    char* arguments[] = {word, nullptr};
    return MPI_Comm_spawn(self, arguments, 1, info, 0, MPI_COMM_WORLD, &inter, MPI_ERRCODES_IGNORE);
  };
  for (int i = 0; i < kJobs; ++i) {
    REQUIRE(spawn_bound(inters[i]) == MPI_SUCCESS);
    MPI_Recv(&cpus[i], 1, MPI_INT, 0, 0, inters[i], MPI_STATUS_IGNORE);
  }
  REQUIRE(cpus[0] >= 0 && cpus[1] >= 0 && cpus[0] != cpus[1]);
  // This process and the two have all there are.
  MPI_Info_set(info, "map_by", "hwthread:NOOVERSUBSCRIBE:HWTCPUS");
  MPI_Comm another = MPI_COMM_NULL;
  say(words(spawn_bound(another)));
  MPI_Comm_disconnect(&inters[1]);
  MPI_Comm_disconnect(&inters[0]);
  // A slot is free when its process has ended, which it does after it has disconnected.
  const double begin = MPI_Wtime();
  while (spawn_bound(another) != MPI_SUCCESS) {
    REQUIRE(MPI_Wtime() < begin + 30);
    usleep(10000);
  }
  MPI_Recv(&cpus[0], 1, MPI_INT, 0, 0, another, MPI_STATUS_IGNORE);
  MPI_Comm_disconnect(&another);
  MPI_Info_free(&info);
  say("ok slots");
}

// part FILE: children that go on after their parent has ended, and one that crashes then.
void part(char** arguments) {
  MPI_Comm inter = spawn(1, {"outlive", arguments[0]});
  MPI_Comm_disconnect(&inter);
  say("ok parent ends");
}

// die: the parent is killed while children wait for it.
void die(char**) {
  MPI_Comm inter = spawn(2, {"wait"});
  int value = 0;
  MPI_Recv(&value, 1, MPI_INT, 0, 0, inter, MPI_STATUS_IGNORE);
  raise(SIGKILL);
}

void report() {
  char directory[4096] = "";
  REQUIRE(getcwd(directory, sizeof directory) != nullptr);
  cpu_set_t cpus;
  REQUIRE(sched_getaffinity(0, sizeof cpus, &cpus) == 0);
  char program[4096] = "";
  REQUIRE(readlink("/proc/self/exe", program, sizeof program - 1) > 0);
  MPI_Errhandler errhandler = MPI_ERRHANDLER_NULL;
  MPI_Comm_get_errhandler(MPI_COMM_WORLD, &errhandler);
  std::string text = "child " + std::to_string(rank) + " of " + std::to_string(size);
  text += " cwd=" + std::string(directory) + " exe=" + program;
  text += " cpus=" + std::to_string(CPU_COUNT(&cpus));
  text += errhandler == MPI_ERRORS_RETURN ? " handler=return" : " handler=other";
  text += " universe=" + std::to_string(attribute(MPI_UNIVERSE_SIZE));
  for (const char* name : {"SPAWN_A", "SPAWN_B", "TERN_SPIN_US", "LD_LIBRARY_PATH", "PATH"}) {
    const char* const value = std::getenv(name);
    text += std::string(" ") + name + "=" + (value != nullptr ? value : "(none)");
  }
  char input[64] = "";
  const ssize_t got = read(STDIN_FILENO, input, sizeof input - 1);
  text += " stdin=" + std::string(input, got > 0 ? static_cast<std::size_t>(got) : 0);
  say(text);
}

// To the parent: the CPU that this process is bound to; -1 when there is more than one.
void tell_cpu(MPI_Comm parent) {
  cpu_set_t cpus;
  REQUIRE(sched_getaffinity(0, sizeof cpus, &cpus) == 0);
  int only = -1;
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&cpus) == 1; ++cpu) {
    if (CPU_ISSET(cpu, &cpus)) only = cpu;
  }
  MPI_Send(&only, 1, MPI_INT, 0, 0, parent);
}

void child(MPI_Comm parent, int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "use") {
    REQUIRE(argc == 5 && std::strcmp(argv[2], "an argument") == 0 && *argv[3] == '\0' &&
            std::strcmp(argv[4], ":") == 0);
    REQUIRE(attribute(MPI_APPNUM) == 0 && attribute(MPI_UNIVERSE_SIZE) >= 1);
    use(parent, true);
  }
  if (verb == "place") {
    const bool second = argc == 3;  // Of two programs.
    REQUIRE(size == 3 && attribute(MPI_APPNUM) == (second ? 1 : 0));
    REQUIRE(!second || rank == 2);
    use(parent, true);
  }
  if (verb == "report") report();
  if (verb == "cpu") tell_cpu(parent);
  if (verb == "crash") {
    raise(SIGKILL);
  }
  int value = 0;
  if (verb == "wait") {
    if (rank == 0) MPI_Send(&value, 1, MPI_INT, 0, 0, parent);
    MPI_Recv(&value, 1, MPI_INT, 0, 0, parent, MPI_STATUS_IGNORE);
  }
  MPI_Comm_disconnect(&parent);
  MPI_Comm_get_parent(&parent);
  REQUIRE(parent == MPI_COMM_NULL);
  if (verb == "outlive") {
    while (access(argv[2], F_OK) != 0) usleep(10000);
    say("child lives on");
    raise(SIGKILL);
  }
}

struct Verb {
  const char* name;
  void (*run)(char** arguments);
};
constexpr Verb kVerbs[] = {{"grow", grow},       {"cycle", cycle},   {"fail", fail},
                           {"several", several}, {"crash", crash},   {"part", part},
                           {"die", die},         {"ispawn", ispawn}, {"slots", slots}};

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  self = argv[0];
  MPI_Comm parent = MPI_COMM_NULL;
  MPI_Comm_get_parent(&parent);
  if (parent != MPI_COMM_NULL) {
    child(parent, argc, argv);
  } else if (argc > 1 && std::strcmp(argv[1], "keys") == 0) {
    keys(argv + 2, argc - 2);
  }
  for (const Verb& verb : kVerbs) {
    if (parent == MPI_COMM_NULL && argc > 1 && std::strcmp(argv[1], verb.name) == 0) {
      verb.run(argv + 2);
    }
  }
  MPI_Finalize();
  return 0;
}
