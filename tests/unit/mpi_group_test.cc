// Groups against a model: lists of process ids, with the standard's definitions written out
// plainly.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

#include "impl.h"
#include "mpi_api/errors.h"
#include "mpi_api/group.h"
#include "seed.h"

namespace tern::mpi {
namespace {

using Ids = std::vector<ProcessId>;

constexpr ProcessId kSelf{1, 5};

class GroupTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { make_predefined_groups(); }
  void TearDown() override {
    for (Group* const group : made_) group->release();
  }

  Group* group_of(Ids ids) { return keep(make_group(std::move(ids), kSelf)); }
  Group* keep(Group* group) {
    made_.push_back(group);
    return group;
  }

  static Ids ids_of(const Group& group) {
    Ids ids;
    for (int rank = 0; rank < group.size(); ++rank) ids.push_back(group.member(rank));
    return ids;
  }
  static int rank_in(const Ids& ids, const ProcessId& id) {
    const auto at = std::find(ids.begin(), ids.end(), id);
    return at == ids.end() ? MPI_UNDEFINED : static_cast<int>(at - ids.begin());
  }
  // The group has exactly these members, and answers all questions about them.
  void expect(Group* group, const Ids& ids) {
    EXPECT_EQ(ids_of(*group), ids);
    EXPECT_EQ(group->rank(), rank_in(ids, kSelf));
    for (std::uint64_t job = 0; job < 3; ++job) {
      for (std::uint64_t rank = 0; rank < 45; ++rank) {
        EXPECT_EQ(group->find({job, rank}), rank_in(ids, {job, rank}));
      }
    }
    EXPECT_EQ(to_handle(group) == MPI_GROUP_EMPTY, ids.empty());
  }

  // Up to 40 different processes of two jobs; often a plain range, as the world's group is.
  Ids random_ids() {
    if (random_.one_in(4)) return range(random_.below(41));
    Ids all;
    for (std::uint64_t i = 0; i < 40; ++i) all.push_back({1 + i % 2, i / 2});
    for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[random_.below(i)]);
    all.resize(random_.below(all.size() + 1));
    return all;
  }
  static Ids range(std::uint64_t size) {
    Ids ids;
    for (std::uint64_t i = 0; i < size; ++i) ids.push_back({1, i});
    return ids;
  }
  std::vector<int> random_ranks(int size) {
    std::vector<int> ranks(static_cast<std::size_t>(size));
    std::iota(ranks.begin(), ranks.end(), 0);
    for (std::size_t i = ranks.size(); i > 1; --i) std::swap(ranks[i - 1], ranks[random_.below(i)]);
    ranks.resize(random_.below(ranks.size() + 1));
    return ranks;
  }

  test::Random random_;
  std::vector<Group*> made_;
};

TEST_F(GroupTest, SetOperationsGiveWhatTheStandardDefines) {
  for (int round = 0; round < 300; ++round) {
    const Ids a = random_ids();
    const Ids b = random_ids();
    Group* const group_a = group_of(a);
    Group* const group_b = group_of(b);
    expect(group_a, a);
    Ids united = a;
    Ids common;
    Ids only_a;
    for (const ProcessId& id : b) {
      if (rank_in(a, id) == MPI_UNDEFINED) united.push_back(id);
    }
    for (const ProcessId& id : a) (rank_in(b, id) == MPI_UNDEFINED ? only_a : common).push_back(id);
    Group* result = nullptr;
    ASSERT_EQ(impl::group_union(group_a, group_b, &result), MPI_SUCCESS);
    expect(keep(result), united);
    ASSERT_EQ(impl::group_intersection(group_a, group_b, &result), MPI_SUCCESS);
    expect(keep(result), common);
    ASSERT_EQ(impl::group_difference(group_a, group_b, &result), MPI_SUCCESS);
    expect(keep(result), only_a);
  }
}

TEST_F(GroupTest, InclusionAndExclusionTakeExactlyTheGivenRanks) {
  for (int round = 0; round < 300; ++round) {
    const Ids ids = random_ids();
    Group* const group = group_of(ids);
    const std::vector<int> ranks = random_ranks(static_cast<int>(ids.size()));
    const int n = static_cast<int>(ranks.size());
    Ids chosen;
    Ids others;
    for (const int rank : ranks) chosen.push_back(ids[static_cast<std::size_t>(rank)]);
    for (const ProcessId& id : ids) {
      if (rank_in(chosen, id) == MPI_UNDEFINED) others.push_back(id);
    }
    Group* result = nullptr;
    ASSERT_EQ(impl::group_incl(group, n, ranks.data(), &result), MPI_SUCCESS);
    expect(keep(result), chosen);
    ASSERT_EQ(impl::group_excl(group, n, ranks.data(), &result), MPI_SUCCESS);
    expect(keep(result), others);
  }
}

