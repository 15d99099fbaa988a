// TERN_* variables: defaults, values, and what is said about mistakes.
#include <gtest/gtest.h>

#include "core/config.h"
#include "core/wait.h"

namespace tern {
namespace {

Config read(std::vector<const char*> environment, std::vector<std::string>& warnings) {
  environment.push_back(nullptr);
  return Config::read(environment.data(), warnings);
}

TEST(Config, DefaultsHoldWithoutVariables) {
  std::vector<std::string> warnings;
  const Config config = read({"HOME=/root"}, warnings);
  EXPECT_TRUE(warnings.empty());
  EXPECT_TRUE(config.flag("TERN_CHECKS"));
  EXPECT_EQ(config.text("TERN_FABRIC"), "shm,verbs,ucx");
}

TEST(Config, ValuesAreTaken) {
  std::vector<std::string> warnings;
  const Config config = read({"TERN_CHECKS=off", "TERN_EAGER_MAX=64k"}, warnings);
  EXPECT_TRUE(warnings.empty());
  EXPECT_FALSE(config.flag("TERN_CHECKS"));
  EXPECT_EQ(config.number("TERN_EAGER_MAX"), 65536U);
}

TEST(Config, AMisspeltNameIsReportedWithTheNearest) {
  std::vector<std::string> warnings;
  read({"TERN_EAGR_MAX=1"}, warnings);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings[0].find("TERN_EAGER_MAX"), std::string::npos) << warnings[0];
}

TEST(Config, AStrangeNameHasNoNearest) {
  std::vector<std::string> warnings;
  read({"TERN_ZZZZZZZZZZZZZZZZZZZZ=1"}, warnings);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_EQ(warnings[0].find("did you mean"), std::string::npos) << warnings[0];
}

TEST(Config, AValueThatIsNotUnderstoodLeavesTheDefault) {
  std::vector<std::string> warnings;
  const Config config = read({"TERN_EAGER_MAX=much", "TERN_CHECKS=maybe"}, warnings);
  ASSERT_EQ(warnings.size(), 2U);
  EXPECT_EQ(config.number("TERN_EAGER_MAX"), 0U);
  EXPECT_TRUE(config.flag("TERN_CHECKS"));
}

TEST(Config, FamiliesOfNamesAreKnown) {
  std::vector<std::string> warnings;
  read({"TERN_COLL_BCAST=binomial", "TERN_JOB_ID=1"}, warnings);
  EXPECT_TRUE(warnings.empty());
}

TEST(ParseBytes, SuffixesAndOverflow) {
  std::uint64_t value = 0;
  EXPECT_TRUE(parse_bytes("3m", value));
  EXPECT_EQ(value, 3U << 20);
  EXPECT_FALSE(parse_bytes("", value));
  EXPECT_FALSE(parse_bytes("12q", value));
  EXPECT_FALSE(parse_bytes("-1", value));
  EXPECT_FALSE(parse_bytes("18446744073709551615g", value));
}

TEST(WaitPolicy, CrowdedRanksNeitherSpinNorLookOften) {
  EXPECT_GT(wait_policy_for(2, 2).spin_us, 0U);
  EXPECT_EQ(wait_policy_for(3, 2).spin_us, 0U);
  EXPECT_EQ(wait_policy_for(32, 2).look_ms, 2U);
  EXPECT_EQ(wait_policy_for(4, 2).look_ms, 1U);
  EXPECT_EQ(wait_policy_for(256, 2).look_ms, 16U);
  EXPECT_LE(wait_policy_for(1 << 20, 1).look_ms, 20U);
}

TEST(WaitPolicy, LeavesTheKernelATurnAndSleepsLater) {
  WaitPolicy policy = wait_policy_for(3, 2);
  policy.share_with_kernel();
  EXPECT_EQ(policy.spin_us, 0U);  // They yield at each poll already.
  policy = wait_policy_for(2, 2);
  policy.is_chosen = true;
  policy.share_with_kernel();
  EXPECT_EQ(policy.spin_us, wait_policy_for(2, 2).spin_us);
  policy.is_chosen = false;
  policy.share_with_kernel();
  EXPECT_GT(policy.spin_us, wait_policy_for(2, 2).spin_us);
  EXPECT_GT(policy.yield_us, wait_policy_for(2, 2).yield_us);

  WaitState state;
  state.policy = policy;
  state.policy.spin_us = 60'000'000;  // Whatever the machine is doing.
  Waiter waiter(state);
  std::uint32_t yields = 0;
  const std::uint32_t polls = 10 * policy.polls_per_yield;
  for (std::uint32_t i = 0; i < polls; ++i) yields += waiter.next() == Waiter::Step::kYield;
  EXPECT_EQ(yields, 10U);
}

}  // namespace
}  // namespace tern
