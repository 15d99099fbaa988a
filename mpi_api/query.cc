// mpi_api/query.cc - see query.h.
#include "mpi_api/query.h"

#include <unistd.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "core/card.h"
#include "core/config.h"
#include "core/counters.h"
#include "core/format.h"
#include "core/wait.h"
#include "mpi.h"
#include "mpi_api/coll/selection.h"
#include "mpi_api/errors.h"
#include "mpi_api/fabrics.h"
#include "spawn/engine_search.h"
#include "spawn/port_name.h"
#include "spawn/spawn_keys.h"

namespace tern::mpi {
namespace {

// Where the rows go.
class Table {
 public:
  Table(tern_row_function* row, void* context) : row_(row), context_(context) {}
  void add(std::initializer_list<std::string> fields) const {
    std::vector<const char*> pointers;
    for (const std::string& field : fields) pointers.push_back(field.c_str());
    row_(context_, static_cast<int>(pointers.size()), pointers.data());
  }

 private:
  tern_row_function* row_;
  void* context_;
};

Config read_config() {
  std::vector<std::string> warnings;
  return Config::read(environ, warnings);
}

void build(const Table& table) {
  table.add({"property", "value"});
  table.add({"Tern version", TERN_VERSION});
  table.add({"MPI standard", std::to_string(MPI_VERSION) + "." + std::to_string(MPI_SUBVERSION)});
  table.add(
      {"MPI ABI", std::to_string(MPI_ABI_VERSION) + "." + std::to_string(MPI_ABI_SUBVERSION)});
  table.add({"wire version", std::to_string(kWireVersion)});
  table.add({"compiler", __VERSION__});
  table.add({"usable cores", std::to_string(usable_cores())});
}

void list_variables(const Table& table) {
  table.add({"name", "value", "origin", "default", "meaning"});
  const Config config = read_config();
  for (const Variable& variable : variables()) {
    if (variable.internal) continue;
    bool shown = false;
    for (const Config::Setting& setting : config.settings()) {
      if (setting.variable != &variable) continue;
      table.add({std::string(variable.name), setting.value,
                 setting.from_user ? "environment" : "default", std::string(variable.default_text),
                 std::string(variable.meaning)});
      shown = true;
    }
    if (!shown) {
      table.add({std::string(variable.name), "", "default", std::string(variable.default_text),
                 std::string(variable.meaning)});
    }
  }
}

void list_fabrics(const Table& table) {
  table.add({"fabric", "usable", "detail"});
  for (const FabricReport& report : report_fabrics(read_config())) {
    table.add({report.name, report.usable ? "yes" : "no", report.detail});
  }
}

std::string limit(std::size_t value, std::size_t any) {
  return value == any ? "any" : "<= " + std::to_string(value);
}

void list_collectives(const Table& table) {
  table.add({"collective", "ranks", "bytes", "operation", "algorithm", "bytes means"});
  // As the library does in MPI_Init; mistakes are reported there.
  (void)coll::choose_algorithms(read_config());
  for (const coll::Selection& selection : coll::selections()) {
    for (const coll::Rule& rule : coll::rules_in_force(selection)) {
      table.add({std::string(selection.name),
                 limit(static_cast<std::size_t>(rule.ranks_max), coll::kAnyRanks),
                 limit(rule.bytes_max, coll::kAnyBytes), std::string(coll::name_of(rule.only)),
                 std::string(coll::name_of(rule.algorithm)), std::string(selection.bytes)});
    }
  }
}

void list_algorithms(const Table& table) {
  table.add({"collective", "algorithm", "meaning"});
  for (const coll::Selection& selection : coll::selections()) {
    for (const coll::Algorithm algorithm : selection.algorithms) {
      table.add({std::string(selection.name), std::string(coll::name_of(algorithm)),
                 std::string(coll::meaning_of(algorithm))});
    }
  }
}

// What a port name says, and whether this host could connect.
class NoCards final : public CardSource {
 public:
  void request_card(const ProcessId&) override {}
  int poll() override { return 0; }
  int pending_fd() const override { return -1; }
};

std::string why_no_connection(const spawn::PortName& port) {
  NoCards none;
  Engine engine({0, 0}, none, {});
  FabricSet fabrics(read_config());
  if (const int error = fabrics.open(engine, HostIdentity::read(), false)) {
    return std::string(last_failure(error));
  }
  const Card& own = engine.make_card(HostIdentity::read());
  std::string why = spawn::why_no_match(port, spawn::station_of(own));
  const Card server = spawn::card_of(port, own);
  for (const auto& fabric : engine.fabrics()) {
    if (why.empty()) why = fabric->why_gone(server);
  }
  return why;
}

void describe_port(const Table& table, std::string_view name) {
  table.add({"field", "value"});
  std::string why;
  const auto port = spawn::PortName::decode(name, why);
  if (port) {
    table.add({"wire version", std::to_string(port->wire_version)});
    table.add({"operating system", port->os});
    for (const spawn::PortName::Fabric& fabric : port->fabrics) {
      table.add({"fabric", fabric.name});
      table.add({fabric.name + " network", fabric.network});
      table.add({fabric.name + " address", fabric.address});
    }
    table.add({"host", port->host});
    table.add({"rank", std::to_string(port->server.rank)});
    why = why_no_connection(*port);
  }
  table.add({"reachable", why.empty() ? "yes" : "no: " + why});
}

void list_spawn_keys(const Table& table) {
  table.add({"key", "value", "meaning"});
  for (const spawn::SpawnKey& key : spawn::spawn_keys()) {
    table.add({std::string(key.name), std::string(key.value), std::string(key.meaning)});
  }
}

void list_launchers(const Table& table) {
  table.add({"launcher", "program", "detail"});
  table.add({"fork", "mpiexec", "ranks on this host; used while no other is named"});
  const auto found = spawn::find_engines();
  for (const spawn::Engine engine : spawn::all_engines()) {
    const auto here = std::ranges::find(found, engine, &spawn::FoundEngine::engine);
    const spawn::EngineNeeds needs = spawn::engine_needs(engine);
    table.add({std::string(spawn::engine_name(engine)), here == found.end() ? "" : here->program,
               here != found.end() ? "ranks on other hosts"
               : engine == spawn::Engine::kSlurm
                   ? tern::format("not found: {} (Debian: {}); used inside a Slurm allocation",
                                  needs.program, needs.package)
                   : tern::format("not found: {} (Debian: {})", needs.program, needs.package)});
  }
}

void list_counters(const Table& table) {
  table.add({"counter", "kind", "unit", "meaning"});
  for (const counters::Row& row : counters::table()) {
    table.add({row.name, std::string(counters::name(row.kind)),
               std::string(counters::name(row.unit)), row.meaning});
  }
}

struct Topic {
  std::string_view name;
  std::string_view meaning;
  void (*list)(const Table&);
};

void list_topics(const Table& table);
void list_no_port(const Table& table) { describe_port(table, ""); }

constexpr Topic kTopics[] = {
    {"build", "versions and how the library was built", build},
    {"variables", "all TERN_ variables: value, origin, default, meaning", list_variables},
    {"fabrics", "the fabrics of this build, whether they can be used here, and why not",
     list_fabrics},
    {"collectives", "which algorithm a collective uses for which sizes", list_collectives},
    {"algorithms", "what TERN_COLL_<OPERATION> may be set to", list_algorithms},
    {"counters", "what each process counts: connections, messages, bytes, registrations",
     list_counters},
    {"port", "what a port name says, and whether this host could connect: port NAME", list_no_port},
    {"spawn-keys", "info keys of MPI_Comm_spawn; ompi_ may be written tern_", list_spawn_keys},
    {"launchers", "the launchers of others that mpiexec can use for several hosts", list_launchers},
    {"topics", "this list", list_topics},
};

void list_topics(const Table& table) {
  table.add({"topic", "meaning"});
  for (const Topic& topic : kTopics)
    table.add({std::string(topic.name), std::string(topic.meaning)});
}

}  // namespace
}  // namespace tern::mpi

extern "C" __attribute__((visibility("default"))) int tern_query(const char* topic,
                                                                 tern_row_function* row,
                                                                 void* context) {
  constexpr std::string_view kPort = "port ";
  if (std::string_view(topic).starts_with(kPort)) {
    tern::mpi::describe_port(tern::mpi::Table(row, context), topic + kPort.size());
    return 0;
  }
  for (const auto& known : tern::mpi::kTopics) {
    if (known.name != topic) continue;
    known.list(tern::mpi::Table(row, context));
    return 0;
  }
  return -1;
}
