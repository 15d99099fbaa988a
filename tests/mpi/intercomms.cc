// tests/mpi/intercomms.cc - communicators between two groups: creating, asking, copying, splitting,
// merging.
//
// Every new one is proved by traffic: each process exchanges a message with each process of the
// other group, and learns from it who that is.
#include "check.h"

namespace {

using check::Random;
using Ranks = std::vector<int>;  // Ranks of MPI_COMM_WORLD.

bool contains(const Ranks& ranks, int rank) {
  return std::find(ranks.begin(), ranks.end(), rank) != ranks.end();
}

Ranks members_of(MPI_Group group) {
  MPI_Group world_group;
  int size = 0;
  MPI_Comm_group(MPI_COMM_WORLD, &world_group);
  MPI_Group_size(group, &size);
  Ranks ranks(size), result(size, -1);
  for (int i = 0; i < size; ++i) ranks[i] = i;
  if (size > 0) {
    MPI_Group_translate_ranks(group, size, ranks.data(), world_group, result.data());
  }
  MPI_Group_free(&world_group);
  return result;
}

MPI_Group group_of(const Ranks& members) {
  MPI_Group world_group, group;
  MPI_Comm_group(MPI_COMM_WORLD, &world_group);
  MPI_Group_incl(world_group, static_cast<int>(members.size()), members.data(), &group);
  MPI_Group_free(&world_group);
  return group;
}

std::string list(const Ranks& ranks) {
  std::string text;
  for (int rank : ranks) text += std::to_string(rank) + " ";
  return text;
}

// What the intercommunicator says of itself is right: `local` and `remote` in this order.
void expect_groups(MPI_Comm comm, const Ranks& local, const Ranks& remote, const char* what) {
  int inter = -1, size = -1, remote_size = -1, rank = -1;
  EXPECT_OK(MPI_Comm_test_inter(comm, &inter));
  EXPECT_MSG(inter == 1, "%s: not an intercommunicator", what);
  EXPECT_OK(MPI_Comm_size(comm, &size));
  EXPECT_EQ(size, static_cast<int>(local.size()));
  EXPECT_OK(MPI_Comm_rank(comm, &rank));
  EXPECT_MSG(rank >= 0 && rank < size && local[rank] == check::rank, "%s: rank %d", what, rank);
  EXPECT_OK(MPI_Comm_remote_size(comm, &remote_size));
  EXPECT_EQ(remote_size, static_cast<int>(remote.size()));
  MPI_Group group;
  EXPECT_OK(MPI_Comm_group(comm, &group));
  EXPECT_MSG(members_of(group) == local, "%s: local group %s, expected %s", what,
             list(members_of(group)).c_str(), list(local).c_str());
  MPI_Group_free(&group);
  EXPECT_OK(MPI_Comm_remote_group(comm, &group));
  EXPECT_MSG(members_of(group) == remote, "%s: remote group %s, expected %s", what,
             list(members_of(group)).c_str(), list(remote).c_str());
  MPI_Group_free(&group);
}

// Everybody exchanges a message with everybody of the other group.
void expect_traffic(MPI_Comm comm, const Ranks& remote, const char* what) {
  const int n = static_cast<int>(remote.size());
  const int mine = check::rank;
  std::vector<int> got(n, -1);
  std::vector<MPI_Request> requests(2 * n);
  for (int i = 0; i < n; ++i) {
    // One of them with a wildcard would do as well; that is in wildcards().
    MPI_Irecv(&got[i], 1, MPI_INT, i, 5, comm, &requests[i]);
    MPI_Isend(&mine, 1, MPI_INT, i, 5, comm, &requests[n + i]);
  }
  EXPECT_OK(MPI_Waitall(2 * n, requests.data(), MPI_STATUSES_IGNORE));
  EXPECT_MSG(got == remote, "%s: heard of %s, expected %s", what, list(got).c_str(),
             list(remote).c_str());
}

void expect_inter(MPI_Comm comm, const Ranks& local, const Ranks& remote, const char* what) {
  expect_groups(comm, local, remote, what);
  expect_traffic(comm, remote, what);
}

// The world in two random groups, each in a random order, and the intercommunicator between them.
struct Sample {
  explicit Sample(Random& random) {
    Ranks all(check::size);
    for (int i = 0; i < check::size; ++i) all[i] = i;
    random.shuffle(all);
    const int cut = random.between(1, check::size - 1);
    sides[0].assign(all.begin(), all.begin() + cut);
    sides[1].assign(all.begin() + cut, all.end());
    side = contains(sides[0], check::rank) ? 0 : 1;
    for (int s = 0; s < 2; ++s) leader[s] = random.below(static_cast<int>(sides[s].size()));
    int key = 0;
    while (local()[key] != check::rank) ++key;
    EXPECT_OK(MPI_Comm_split(MPI_COMM_WORLD, side, key, &intra));
    // The bridge means something at the leaders only.
    const bool lead = leader[side] == key;
    EXPECT_OK(MPI_Intercomm_create(intra, leader[side], lead ? MPI_COMM_WORLD : MPI_COMM_NULL,
                                   lead ? sides[1 - side][leader[1 - side]] : -17,
                                   random.below(1000), &inter));
  }
  ~Sample() {
    EXPECT_OK(MPI_Comm_free(&inter));
    EXPECT_OK(MPI_Comm_free(&intra));
  }
  Sample(const Sample&) = delete;
  Sample& operator=(const Sample&) = delete;
  const Ranks& local() const { return sides[side]; }
  const Ranks& remote() const { return sides[1 - side]; }

