// core/counters.cc - see counters.h.
#include "core/counters.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/format.h"

namespace tern::counters {
namespace {

constexpr std::array<std::string_view, 5> kFabrics = {"self", "shm", "verbs", "ucx", "other"};

// Never destroyed: a service thread may count while the program exits.
struct Process {
  std::array<FabricCounters, kFabrics.size()> fabrics;
  RegistrationCounters registrations;
};
Process& process() {
  static Process* const process = new Process;
  return *process;
}

// How the value of a row is found: of a fabric, or of the process when `fabric` is nullptr.
using Reader = std::uint64_t (*)(const FabricCounters* fabric);

struct Metric {
  std::string_view name;
  Kind kind;
  Unit unit;
  std::string_view meaning;
  Reader read;
};

template <Counter FabricCounters::*counter>
std::uint64_t of_connections(const FabricCounters* fabric) {
  return (fabric->*counter).get();
}
template <Protocol protocol, std::uint64_t Volume::*part>
std::uint64_t of_traffic(const FabricCounters* fabric) {
  return fabric->traffic.total()[static_cast<std::size_t>(protocol)].*part;
}
template <Counter RegistrationCounters::*counter>
std::uint64_t of_registrations(const FabricCounters*) {
  return (process().registrations.*counter).get();
}
std::uint64_t mean_handshake(const FabricCounters* fabric) {
  const std::uint64_t count = fabric->opened.get();
  return count == 0 ? 0 : fabric->handshake_us_total.get() / count;
}

constexpr Metric kOfConnections[] = {
    {"connections_opened", Kind::kCounter, Unit::kCount,
     "connections that came up, also those that did so again",
     of_connections<&FabricCounters::opened>},
    {"connections_closed", Kind::kCounter, Unit::kCount,
     "connections closed in agreement, to make room for others or because jobs parted",
     of_connections<&FabricCounters::closed>},
    {"connections_replayed", Kind::kCounter, Unit::kCount,
     "connections that came up again after they had broken; what was lost was sent again",
     of_connections<&FabricCounters::replayed>},
    {"connections_failed", Kind::kCounter, Unit::kCount, "connections given up",
     of_connections<&FabricCounters::failed>},
    {"handshake_time_min", Kind::kLowest, Unit::kMicroseconds,
     "shortest time that a connection took to come up",
     of_connections<&FabricCounters::handshake_us_min>},
    {"handshake_time_mean", Kind::kMean, Unit::kMicroseconds,
     "mean time that a connection took to come up", mean_handshake},
    {"handshake_time_max", Kind::kHighest, Unit::kMicroseconds,
     "longest time that a connection took to come up",
     of_connections<&FabricCounters::handshake_us_max>},
    {"setup_bytes", Kind::kTotal, Unit::kBytes, "sent to make connections",
     of_connections<&FabricCounters::setup_bytes>},
    {"memory_bytes", Kind::kLevel, Unit::kBytes, "memory held for connections now",
     of_connections<&FabricCounters::memory_bytes>},
};

constexpr Metric kOfTraffic[] = {
    {"eager_messages", Kind::kCounter, Unit::kCount, "messages sent at once, copied on their way",
     of_traffic<Protocol::kEager, &Volume::messages>},
    {"eager_bytes", Kind::kTotal, Unit::kBytes, "bytes of messages sent at once",
     of_traffic<Protocol::kEager, &Volume::bytes>},
    {"rendezvous_messages", Kind::kCounter, Unit::kCount,
     "messages announced first, sent when their receive was there",
     of_traffic<Protocol::kRendezvous, &Volume::messages>},
    {"rendezvous_bytes", Kind::kTotal, Unit::kBytes, "bytes of messages announced first",
     of_traffic<Protocol::kRendezvous, &Volume::bytes>},
    {"fetched_messages", Kind::kCounter, Unit::kCount,
     "messages received straight out of the sender's memory (single copy, RDMA read or write)",
     of_traffic<Protocol::kFetched, &Volume::messages>},
    {"fetched_bytes", Kind::kTotal, Unit::kBytes, "bytes received that way",
     of_traffic<Protocol::kFetched, &Volume::bytes>},
    {"streamed_messages", Kind::kCounter, Unit::kCount,
     "announced messages received in pieces, where they could not be fetched",
     of_traffic<Protocol::kStreamed, &Volume::messages>},
    {"streamed_bytes", Kind::kTotal, Unit::kBytes, "bytes received that way",
     of_traffic<Protocol::kStreamed, &Volume::bytes>},
};

constexpr Metric kOfProcess[] = {
    {"registrations", Kind::kCounter, Unit::kCount,
     "times that memory was registered with a network device",
     of_registrations<&RegistrationCounters::registered>},
    {"deregistrations", Kind::kCounter, Unit::kCount, "times that this was undone",
     of_registrations<&RegistrationCounters::deregistered>},
    {"registered_bytes", Kind::kLevel, Unit::kBytes,
     "memory of the program registered with a network device now",
     of_registrations<&RegistrationCounters::bytes>},
};

struct Table {
  std::vector<Row> rows;
  struct Source {
    Reader read;
    const FabricCounters* fabric;
  };
  std::vector<Source> sources;

