// mpi_api/init.cc - MPI_Init and MPI_Finalize (MPI-5.0 section 11.2): wire-up, engine, predefined
// objects.
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/clock.h"
#include "core/config.h"
#include "impl.h"
#include "mpi_api/attributes.h"
#include "mpi_api/bsend.h"
#include "mpi_api/coll/selection.h"
#include "mpi_api/coll/shared.h"
#include "mpi_api/comm.h"
#include "mpi_api/connections.h"
#include "mpi_api/contact.h"
#include "mpi_api/datatype.h"
#include "mpi_api/entry.h"
#include "mpi_api/errhandler.h"
#include "mpi_api/errors.h"
#include "mpi_api/fabrics.h"
#include "mpi_api/group.h"
#include "mpi_api/info.h"
#include "mpi_api/lanes.h"
#include "mpi_api/message.h"
#include "mpi_api/op.h"
#include "mpi_api/parting.h"
#include "mpi_api/request.h"
#include "mpi_api/runtime.h"
#include "mpi_api/spawned_jobs.h"
#include "spawn/name_service.h"

namespace tern::mpi {

Runtime the_runtime;

namespace {

// Between the engine, which wants cards, and the wire-up service, which has them. Its poll() is
// also where progress hears of what the MPI layer waits for besides messages.
class CardDesk : public CardSource, private spawn::WireUpSink {
 public:
  explicit CardDesk(spawn::WireUp& wireup) : wireup_(wireup) {}
  virtual ~CardDesk() = default;

  void request_card(const ProcessId& id) override {
    if (id.job != wireup_.info().job_id) {
      return the_runtime.connections->request_card(id);
    }
    wireup_.request_card(static_cast<int>(id.rank));
  }
  int poll() override {
    if (the_runtime.connections->poll() > 0) {
      the_runtime.spawned->release_unconnected(*the_runtime.connections);
    }
    return (wireup_.event_fd() < 0 ? 0 : wireup_.poll(*this)) + coll::flags_raised();
  }
  int pending_fd() const override {
    const int awaited = the_runtime.spawned->awaited_fd();
    return awaited >= 0 ? awaited : wireup_.event_fd();
  }

  void start_barrier() {
    barrier_done_ = false;
    wireup_.start_barrier();
  }
  bool barrier_over() const { return barrier_done_ || lost_; }

 private:
  void on_card(int rank, std::span<const std::byte> card, std::string_view why) override {
    const ProcessId id{wireup_.info().job_id, static_cast<std::uint64_t>(rank)};
    const std::string_view text(reinterpret_cast<const char*>(card.data()), card.size());
    engine().on_card(id, text, why);
    if (the_runtime.lanes != nullptr) the_runtime.lanes->on_card(id, text, why);
  }
  void on_barrier_done() override { barrier_done_ = true; }
  void on_lost() override { lost_ = true; }

