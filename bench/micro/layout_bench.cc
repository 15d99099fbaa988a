// bench/micro/layout_bench.cc - packing: one run of bytes, and elements with gaps.
#include <benchmark/benchmark.h>

#include <vector>

#include "core/layout.h"

namespace tern {
namespace {

void pack_all(benchmark::State& state, const Layout& layout) {
  const auto count = static_cast<std::size_t>(state.range(0)) / layout.size();
  std::vector<std::byte> memory(static_cast<std::size_t>(layout.extent()) * count + 64);
  std::vector<std::byte> packed(layout.size() * count);
  const DataView view = DataView::of(memory.data(), layout, count);
  for (auto _ : state) {
    pack(view, 0, packed);
    benchmark::DoNotOptimize(packed.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(packed.size()));
}

void BM_PackDense(benchmark::State& state) { pack_all(state, Layout::dense(8)); }
BENCHMARK(BM_PackDense)->Arg(64)->Arg(4096)->Arg(1 << 20);

// struct { double; int; } with its four bytes of padding.
void BM_PackPairs(benchmark::State& state) { pack_all(state, Layout({{0, 12}}, 0, 16)); }
BENCHMARK(BM_PackPairs)->Arg(4096)->Arg(1 << 20);

}  // namespace
}  // namespace tern

BENCHMARK_MAIN();
