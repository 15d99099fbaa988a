// tests/mpi/comms.cc - creating, comparing, naming and freeing communicators.
//
// Every new communicator is proved by traffic: ranks and sizes as computed from the seed, a ring of
// messages inside it, and isolation from all others (same tags, same ranks).
#include "check.h"

namespace {

using check::Random;

MPI_Comm world() { return MPI_COMM_WORLD; }

// The communicator consists of exactly these world ranks, in this order, and carries messages.
void expect_comm(MPI_Comm comm, const std::vector<int>& members, const char* what) {
  int size = -1, rank = -1, inter = -1;
  EXPECT_OK(MPI_Comm_size(comm, &size));
  EXPECT_OK(MPI_Comm_rank(comm, &rank));
  EXPECT_OK(MPI_Comm_test_inter(comm, &inter));
  EXPECT_EQ(inter, 0);
  if (!EXPECT_MSG(size == static_cast<int>(members.size()) && rank >= 0 && rank < size &&
                      members[rank] == check::rank,
                  "%s: rank %d of %d", what, rank, size)) {
    return;
  }
  int to = (rank + 1) % size, from = (rank + size - 1) % size, mine = check::rank, got = -1;
  EXPECT_OK(
      MPI_Sendrecv(&mine, 1, MPI_INT, to, 0, &got, 1, MPI_INT, from, 0, comm, MPI_STATUS_IGNORE));
  EXPECT_MSG(got == members[from], "%s: message of world rank %d, expected %d", what, got,
             members[from]);
}

std::vector<int> everyone() {
  std::vector<int> all(check::size);
  for (int i = 0; i < check::size; ++i) all[i] = i;
  return all;
}

int compare(MPI_Comm a, MPI_Comm b) {
  int result = -1;
  EXPECT_OK(MPI_Comm_compare(a, b, &result));
  return result;
}

void predefined_communicators() {
  expect_comm(world(), everyone(), "MPI_COMM_WORLD");
  expect_comm(MPI_COMM_SELF, {check::rank}, "MPI_COMM_SELF");
}

void duplicates_and_comparison() {
  MPI_Comm dup, reversed, half;
  EXPECT_OK(MPI_Comm_dup(world(), &dup));
  expect_comm(dup, everyone(), "dup");
  EXPECT_EQ(compare(world(), world()), MPI_IDENT);
  EXPECT_EQ(compare(world(), dup), MPI_CONGRUENT);
  EXPECT_OK(MPI_Comm_split(world(), 0, -check::rank, &reversed));
  EXPECT_EQ(compare(world(), reversed), check::size == 1 ? MPI_CONGRUENT : MPI_SIMILAR);
  EXPECT_OK(MPI_Comm_split(world(), check::rank == 0, 0, &half));
  EXPECT_EQ(compare(world(), half), check::size == 1 ? MPI_CONGRUENT : MPI_UNEQUAL);
  for (MPI_Comm* comm : {&dup, &reversed, &half}) {
    EXPECT_OK(MPI_Comm_free(comm));
    EXPECT(*comm == MPI_COMM_NULL);
  }
}

// Random colours and keys, nested: the result is ordered by key, then by old rank.
void random_splits() {
  for (int round = 0; round < 30; ++round) {
    auto color_of = [&](int rank) {
      int color = Random(1, round, rank).below(5);
      return color == 4 ? MPI_UNDEFINED : color * 1000003;
    };
    auto key_of = [&](int rank) { return Random(2, round, rank).between(-2, 2); };
    std::vector<int> members;
    for (int rank = 0; rank < check::size; ++rank) {
      if (color_of(rank) == color_of(check::rank)) members.push_back(rank);
    }
    std::stable_sort(members.begin(), members.end(),
                     [&](int a, int b) { return key_of(a) < key_of(b); });
    MPI_Comm comm = world(), again;
    EXPECT_OK(MPI_Comm_split(world(), color_of(check::rank), key_of(check::rank), &comm));
    if (color_of(check::rank) == MPI_UNDEFINED) {
      EXPECT(comm == MPI_COMM_NULL);
      continue;
    }
    expect_comm(comm, members, "split");
    int rank = -1;
    MPI_Comm_rank(comm, &rank);
    EXPECT_OK(MPI_Comm_split(comm, rank % 2, -rank, &again));
    std::vector<int> nested;
    for (int i = static_cast<int>(members.size()) - 1; i >= 0; --i) {
      if (i % 2 == rank % 2) nested.push_back(members[i]);
    }
    expect_comm(again, nested, "split of a split");
    EXPECT_OK(MPI_Comm_free(&comm));  // The child outlives its parent.
    expect_comm(again, nested, "split whose parent is freed");
    EXPECT_OK(MPI_Comm_free(&again));
  }
}

// Those that run on the same machine as this one, as far as its name says so.
std::vector<int> neighbors() {
  char mine[MPI_MAX_PROCESSOR_NAME] = "";
  int length = 0;
  EXPECT_OK(MPI_Get_processor_name(mine, &length));
  std::vector<char> all(sizeof mine * check::size);
  EXPECT_OK(MPI_Allgather(mine, sizeof mine, MPI_CHAR, all.data(), sizeof mine, MPI_CHAR, world()));
  std::vector<int> ranks;
  for (int rank = 0; rank < check::size; ++rank) {
    if (std::strcmp(&all[sizeof mine * rank], mine) == 0) ranks.push_back(rank);
  }
  return ranks;
}

void split_by_shared_memory() {
  MPI_Comm comm;
  EXPECT_OK(MPI_Comm_split_type(world(), MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &comm));
  std::vector<int> reversed = neighbors();
  expect_comm(comm, reversed, "split_type");
  EXPECT_OK(MPI_Comm_free(&comm));
  std::reverse(reversed.begin(), reversed.end());
  EXPECT_OK(MPI_Comm_split_type(world(), MPI_COMM_TYPE_SHARED, -check::rank, MPI_INFO_NULL, &comm));
  expect_comm(comm, reversed, "split_type with keys");
  EXPECT_OK(MPI_Comm_free(&comm));
  bool out = check::rank % 2;
  int type = MPI_COMM_TYPE_SHARED;
  if (out) type = MPI_UNDEFINED;
  EXPECT_OK(MPI_Comm_split_type(world(), type, 0, MPI_INFO_NULL, &comm));
  EXPECT((comm == MPI_COMM_NULL) == out);
  if (!out) EXPECT_OK(MPI_Comm_free(&comm));
}

std::vector<int> random_members(Random& random) {
  std::vector<int> members = everyone();
  random.shuffle(members);
  members.resize(random.between(1, check::size));
  return members;
}

MPI_Group group_of(const std::vector<int>& members) {
  MPI_Group world_group, group;
  MPI_Comm_group(world(), &world_group);
  MPI_Group_incl(world_group, static_cast<int>(members.size()), members.data(), &group);
  MPI_Group_free(&world_group);
  return group;
}

void create_from_groups() {
  for (int round = 0; round < 30; ++round) {
    Random random(3, round);
    std::vector<int> members = random_members(random);
    bool member = std::find(members.begin(), members.end(), check::rank) != members.end();
    MPI_Group group = group_of(members);
    MPI_Comm comm = world();
    EXPECT_OK(MPI_Comm_create(world(), group, &comm));  // Collective over all of world.
    EXPECT((comm != MPI_COMM_NULL) == member);
    if (member) {
      expect_comm(comm, members, "create");
      EXPECT_OK(MPI_Comm_free(&comm));
      // Only the members call this one; the others may be anywhere.
      EXPECT_OK(MPI_Comm_create_group(world(), group, round, &comm));
      expect_comm(comm, members, "create_group");
      EXPECT_OK(MPI_Comm_free(&comm));
    }
    MPI_Group_free(&group);
  }
  MPI_Comm none = world();
  EXPECT_OK(MPI_Comm_create(world(), MPI_GROUP_EMPTY, &none));
  EXPECT(none == MPI_COMM_NULL);
}

// Overlapping groups create their communicators in an order that no global schedule could have:
// each chain of creations only involves its members.
void create_group_chains() {
  if (check::size < 2) return;
  for (int round = 0; round < 10; ++round) {
    for (int first = 0; first + 1 < check::size; ++first) {  // Pairs (0,1), (1,2), ...
      if (check::rank != first && check::rank != first + 1) continue;
      MPI_Group group = group_of({first, first + 1});
      MPI_Comm comm;
      EXPECT_OK(MPI_Comm_create_group(world(), group, 5, &comm));
      expect_comm(comm, {first, first + 1}, "pair of a chain");
      EXPECT_OK(MPI_Comm_free(&comm));
      MPI_Group_free(&group);
    }
  }
}

void several_idups_in_flight() {
  constexpr int kCount = 8;
  for (int round = 0; round < 5; ++round) {
    MPI_Comm base, dups[kCount];
    MPI_Request requests[kCount];
    MPI_Comm_split(world(), 0, -check::rank, &base);
    std::vector<int> members = everyone();
    std::reverse(members.begin(), members.end());
    for (int i = 0; i < kCount; ++i) {
      EXPECT_OK(MPI_Comm_idup(i % 2 ? base : world(), &dups[i], &requests[i]));
    }
    expect_comm(world(), everyone(), "communicator being duplicated");
    std::vector<int> order = {0, 1, 2, 3, 4, 5, 6, 7};
    Random(4, round, check::rank).shuffle(order);
    for (int i : order) EXPECT_OK(MPI_Wait(&requests[i], MPI_STATUS_IGNORE));
    for (int i = 0; i < kCount; ++i) {
      expect_comm(dups[i], i % 2 ? members : everyone(), "idup");
      EXPECT_OK(MPI_Comm_free(&dups[i]));
    }
    EXPECT_OK(MPI_Comm_free(&base));
  }
}

// Same source, tag and size on many communicators at once: each message stays in its own.
void contexts_are_isolated() {
  constexpr int kCount = 20;
  MPI_Comm comms[kCount];
  MPI_Request receives[kCount], sends[kCount];
  int in[kCount], out[kCount], to = (check::rank + 1) % check::size;
  std::vector<int> order;
  for (int i = 0; i < kCount; ++i) {
    MPI_Comm_dup(i ? comms[i - 1] : world(), &comms[i]);
    order.push_back(i);
  }
  Random random(5, check::rank);
  random.shuffle(order);
  for (int i : order) {
    EXPECT_OK(MPI_Irecv(&in[i], 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, comms[i], &receives[i]));
  }
  random.shuffle(order);
  for (int i : order) {
    out[i] = check::rank * 100 + i;
    EXPECT_OK(MPI_Isend(&out[i], 1, MPI_INT, to, 7, comms[i], &sends[i]));
  }
  EXPECT_OK(MPI_Waitall(kCount, receives, MPI_STATUSES_IGNORE));
  EXPECT_OK(MPI_Waitall(kCount, sends, MPI_STATUSES_IGNORE));
  for (int i = 0; i < kCount; ++i) {
    EXPECT_EQ(in[i], (check::rank + check::size - 1) % check::size * 100 + i);
    MPI_Comm_free(&comms[i]);
  }
}

// Freeing marks for deletion: what is in flight is still delivered.
void freed_communicator_finishes_its_traffic() {
  for (int size : {4, 100000}) {
    MPI_Comm comm;
    MPI_Comm_dup(world(), &comm);
    int to = (check::rank + 1) % check::size, from = (check::rank + check::size - 1) % check::size;
    std::vector<char> out(size, static_cast<char>(check::rank + 1)), in(size, 0);
    MPI_Request requests[2];
    EXPECT_OK(MPI_Irecv(in.data(), size, MPI_BYTE, from, 1, comm, &requests[0]));
    EXPECT_OK(MPI_Isend(out.data(), size, MPI_BYTE, to, 1, comm, &requests[1]));
    EXPECT_OK(MPI_Comm_free(&comm));
    EXPECT_OK(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE));
    EXPECT_EQ(in[size - 1], static_cast<char>(from + 1));
  }
}

