// Layouts against a byte-by-byte expansion of the same random trees.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "core/layout.h"
#include "core/small_copy.h"
#include "tests/unit/seed.h"

namespace tern {
namespace {

using test::Random;

// One data byte: where it lies and which basic element it belongs to.
struct Byte {
  std::ptrdiff_t offset;
  std::uint32_t tag;
  bool ends_element;
};

// A shape in both forms, and what it means.
struct Model {
  Placed plain;
  Placed tagged;
  std::vector<Byte> bytes;
};

constexpr std::size_t kBytesMax = 3000;
constexpr std::ptrdiff_t kOffsetMax = 6000;

class Forest {
 public:
  explicit Forest(Random& random) : random_(random) {}

  Model tree(int depth) {
    Model model = attempt(depth);
    EXPECT_EQ(builder_.problem(), ShapeBuilder::Problem::kNone);
    return model;
  }

 private:
  Model attempt(int depth) {
    const auto form = depth == 0 ? 0 : random_.below(4);
    Model model = form == 0   ? leaf()
                  : form == 1 ? repetition(attempt(depth - 1))
                  : form == 2 ? list(attempt(depth - 1))
                              : sequence(depth);
    return in_bounds(model) ? model : leaf();
  }

  static bool in_bounds(const Model& model) {
    return model.bytes.size() <= kBytesMax &&
           std::all_of(model.bytes.begin(), model.bytes.end(),
                       [](const Byte& byte) { return std::abs(byte.offset) <= kOffsetMax; });
  }

  Model leaf() {
    static constexpr std::size_t kUnits[] = {1, 4, 8, 12};
    const auto tag = static_cast<std::uint32_t>(random_.below(4));
    const std::size_t unit = kUnits[tag];
    const std::size_t count = random_.below(3);
    Model model;
    model.plain = builder_.block(unit * count);
    model.tagged = builder_.block(unit * count, tag + 1, count);
    for (std::size_t i = 0; i < unit * count; ++i) {
      model.bytes.push_back({static_cast<std::ptrdiff_t>(i), tag + 1, i % unit == unit - 1});
    }
    return model;
  }

  static void append(Model& to, const Model& from, std::ptrdiff_t distance) {
    for (Byte byte : from.bytes) {
      byte.offset += distance;
      to.bytes.push_back(byte);
    }
  }

  std::ptrdiff_t stride_for(const Model& model) {
    const auto size = static_cast<std::ptrdiff_t>(model.bytes.size());
    switch (random_.below(4)) {
      case 0:
        return size;  // Touches, where the child has no gaps.
      case 1:
        return -size;
      default:
        return random_.between(-30, 30);
    }
  }

  Model repetition(const Model& child) {
    const std::size_t count = random_.below(5);
    const std::ptrdiff_t stride = stride_for(child);
    Model model;
    model.plain = builder_.repeat(child.plain, count, stride);
    model.tagged = builder_.repeat(child.tagged, count, stride);
    for (std::size_t i = 0; i < count; ++i) {
      append(model, child, static_cast<std::ptrdiff_t>(i) * stride);
    }
    return model;
  }

  Model list(const Model& child) {
    const std::ptrdiff_t stride = stride_for(child);
    const bool regular = random_.one_in(3);
    std::vector<ShapeBuilder::Run> runs(random_.below(6));
    std::ptrdiff_t at = random_.between(-50, 50);
    for (ShapeBuilder::Run& run : runs) {
      run = {at, regular ? 2 : random_.below(4)};
      at += regular || random_.one_in(3) ? stride * static_cast<std::ptrdiff_t>(run.copies)
                                         : random_.between(-40, 60);
      if (regular) at += 5;
    }
    Model model;
    model.plain = builder_.indexed(child.plain, runs, stride);
    model.tagged = builder_.indexed(child.tagged, runs, stride);
    for (const ShapeBuilder::Run& run : runs) {
      for (std::size_t i = 0; i < run.copies; ++i) {
        append(model, child, run.offset + static_cast<std::ptrdiff_t>(i) * stride);
      }
    }
    return model;
  }

