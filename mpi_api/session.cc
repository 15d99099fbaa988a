// mpi_api/session.cc - sessions and their process sets (MPI-5.0 section 11.3).
//
// Process sets: mpi://WORLD, mpi://SELF, and tern://HOST, the ranks of this host, where the
// launcher has told who runs where.
#include "mpi_api/session.h"

#include <strings.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "impl.h"
#include "mpi_api/bsend.h"
#include "mpi_api/entry.h"
#include "mpi_api/errhandler.h"
#include "mpi_api/errors.h"
#include "mpi_api/group.h"
#include "mpi_api/info.h"
#include "mpi_api/request.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

struct Level {
  std::string_view name;
  int value;
};
constexpr std::array kLevels = {Level{"MPI_THREAD_SINGLE", MPI_THREAD_SINGLE},
                                Level{"MPI_THREAD_FUNNELED", MPI_THREAD_FUNNELED},
                                Level{"MPI_THREAD_SERIALIZED", MPI_THREAD_SERIALIZED},
                                Level{"MPI_THREAD_MULTIPLE", MPI_THREAD_MULTIPLE}};

// Libraries that open a session of their own know nothing of the program's threads, so that the
// safe level is what those get who do not say what they need.
int wanted_level(const Info* info, int& level) {
  level = MPI_THREAD_MULTIPLE;
  const auto text = info == nullptr ? std::nullopt : info->get("thread_level");
  if (!text) return MPI_SUCCESS;
  const auto* const found = std::ranges::find(kLevels, *text, &Level::name);
  if (found == kLevels.end()) {
    return fail(MPI_ERR_INFO_VALUE,
                "info has \"{}\" for thread_level; allowed are MPI_THREAD_SINGLE, "
                "MPI_THREAD_FUNNELED, MPI_THREAD_SERIALIZED and MPI_THREAD_MULTIPLE",
                *text);
  }
  level = found->value;
  return MPI_SUCCESS;
}

constexpr std::string_view kWorld = "mpi://WORLD";
constexpr std::string_view kSelf = "mpi://SELF";
constexpr std::string_view kHost = "tern://HOST";

const spawn::LaunchInfo& launch() { return runtime().wireup->info(); }

std::vector<std::string_view> process_sets() {
  std::vector<std::string_view> names = {kWorld, kSelf};
  if (launch().host_of(launch().rank) >= 0) names.push_back(kHost);
  return names;
}

// The name as it stands in the list, whatever letters are large in `name`, as in other MPIs; empty,
// with a sentence, when there is no such set.
std::string_view find_set(const char* name) {
  const std::vector<std::string_view> sets = process_sets();
  const auto found = std::ranges::find_if(
      sets, [name](std::string_view set) { return ::strcasecmp(set.data(), name) == 0; });
  if (found != sets.end()) return *found;
  std::string known;
  for (const std::string_view set : sets) {
    known += (known.empty() ? "" : ", ") + std::string(set);
  }
  fail(MPI_ERR_ARG, "pset_name is \"{}\"; the process sets are {}", name, known);
  return {};
}

// nullptr when there is no memory.
Group* group_of_set(std::string_view name) {
  const spawn::LaunchInfo& info = launch();
  if (name == kWorld) return make<Group>(info.job_id, info.size, info.rank);
  std::vector<ProcessId> members;
  const spawn::HostFinder hosts(info.hosts);
  for (int rank = 0; rank < info.size; ++rank) {
    const bool in = name == kSelf ? rank == info.rank : hosts.of(rank) == hosts.of(info.rank);
    if (in) members.push_back({info.job_id, static_cast<std::uint64_t>(rank)});
  }
  return make_group(std::move(members), info.id());
}

int give_info(std::vector<Info::Entry> entries, Info** info) {
  return hand_over(make<Info>(std::move(entries)), "an info object", info);
}

// Sessions may be opened by any thread at any time, also before there is a thread level.
class OpeningLock {
 public:
  OpeningLock() { lock_entry(); }
  ~OpeningLock() { unlock_entry(); }
  OpeningLock(const OpeningLock&) = delete;
  OpeningLock& operator=(const OpeningLock&) = delete;
};

}  // namespace

Session::Session(Errhandler* handler, int level)
    : SharedObject(Kind::kSession),
      errhandler(handler),
      thread_level(level),
      buffer(nullptr, [](BsendBuffer* unused) { delete unused; }) {
  handler->retain();
}

Session::~Session() { errhandler->release(); }

namespace impl {

int session_init(Info* info, Errhandler* errhandler, Session** session) {
  int level = MPI_THREAD_MULTIPLE;
  if (const int error = wanted_level(info, level)) return error;
  const OpeningLock lock;
  if (const int error = open_session(level)) return error;
  *session = make<Session>(errhandler, runtime().thread_level);
  if (*session != nullptr) return MPI_SUCCESS;
  close_session();
  return fail_no_memory("a session");
}

int session_finalize(MPI_Session* session) {
  Session& closing = *to_session(*session);
  finish_buffered_sends(closing);
  finish_freed_sends(&closing);
  // Others can then read what was sent to them even when this process is gone.
  engine().wait_until([] { return all_drained(); });
  const OpeningLock lock;
  close_session();
  closing.release();
  *session = MPI_SESSION_NULL;
  return MPI_SUCCESS;
}

int session_get_info(Session* session, Info** info_used) {
  const auto* const level = std::ranges::find(kLevels, session->thread_level, &Level::value);
  return give_info(
      {{"thread_level", std::string(level->name)}, {"mpi_memory_alloc_kinds", "mpi,system"}},
      info_used);
}

int session_get_num_psets(Session*, Info*, int* npset_names) {
  *npset_names = static_cast<int>(process_sets().size());
  return MPI_SUCCESS;
}

int session_get_nth_pset(Session*, Info*, int n, int* pset_len, char* pset_name) {
  const std::vector<std::string_view> sets = process_sets();
  if (n < 0 || n >= static_cast<int>(sets.size())) {
    return fail(MPI_ERR_ARG, "n is {}, but there are {} process sets, counted from 0", n,
                sets.size());
  }
  const std::string_view name = sets[static_cast<std::size_t>(n)];
  if (*pset_len < 0) return fail(MPI_ERR_ARG, "pset_len is {}; it must not be negative", *pset_len);
  if (*pset_len > 0) {
    if (pset_name == nullptr) {
      return fail(MPI_ERR_ARG, "pset_name is a null pointer, but pset_len is {}", *pset_len);
    }
    const std::size_t size = std::min(name.size(), static_cast<std::size_t>(*pset_len) - 1);
    std::memcpy(pset_name, name.data(), size);
    pset_name[size] = '\0';
  }
  *pset_len = static_cast<int>(name.size()) + 1;
  return MPI_SUCCESS;
}

int session_get_pset_info(Session*, const char* pset_name, Info** info) {
  const std::string_view name = find_set(pset_name);
  if (name.empty()) return MPI_ERR_ARG;
  Group* const group = group_of_set(name);
  if (group == nullptr) return fail_no_memory("a group");
  const int size = group->size();
  group->release();
  return give_info({{"mpi_size", std::to_string(size)}}, info);
}

int group_from_session_pset(Session* session, const char* pset_name, Group** newgroup) {
  const std::string_view name = find_set(pset_name);
  if (name.empty()) return MPI_ERR_ARG;
  *newgroup = group_of_set(name);
  if (*newgroup == nullptr) return fail_no_memory("a group");
  (*newgroup)->set_session(session);
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
