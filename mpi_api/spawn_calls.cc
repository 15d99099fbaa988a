// mpi_api/spawn_calls.cc - MPI_Comm_spawn, MPI_Comm_spawn_multiple and MPI_Comm_get_parent (MPI-5.0
// section 11.8).
//
// Spawning is launching plus a port: the root opens one, a launcher starts processes that know it
// (spawn/spawned.h), and they connect to it in MPI_Init.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <utility>

#include "impl.h"
#include "mpi_api/checks.h"
#include "mpi_api/coll/internal.h"
#include "mpi_api/errors.h"
#include "mpi_api/fabrics.h"
#include "mpi_api/intercomm.h"
#include "mpi_api/port.h"
#include "mpi_api/process_calls.h"
#include "mpi_api/runtime.h"
#include "mpi_api/spawned_jobs.h"
#include "spawn/spawn_keys.h"

namespace tern::mpi {
namespace {

using spawn::LauncherContact;
using spawn::SpawnCommand;

// Starting a launcher takes milliseconds; beyond this something keeps it from answering.
constexpr std::chrono::seconds kLauncherTime{60};

// What comes of it, known at every process.
struct Launched {
  int error = MPI_SUCCESS;
  int is_mpi = 1;
  std::uint64_t codes = 0;  // How many there are.
};

int read_command(const char* program, char* const* arguments, int maxprocs, MPI_Info info_handle,
                 SpawnWish& wish) {
  if (maxprocs < 1 || wish.processes_max > INT_MAX - maxprocs) {
    return fail(MPI_ERR_ARG, "argument `maxprocs` is {}; allowed are 1 and more", maxprocs);
  }
  if (program == nullptr || *program == '\0') {
    return fail(MPI_ERR_ARG, "argument `command` is {}; allowed is the name of a program",
                program == nullptr ? "a null pointer" : "empty");
  }
  const Info* const info = to_info(info_handle);
  if (const int error = check_info_or_null(info, info_handle, "info")) return error;
  wish.processes_max += maxprocs;
  SpawnCommand& command = wish.request.commands.emplace_back();
  command.program = program;
  command.count = maxprocs;
  for (; arguments != nullptr && *arguments != nullptr; ++arguments) {
    command.arguments.emplace_back(*arguments);
  }
  if (info == nullptr) return MPI_SUCCESS;
  for (const Info::Entry& entry : info->entries()) {
    command.info.emplace_back(entry.key, entry.value);
    const spawn::SpawnKey* const key = spawn::find_spawn_key(entry.key);
    if (key != nullptr && key->id == spawn::SpawnKey::Id::kNonMpi && spawn::is_true(entry.value)) {
      wish.is_mpi = false;
    }
  }
  return MPI_SUCCESS;
}

// The arguments of MPI_Comm_spawn_multiple that mean something at the root only.
struct Commands {
  int count;
  char** programs;
  char*** arguments;
  const int* maxprocs;
  const MPI_Info* infos;
};

int read_commands(const Commands& all, SpawnWish& wish) {
  if (all.count <= 0) {
    return fail(MPI_ERR_ARG, "argument `count` is {}; at least one command is needed", all.count);
  }
  int error = check_array(all.programs, all.count, "array_of_commands");
  if (error == MPI_SUCCESS) error = check_array(all.maxprocs, all.count, "array_of_maxprocs");
  if (error == MPI_SUCCESS) error = check_array(all.infos, all.count, "array_of_info");
  for (int i = 0; error == MPI_SUCCESS && i < all.count; ++i) {
    char** const arguments = all.arguments == MPI_ARGVS_NULL ? MPI_ARGV_NULL : all.arguments[i];
    error = read_command(all.programs[i], arguments, all.maxprocs[i], all.infos[i], wish);
  }
  return error;
}

int find_directory(std::string& directory) {
  std::array<char, 4096> path;
  if (::getcwd(path.data(), path.size()) == nullptr) {
    return fail(MPI_ERR_SPAWN, "the working directory of this process does not exist any more");
  }
  directory = path.data();
  return MPI_SUCCESS;
}

// At the root: has the processes started, and waits until they are (or will not be).
int launch(SpawnWish& wish, std::unique_ptr<LauncherContact>& contact, std::vector<int>& codes) {
  codes.assign(static_cast<std::size_t>(wish.processes_max), MPI_ERR_SPAWN);
  if (const int error = find_directory(wish.request.directory)) return error;
  wish.request.universe_size = std::max(0, runtime().wireup->info().universe_size);
  std::string why;
  const auto start_launcher = [](const std::string& address) {
    return runtime().wireup->start_launcher(address);
  };
  contact = LauncherContact::start(start_launcher, wish.request, why);
  if (contact == nullptr) return fail(MPI_ERR_SPAWN, "{}", why);
  runtime().spawned->await(*contact);
  const auto deadline = std::chrono::steady_clock::now() + kLauncherTime;
  engine().wait_until([&] {
    contact->poll();
    return contact->answered() || std::chrono::steady_clock::now() > deadline;
  });
  const spawn::SpawnAnswer& answer = contact->answer();
  if (!contact->answered()) {
    return fail(MPI_ERR_SPAWN, "the launcher does not answer; is mpiexec still running?");
  }
  if (!answer.failure.empty()) return fail(MPI_ERR_SPAWN, "{}", answer.failure);
  std::size_t first = 0;
  for (std::size_t i = 0; i < wish.request.commands.size(); ++i) {
    const int count = i < answer.counts.size() ? answer.counts[i] : 0;
    std::fill_n(codes.begin() + static_cast<std::ptrdiff_t>(first), count, MPI_SUCCESS);
    first += static_cast<std::size_t>(wish.request.commands[i].count);
  }
  return MPI_SUCCESS;
}

// Whether the new processes may be on other hosts, from where they can not reach this one's memory.
bool names_hosts(const spawn::SpawnRequest& request) {
  using Id = spawn::SpawnKey::Id;
  for (const spawn::SpawnCommand& command : request.commands) {
    for (const auto& [name, value] : command.info) {
      const spawn::SpawnKey* const key = spawn::find_spawn_key(name);
      if (key == nullptr) continue;
      if (key->id == Id::kHost || key->id == Id::kAddHost || key->id == Id::kHostFile ||
          key->id == Id::kAddHostFile) {
        return true;
      }
    }
  }
  return false;
}

// Tells everybody how the root's part went, with the sentence of an error.
int share(Comm& comm, int root, int error, Launched& launched, std::vector<int>& codes) {
  Bytes sentence;
  if (comm.rank() == root) {
    launched.error = error;
    launched.codes = codes.size();
    for (const char c : last_failure(error)) sentence.push_back(static_cast<std::byte>(c));
  }
  if (const int lost = coll::bcast_bytes(comm, &launched, sizeof launched, root)) return lost;
  codes.resize(launched.codes);
  if (!codes.empty()) {
    const std::size_t bytes = codes.size() * sizeof codes[0];
    if (const int lost = coll::bcast_bytes(comm, codes.data(), bytes, root)) return lost;
  }
  if (launched.error == MPI_SUCCESS) return MPI_SUCCESS;
  if (const int lost = spread(comm, root, sentence)) return lost;
  return fail(launched.error, "{}",
              std::string_view(reinterpret_cast<const char*>(sentence.data()), sentence.size()));
}

// The root's wait for the new processes in MPI_Init. One that hangs before it must not hang us.
int await_children(const std::string& port, LauncherContact& contact,
                   std::span<const std::byte> mine, Bytes& theirs) {
  const Deadline deadline = connect_deadline();
  const auto given_up = [&contact, deadline]() -> std::string {
    contact.poll();
    if (contact.ended()) {
      return "the processes were started, but ended without calling MPI_Init (a program without "
             "MPI needs the info key ompi_non_mpi)";
    }
    if (std::chrono::steady_clock::now() < *deadline) return {};
    return "the processes were started, but have not called MPI_Init in the time that "
           "TERN_CONNECT_TIMEOUT allows, and were ended (a program without MPI needs the info key "
           "ompi_non_mpi)";
  };
  return contact_desk().accept(port, std::nullopt, mine, theirs, given_up);
}

// Keeps or closes the conversation with the launcher, which only the root has.
void keep(std::unique_ptr<LauncherContact> contact, const SpawnWish& wish, const Comm* intercomm) {
  if (contact == nullptr) return;
  runtime().spawned->await_no_more(*contact);
  if (intercomm != nullptr) {
    runtime().spawned->add(intercomm->remote_group()->member(0).job, std::move(contact));
  } else if (wish.is_mpi) {
    contact->give_up();  // If there are processes, they should have connected, and have not.
  } else {
    contact->detach();
  }
}

}  // namespace

SpawnWish read_spawn(const Comm& comm, int root, const char* command, char* const* arguments,
                     int maxprocs, MPI_Info info) {
  SpawnWish wish;
  if (comm.rank() != root) return wish;
  const int error = read_command(command, arguments, maxprocs, info, wish);
  if (error != MPI_SUCCESS) wish.refusal = Refusal::of(error);
  return wish;
}

int spawn_all(SpawnWish& wish, Comm& comm, int root, Comm** intercomm, int codes_out[]) {
  Launched launched;
  std::vector<int> codes;
  std::unique_ptr<LauncherContact> contact;
  std::string& port = wish.request.port;
  int error = MPI_SUCCESS;
  *intercomm = nullptr;
  if (comm.rank() == root) {
    error = wish.refusal.raise();
    if (names_hosts(wish.request)) runtime().fabrics->open_rest(engine());
    if (error == MPI_SUCCESS && wish.is_mpi) {
      error = contact_desk().open_port(port, spawn::kHiddenPortNameLongest);
    }
    if (error == MPI_SUCCESS) error = launch(wish, contact, codes);
    launched.is_mpi = wish.is_mpi ? 1 : 0;
  }
  error = share(comm, root, error, launched, codes);
  if (error == MPI_SUCCESS && launched.is_mpi != 0) {
    const auto exchange = [&](std::span<const std::byte> mine, Bytes& theirs) {
      return await_children(port, *contact, mine, theirs);
    };
    error = meet(comm, root, exchange, intercomm);
    if (error != MPI_SUCCESS) std::ranges::fill(codes, MPI_ERR_SPAWN);
  }
  keep(std::move(contact), wish, *intercomm);
  if (comm.rank() == root && !port.empty()) contact_desk().close_port(port);
  if (codes_out != MPI_ERRCODES_IGNORE) std::ranges::copy(codes, codes_out);
  return error;
}

void SpawnedJobs::release_unconnected(const Connections& connections) {
  std::erase_if(jobs_, [&connections](const Spawned& spawned) {
    if (connections.knows_job(spawned.job)) return false;
    spawned.contact->detach();
    return true;
  });
}

void SpawnedJobs::release_all() {
  for (const Spawned& spawned : jobs_) spawned.contact->detach();
  jobs_.clear();
}

int connect_to_parent() {
  const std::string& port = runtime().wireup->info().parent_port;
  if (port.empty()) return MPI_SUCCESS;
  prepare_for_port(port);
  const auto connect = [&port](std::span<const std::byte> mine, Bytes& theirs) {
    return contact_desk().connect(port, connect_deadline(), mine, theirs);
  };
  if (const int error = meet(*runtime().world, 0, connect, &runtime().parent)) return error;
  runtime().parent->name = "MPI_COMM_PARENT";
  return MPI_SUCCESS;
}

void forget_parent(const Comm& comm) {
  if (runtime().parent == &comm) runtime().parent = nullptr;
}

namespace impl {

int comm_spawn(const char* command, char* argv[], int maxprocs, MPI_Info info, int root, Comm* comm,
               Comm** intercomm, int array_of_errcodes[]) {
  SpawnWish wish = read_spawn(*comm, root, command, argv, maxprocs, info);
  return spawn_all(wish, *comm, root, intercomm, array_of_errcodes);
}

int comm_spawn_multiple(int count, char* array_of_commands[], char** array_of_argv[],
                        const int array_of_maxprocs[], const MPI_Info array_of_info[], int root,
                        Comm* comm, Comm** intercomm, int array_of_errcodes[]) {
  SpawnWish wish;
  if (comm->rank() == root) {
    const int error = read_commands(
        {count, array_of_commands, array_of_argv, array_of_maxprocs, array_of_info}, wish);
    if (error != MPI_SUCCESS) wish.refusal = Refusal::of(error);
  }
  return spawn_all(wish, *comm, root, intercomm, array_of_errcodes);
}

int comm_get_parent(Comm** parent) {
  *parent = runtime().parent;
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