  Model sequence(int depth) {
    std::vector<Placed> plain;
    std::vector<Placed> tagged;
    Model model;
    std::ptrdiff_t at = random_.between(-20, 20);
    for (std::size_t count = random_.below(5); count > 0; --count) {
      const Model child = attempt(random_.between(0, depth - 1));
      plain.push_back(builder_.shift(child.plain, at));
      tagged.push_back(builder_.shift(child.tagged, at));
      append(model, child, at);
      at += random_.one_in(2) ? static_cast<std::ptrdiff_t>(child.bytes.size())
                              : random_.between(-20, 40);
    }
    model.plain = builder_.sequence(plain);
    model.tagged = builder_.sequence(tagged);
    return model;
  }

  ShapeBuilder builder_;
  Random& random_;
};

// Memory in which all of a model's bytes lie, whatever their sign.
class Memory {
 public:
  Memory(Random& random, std::size_t count, std::ptrdiff_t extent)
      : middle_(static_cast<std::size_t>(kOffsetMax) +
                count * static_cast<std::size_t>(std::abs(extent))),
        bytes_(2 * middle_ + 64) {
    std::uint64_t noise = random.below(1U << 30);
    for (std::byte& byte : bytes_) {
      noise = noise * 6364136223846793005U + 1442695040888963407U;
      byte = static_cast<std::byte>(noise >> 56);
    }
  }
  std::byte* origin() { return bytes_.data() + middle_; }
  std::byte& operator[](std::ptrdiff_t offset) { return origin()[offset]; }
  friend bool operator==(const Memory& a, const Memory& b) { return a.bytes_ == b.bytes_; }

