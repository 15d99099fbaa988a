// bench/micro/layout_bench.cc - packing and unpacking of the usual layouts, each next to the loop
// that a programmer would write for it (BM_Hand...). The goal is 0.8 of its speed or more.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "core/layout.h"

namespace tern {
namespace {

// In doubles, but for the struct.
constexpr std::ptrdiff_t kStride = 7;
constexpr std::ptrdiff_t kRowLength = 5;

std::size_t elements_of(const benchmark::State& state) {
  return static_cast<std::size_t>(state.range(0)) / sizeof(double);
}

// Increasing positions with gaps of one to three, as in a sparse matrix's row.
std::vector<int> positions(std::size_t count) {
  std::vector<int> result(count);
  std::uint32_t noise = 1;
  int at = 0;
  for (int& position : result) {
    position = at;
    noise = noise * 1664525 + 1013904223;
    at += 2 + static_cast<int>(noise >> 30);
  }
  return result;
}

Layout column(std::size_t count, std::size_t block) {
  ShapeBuilder shapes;
  return {shapes.repeat(shapes.block(8 * block), count, 8 * kStride), 0, 0};
}

Layout scattered(std::size_t count) {
  ShapeBuilder shapes;
  std::vector<ShapeBuilder::Run> runs;
  for (const int position : positions(count)) runs.push_back({8 * position, 1});
  return {shapes.indexed(shapes.block(8), runs, 8), 0, 0};
}

struct Memory {
  explicit Memory(std::size_t count)
      : spread(count * kStride + 64, 1.0), packed(count * kRowLength + 64, 1.0) {}
  std::vector<double> spread;
  std::vector<double> packed;
};

template <bool kPacks>
void move_layout(benchmark::State& state, const Layout& layout, std::size_t count) {
  Memory memory(layout.size() * count / 8);
  const DataView view = DataView::of(memory.spread.data(), layout, count);
  auto* const packed = reinterpret_cast<std::byte*>(memory.packed.data());
  for (auto _ : state) {
    if constexpr (kPacks) {
      pack(view, 0, {packed, view.bytes()});
    } else {
      unpack(view, 0, {packed, view.bytes()});
    }
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(view.bytes()));
}

// Positions come from a variable, as they do in programs.
template <class Move>
void move_by_hand(benchmark::State& state, std::size_t bytes, Move move) {
  Memory memory(bytes / 8);
  std::ptrdiff_t stride = kStride;
  for (auto _ : state) {
    benchmark::DoNotOptimize(stride);
    move(memory.spread.data(), memory.packed.data(), stride);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
}

void BM_PackDense(benchmark::State& state) {
  move_layout<true>(state, Layout::dense(8), elements_of(state));
}

void BM_PackColumn(benchmark::State& state) {
  move_layout<true>(state, column(elements_of(state), 1), 1);
}
void BM_HandPackColumn(benchmark::State& state) {
  const std::size_t count = elements_of(state);
  move_by_hand(state, 8 * count, [count](double* spread, double* packed, std::ptrdiff_t stride) {
    for (std::size_t i = 0; i < count; ++i) {
      packed[i] = spread[static_cast<std::ptrdiff_t>(i) * stride];
    }
  });
}

void BM_UnpackColumn(benchmark::State& state) {
  move_layout<false>(state, column(elements_of(state), 1), 1);
}
void BM_HandUnpackColumn(benchmark::State& state) {
  const std::size_t count = elements_of(state);
  move_by_hand(state, 8 * count, [count](double* spread, double* packed, std::ptrdiff_t stride) {
    for (std::size_t i = 0; i < count; ++i) {
      spread[static_cast<std::ptrdiff_t>(i) * stride] = packed[i];
    }
  });
}

void BM_PackRows(benchmark::State& state) {
  move_layout<true>(state, column(elements_of(state) / kRowLength, kRowLength), 1);
}
void BM_HandPackRows(benchmark::State& state) {
  const std::size_t rows = elements_of(state) / kRowLength;
  const auto hand = [rows](double* spread, double* packed, std::ptrdiff_t stride) {
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::ptrdiff_t j = 0; j < kRowLength; ++j) {
        *packed++ = spread[static_cast<std::ptrdiff_t>(i) * stride + j];
      }
    }
  };
  move_by_hand(state, 8 * rows * kRowLength, hand);
}

void BM_PackIndexed(benchmark::State& state) {
  move_layout<true>(state, scattered(elements_of(state)), 1);
}
void BM_HandPackIndexed(benchmark::State& state) {
  const std::vector<int> index = positions(elements_of(state));
  move_by_hand(state, 8 * index.size(), [&](double* spread, double* packed, std::ptrdiff_t) {
    for (std::size_t i = 0; i < index.size(); ++i) packed[i] = spread[index[i]];
  });
}

// struct { double; int; } with its four bytes of padding, and one with a hole in the middle.
void BM_PackPairs(benchmark::State& state) {
  move_layout<true>(state, Layout({{0, 12}}, 0, 16), elements_of(state) * 8 / 12);
}
void BM_PackStruct(benchmark::State& state) {
  move_layout<true>(state, Layout({{0, 4}, {8, 8}, {24, 1}}, 0, 32), elements_of(state) * 8 / 13);
}

void BM_HandPackStruct(benchmark::State& state) {
  struct Gapped {
    std::int32_t first;
    double second;
    char unused[8];
    char third;
  };
  static_assert(sizeof(Gapped) == 32);
  const std::size_t count = elements_of(state) * 8 / 13;
  move_by_hand(state, 13 * count, [count](double* spread, double* packed, std::ptrdiff_t) {
    const auto* from = reinterpret_cast<const Gapped*>(spread);
    auto* to = reinterpret_cast<std::byte*>(packed);
    for (std::size_t i = 0; i < count; ++i, to += 13) {
      std::memcpy(to, &from[i].first, 4);
      std::memcpy(to + 4, &from[i].second, 8);
      std::memcpy(to + 12, &from[i].third, 1);
    }
  });
}

#define TERN_SIZES Arg(512)->Arg(4096)->Arg(32768)->Arg(1 << 20)
BENCHMARK(BM_PackDense)->TERN_SIZES;
BENCHMARK(BM_PackColumn)->TERN_SIZES;
BENCHMARK(BM_HandPackColumn)->TERN_SIZES;
BENCHMARK(BM_UnpackColumn)->TERN_SIZES;
BENCHMARK(BM_HandUnpackColumn)->TERN_SIZES;
BENCHMARK(BM_PackRows)->TERN_SIZES;
BENCHMARK(BM_HandPackRows)->TERN_SIZES;
BENCHMARK(BM_PackIndexed)->TERN_SIZES;
BENCHMARK(BM_HandPackIndexed)->TERN_SIZES;
BENCHMARK(BM_PackPairs)->TERN_SIZES;
BENCHMARK(BM_PackStruct)->TERN_SIZES;
BENCHMARK(BM_HandPackStruct)->TERN_SIZES;
#undef TERN_SIZES

}  // namespace
}  // namespace tern

BENCHMARK_MAIN();