  void add(const Metric& metric, std::string_view fabric, const FabricCounters* counters) {
    const std::string prefix = fabric.empty() ? "" : std::string(fabric) + "_";
    const std::string subject = fabric.empty() ? "" : std::string(fabric) + ": ";
    rows.push_back({prefix + std::string(metric.name), metric.kind, metric.unit,
                    subject + std::string(metric.meaning)});
    sources.push_back({metric.read, counters});
  }
};

Table make_table() {
  Table table;
  for (std::size_t i = 0; i < kFabrics.size(); ++i) {
    const FabricCounters& counters = process().fabrics[i];
    const bool connects = kFabrics[i] != "self";
    if (connects) {
      for (const Metric& metric : kOfConnections) table.add(metric, kFabrics[i], &counters);
    }
    for (const Metric& metric : kOfTraffic) table.add(metric, kFabrics[i], &counters);
  }
  for (const Metric& metric : kOfProcess) table.add(metric, "", nullptr);
  return table;
}

const Table& the_table() {
  static const Table* const table = new Table(make_table());
  return *table;
}

}  // namespace

Volumes Traffic::read() const {
  Volumes volumes;
  for (std::size_t i = 0; i < kProtocols; ++i) {
    volumes[i] = {pairs_[i].messages.get(), pairs_[i].bytes.get()};
  }
  return volumes;
}

TrafficPool::~TrafficPool() {
  for (const Chunk* chunk = chunks_.load(std::memory_order_relaxed); chunk != nullptr;) {
    delete std::exchange(chunk, chunk->next);
  }
}

Traffic& TrafficPool::take() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) {
    auto* const chunk = new Chunk;
    chunk->next = chunks_.load(std::memory_order_relaxed);
    for (Traffic& traffic : chunk->traffic) free_.push_back(&traffic);
    chunks_.store(chunk, std::memory_order_release);  // Pairs with the load of readers.
  }
  Traffic& traffic = *free_.back();
  free_.pop_back();
  return traffic;
}

void TrafficPool::give_back(Traffic& traffic) {
  const std::lock_guard lock(mutex_);
  free_.push_back(&traffic);
}

Volumes TrafficPool::total() const {
  Volumes sum{};
  for (const Chunk* chunk = chunks_.load(std::memory_order_acquire); chunk != nullptr;
       chunk = chunk->next) {
    for (const Traffic& traffic : chunk->traffic) {
      const Volumes volumes = traffic.read();
      for (std::size_t i = 0; i < kProtocols; ++i) sum[i] = sum[i] + volumes[i];
    }
  }
  return sum;
}

void FabricCounters::count_opened(std::uint64_t handshake_us) {
  const std::lock_guard lock(mutex_);
  const bool first = opened.get() == 0;
  opened.add(1);
  handshake_us_total.add(handshake_us);
  if (first || handshake_us < handshake_us_min.get()) handshake_us_min.set(handshake_us);
  if (handshake_us > handshake_us_max.get()) handshake_us_max.set(handshake_us);
}

FabricCounters& of_fabric(std::string_view name) {
  const auto* const found = std::find(kFabrics.begin(), kFabrics.end() - 1, name);
  return process().fabrics[static_cast<std::size_t>(found - kFabrics.begin())];
}

std::span<const std::string_view> fabric_names() { return kFabrics; }

RegistrationCounters& registrations() { return process().registrations; }

std::span<const Row> table() { return the_table().rows; }

std::uint64_t read(std::size_t index) {
  CHECK(index < table().size());
  const Table::Source& source = the_table().sources[index];
  return source.read(source.fabric);
}

std::string_view name(Kind kind) {
  constexpr std::string_view kNames[] = {"counter", "total", "level", "highest", "lowest", "mean"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string_view name(Unit unit) {
  constexpr std::string_view kNames[] = {"", "bytes", "us"};
  return kNames[static_cast<std::size_t>(unit)];
}

}  // namespace tern::counters