 private:
  std::size_t middle_;
  std::vector<std::byte> bytes_;
};

// The offsets of all data bytes of a message.
std::vector<std::ptrdiff_t> expand(const Model& model, std::size_t count, std::ptrdiff_t extent) {
  std::vector<std::ptrdiff_t> offsets;
  for (std::size_t element = 0; element < count; ++element) {
    for (const Byte& byte : model.bytes) {
      offsets.push_back(static_cast<std::ptrdiff_t>(element) * extent + byte.offset);
    }
  }
  return offsets;
}

// Nothing can be unpacked where one byte of memory stands for two of the message.
bool overlaps(std::vector<std::ptrdiff_t> offsets) {
  std::sort(offsets.begin(), offsets.end());
  return std::adjacent_find(offsets.begin(), offsets.end()) != offsets.end();
}

std::ptrdiff_t random_extent(Random& random, const Model& model) {
  return random.one_in(3) ? static_cast<std::ptrdiff_t>(model.bytes.size())
                          : random.between(-100, 300) * random.between(1, 3);
}

TEST(Layout, PackAndUnpackAnyPieceOfAnyTree) {
  Random random(4);
  Forest forest(random);
  for (int round = 0; round < 500; ++round) {
    const Model model = forest.tree(random.between(0, 4));
    const std::size_t count = random.below(8);
    const std::ptrdiff_t extent = random_extent(random, model);
    const Layout layout(model.plain, 0, extent);
    const std::vector<std::ptrdiff_t> offsets = expand(model, count, extent);
    Memory memory(random, count, extent);
    const DataView view = DataView::of(memory.origin(), layout, count);
    ASSERT_EQ(view.bytes(), offsets.size());
    if (offsets.empty()) continue;
    for (int piece = 0; piece < 4; ++piece) {
      const std::size_t position = piece == 0 ? 0 : random.below(offsets.size());
      const std::size_t length =
          piece == 0 ? offsets.size() : random.below(offsets.size() - position + 1);
      std::vector<std::byte> packed(length);
      pack(view, position, packed);
      bool same = true;
      for (std::size_t i = 0; i < length; ++i) {
        same = same && packed[i] == memory[offsets[position + i]];
      }
      ASSERT_TRUE(same) << "round " << round;
      if (overlaps(offsets)) continue;
      Memory expected = memory;
      for (std::size_t i = 0; i < length; ++i) {
        packed[i] = static_cast<std::byte>(random.below(256));
        expected[offsets[position + i]] = packed[i];
      }
      unpack(view, position, packed);
      ASSERT_TRUE(memory == expected) << "round " << round;
    }
  }
}

// Bytes that end where no more memory is.
class Guarded {
 public:
  explicit Guarded(std::size_t size) : size_(size) {
    void* const place =
        mmap(nullptr, kRoom + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(place, MAP_FAILED);
    pages_ = static_cast<std::byte*>(place);
    EXPECT_EQ(mprotect(pages_ + kRoom, kPage, PROT_NONE), 0);
  }
  ~Guarded() { munmap(pages_, kRoom + kPage); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  std::span<std::byte> bytes() { return {pages_ + kRoom - size_, size_}; }

  static constexpr std::size_t kPage = 4096;
  static constexpr std::size_t kRoom = 64 * kPage;

 private:
  std::size_t size_;
  std::byte* pages_;
};

// Structs of short blocks, any number of them from any byte to any other: nothing behind the last
// byte is read, and nothing behind the packed bytes is written.
TEST(Layout, PackingStructsTouchesNothingBehindThem) {
  Random random(9);
  for (int repeat = 0; repeat < 400; ++repeat) {
    std::vector<Block> blocks;
    std::ptrdiff_t at = 0;
    for (int i = random.between(1, 7); i > 0; --i) {
      at += random.between(random.one_in(9) ? 0 : 1, random.one_in(9) ? 900 : 20);
      blocks.push_back(
          {at, static_cast<std::size_t>(random.between(1, random.one_in(3) ? 40 : 9))});
      at += static_cast<std::ptrdiff_t>(blocks.back().length_bytes);
    }
    if (random.one_in(3)) std::reverse(blocks.begin(), blocks.end());
    const Layout layout(blocks, 0, at + random.between(0, 9));
    const std::size_t count = random.below(30);
    const DataView measure = DataView::of(nullptr, layout, count);
    if (measure.bytes() == 0) continue;
    const auto extent = static_cast<std::size_t>(layout.extent());
    Guarded memory((count - 1) * extent + static_cast<std::size_t>(at));
    for (std::byte& byte : memory.bytes()) byte = std::byte(random.below(256));
    const std::size_t begin = random.one_in(2) ? 0 : random.below(measure.bytes());
    Guarded packed(measure.bytes() - begin);
    pack(DataView::of(memory.bytes().data(), layout, count), begin, packed.bytes());
    std::vector<std::byte> expected;
    for (std::size_t i = 0; i < count; ++i) {
      for (const Block& block : blocks) {
        const auto data = memory.bytes().subspan(
            i * extent + static_cast<std::size_t>(block.offset_bytes), block.length_bytes);
        expected.insert(expected.end(), data.begin(), data.end());
      }
    }
    ASSERT_TRUE(std::equal(packed.bytes().begin(), packed.bytes().end(),
                           expected.begin() + static_cast<std::ptrdiff_t>(begin)));
  }
}

TEST(Layout, BoundsAndRunsAreThoseOfTheBytes) {
  Random random(6);
  Forest forest(random);
  for (int round = 0; round < 400; ++round) {
    const Model model = forest.tree(random.between(0, 4));
    const std::ptrdiff_t extent = random_extent(random, model);
    const Layout layout(model.plain, 0, extent);
    std::ptrdiff_t low = model.bytes.empty() ? 0 : std::numeric_limits<std::ptrdiff_t>::max();
    std::ptrdiff_t high = model.bytes.empty() ? 0 : std::numeric_limits<std::ptrdiff_t>::min();
    for (const Byte& byte : model.bytes) {
      low = std::min(low, byte.offset);
      high = std::max(high, byte.offset + 1);
    }
    ASSERT_EQ(layout.true_lower_bound(), low);
    ASSERT_EQ(layout.true_extent(), high - low);
    for (const std::size_t count : {std::size_t{1}, std::size_t{3}}) {
      const std::vector<std::ptrdiff_t> offsets = expand(model, count, extent);
      Memory memory(random, count, extent);
      const std::byte* const run = DataView::of(memory.origin(), layout, count).run();
      bool one_run = true;
      for (std::size_t i = 1; i < offsets.size(); ++i) {
        one_run = one_run && offsets[i] == offsets[i - 1] + 1;
      }
      ASSERT_EQ(run != nullptr, one_run) << "round " << round;
      if (run != nullptr && !offsets.empty()) {
        ASSERT_EQ(run, memory.origin() + offsets[0]);
      }
    }
  }
}

struct Seen {
  std::byte* origin;
  std::vector<Byte> bytes;
};

bool see(void* context, std::uint32_t tag, std::byte* memory, std::size_t size) {
  Seen& seen = *static_cast<Seen*>(context);
  for (std::size_t i = 0; i < size; ++i) {
    seen.bytes.push_back({memory + i - seen.origin, tag, false});
  }
  return true;
}

TEST(Layout, TagsAndElementsSurviveMerging) {
  Random random(7);
  Forest forest(random);
  for (int round = 0; round < 600; ++round) {
    const Model model = forest.tree(random.between(0, 4));
    const Layout layout(model.tagged, 0, 0);
    Memory memory(random, 1, 0);
    Seen seen{memory.origin(), {}};
    ASSERT_TRUE(visit_blocks(DataView::of(memory.origin(), layout, 1), see, &seen));
    ASSERT_EQ(seen.bytes.size(), model.bytes.size());
    if (model.bytes.empty()) continue;
    const Shape& shape = *model.tagged.shape;
    std::size_t elements = 0;
    bool whole = true;
    for (std::size_t i = 0; i < model.bytes.size(); ++i) {
      ASSERT_EQ(seen.bytes[i].offset, model.bytes[i].offset);
      ASSERT_EQ(seen.bytes[i].tag, model.bytes[i].tag);
      const ElementCount found = elements_in(shape, i);
      ASSERT_EQ(found.elements, elements);
      ASSERT_EQ(found.whole, whole);
      if (whole) {
        ASSERT_EQ(bytes_of_elements(shape, elements), i);
      }
      whole = model.bytes[i].ends_element;
      elements += whole ? 1 : 0;
    }
    ASSERT_EQ(shape.elements, elements);
    ASSERT_EQ(bytes_of_elements(shape, elements), model.bytes.size());
  }
}

TEST(Layout, CopyBetweenDifferentLayoutsKeepsTheSequence) {
  Random random(5);
  Forest forest(random);
  for (int round = 0; round < 300; ++round) {
    const Model from = forest.tree(3);
    const Model to = forest.tree(3);
    if (from.bytes.empty() || to.bytes.empty()) continue;
    const Layout from_layout(from.plain, 0, 400);
    const Layout to_layout(to.plain, 0, 300);
    const std::size_t from_count = random.below(300) + 1;
    const std::size_t to_count = from_layout.size() * from_count / to_layout.size() + 1;
    if (to_count > 3000) continue;
    Memory source(random, from_count, 400);
    Memory target(random, to_count, 300);
    Memory expected = target;
    const auto from_offsets = expand(from, from_count, 400);
    const auto to_offsets = expand(to, to_count, 300);
    if (overlaps(to_offsets)) continue;
    for (std::size_t i = 0; i < std::min(from_offsets.size(), to_offsets.size()); ++i) {
      expected[to_offsets[i]] = source[from_offsets[i]];
    }
    copy(DataView::of(source.origin(), from_layout, from_count),
         DataView::of(target.origin(), to_layout, to_count));
    ASSERT_TRUE(target == expected) << "round " << round;
  }
}

TEST(Layout, SegmentsAreTheDataInOrderFromAnyPosition) {
  Random random(12);
  Forest forest(random);
  for (int round = 0; round < 600; ++round) {
    const Model model = forest.tree(random.between(0, 4));
    if (model.bytes.empty()) continue;
    const std::size_t count = random.below(4) + 1;
    const std::ptrdiff_t extent = random.between(-300, 300);
    const Layout layout(model.plain, 0, extent);
    const auto offsets = expand(model, count, extent);
    std::byte* const origin = nullptr;  // Nothing is touched.
    const DataView view = DataView::of(origin, layout, count);
    const auto [low, high] = std::ranges::minmax(offsets);
    const std::span<std::byte> all = reach(view);
    ASSERT_EQ(all.data(), displaced(origin, low));
    ASSERT_EQ(all.size(), static_cast<std::size_t>(high - low + 1));
    const std::size_t position = random.below(offsets.size());
    const std::size_t size = random.below(offsets.size() - position + 1);
    const std::size_t most = random.below(20) + 1;
    std::vector<Segment> found(most);
    found.resize(segments(view, position, size, found));
    std::size_t i = position;
    for (const Segment& segment : found) {
      ASSERT_GT(segment.size_bytes, 0U);
      for (std::size_t k = 0; k < segment.size_bytes; ++k, ++i) {
        ASSERT_EQ(displaced(segment.at, static_cast<std::ptrdiff_t>(k)),
                  displaced(origin, offsets[i]));
      }
    }
    ASSERT_TRUE(i == position + size || (i < position + size && found.size() == most));
  }
}

TEST(Layout, RegularDataStaysSmallHoweverMuchItIs) {
  ShapeBuilder builder;
  constexpr std::size_t kMany = std::size_t{1} << 40;
  const Placed column = builder.repeat(builder.block(8), kMany, 4096);
  EXPECT_EQ(column.shape->size, kMany * 8);
  EXPECT_EQ(column.shape->form, Shape::Form::kStrided);
  EXPECT_EQ(column.shape->depth, 1);
  // Rows that follow each other are one repetition, and rows without gaps are one block.
  EXPECT_EQ(builder.repeat(builder.repeat(builder.block(8), 10, 16), 7, 160).shape->count, 70U);
  EXPECT_TRUE(builder.repeat(builder.repeat(builder.block(8), 10, 8), 7, 80).shape->is_block());
  // A list with constant steps is a repetition.
  const ShapeBuilder::Run runs[] = {{0, 2}, {20, 2}, {40, 2}};
  EXPECT_EQ(builder.indexed(builder.block(4), runs, 4).shape->form, Shape::Form::kStrided);
  // The last bytes of something that large are found without walking there.
  const Layout layout(column, 0, 0);
  EXPECT_EQ(layout.true_extent(), static_cast<std::ptrdiff_t>((kMany - 1) * 4096 + 8));
}

TEST(Layout, NumbersThatDoNotFitAreNoted) {
  constexpr std::ptrdiff_t kFar = std::numeric_limits<std::ptrdiff_t>::max() / 2;
  ShapeBuilder size;
  size.repeat(size.block(8), std::size_t{1} << 61, 8);
  EXPECT_EQ(size.problem(), ShapeBuilder::Problem::kTooLarge);
  ShapeBuilder distance;
  distance.repeat(distance.block(8), 4, kFar);
  EXPECT_EQ(distance.problem(), ShapeBuilder::Problem::kTooLarge);
  ShapeBuilder offset;
  const ShapeBuilder::Run runs[] = {{0, 1}, {-kFar, 4}, {kFar, 1}};
  offset.indexed(offset.block(1), runs, kFar);
  EXPECT_EQ(offset.problem(), ShapeBuilder::Problem::kTooLarge);
  ShapeBuilder distant;
  const ShapeBuilder::Run ends[] = {{std::numeric_limits<std::ptrdiff_t>::min(), 1}, {kFar, 1}};
  distant.indexed(distant.block(1), ends, 1);
  EXPECT_EQ(distant.problem(), ShapeBuilder::Problem::kTooLarge);
  ShapeBuilder deep;
  Placed part = deep.block(4);
  for (int i = 0; i < 2000; ++i) {
    part = deep.repeat(part, 3, i % 2 == 0 ? 0 : 5);
    const Placed both[] = {part, deep.shift(deep.block(3), -7 - i)};
    part = deep.sequence(both);
    if (part.shape == nullptr) break;
  }
  EXPECT_NE(deep.problem(), ShapeBuilder::Problem::kNone);
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
  EXPECT_TRUE(layout.data().shape->is_block());
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
