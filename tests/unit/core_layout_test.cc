// Packing against a byte-by-byte expansion of the layout.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/layout.h"
#include "core/small_copy.h"
#include "tests/unit/seed.h"

namespace tern {
namespace {

using test::Random;

Layout random_layout(Random& random) {
  std::vector<Block> blocks;
  std::ptrdiff_t at = 0;
  const int count = random.between(1, 5);
  for (int i = 0; i < count; ++i) {
    at += random.between(0, 3);
    const auto length = static_cast<std::size_t>(random.between(0, 9));
    blocks.push_back({at, length});
    at += static_cast<std::ptrdiff_t>(length);
  }
  if (random.one_in(2)) std::reverse(blocks.begin(), blocks.end());  // Type-map order is free.
  return Layout(blocks, 0, at + random.between(0, 4));
}

// The offsets of all data bytes of a message, one by one.
std::vector<std::ptrdiff_t> expand(const Layout& layout, std::size_t count) {
  std::vector<std::ptrdiff_t> offsets;
  for (std::size_t element = 0; element < count; ++element) {
    for (const Block& block : layout.blocks()) {
      for (std::size_t i = 0; i < block.length_bytes; ++i) {
        offsets.push_back(static_cast<std::ptrdiff_t>(element) * layout.extent() +
                          block.offset_bytes + static_cast<std::ptrdiff_t>(i));
      }
    }
  }
  return offsets;
}

TEST(Layout, PackAndUnpackAnyPieceInAnyOrder) {
  Random random(4);
  for (int round = 0; round < 3000; ++round) {
    const Layout layout = random_layout(random);
    const std::size_t count = random.below(6);
    const std::vector<std::ptrdiff_t> offsets = expand(layout, count);
    const std::size_t room = static_cast<std::size_t>(layout.extent()) * (count + 1) + 64;
    std::vector<std::byte> memory(room);
    for (std::byte& byte : memory) byte = static_cast<std::byte>(random.below(256));
    const DataView view = DataView::of(memory.data(), layout, count);
    ASSERT_EQ(view.bytes(), offsets.size());
    if (offsets.empty()) continue;

    const std::size_t position = random.below(offsets.size());
    const std::size_t length = random.below(offsets.size() - position + 1);
    std::vector<std::byte> packed(length);
    pack(view, position, packed);
    for (std::size_t i = 0; i < length; ++i) {
      ASSERT_EQ(packed[i], memory[static_cast<std::size_t>(offsets[position + i])]);
    }

    std::vector<std::byte> expected = memory;
    for (std::size_t i = 0; i < length; ++i) {
      packed[i] = static_cast<std::byte>(random.below(256));
      expected[static_cast<std::size_t>(offsets[position + i])] = packed[i];
    }
    unpack(view, position, packed);
    ASSERT_EQ(memory, expected) << "round " << round;
  }
}

TEST(Layout, CopyBetweenDifferentLayoutsKeepsTheSequence) {
  Random random(5);
  for (int round = 0; round < 2000; ++round) {
    const Layout from = random_layout(random);
    const Layout to = random_layout(random);
    const std::size_t count = random.below(2000) + 1;
    if (from.size() == 0 || to.size() == 0) continue;
    const std::size_t to_count = from.size() * count / to.size() + random.below(2);
    std::vector<std::byte> source(static_cast<std::size_t>(from.extent()) * count + 64);
    std::vector<std::byte> target(static_cast<std::size_t>(to.extent()) * to_count + 64);
    for (std::byte& byte : source) byte = static_cast<std::byte>(random.below(256));
    copy(DataView::of(source.data(), from, count), DataView::of(target.data(), to, to_count));
    const auto from_offsets = expand(from, count);
    const auto to_offsets = expand(to, to_count);
    for (std::size_t i = 0; i < std::min(from_offsets.size(), to_offsets.size()); ++i) {
      ASSERT_EQ(source[static_cast<std::size_t>(from_offsets[i])],
                target[static_cast<std::size_t>(to_offsets[i])]);
    }
  }
}

TEST(SmallCopy, EverySizeIsCopiedAndNothingBeside) {
  for (std::size_t size = 0; size <= 300; ++size) {
    std::vector<std::byte> from(size + 2), to(size + 2, std::byte{0xee});
    for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 7 + size);
    small_copy(to.data() + 1, from.data() + 1, size);
    EXPECT_EQ(to.front(), std::byte{0xee});
    EXPECT_EQ(to.back(), std::byte{0xee});
    EXPECT_TRUE(std::equal(from.begin() + 1, from.end() - 1, to.begin() + 1)) << size;
  }
}

TEST(Layout, TouchingBlocksBecomeOne) {
  const Layout layout({{0, 4}, {4, 4}}, 0, 8);
  EXPECT_EQ(layout.blocks().size(), 1U);
  EXPECT_TRUE(layout.is_dense());
}

TEST(Layout, PaddedPairIsNotDense) {
  const Layout layout({{0, 8}, {8, 4}}, 0, 16);  // struct { double; int; }
  EXPECT_FALSE(layout.is_dense());
  EXPECT_EQ(layout.size(), 12U);
  EXPECT_EQ(layout.true_extent(), 12);
}

}  // namespace
}  // namespace tern