  Ranks sides[2];
  int leader[2];
  int side;
  MPI_Comm intra = MPI_COMM_NULL;
  MPI_Comm inter = MPI_COMM_NULL;
};

void creation() {
  if (check::size < 2) {
    int flag = -1;
    EXPECT_OK(MPI_Comm_test_inter(MPI_COMM_WORLD, &flag));
    EXPECT_EQ(flag, 0);
    return;
  }
  for (int round = 0; round < 20; ++round) {
    Random random(1, round);
    Sample sample(random);
    expect_inter(sample.inter, sample.local(), sample.remote(), "create");
  }
}

// Source and tag of messages from anybody.
void wildcards() {
  if (check::size < 2) return;
  Random random(2);
  Sample sample(random);
  const int n = static_cast<int>(sample.remote().size());
  int rank = -1;
  MPI_Comm_rank(sample.inter, &rank);
  for (int i = 0; i < n; ++i) {
    EXPECT_OK(MPI_Send(&check::rank, 1, MPI_INT, i, 100 + rank, sample.inter));
  }
  Ranks heard;
  for (int i = 0; i < n; ++i) {
    MPI_Status status;
    int got = -1;
    EXPECT_OK(MPI_Recv(&got, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, sample.inter, &status));
    EXPECT_EQ(status.MPI_TAG, 100 + status.MPI_SOURCE);
    EXPECT_EQ(got, sample.remote()[status.MPI_SOURCE]);
    heard.push_back(got);
  }
  std::sort(heard.begin(), heard.end());
  Ranks expected = sample.remote();
  std::sort(expected.begin(), expected.end());
  EXPECT(heard == expected);
}

void merging() {
  if (check::size < 2) return;
  for (int round = 0; round < 16; ++round) {
    Random random(3, round);
    Sample sample(random);
    const int high[2] = {round & 1, (round >> 1) & 1};
    MPI_Comm merged = MPI_COMM_NULL;
    EXPECT_OK(MPI_Intercomm_merge(sample.inter, high[sample.side], &merged));
    MPI_Group group;
    MPI_Comm_group(merged, &group);
    const Ranks members = members_of(group);
    MPI_Group_free(&group);
    Ranks orders[2];
    for (int front = 0; front < 2; ++front) {
      orders[front] = sample.sides[front];
      const Ranks& back = sample.sides[1 - front];
      orders[front].insert(orders[front].end(), back.begin(), back.end());
    }
    // With equal wishes either order is right, but all must have the same one.
    if (high[0] != high[1]) {
      EXPECT_MSG(members == orders[high[0]], "merged: %s", list(members).c_str());
    } else {
      EXPECT_MSG(members == orders[0] || members == orders[1], "merged: %s", list(members).c_str());
    }
    int first = members[0], inter = -1;
    EXPECT_OK(MPI_Comm_test_inter(merged, &inter));
    EXPECT_EQ(inter, 0);
    EXPECT_OK(MPI_Bcast(&first, 1, MPI_INT, 0, merged));
    EXPECT_EQ(first, members[0]);
    int sum = 0, expected = check::size * (check::size - 1) / 2;
    EXPECT_OK(MPI_Allreduce(&check::rank, &sum, 1, MPI_INT, MPI_SUM, merged));
    EXPECT_EQ(sum, expected);
    EXPECT_OK(MPI_Comm_free(&merged));
  }
}

int copies = 0, deletions = 0;
int copy_attribute(MPI_Comm, int, void*, void* in, void* out, int* flag) {
  ++copies;
  *static_cast<void**>(out) = in;
  *flag = 1;
  return MPI_SUCCESS;
}
int delete_attribute(MPI_Comm, int, void*, void*) {
  ++deletions;
  return MPI_SUCCESS;
}

void duplicates() {
  if (check::size < 2) return;
  Random random(4);
  Sample sample(random);
  int keyval = MPI_KEYVAL_INVALID, value = 7, flag = 0, result = -1;
  EXPECT_OK(MPI_Comm_create_keyval(copy_attribute, delete_attribute, &keyval, nullptr));
  EXPECT_OK(MPI_Comm_set_attr(sample.inter, keyval, &value));
  EXPECT_OK(MPI_Comm_set_name(sample.inter, "between"));
  copies = deletions = 0;
  MPI_Comm dup = MPI_COMM_NULL, again = MPI_COMM_NULL;
  EXPECT_OK(MPI_Comm_dup(sample.inter, &dup));
  EXPECT_OK(MPI_Comm_dup_with_info(dup, MPI_INFO_NULL, &again));
  EXPECT_EQ(copies, 2);
  expect_inter(dup, sample.local(), sample.remote(), "dup");
  void* found = nullptr;
  EXPECT_OK(MPI_Comm_get_attr(again, keyval, &found, &flag));
  EXPECT(flag && found == &value);
  EXPECT_OK(MPI_Comm_compare(dup, sample.inter, &result));
  EXPECT_EQ(result, MPI_CONGRUENT);
  EXPECT_OK(MPI_Comm_compare(dup, dup, &result));
  EXPECT_EQ(result, MPI_IDENT);
  EXPECT_OK(MPI_Comm_compare(dup, sample.intra, &result));
  EXPECT_EQ(result, MPI_UNEQUAL);

  // The same ranks and tags in three communicators stay apart.
  const MPI_Comm comms[] = {again, sample.inter, dup};
  const int partner = 0;
  int rank = -1;
  MPI_Comm_rank(dup, &rank);
  if (rank == 0) {
    int sent[3] = {10, 11, 12}, got[3] = {};
    MPI_Request requests[3];
    for (int i = 0; i < 3; ++i) {
      MPI_Irecv(&got[i], 1, MPI_INT, partner, 0, comms[i], &requests[i]);
    }
    for (int i = 2; i >= 0; --i) MPI_Send(&sent[i], 1, MPI_INT, partner, 0, comms[i]);
    EXPECT_OK(MPI_Waitall(3, requests, MPI_STATUSES_IGNORE));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(got[i], sent[i]);
  }
  EXPECT_OK(MPI_Comm_free(&dup));
  expect_inter(again, sample.local(), sample.remote(), "dup of a freed one");
  EXPECT_OK(MPI_Comm_free(&again));
  EXPECT_EQ(deletions, 2);
  // Without blocking, and several at once.
  MPI_Comm copies_made[3];
  MPI_Request requests[3];
  for (int i = 0; i < 3; ++i) {
    EXPECT_OK(MPI_Comm_idup(sample.inter, &copies_made[i], &requests[i]));
  }
  EXPECT_OK(MPI_Waitall(3, requests, MPI_STATUSES_IGNORE));
  for (MPI_Comm& copy : copies_made) expect_inter(copy, sample.local(), sample.remote(), "idup");
  for (MPI_Comm& copy : copies_made) EXPECT_OK(MPI_Comm_free(&copy));
  EXPECT_OK(MPI_Comm_delete_attr(sample.inter, keyval));
  EXPECT_OK(MPI_Comm_free_keyval(&keyval));
}

void splits() {
  if (check::size < 2) return;
  if (check::library_is("MPICH") && check::size > 3) return;  // MPICH 4.0 hangs at times.
  for (int round = 0; round < 20; ++round) {
    Random random(5, round);
    Sample sample(random);
    auto color_of = [&](int rank) {
      const int color = Random(6, round, rank).below(4);
      return color == 3 ? MPI_UNDEFINED : color;
    };
    auto key_of = [&](int rank) { return Random(7, round, rank).between(-1, 1); };
    auto chosen = [&](const Ranks& ranks) {
      Ranks result;
      for (int rank : ranks) {
        if (color_of(rank) == color_of(check::rank)) result.push_back(rank);
      }
      std::stable_sort(result.begin(), result.end(),
                       [&](int a, int b) { return key_of(a) < key_of(b); });
      return result;
    };
    // MPICH 4.0 loses track of who communicates when a colour occurs on one side only.
    bool one_sided = false;
    for (int color = 0; color < 3; ++color) {
      const auto has = [&](int rank) { return color_of(rank) == color; };
      one_sided |= std::any_of(sample.sides[0].begin(), sample.sides[0].end(), has) !=
                   std::any_of(sample.sides[1].begin(), sample.sides[1].end(), has);
    }
    if (one_sided && check::library_is("MPICH")) continue;
    MPI_Comm comm = MPI_COMM_WORLD;
    EXPECT_OK(MPI_Comm_split(sample.inter, color_of(check::rank), key_of(check::rank), &comm));
    const Ranks local = chosen(sample.local()), remote = chosen(sample.remote());
    if (color_of(check::rank) == MPI_UNDEFINED || remote.empty()) {
      EXPECT(comm == MPI_COMM_NULL);
    } else if (EXPECT(comm != MPI_COMM_NULL)) {
      expect_inter(comm, local, remote, "split");
      EXPECT_OK(MPI_Comm_free(&comm));
    }
  }
}

void creation_from_subgroups() {
  if (check::size < 2) return;
  for (int round = 0; round < 20; ++round) {
    Random random(8, round);
    Sample sample(random);
    Ranks parts[2];
    for (int s = 0; s < 2; ++s) {
      parts[s] = sample.sides[s];
      // Open MPI 4.1 gives the other side another order than the group's.
      if (!check::library_is("Open MPI")) random.shuffle(parts[s]);
      parts[s].resize(random.between(round % 5 == 0 ? 0 : 1, static_cast<int>(parts[s].size())));
    }
    MPI_Group group = group_of(parts[sample.side]);
    MPI_Comm comm = MPI_COMM_WORLD;
    EXPECT_OK(MPI_Comm_create(sample.inter, group, &comm));
    MPI_Group_free(&group);
    if (parts[0].empty() || parts[1].empty() || !contains(parts[sample.side], check::rank)) {
      EXPECT(comm == MPI_COMM_NULL);
    } else if (EXPECT(comm != MPI_COMM_NULL)) {
      expect_inter(comm, parts[sample.side], parts[1 - sample.side], "create");
      EXPECT_OK(MPI_Comm_free(&comm));
    }
  }
}

// A chain of groups, neighbours joined, as in the standard's example (section 7.6.3): the leaders
// speak over a communicator of their own, and an intercommunicator serves as a bridge, too.
void several_groups() {
  if (check::size < 3) return;
  const int group = check::rank % 3;
  MPI_Comm mine, bridge, left = MPI_COMM_NULL, right = MPI_COMM_NULL;
  EXPECT_OK(MPI_Comm_split(MPI_COMM_WORLD, group, check::rank, &mine));
  EXPECT_OK(MPI_Comm_dup(MPI_COMM_WORLD, &bridge));
  Ranks groups[3];
  for (int r = 0; r < check::size; ++r) groups[r % 3].push_back(r);
  if (group < 2) EXPECT_OK(MPI_Intercomm_create(mine, 0, bridge, group + 1, 7, &right));
  if (group > 0) EXPECT_OK(MPI_Intercomm_create(mine, 0, bridge, group - 1, 7, &left));
  EXPECT_OK(MPI_Comm_free(&bridge));
  if (group < 2) expect_inter(right, groups[group], groups[group + 1], "right");
  if (group > 0) expect_inter(left, groups[group], groups[group - 1], "left");
  // Open MPI 4.1 takes no intercommunicator for this.
  if (group < 2 &&
      !check::library_is("Open MPI")) {  // Groups 0 and 1 once more, over what they have.
    MPI_Comm second = MPI_COMM_NULL;
    EXPECT_OK(MPI_Intercomm_create(mine, 0, group == 0 ? right : left, 0, 3, &second));
    expect_inter(second, groups[group], groups[1 - group], "over an intercommunicator");
    EXPECT_OK(MPI_Comm_free(&second));
  }
  if (group < 2) EXPECT_OK(MPI_Comm_free(&right));
  if (group > 0) EXPECT_OK(MPI_Comm_free(&left));
  EXPECT_OK(MPI_Comm_free(&mine));
}

// Wrong arguments are answered on all members of the group that passed them, and nobody hangs.
// Other libraries let many of these pass, or wait for ever.
void refusals() {
  if (!check::library_is_tern()) return;
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  int size = -1;
  MPI_Group group;
  EXPECT_CLASS(MPI_Comm_remote_size(MPI_COMM_WORLD, &size), MPI_ERR_COMM);
  EXPECT_CLASS(MPI_Comm_remote_group(MPI_COMM_WORLD, &group), MPI_ERR_COMM);
  EXPECT_CLASS(MPI_Intercomm_merge(MPI_COMM_WORLD, 0, &comm), MPI_ERR_COMM);
  EXPECT_CLASS(MPI_Intercomm_create(MPI_COMM_SELF, 1, MPI_COMM_WORLD, 0, 0, &comm), MPI_ERR_RANK);
  EXPECT_CLASS(MPI_Intercomm_create(MPI_COMM_SELF, 0, MPI_COMM_WORLD, check::size, 0, &comm),
               MPI_ERR_RANK);
  EXPECT_CLASS(MPI_Intercomm_create(MPI_COMM_SELF, 0, MPI_COMM_NULL, 0, 0, &comm), MPI_ERR_COMM);
  EXPECT_CLASS(MPI_Intercomm_create(MPI_COMM_SELF, 0, MPI_COMM_WORLD, 0, -1, &comm), MPI_ERR_TAG);
  EXPECT_CLASS(MPI_Intercomm_create(MPI_COMM_NULL, 0, MPI_COMM_WORLD, 0, 0, &comm), MPI_ERR_COMM);
  EXPECT_CLASS(MPI_Intercomm_create(MPI_COMM_WORLD, 0, MPI_COMM_NULL, 0, 0, &comm), MPI_ERR_COMM);
  EXPECT_CLASS(MPI_Intercomm_create(MPI_COMM_WORLD, 0, MPI_COMM_WORLD, 0, 0, &comm), MPI_ERR_COMM);
  if (check::size >= 2) {
    Random random(9);
    Sample sample(random);
    MPI_Comm_set_errhandler(sample.inter, MPI_ERRORS_RETURN);
    EXPECT_CLASS(MPI_Intercomm_create(sample.inter, 0, MPI_COMM_WORLD, 0, 0, &comm), MPI_ERR_COMM);
    int value = 0;
    const int beyond = static_cast<int>(sample.remote().size());
    EXPECT_CLASS(MPI_Send(&value, 1, MPI_INT, beyond, 0, sample.inter), MPI_ERR_RANK);
    MPI_Group world_group;  // Has processes of both sides.
    MPI_Comm_group(MPI_COMM_WORLD, &world_group);
    EXPECT_CLASS(MPI_Comm_create(sample.inter, world_group, &comm), MPI_ERR_GROUP);
    MPI_Group_free(&world_group);
    expect_inter(sample.inter, sample.local(), sample.remote(), "after refusals");
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_ARE_FATAL);
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv,
                     {{"creation", creation},
                      {"wildcards", wildcards},
                      {"merging", merging},
                      {"duplicates", duplicates},
                      {"splits", splits},
                      {"creation_from_subgroups", creation_from_subgroups},
                      {"several_groups", several_groups},
                      {"refusals", refusals}});
}