  spawn::WireUp& wireup_;
  bool barrier_done_ = false;
  bool lost_ = false;
};

// Where there may be lanes, progress of the engine is progress of theirs, too.
class LanedCardDesk final : public CardDesk {
 public:
  using CardDesk::CardDesk;
  int poll() override {
    const int events = CardDesk::poll();
    return the_runtime.lanes == nullptr ? events : events + the_runtime.lanes->turn();
  }
};

std::unique_ptr<CardDesk> card_desk;

// A variable that is a number or "auto".
std::uint32_t number_or(const Config& config, std::string_view name, std::uint32_t automatic) {
  const std::string_view text = config.text(name);
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : automatic;
}

WaitPolicy wait_policy(const Config& config, const spawn::LaunchInfo& info) {
  // A rank that is bound sees its own cores only. Where the launcher does not say how many all of
  // them have, they have the whole host.
  const int cores =
      info.shared_cores > 0 ? info.shared_cores : static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  WaitPolicy policy = wait_policy_for(info.local_size, cores);
  policy.spin_us = number_or(config, "TERN_SPIN_US", policy.spin_us);
  policy.yield_us = number_or(config, "TERN_YIELD_US", policy.yield_us);
  policy.is_chosen =
      config.text("TERN_SPIN_US") != "auto" || config.text("TERN_YIELD_US") != "auto";
  return policy;
}

thread_local HeldLocks dropped;

void enter_thread_level(int level) {
  the_runtime.thread_level = level;
  the_runtime.main_thread = std::this_thread::get_id();
  entry_state.threaded = level == MPI_THREAD_MULTIPLE;
  engine().wait_state().before_idle = nullptr;
  engine().wait_state().after_idle = nullptr;
  if (!entry_state.threaded) return;
  engine().wait_state().before_idle = [] { dropped = release_entry_fully(); };
  engine().wait_state().after_idle = [] { reacquire_entry(dropped); };
}

void make_predefined_objects() {
  make_predefined_groups();
  make_predefined_infos();
  make_predefined_datatypes();
  make_predefined_ops();
  make_predefined_messages();
}

// nullptr when there is no memory. Takes over the reference of group, which may be nullptr.
Comm* make_predefined_comm(MPI_Comm handle, std::uint64_t context, Group* group, const char* name) {
  Comm* const comm = group == nullptr ? nullptr : make_comm(context, group);
  if (comm == nullptr) return nullptr;
  comm->make_predefined(reinterpret_cast<std::uintptr_t>(handle));
  comm->name = name;
  set_errhandler(*comm, &initial_errhandler());
  return comm;
}

void destroy_comm(Comm*& comm) {
  if (comm == nullptr) return;
  comm->retire_predefined();
  comm->release();
  comm = nullptr;
}

std::uint64_t context_mask(const spawn::LaunchInfo& info) {
  return mix(info.job_id) & ~std::uint64_t{3};
}

int make_predefined_comms(const spawn::LaunchInfo& info) {
  // Contexts 0 and 4 (the lowest two bits tell the plane) are the world's and the self
  // communicator's; new ones begin in the space of this process's number, which is unique in the
  // job: 2^24 processes, and 2^38 communicators that each of them may lead.
  const std::uint64_t mask = context_mask(info);
  the_runtime.world = make_predefined_comm(
      MPI_COMM_WORLD, mask, make<Group>(info.job_id, info.size, info.rank), "MPI_COMM_WORLD");
  the_runtime.self = make_predefined_comm(MPI_COMM_SELF, 4 ^ mask,
                                          make_group({info.id()}, info.id()), "MPI_COMM_SELF");
  if (the_runtime.world != nullptr && the_runtime.self != nullptr) return MPI_SUCCESS;
  destroy_comm(the_runtime.world);
  destroy_comm(the_runtime.self);
  return fail(MPI_ERR_NO_MEM, "no memory is left for MPI_COMM_WORLD");
}

void warn(const Config& config, const std::vector<std::string>& warnings, int rank) {
  if (rank != 0 || !config.flag("TERN_WARNINGS")) return;
  for (const std::string& warning : warnings) {
    std::fprintf(stderr, "tern: warning: %s\n", warning.c_str());
  }
}

// As far as the launcher says so.
bool is_on_one_host(const spawn::LaunchInfo& info) { return info.local_size == info.size; }

// Undoes what bring_up() did before it failed.
int give_up(int error) {
  the_runtime.names.reset();
  the_runtime.spawned.reset();
  the_runtime.contact.reset();
  the_runtime.connections.reset();
  the_runtime.lanes.reset();
  the_runtime.fabrics.reset();
  the_runtime.engine.reset();
  card_desk.reset();
  the_runtime.wireup.reset();
  return error;
}

// Engine, fabrics and predefined objects: all but the world model.
int bring_up(int thread_level) {
  std::string why;
  if (the_runtime.wireup == nullptr) the_runtime.wireup = spawn::make_wireup(why);
  if (the_runtime.wireup == nullptr) return fail(MPI_ERR_OTHER, "{}", why);
  const spawn::LaunchInfo& info = the_runtime.wireup->info();

  std::vector<std::string> warnings;
  const Config config = Config::read(environ, warnings);
  for (std::string& problem : coll::choose_algorithms(config))
    warnings.push_back(std::move(problem));
  warn(config, warnings, info.rank);
  entry_state.checks = config.flag("TERN_CHECKS");

  if (thread_level == MPI_THREAD_MULTIPLE) {
    card_desk = std::make_unique<LanedCardDesk>(*the_runtime.wireup);
  } else {
    card_desk = std::make_unique<CardDesk>(*the_runtime.wireup);
  }
  const EngineOptions options{config.number("TERN_EAGER_MAX"), wait_policy(config, info)};
  the_runtime.engine = std::make_unique<Engine>(info.id(), *card_desk, options);
  the_runtime.connections = std::make_unique<Connections>(engine());
  the_runtime.spawned = std::make_unique<SpawnedJobs>();
  the_runtime.connect_timeout = config.text("TERN_CONNECT_TIMEOUT");
  the_runtime.name_directory = config.text("TERN_NAME_DIR");
  the_runtime.peer_timeout_us = config.number("TERN_PEER_TIMEOUT") * 1000000;
  the_runtime.verbose = config.number("TERN_VERBOSE") != 0;
  HostIdentity host = HostIdentity::read();
  the_runtime.report = read_report_wish(config);
  the_runtime.fabrics = std::make_unique<FabricSet>(config);
  if (const int error = the_runtime.fabrics->open(engine(), host, is_on_one_host(info)))
    return give_up(error);
  const std::string card = engine().make_card(std::move(host)).encode();
  if (the_runtime.wireup->put_card(std::as_bytes(std::span(card)))) {
    return give_up(fail(MPI_ERR_OTHER,
                        "the launcher did not take this rank's business card; is it "
                        "still running?"));
  }
  the_runtime.context_base = (static_cast<std::uint64_t>(info.rank) + 1) << 40 ^ context_mask(info);
  make_predefined_objects();
  const auto lanes = static_cast<unsigned>(
      std::min<std::uint64_t>(config.number("TERN_LANES"), FabricSet::kLanesMax));
  if (thread_level == MPI_THREAD_MULTIPLE && lanes > 0 && the_runtime.fabrics->can_make_lanes()) {
    the_runtime.lanes = std::make_unique<Lanes>(*the_runtime.fabrics, engine(), options, lanes);
  }
  return MPI_SUCCESS;
}

bool in_use() { return the_runtime.world_active() || the_runtime.sessions > 0; }

// The thread level can be chosen as long as nobody uses MPI: others may be inside it right now.
int prepare(int thread_level) {
  if (the_runtime.engine == nullptr) {
    if (const int error = bring_up(thread_level)) return error;
  }
  if (!in_use()) enter_thread_level(thread_level);
  return MPI_SUCCESS;
}

int start_up(int thread_level) {
  if (the_runtime.was_initialized) {
    return fail(MPI_ERR_OTHER, "MPI was initialized {}; MPI_Init may be called once per process",
                the_runtime.finalized ? "and finalized before" : "already");
  }
  if (const int error = prepare(thread_level)) return error;
  if (const int error = make_predefined_comms(the_runtime.wireup->info())) {
    return in_use() ? error : give_up(error);
  }
  the_runtime.main_thread = std::this_thread::get_id();
  the_runtime.was_initialized = true;
  entry_state.initialized.store(true, std::memory_order_release);
  const EntryGuard guard("MPI_Init");
  std::vector<std::string> known;  // bring_up() has printed these warnings.
  preconnect_world(Config::read(environ, known));
  return connect_to_parent();
}

// The wire-up service stays: there is one per process, and sessions may still come.
void take_down() {
  constexpr std::chrono::seconds kGoodbye{10};
  the_runtime.wireup->finalize(kGoodbye);
  for (const auto& fabric : engine().fabrics()) fabric->leave();
  the_runtime.names.reset();
  the_runtime.spawned.reset();
  the_runtime.contact.reset();
  the_runtime.connections.reset();
  the_runtime.lanes.reset();
  the_runtime.fabrics.reset();
  the_runtime.engine.reset();
  card_desk.reset();
}

pid_t session_process = 0;

// At the end of a process that has used sessions. One that ends while MPI is in use gets no
// farewell: the launcher shall see that it ended too early. Nor does a child of fork() say it.
void leave_at_exit() {
  if (getpid() == session_process && the_runtime.engine != nullptr && !in_use()) take_down();
}

void refuse_calls_unless_in_use() {
  if (in_use()) return;
  entry_state.initialized.store(false, std::memory_order_release);
  entry_state.checks = true;  // Calls from now on are mistakes, whatever TERN_CHECKS says.
}

// Where a rank has died and the launcher goes on, its barrier may never end: the others wait for
// each other so long.
constexpr std::uint64_t kMeetingWithoutAllMs = 2000;

// Nobody leaves while somebody else may still need an answer from it.
void meet_everybody() {
  // Those who have not noticed anything must not wait for ever, either.
  for (const Peer* const lost : engine().failed_peers()) {
    if (!lost->ended || the_runtime.connections->is_foreign(lost->id)) continue;
    break_down(*the_runtime.world, fail(MPI_ERR_PROC_ABORTED, "rank {} of the job has ended: {}",
                                        lost->id.rank, lost->why));
    tell_of_breakdowns();
    break;
  }
  card_desk->start_barrier();
  const std::uint64_t begin_ms = coarse_ms();
  engine().wait_until([begin_ms] {
    return card_desk->barrier_over() ||
           (the_runtime.world->broken != nullptr && coarse_ms() - begin_ms >= kMeetingWithoutAllMs);
  });
}

int shut_down() {
  const EntryGuard guard("MPI_Finalize");
  // First of all, so that libraries can clean up by MPI calls (section 11.2.4).
  if (const int error = delete_attributes(*the_runtime.self); error != MPI_SUCCESS) return error;
  finish_buffered_sends();
  finish_freed_sends(nullptr);
  std::unique_ptr<JobReport> report = JobReport::begin();
  part_from_everybody();
  the_runtime.connections->drop_strangers();
  the_runtime.spawned->release_all();
  if (report != nullptr) report->send();
  engine().wait_until([] { return all_drained(); });
  if (the_runtime.wireup->info().size > 1) meet_everybody();
  if (report != nullptr) report->finish();
  report.reset();  // It has a receive in the engine.
  delete_attributes(*the_runtime.world);
  destroy_comm(the_runtime.self);
  destroy_comm(the_runtime.world);
  the_runtime.finalized = true;
  refuse_calls_unless_in_use();
  if (!the_runtime.sessions_were_used) take_down();
  return MPI_SUCCESS;
}

// These entry points are forwarded as they are, so they invoke the error handler themselves.
int raised(int error, const char* function) {
  return error == MPI_SUCCESS ? error : raise_default(error, function);
}

}  // namespace

std::uint64_t new_context() {
  return the_runtime.context_base ^ (++the_runtime.context_count << 2);
}

bool all_drained() {
  return engine().drained() && (the_runtime.lanes == nullptr || the_runtime.lanes->drained());
}

int open_session(int thread_level) {
  if (const int error = prepare(thread_level)) return error;
  if (!std::exchange(the_runtime.sessions_were_used, true)) {
    session_process = getpid();
    std::atexit(leave_at_exit);
  }
  ++the_runtime.sessions;
  entry_state.initialized.store(true, std::memory_order_release);
  return MPI_SUCCESS;
}

void close_session() {
  --the_runtime.sessions;
  refuse_calls_unless_in_use();
}

namespace impl {

// These two raise their errors themselves: their entry points run before there is an error handler
// other than the initial one.
int init(int*, char***) { return raised(start_up(MPI_THREAD_SINGLE), "MPI_Init"); }

int init_thread(int*, char***, int required, int* provided) {
  if (required != MPI_THREAD_SINGLE && required != MPI_THREAD_FUNNELED &&
      required != MPI_THREAD_SERIALIZED && required != MPI_THREAD_MULTIPLE) {
    return raised(fail(MPI_ERR_ARG,
                       "argument `required` is {}; allowed are MPI_THREAD_SINGLE, "
                       "MPI_THREAD_FUNNELED, MPI_THREAD_SERIALIZED and MPI_THREAD_MULTIPLE",
                       required),
                  "MPI_Init_thread");
  }
  const int error = start_up(required);
  // Less or more where a session has come before.
  if (error == MPI_SUCCESS && provided != nullptr) *provided = the_runtime.thread_level;
  return raised(error, "MPI_Init_thread");
}

int finalize() {
  if (!the_runtime.world_active()) return raise_uninitialized("MPI_Finalize");
  return raised(shut_down(), "MPI_Finalize");
}

}  // namespace impl
}  // namespace tern::mpi