TEST_F(GroupTest, RangesAreWalkedByTheirStride) {
  Group* const group = group_of(range(20));
  int ranges[][3] = {{1, 7, 3}, {12, 8, -2}, {19, 19, 5}, {15, 15, -1}};
  Group* result = nullptr;
  ASSERT_EQ(impl::group_range_incl(group, 4, ranges, &result), MPI_SUCCESS);
  const Ids expected = {{1, 1}, {1, 4}, {1, 7}, {1, 12}, {1, 10}, {1, 8}, {1, 19}, {1, 15}};
  expect(keep(result), expected);
  ASSERT_EQ(impl::group_range_excl(group, 4, ranges, &result), MPI_SUCCESS);
  Ids rest = range(20);
  std::erase_if(rest, [&](const ProcessId& id) { return rank_in(expected, id) != MPI_UNDEFINED; });
  expect(keep(result), rest);
}

TEST_F(GroupTest, WrongRangesAndRanksAreErrorsAndMakeNoGroup) {
  Group* const group = group_of(range(8));
  Group* result = nullptr;
  const auto range_error = [&](int first, int last, int stride) {
    int ranges[][3] = {{first, last, stride}};
    const int incl = impl::group_range_incl(group, 1, ranges, &result);
    EXPECT_EQ(impl::group_range_excl(group, 1, ranges, &result), incl);
    return incl;
  };
  EXPECT_EQ(range_error(0, 4, 0), MPI_ERR_ARG);
  EXPECT_EQ(range_error(0, 4, -1), MPI_ERR_ARG);
  EXPECT_EQ(range_error(4, 0, 1), MPI_ERR_ARG);
  EXPECT_EQ(range_error(4, 3, 2), MPI_ERR_ARG);
  EXPECT_EQ(range_error(0, 8, 1), MPI_ERR_RANK);
  EXPECT_EQ(range_error(-1, 3, 1), MPI_ERR_RANK);
  // Without end if steps were counted in int.
  EXPECT_EQ(range_error(-2147483647 - 1, 2147483647, 1), MPI_ERR_RANK);
  EXPECT_EQ(range_error(2147483647, -2147483647 - 1, -2147483647), MPI_ERR_RANK);
  for (const std::vector<int>& wrong : {std::vector{0, 8}, {-1}, {3, 1, 3}, {MPI_PROC_NULL}}) {
    const int n = static_cast<int>(wrong.size());
    EXPECT_EQ(impl::group_incl(group, n, wrong.data(), &result), MPI_ERR_RANK);
    EXPECT_EQ(impl::group_excl(group, n, wrong.data(), &result), MPI_ERR_RANK);
  }
  EXPECT_NE(last_failure(MPI_ERR_RANK).find("ranks[0] gives rank -3"), std::string_view::npos)
      << last_failure(MPI_ERR_RANK);
  EXPECT_EQ(result, nullptr);
}

TEST_F(GroupTest, ComparisonTellsOrderFromMembership) {
  for (int round = 0; round < 200; ++round) {
    const Ids ids = random_ids();
    Group* const group = group_of(ids);
    int result = 0;
    ASSERT_EQ(impl::group_compare(group, group_of(ids), &result), MPI_SUCCESS);
    EXPECT_EQ(result, MPI_IDENT);
    if (ids.empty()) continue;
    Ids fewer = ids;
    fewer.pop_back();
    impl::group_compare(group, group_of(fewer), &result);
    EXPECT_EQ(result, MPI_UNEQUAL);
    Ids other = ids;
    other[random_.below(other.size())] = {9, 9};
    impl::group_compare(group, group_of(other), &result);
    EXPECT_EQ(result, MPI_UNEQUAL);
    if (ids.size() < 2) continue;
    Ids turned = ids;
    std::rotate(turned.begin(), turned.begin() + 1, turned.end());
    impl::group_compare(group, group_of(turned), &result);
    EXPECT_EQ(result, MPI_SIMILAR);
  }
}

TEST_F(GroupTest, RangesOfDifferentJobsDiffer) {
  int result = 0;
  impl::group_compare(group_of({{1, 0}, {1, 1}}), group_of({{2, 0}, {2, 1}}), &result);
  EXPECT_EQ(result, MPI_UNEQUAL);
}

TEST_F(GroupTest, RanksAreTranslatedAndProcNullStaysItself) {
  Group* const from = group_of({{1, 4}, {1, 5}, {2, 0}});
  Group* const to = group_of({{2, 0}, {1, 4}});
  const int ranks[] = {2, 0, MPI_PROC_NULL, 1};
  int translated[4] = {};
  ASSERT_EQ(impl::group_translate_ranks(from, 4, ranks, to, translated), MPI_SUCCESS);
  EXPECT_EQ(std::vector<int>(translated, translated + 4),
            (std::vector<int>{0, 1, MPI_PROC_NULL, MPI_UNDEFINED}));
  for (const int wrong : {3, -1, -2}) {
    EXPECT_EQ(impl::group_translate_ranks(from, 1, &wrong, to, translated), MPI_ERR_RANK);
  }
}

TEST_F(GroupTest, FreeingTheEmptyGroupOnlyForgetsTheHandle) {
  MPI_Group handle = MPI_GROUP_EMPTY;
  ASSERT_EQ(impl::group_free(&handle), MPI_SUCCESS);
  EXPECT_EQ(handle, MPI_GROUP_NULL);
  EXPECT_NE(find_group(MPI_GROUP_EMPTY), nullptr);
}

}  // namespace
}  // namespace tern::mpi
