// bench/micro/shm_bench.cc - the shared-memory path below MPI: ring and engine between two
// processes.
//
// The second process is forked and answers until it is told to stop; each is bound to a core of its
// own, as ranks are. Times are half round trips.
#include <benchmark/benchmark.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "core/engine.h"
#include "shm/fabric.h"

namespace tern {
namespace {

constexpr std::size_t kLongestMessage = std::size_t{4} << 20;

struct SharedCards {
  std::atomic<int> ready{0};
  char cards[2][1024];
};

// Hands out the two cards that lie in shared memory.
class PairCards final : public CardSource {
 public:
  explicit PairCards(SharedCards& shared) : shared_(shared) {}
  void request_card(const ProcessId& id) override { wanted_ = static_cast<int>(id.rank); }
  int poll() override {
    if (wanted_ < 0) return 0;
    const int rank = std::exchange(wanted_, -1);
    engine->on_card({1, static_cast<std::uint64_t>(rank)}, shared_.cards[rank], "");
    return 1;
  }
  int pending_fd() const override { return -1; }
  Engine* engine = nullptr;

 private:
  SharedCards& shared_;
  int wanted_ = -1;
};

class Rank {
 public:
  Rank(SharedCards& shared, int rank) : rank_(rank), cards_(shared), engine_(self(), cards_, {}) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(rank, &set);
    sched_setaffinity(0, sizeof set, &set);
    cards_.engine = &engine_;
    std::string why;
    auto fabric = shm::ShmFabric::create(self(), HostIdentity::read(), {}, why);
    engine_.add_fabric(std::move(fabric));
    std::strcpy(shared.cards[rank], engine_.make_card(HostIdentity::read()).encode().c_str());
    ++shared.ready;
    while (shared.ready < 2) sched_yield();
    out_.resize(kLongestMessage);
    in_.resize(kLongestMessage);
  }

  void send(std::size_t size, int tag) {
    const Envelope envelope{2, rank_, tag};
    if (engine_.send_now(peer(), envelope, out_.data(), size)) return;
    Request request;
    engine_.send(peer(), envelope, DataView::bytes_at(out_.data(), size), SendMode::kStandard,
                 request);
    engine_.wait_until([&] { return request.done; });
  }
  // Returns the length of the message.
  std::size_t receive(int tag) {
    Request request;
    engine_.receive({2, 1 - rank_, tag}, DataView::bytes_at(in_.data(), in_.size()), request);
    engine_.wait_until([&] { return request.done; });
    return request.bytes;
  }

 private:
  ProcessId self() const { return {1, static_cast<std::uint64_t>(rank_)}; }
  Peer& peer() { return engine_.peer({1, static_cast<std::uint64_t>(1 - rank_)}); }

  int rank_;
  PairCards cards_;
  Engine engine_;
  std::vector<std::byte> out_, in_;
};

constexpr int kEcho = 1;

std::unique_ptr<Rank> start_pair() {
  void* const memory =
      mmap(nullptr, sizeof(SharedCards), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto& shared = *new (memory) SharedCards;
  if (fork() == 0) {
    Rank partner(shared, 1);
    // A message of the longest size is the sign to stop.
    for (std::size_t size = 0; size < kLongestMessage;) {
      size = partner.receive(kEcho);
      partner.send(size, kEcho);
    }
    _exit(0);
  }
  return std::make_unique<Rank>(shared, 0);
}

std::unique_ptr<Rank> first;

void BM_EngineHalfRoundTrip(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    first->send(size, kEcho);
    first->receive(kEcho);
  }
  state.SetItemsProcessed(2 * state.iterations());
  state.counters["half_us"] =
      benchmark::Counter(2.0 * static_cast<double>(state.iterations()) / 1e6,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_EngineHalfRoundTrip)
    ->UseRealTime()
    ->Arg(0)
    ->Arg(8)
    ->Arg(32)
    ->Arg(33)
    ->Arg(96)
    ->Arg(97)
    ->Arg(256)
    ->Arg(1024)
    ->Arg(3072)
    ->Arg(3073)
    ->Arg(4096)
    ->Arg(6144)
    ->Arg(6145)
    ->Arg(16384)
    ->Arg(65536)
    ->Arg(262144)
    ->Arg(1 << 20);

// The ring alone, both ends in this process: the instructions without the cache misses.
void BM_RingPushPop(benchmark::State& state) {
  const auto ring = std::unique_ptr<shm::Ring>(new shm::Ring());
  shm::Producer producer(*ring);
  shm::Consumer consumer(*ring);
  const std::vector<std::byte> body(static_cast<std::size_t>(state.range(0)));
  const std::vector<std::byte> head(sizeof(wire::EnvelopeHead));
  for (auto _ : state) {
    benchmark::DoNotOptimize(producer.push(shm::CellKind::kMessage, head, body));
    shm::Consumer::Message message;
    if (consumer.ready() && consumer.read(message)) consumer.pop();
  }
}
BENCHMARK(BM_RingPushPop)->Arg(8)->Arg(64)->Arg(1024);

}  // namespace
}  // namespace tern

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  tern::first = tern::start_pair();
  benchmark::RunSpecifiedBenchmarks();
  tern::first->send(tern::kLongestMessage, tern::kEcho);
  tern::first->receive(tern::kEcho);
  wait(nullptr);
  return 0;
}
