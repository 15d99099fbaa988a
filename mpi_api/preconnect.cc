// mpi_api/preconnect.cc - see preconnect.h and mpix.h.
#include "mpi_api/preconnect.h"

#include <cstdio>
#include <vector>

#include "core/clock.h"
#include "core/counters.h"
#include "core/format.h"
#include "core/meet.h"
#include "core/preconnect.h"
#include "mpi_api/checks.h"
#include "mpi_api/comm.h"
#include "mpi_api/mpix.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

using preconnect::Pair;
using preconnect::Plan;
using preconnect::Rank;

struct Expense {
  std::uint64_t setup_bytes = 0;
  std::uint64_t memory_bytes = 0;
};

Expense expense() {
  Expense sum;
  for (const std::string_view fabric : counters::fabric_names()) {
    sum.setup_bytes += counters::of_fabric(fabric).setup_bytes.get();
    sum.memory_bytes += counters::of_fabric(fabric).memory_bytes.get();
  }
  return sum;
}

// Meets them all, as far as that goes. `what` is for the line that is printed on request.
Meeting meet(std::vector<Rank> partners, Rank own, const Meeting::PeerOf& peer_of,
             const std::string& what, std::uint64_t& took_us) {
  const Expense before = expense();
  const std::uint64_t begin = fine_us();
  Meeting meeting(engine(), std::move(partners), own, peer_of, runtime().peer_timeout_us);
  engine().wait_until([&] { return meeting.advance(fine_us()); });
  took_us = fine_us() - begin;
  if (runtime().verbose && own == 0) {
    const Expense after = expense();
    std::fprintf(stderr,
                 "tern: %s: rank 0 connected with %zu processes in %.3f ms; it sent %llu bytes for "
                 "that, and %llu bytes of memory are held more than before\n",
                 what.c_str(), meeting.met(), static_cast<double>(took_us) / 1000,
                 static_cast<unsigned long long>(after.setup_bytes - before.setup_bytes),
                 static_cast<unsigned long long>(after.memory_bytes - before.memory_bytes));
  }
  return meeting;
}

void warn(const Config& config, const std::string& text) {
  if (config.flag("TERN_WARNINGS")) std::fprintf(stderr, "tern: warning: %s\n", text.c_str());
}

// The hosts of all ranks, as the launcher has told them; false when it has not.
bool hosts_of_ranks(const spawn::LaunchInfo& info, std::vector<Rank>& hosts) {
  const spawn::HostFinder finder(info.hosts);
  for (int rank = 0; rank < info.size; ++rank) {
    const int host = finder.of(rank);
    if (host < 0) return false;
    hosts.push_back(static_cast<Rank>(host));
  }
  return true;
}

// This rank's partners. False, with a sentence in `why`, when the plan cannot be followed.
bool partners_in_world(const Plan& plan, const spawn::LaunchInfo& info, std::vector<Rank>& partners,
                       std::string& why) {
  const auto size = static_cast<Rank>(info.size);
  std::vector<Rank> hosts;
  std::vector<Pair> pairs;
  if (plan.kind == Plan::Kind::kNodes && !hosts_of_ranks(info, hosts)) {
    why = "the launcher does not say which rank runs on which host";
    return false;
  }
  if (plan.kind == Plan::Kind::kFile && !preconnect::read_pairs_file(plan.path, size, pairs, why))
    return false;
  partners = preconnect::partners(plan, static_cast<Rank>(info.rank), size, hosts, pairs);
  return true;
}

std::string others(const Meeting& meeting) {
  return meeting.missing() > 1 ? tern::format(" (and with {} others)", meeting.missing() - 1) : "";
}

}  // namespace

void preconnect_world(const Config& config) {
  const std::string text(config.text("TERN_PRECONNECT"));
  const spawn::LaunchInfo& info = runtime().wireup->info();
  Plan plan;
  std::string why;
  std::vector<Rank> partners;
  const bool is_plan = preconnect::parse_plan(text, plan, why);
  if (!is_plan || !partners_in_world(plan, info, partners, why)) {
    // A file may be there on one host and not on another.
    if (info.rank == 0 || plan.kind == Plan::Kind::kFile) {
      warn(config, tern::format("TERN_PRECONNECT={}: {}; rank {} connects when it has something to "
                                "send",
                                text, why, info.rank));
    }
    return;
  }
  if (plan.kind == Plan::Kind::kNone || info.size == 1) return;
  Comm& world = *runtime().world;
  Preconnected& result = runtime().preconnected;
  const Meeting meeting = meet(
      std::move(partners), static_cast<Rank>(info.rank),
      [&world](Rank rank) -> Peer& { return world.peer(static_cast<int>(rank)); },
      "TERN_PRECONNECT=" + text, result.took_us);
  result.plan = text;
  result.connections = meeting.met();
  if (meeting.missing() == 0) return;
  warn(config, tern::format(
                   "TERN_PRECONNECT={}: rank {} could not connect with rank {}{}: {}; it will try "
                   "again when it has something to send. Is TERN_PRECONNECT the same on all ranks?",
                   text, info.rank, meeting.first_missing(), others(meeting), meeting.why()));
}

int preconnect(Comm& comm) {
  // Of an intercommunicator, the places of the group that is first come first.
  const auto local = static_cast<Rank>(comm.size());
  const auto remote = comm.is_inter() ? static_cast<Rank>(comm.remote_size()) : Rank{0};
  const bool second = comm.is_inter() && !comm.is_first();
  const Rank own = static_cast<Rank>(comm.rank()) + (second ? remote : 0);
  std::vector<Rank> partners;
  if (!comm.is_inter()) {
    Plan all;
    all.kind = Plan::Kind::kAll;
    partners = preconnect::partners(all, own, local, {}, {});
  } else {
    partners = preconnect::partners_across(own, second ? remote : local, second ? local : remote);
  }
  const auto rank_of = [&](Rank place) {
    return static_cast<int>(comm.is_inter() && !second ? place - local : place);
  };
  std::uint64_t took_us = 0;
  const Meeting meeting = meet(
      std::move(partners), own, [&](Rank place) -> Peer& { return comm.peer(rank_of(place)); },
      "MPIX_Comm_preconnect", took_us);
  if (meeting.missing() == 0) return MPI_SUCCESS;
  return fail(MPI_ERR_OTHER,
              "argument `comm`: this process could not connect with rank {}{}: {}. All processes "
              "of comm must call MPIX_Comm_preconnect",
              rank_of(meeting.first_missing()), others(meeting), meeting.why());
}

}  // namespace tern::mpi

extern "C" __attribute__((visibility("default"))) int MPIX_Comm_preconnect(MPI_Comm comm) {
  using namespace tern::mpi;
  constexpr const char* kFunction = "MPIX_Comm_preconnect";
  const EntryGuard guard(kFunction);
  if (!is_initialized()) return raise_uninitialized(kFunction);
  Comm* const object = to_comm(comm);
  if (checks_on() && !is_comm(object, comm))
    return raise_default(bad_comm(comm, "comm"), kFunction);
  const int failure = tern::mpi::preconnect(*object);
  return failure == MPI_SUCCESS ? failure : raise(object, failure, kFunction);
}