// More communicators than any fixed number of context ids, in changing numbers alive at once.
void thousands_of_create_and_free_cycles() {
  int cycles = check::size <= 2 ? 2500 : 500;
  std::vector<MPI_Comm> alive;
  for (int i = 0; i < cycles; ++i) {
    Random random(6, i);  // The same on all ranks: the calls are collective.
    MPI_Comm comm;
    if (random.chance(70)) {
      EXPECT_OK(MPI_Comm_dup(world(), &comm));
    } else {
      EXPECT_OK(MPI_Comm_split(world(), check::rank % 2, 0, &comm));
    }
    alive.push_back(comm);
    while (alive.size() > 40 || (!alive.empty() && random.chance(40))) {
      std::size_t victim = random.below(static_cast<int>(alive.size()));
      EXPECT_OK(MPI_Comm_free(&alive[victim]));
      alive.erase(alive.begin() + static_cast<long>(victim));
    }
    if (i % 100 == 0 && !alive.empty()) MPI_Barrier(alive.back());
  }
  for (MPI_Comm& comm : alive) EXPECT_OK(MPI_Comm_free(&comm));
  expect_comm(world(), everyone(), "MPI_COMM_WORLD afterwards");
}

// Far more than any fixed number of context ids, at once and over time.
void thousands_alive_and_very_many_cycles() {
  if (!check::library_is_tern()) return;  // MPICH has 2048 context ids.
  std::vector<MPI_Comm> alive(check::size <= 3 ? 3000 : 300);
  for (MPI_Comm& comm : alive) EXPECT_OK(MPI_Comm_dup(world(), &comm));
  for (std::size_t i : {std::size_t{0}, alive.size() / 2, alive.size() - 1}) {
    expect_comm(alive[i], everyone(), "one of thousands");
  }
  for (MPI_Comm& comm : alive) EXPECT_OK(MPI_Comm_free(&comm));
  bool good = true;
  for (int i = 0; i < 100000; ++i) {
    MPI_Comm comm;
    good = good && MPI_Comm_dup(MPI_COMM_SELF, &comm) == MPI_SUCCESS;
    good = good && MPI_Comm_free(&comm) == MPI_SUCCESS;
  }
  EXPECT(good);
  for (int i = 0; check::size == 2 && i < 20000; ++i) {
    MPI_Comm comm;
    good = good && MPI_Comm_dup(world(), &comm) == MPI_SUCCESS;
    good = good && MPI_Comm_free(&comm) == MPI_SUCCESS;
  }
  EXPECT(good);
}

