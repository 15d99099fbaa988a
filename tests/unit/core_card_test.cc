// Business cards: what is written is read back; whatever else comes is refused with a reason.
#include <gtest/gtest.h>

#include "core/card.h"
#include "tests/unit/seed.h"

namespace tern {
namespace {

Card sample() {
  Card card = Card::of_this_process({0x123456789abcdef0, 42}, HostIdentity::read());
  card.addresses.emplace("shm", "1f.3.dead.beef");
  card.addresses.emplace("verbs", "fe80::1,17");
  return card;
}

TEST(Card, ReadsBackWhatWasWritten) {
  const Card card = sample();
  std::string why;
  const auto read = Card::decode(card.encode(), why);
  ASSERT_TRUE(read) << why;
  EXPECT_EQ(read->id, card.id);
  EXPECT_EQ(read->host.boot_id, card.host.boot_id);
  EXPECT_EQ(read->host.pid_space, card.host.pid_space);
  EXPECT_EQ(read->host.host_name, card.host.host_name);
  EXPECT_EQ(read->os, "Linux");
  EXPECT_EQ(read->addresses, card.addresses);
}

TEST(Card, AnotherWireVersionIsRefusedByName) {
  Card card = sample();
  card.wire_version = kWireVersion + 1;
  std::string why;
  EXPECT_FALSE(Card::decode(card.encode(), why));
  EXPECT_NE(why.find("wire version " + std::to_string(kWireVersion + 1)), std::string::npos) << why;
}

TEST(Card, FieldsOfLaterVersionsAreSkipped) {
  std::string why;
  EXPECT_TRUE(Card::decode(sample().encode() + ";rail=2", why)) << why;
}

TEST(Card, GarbageIsRefusedAndNeverRead) {
  test::Random random(6);
  const std::string good = sample().encode();
  for (int round = 0; round < 20000; ++round) {
    std::string text = good;
    const int edits = random.between(1, 4);
    for (int i = 0; i < edits; ++i) {
      const std::size_t at = random.below(text.size());
      if (random.one_in(2)) {
        text[at] = static_cast<char>(random.below(256));
      } else {
        text.erase(at, random.below(8));
        if (text.empty()) text = ";";
      }
    }
    std::string why;
    // Either it is still a card, or there is a reason.
    const bool accepted = Card::decode(text, why).has_value();
    EXPECT_TRUE(accepted || !why.empty());
  }
  std::string why;
  EXPECT_FALSE(Card::decode("", why));
  EXPECT_FALSE(why.empty());
}

}  // namespace
}  // namespace tern
