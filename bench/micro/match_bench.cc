// bench/micro/match_bench.cc - what matching costs with few and with thousands of entries waiting.
#include <benchmark/benchmark.h>

#include <vector>

#include "core/match.h"

namespace tern {
namespace {

// A receive is posted and matched while `depth` others with different tags wait.
void BM_PostAndMatch(benchmark::State& state) {
  const auto depth = static_cast<std::size_t>(state.range(0));
  PostedQueue queue;
  std::vector<Request> waiting(depth);
  for (std::size_t i = 0; i < depth; ++i) {
    waiting[i].envelope = {2, 0, static_cast<std::int32_t>(i + 1)};
    queue.post(waiting[i]);
  }
  Request request;
  request.envelope = {2, 0, 0};
  for (auto _ : state) {
    queue.post(request);
    benchmark::DoNotOptimize(queue.match({2, 0, 0}));
  }
  for (Request& left : waiting) queue.remove(left);
}
BENCHMARK(BM_PostAndMatch)->Arg(0)->Arg(10)->Arg(1000)->Arg(100000);

// The same with one wildcard receive of another context in the queue.
void BM_PostAndMatchWithWildcards(benchmark::State& state) {
  PostedQueue queue;
  Request wild;
  wild.envelope = {4, kAnySource, kAnyTag};
  queue.post(wild);
  Request request;
  request.envelope = {2, 0, 0};
  for (auto _ : state) {
    queue.post(request);
    benchmark::DoNotOptimize(queue.match({2, 0, 0}));
  }
  queue.remove(wild);
}
BENCHMARK(BM_PostAndMatchWithWildcards);

// A message arrives before its receive while `depth` others wait.
void BM_UnexpectedAddAndFind(benchmark::State& state) {
  const auto depth = static_cast<std::size_t>(state.range(0));
  UnexpectedQueue queue;
  std::vector<UnexpectedMessage> waiting(depth);
  for (std::size_t i = 0; i < depth; ++i) {
    waiting[i].envelope = {2, 0, static_cast<std::int32_t>(i + 1)};
    queue.add(waiting[i]);
  }
  UnexpectedMessage message;
  message.envelope = {2, 1, 0};
  for (auto _ : state) {
    queue.add(message);
    UnexpectedMessage* const found = queue.find({2, 1, kAnyTag});
    queue.remove(*found);
  }
}
BENCHMARK(BM_UnexpectedAddAndFind)->Arg(0)->Arg(1000)->Arg(100000);

// The same in a program without wildcards.
void BM_UnexpectedExact(benchmark::State& state) {
  UnexpectedQueue queue;
  UnexpectedMessage message;
  message.envelope = {2, 1, 0};
  for (auto _ : state) {
    queue.add(message);
    UnexpectedMessage* const found = queue.find({2, 1, 0});
    queue.remove(*found);
  }
}
BENCHMARK(BM_UnexpectedExact);

}  // namespace
}  // namespace tern

BENCHMARK_MAIN();