std::string name_of(MPI_Comm comm) {
  char name[MPI_MAX_OBJECT_NAME + 1];
  std::memset(name, '?', sizeof name);
  int length = -1;
  EXPECT_OK(MPI_Comm_get_name(comm, name, &length));
  EXPECT_EQ(length, static_cast<int>(std::strlen(name)));
  return name;
}

void names() {
  EXPECT_EQ(name_of(world()), std::string("MPI_COMM_WORLD"));
  EXPECT_EQ(name_of(MPI_COMM_SELF), std::string("MPI_COMM_SELF"));
  if (check::library_is_tern()) EXPECT_EQ(name_of(MPI_COMM_NULL), std::string("MPI_COMM_NULL"));
  MPI_Comm comm, dup;
  MPI_Comm_dup(world(), &comm);
  EXPECT_EQ(name_of(comm), std::string());
  EXPECT_OK(MPI_Comm_set_name(comm, "  two words "));
  EXPECT_EQ(name_of(comm), std::string("  two words "));
  MPI_Comm_dup(comm, &dup);
  EXPECT_EQ(name_of(dup), std::string());  // A name is not copied.
  EXPECT_OK(MPI_Comm_set_name(comm, ""));
  EXPECT_EQ(name_of(comm), std::string());
  std::string longest(MPI_MAX_OBJECT_NAME - 1, 'x');
  EXPECT_OK(MPI_Comm_set_name(comm, longest.c_str()));
  EXPECT_EQ(name_of(comm), longest);
  EXPECT_OK(MPI_Comm_set_name(world(), "renamed"));
  EXPECT_EQ(name_of(world()), std::string("renamed"));
  MPI_Comm_set_name(world(), "MPI_COMM_WORLD");
  MPI_Comm_free(&comm);
  MPI_Comm_free(&dup);
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(
      argc, argv,
      {{"predefined_communicators", predefined_communicators},
       {"duplicates_and_comparison", duplicates_and_comparison},
       {"random_splits", random_splits},
       {"split_by_shared_memory", split_by_shared_memory},
       {"create_from_groups", create_from_groups},
       {"create_group_chains", create_group_chains},
       {"several_idups_in_flight", several_idups_in_flight},
       {"contexts_are_isolated", contexts_are_isolated},
       {"freed_communicator_finishes_its_traffic", freed_communicator_finishes_its_traffic},
       {"thousands_of_create_and_free_cycles", thousands_of_create_and_free_cycles},
       {"thousands_alive_and_very_many_cycles", thousands_alive_and_very_many_cycles},
       {"names", names}});
}
