// spawn/wireup.cc - who launched this process: picks the WireUp backend. Also the singleton.
#include "spawn/wireup.h"

#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "spawn/foreign_job.h"
#include "spawn/foreign_launcher.h"
#include "spawn/job_env.h"
#include "spawn/launcher_contact.h"
#include "spawn/pmi1_client.h"
#include "spawn/pmi2_client.h"
#include "spawn/pmix_client.h"

namespace tern::spawn {
namespace {

// A program that was started without a launcher: a job of one rank.
class Singleton final : public WireUp {
 public:
  Singleton() {
    // Cannot fail or be short for 8 bytes once the kernel's pool is up; if a sandbox forbids the
    // call, the address and time of this object still tell jobs of one host apart.
    if (::getrandom(&info_.job_id, sizeof info_.job_id, 0) != sizeof info_.job_id) {
      info_.job_id =
          reinterpret_cast<std::uintptr_t>(this) ^
          static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
    }
    info_.kvs_name = "singleton";
    info_.hosts = {{.first_host = 0, .host_count = 1, .ranks_per_host = 1}};
  }

  const LaunchInfo& info() const override { return info_; }

  std::error_code put_card(std::span<const std::byte> card) override {
    card_.assign(card.begin(), card.end());
    return {};
  }
  void request_card(int) override { ++cards_wanted_; }
  void start_barrier() override { ++barriers_; }

  int poll(WireUpSink& sink) override {
    const int cards = std::exchange(cards_wanted_, 0);
    const int barriers = std::exchange(barriers_, 0);
    for (int i = 0; i < cards; ++i) sink.on_card(0, card_, {});
    for (int i = 0; i < barriers; ++i) sink.on_barrier_done();
    return cards + barriers;
  }

  int event_fd() const override { return -1; }
  std::error_code start_launcher(const std::string& address) override {
    return own_launcher_.start(address);
  }
  void abort(int, std::string_view) override {}
  std::error_code finalize(std::chrono::milliseconds) override { return {}; }

 private:
  LaunchInfo info_;
  OwnLauncher own_launcher_;
  std::vector<std::byte> card_;
  int cards_wanted_ = 0;
  int barriers_ = 0;
};

}  // namespace

HostFinder::HostFinder(std::span<const HostBlock> blocks) : blocks_(blocks) {
  std::int64_t places = 0;
  for (const HostBlock& block : blocks) {
    places += std::int64_t{block.host_count} * block.ranks_per_host;
    ends_.push_back(places);
  }
}

int HostFinder::of(int rank) const {
  if (ends_.empty() || ends_.back() == 0) return -1;
  // More ranks than places: the launcher started again at the first host.
  std::int64_t place = rank % ends_.back();
  const auto end = std::ranges::upper_bound(ends_, place);
  const HostBlock& block = blocks_[static_cast<std::size_t>(end - ends_.begin())];
  if (end != ends_.begin()) place -= *std::prev(end);
  return block.first_host + static_cast<int>(place / block.ranks_per_host);
}

std::vector<HostBlock> parse_process_mapping(std::string_view text) {
  constexpr std::string_view kHead = "(vector,";
  if (!text.starts_with(kHead) || !text.ends_with("))")) return {};
  text.remove_prefix(kHead.size());
  text.remove_suffix(1);
  std::vector<HostBlock> blocks;
  while (!text.empty()) {
    const std::size_t end = text.find(')');
    if (text.front() != '(' || end == std::string_view::npos) return {};
    std::string_view numbers = text.substr(1, end - 1);
    int values[3];
    for (int& value : values) {
      const std::size_t comma = numbers.find(',');
      // A million hosts or ranks per host is beyond every machine and keeps the products small.
      const auto number = to_number(numbers.substr(0, comma));
      if (!number || *number < 0 || *number > 1'000'000) return {};
      value = *number;
      numbers = comma == std::string_view::npos ? "" : numbers.substr(comma + 1);
    }
    if (!numbers.empty() || values[1] == 0 || values[2] == 0 || values[1] > 1'000'000 / values[2]) {
      return {};
    }
    blocks.push_back({values[0], values[1], values[2]});
    text.remove_prefix(end + 1);
    if (!text.empty() && text.front() == ',') text.remove_prefix(1);
  }
  return blocks;
}

namespace {

// The launcher's name for this process; empty when no PMIx launcher started it.
std::string pmix_identity() {
  const char* const space = std::getenv(env::kPmixNamespace);
  const char* const rank = std::getenv(env::kPmixRank);
  return space == nullptr || rank == nullptr ? std::string() : std::string(space) + "." + rank;
}

std::unique_ptr<WireUp> make_pmix(const std::string& identity, std::string& error) {
  PmixLibrary library;
  if (!library.load(error)) return nullptr;
  auto client = PmixClient::connect(library, error);
  if (client != nullptr) claim_launcher_variables(identity);
  return client;
}

bool is_socket(int fd) {
  struct stat status;
  return fd >= 0 && ::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

// srun --mpi=pmi2 tells the job's name in the environment, launchers that speak PMI-1 do not.
bool speaks_pmi2(int fd) { return is_socket(fd) && std::getenv(env::kPmiJob) != nullptr; }

std::unique_ptr<WireUp> connect_pmi(const char* fd, const char* port, std::string& error) {
  const int number = fd == nullptr ? -1 : to_number(fd).value_or(-1);
  if (speaks_pmi2(number)) return Pmi2Client::from_descriptor(number, error);
  if (fd != nullptr) return Pmi1Client::from_descriptor(number, error);
  const char* const id = std::getenv(env::kPmiId);
  return Pmi1Client::from_port(port, id == nullptr ? "0" : id, error);
}

std::unique_ptr<WireUp> make_pmi(const char* fd, const char* port, std::string& error) {
  std::unique_ptr<WireUp> client = connect_pmi(fd, port, error);
  if (client == nullptr) return nullptr;
  // From here on PMI_RANK and the like only tell programs which rank this was; a program that this
  // process starts must neither look for the socket nor take itself for a lost task.
  ::unsetenv(env::kPmiFd);
  ::unsetenv(env::kPmiPort);
  claim_launcher_variables(pmix_identity());
  return client;
}

}  // namespace

std::unique_ptr<WireUp> make_wireup(std::string& error) {
  const char* const fd = std::getenv(env::kPmiFd);
  const char* const port = std::getenv(env::kPmiPort);
  const std::string pmix = pmix_identity();
  const bool is_pmix = !pmix.empty() && !is_inherited(pmix);
  // A launcher inside another one leaves the other's variables in place. A socket that is open has
  // been handed to this process on purpose; one that is not may be the outer launcher's.
  if (fd != nullptr && (!is_pmix || is_socket(to_number(fd).value_or(-1)))) {
    return make_pmi(fd, port, error);
  }
  if (is_pmix) return make_pmix(pmix, error);
  if (port != nullptr) return make_pmi(fd, port, error);
  error = foreign_launcher_problem([](const char* name) { return std::getenv(name); });
  return error.empty() ? std::make_unique<Singleton>() : nullptr;
}

}  // namespace tern::spawn
