// tests/mpi/groups.cc - groups against a reference that keeps them as vectors of world ranks.
//
// Groups are local objects, so the programs of all ranks draw different random groups.
#include <numeric>

#include "check.h"

namespace {

using check::Random;
using Ranks = std::vector<int>;  // A group, as ranks in MPI_COMM_WORLD.

MPI_Group world_group() {
  MPI_Group group;
  MPI_Comm_group(MPI_COMM_WORLD, &group);
  return group;
}

MPI_Group make(const Ranks& ranks) {
  MPI_Group world = world_group(), group;
  EXPECT_OK(MPI_Group_incl(world, static_cast<int>(ranks.size()), ranks.data(), &group));
  EXPECT_OK(MPI_Group_free(&world));
  EXPECT(world == MPI_GROUP_NULL);
  return group;
}

Ranks random_ranks(Random& random) {
  Ranks ranks(check::size);
  std::iota(ranks.begin(), ranks.end(), 0);
  if (random.chance(70)) random.shuffle(ranks);
  ranks.resize(random.below(check::size + 1));
  return ranks;
}

bool has(const Ranks& ranks, int rank) {
  return std::find(ranks.begin(), ranks.end(), rank) != ranks.end();
}

// The group has exactly these members in this order, by every way of asking. Frees it.
void expect_group(MPI_Group group, const Ranks& expected, const char* what) {
  int size = -1, rank = -1;
  EXPECT_OK(MPI_Group_size(group, &size));
  EXPECT_OK(MPI_Group_rank(group, &rank));
  auto mine = std::find(expected.begin(), expected.end(), check::rank);
  int position = mine == expected.end() ? MPI_UNDEFINED : static_cast<int>(mine - expected.begin());
  EXPECT_MSG(rank == position, "%s: rank %d, expected %d", what, rank, position);
  if (EXPECT_MSG(size == static_cast<int>(expected.size()), "%s: size %d, expected %zu", what, size,
                 expected.size())) {
    Ranks all(size), in_world(size);
    std::iota(all.begin(), all.end(), 0);
    MPI_Group world = world_group();
    EXPECT_OK(MPI_Group_translate_ranks(group, size, all.data(), world, in_world.data()));
    EXPECT_MSG(in_world == expected, "%s: wrong members or order", what);
    MPI_Group_free(&world);
  }
  if (group != MPI_GROUP_EMPTY) EXPECT_OK(MPI_Group_free(&group));
}

void set_operations() {
  for (int round = 0; round < 200; ++round) {
    Random random(1, round, check::rank);
    Ranks a = random_ranks(random), b = random_ranks(random);
    MPI_Group group_a = make(a), group_b = make(b), result;
    Ranks expected = a;
    for (int rank : b) {
      if (!has(a, rank)) expected.push_back(rank);
    }
    EXPECT_OK(MPI_Group_union(group_a, group_b, &result));
    expect_group(result, expected, "union");
    expected.clear();
    for (int rank : a) {
      if (has(b, rank)) expected.push_back(rank);
    }
    EXPECT_OK(MPI_Group_intersection(group_a, group_b, &result));
    expect_group(result, expected, "intersection");
    expected.clear();
    for (int rank : a) {
      if (!has(b, rank)) expected.push_back(rank);
    }
    EXPECT_OK(MPI_Group_difference(group_a, group_b, &result));
    expect_group(result, expected, "difference");

    int relation = -1;
    Ranks sorted_a = a, sorted_b = b;
    std::sort(sorted_a.begin(), sorted_a.end());
    std::sort(sorted_b.begin(), sorted_b.end());
    EXPECT_OK(MPI_Group_compare(group_a, group_b, &relation));
    EXPECT_EQ(relation, a == b ? MPI_IDENT : sorted_a == sorted_b ? MPI_SIMILAR : MPI_UNEQUAL);
    EXPECT_OK(MPI_Group_compare(group_a, group_a, &relation));
    EXPECT_EQ(relation, MPI_IDENT);

    Ranks positions(a.size()), translated(a.size());
    std::iota(positions.begin(), positions.end(), 0);
    random.shuffle(positions);
    // MPICH 4.0 gets MPI_PROC_NULL wrong.
    if (!positions.empty() && random.chance(30) && !check::library_is("MPICH"))
      positions[0] = MPI_PROC_NULL;
    EXPECT_OK(MPI_Group_translate_ranks(group_a, static_cast<int>(positions.size()),
                                        positions.data(), group_b, translated.data()));
    for (std::size_t i = 0; i < positions.size(); ++i) {
      if (positions[i] == MPI_PROC_NULL) {
        EXPECT_EQ(translated[i], MPI_PROC_NULL);
        continue;
      }
      auto there = std::find(b.begin(), b.end(), a[positions[i]]);
      EXPECT_EQ(translated[i],
                there == b.end() ? MPI_UNDEFINED : static_cast<int>(there - b.begin()));
    }
    expect_group(group_a, a, "first operand");  // The operations left their operands alone.
    expect_group(group_b, b, "second operand");
  }
}

void inclusion_and_exclusion() {
  for (int round = 0; round < 200; ++round) {
    Random random(2, round, check::rank);
    Ranks base = random_ranks(random), chosen;
    for (std::size_t i = 0; i < base.size(); ++i) {
      if (random.chance(50)) chosen.push_back(static_cast<int>(i));
    }
    random.shuffle(chosen);
    MPI_Group group = make(base), result;
    Ranks expected;
    for (int i : chosen) expected.push_back(base[i]);
    EXPECT_OK(MPI_Group_incl(group, static_cast<int>(chosen.size()), chosen.data(), &result));
    expect_group(result, expected, "incl");
    expected.clear();
    for (std::size_t i = 0; i < base.size(); ++i) {
      if (!has(chosen, static_cast<int>(i))) expected.push_back(base[i]);
    }
    EXPECT_OK(MPI_Group_excl(group, static_cast<int>(chosen.size()), chosen.data(), &result));
    expect_group(result, expected, "excl");
    expect_group(group, base, "base");
  }
}

// Triplets (first, last, stride) with strides of either sign that never name a rank twice.
void ranges() {
  for (int round = 0; round < 200; ++round) {
    Random random(3, round, check::rank);
    Ranks base = random_ranks(random);
    int size = static_cast<int>(base.size());
    std::vector<int> triplets;
    Ranks named;
    for (int attempt = 0; attempt < 4 && size > 0; ++attempt) {
      int first = random.below(size), last = random.below(size);
      int stride = random.between(1, 3) * (last >= first ? 1 : -1);
      Ranks these;
      for (int r = first; stride > 0 ? r <= last : r >= last; r += stride) these.push_back(r);
      if (std::any_of(these.begin(), these.end(), [&](int r) { return has(named, r); })) continue;
      named.insert(named.end(), these.begin(), these.end());
      triplets.insert(triplets.end(), {first, last, stride});
    }
    MPI_Group group = make(base), result;
    int count = static_cast<int>(triplets.size() / 3);
    triplets.resize(triplets.size() + 3);  // Never an empty array.
    auto* array = reinterpret_cast<int(*)[3]>(triplets.data());
    Ranks expected;
    for (int i : named) expected.push_back(base[i]);
    EXPECT_OK(MPI_Group_range_incl(group, count, array, &result));
    expect_group(result, expected, "range_incl");
    expected.clear();
    for (int i = 0; i < size; ++i) {
      if (!has(named, i)) expected.push_back(base[i]);
    }
    EXPECT_OK(MPI_Group_range_excl(group, count, array, &result));
    expect_group(result, expected, "range_excl");
    expect_group(group, base, "base");
  }
}

void the_empty_group() {
  MPI_Group world = world_group(), result;
  int size = -1, rank = -1, relation = -1;
  EXPECT_OK(MPI_Group_size(MPI_GROUP_EMPTY, &size));
  EXPECT_EQ(size, 0);
  EXPECT_OK(MPI_Group_rank(MPI_GROUP_EMPTY, &rank));
  EXPECT_EQ(rank, MPI_UNDEFINED);
  EXPECT_OK(MPI_Group_incl(world, 0, nullptr, &result));
  EXPECT_OK(MPI_Group_compare(result, MPI_GROUP_EMPTY, &relation));
  EXPECT_EQ(relation, MPI_IDENT);
  EXPECT_OK(MPI_Group_union(MPI_GROUP_EMPTY, world, &result));
  EXPECT_OK(MPI_Group_compare(result, world, &relation));
  EXPECT_EQ(relation, MPI_IDENT);
  MPI_Group_free(&result);
  EXPECT_OK(MPI_Group_difference(world, world, &result));
  expect_group(result, {}, "world without world");
  MPI_Group_free(&world);
}

// A communicator's group outlives the communicator, and the group of a group's subset knows its
// place.
void groups_of_communicators() {
  MPI_Comm dup, self = MPI_COMM_SELF;
  MPI_Comm_dup(MPI_COMM_WORLD, &dup);
  MPI_Group group, alone;
  EXPECT_OK(MPI_Comm_group(dup, &group));
  EXPECT_OK(MPI_Comm_group(self, &alone));
  MPI_Comm_free(&dup);
  Ranks all(check::size);
  std::iota(all.begin(), all.end(), 0);
  expect_group(group, all, "group of a freed communicator");
  expect_group(alone, {check::rank}, "group of MPI_COMM_SELF");
}

void wrong_arguments() {
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  MPI_Group world = world_group(), result;
  int twice[2] = {0, 0}, beyond = check::size, negative = -1, value = 0;
  int zero_stride[1][3] = {{0, 0, 0}}, outside[1][3] = {{0, check::size, 1}};
  if (!check::library_is("MPICH")) {  // 4.0 does not look, or runs out of "-16 bytes of memory".
    EXPECT_CLASS(MPI_Group_incl(world, 2, twice, &result), MPI_ERR_RANK);
    EXPECT_CLASS(MPI_Group_excl(world, 2, twice, &result), MPI_ERR_RANK);
  }
  EXPECT_CLASS(MPI_Group_incl(world, 1, &beyond, &result), MPI_ERR_RANK);
  EXPECT_CLASS(MPI_Group_excl(world, 1, &negative, &result), MPI_ERR_RANK);
  EXPECT_CLASS(MPI_Group_incl(world, -1, twice, &result), MPI_ERR_ARG, MPI_ERR_COUNT);
  EXPECT_CLASS(MPI_Group_range_incl(world, 1, zero_stride, &result), MPI_ERR_ARG, MPI_ERR_RANK);
  EXPECT_CLASS(MPI_Group_range_incl(world, 1, outside, &result), MPI_ERR_ARG, MPI_ERR_RANK);
  EXPECT_CLASS(MPI_Group_size(MPI_GROUP_NULL, &value), MPI_ERR_GROUP);
  EXPECT_CLASS(MPI_Group_rank(world, nullptr), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Group_union(world, MPI_GROUP_NULL, &result), MPI_ERR_GROUP);
  EXPECT_CLASS(MPI_Group_translate_ranks(world, 1, &beyond, world, &value), MPI_ERR_RANK);
  EXPECT_CLASS(MPI_Comm_group(MPI_COMM_NULL, &result), MPI_ERR_COMM);
  result = MPI_GROUP_NULL;
  EXPECT_CLASS(MPI_Group_free(&result), MPI_ERR_GROUP);
  MPI_Group_free(&world);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_ARE_FATAL);
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv,
                     {{"set_operations", set_operations},
                      {"inclusion_and_exclusion", inclusion_and_exclusion},
                      {"ranges", ranges},
                      {"the_empty_group", the_empty_group},
                      {"groups_of_communicators", groups_of_communicators},
                      {"wrong_arguments", wrong_arguments}});
}
