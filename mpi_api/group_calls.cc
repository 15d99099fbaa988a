// mpi_api/group_calls.cc - the MPI_Group_ functions (MPI-5.0 section 7.3). All of them are local.
#include <algorithm>
#include <vector>

#include "core/format.h"
#include "impl.h"
#include "mpi_api/errors.h"
#include "mpi_api/group.h"

namespace tern::mpi::impl {
namespace {

// Hands a new group over, or says that there was no memory for it.
int give_group(std::vector<ProcessId> members, const Origin& origin, Group** newgroup) {
  return hand_over(make_group(std::move(members), origin), "a group", newgroup);
}

Origin origin_of(const Group& one, const Group& other) {
  return {one.self() ? one.self() : other.self(),
          one.session() != nullptr ? one.session() : other.session()};
}

std::vector<ProcessId> members_where(const Group& group, auto&& wanted) {
  std::vector<ProcessId> members;
  for (int rank = 0; rank < group.size(); ++rank) {
    const ProcessId id = group.member(rank);
    if (wanted(rank, id)) members.push_back(id);
  }
  return members;
}

// Ranks of a group that a call has chosen; each may be chosen once.
class Choice {
 public:
  explicit Choice(const Group& group)
      : group_(group), chosen_(static_cast<std::size_t>(group.size())) {}

  // argument: what the rank came from, for the message: ranks[3].
  int add(long long rank, const char* argument, int index) {
    if (rank < 0 || rank >= group_.size()) {
      return fail(MPI_ERR_RANK, "{}[{}] gives rank {}, but the group has {} processes: {}",
                  argument, index, rank, group_.size(),
                  group_.size() == 0 ? "no rank is allowed"
                                     : tern::format("allowed are 0 to {}", group_.size() - 1));
    }
    const auto at = static_cast<std::size_t>(rank);
    if (chosen_[at]) {
      return fail(MPI_ERR_RANK, "{}[{}] gives rank {} a second time; every rank may occur once",
                  argument, index, rank);
    }
    chosen_[at] = true;
    order_.push_back(static_cast<int>(rank));
    return MPI_SUCCESS;
  }

  int add_list(int n, const int* ranks) {
    for (int i = 0; i < n; ++i) {
      if (const int error = add(ranks[i], "ranks", i)) return error;
    }
    return MPI_SUCCESS;
  }

  // Triples (first, last, stride): first, first + stride, ... not beyond last.
  int add_ranges(int n, const int (*ranges)[3]) {
    for (int i = 0; i < n; ++i) {
      const long long first = ranges[i][0];
      const long long last = ranges[i][1];
      const long long stride = ranges[i][2];
      if (stride == 0) {
        return fail(MPI_ERR_ARG, "ranges[{}] has stride 0; it must be positive or negative", i);
      }
      if (first != last && (first < last) != (stride > 0)) {
        return fail(MPI_ERR_ARG,
                    "ranges[{}] leads from {} to {} with stride {}, which never "
                    "arrives; the stride must point from first to last",
                    i, first, last, stride);
      }
      for (long long step = 0; step <= (last - first) / stride; ++step) {
        if (const int error = add(first + step * stride, "ranges", i)) return error;
      }
    }
    return MPI_SUCCESS;
  }

  int give_chosen(Group** newgroup) const {
    std::vector<ProcessId> members;
    members.reserve(order_.size());
    for (const int rank : order_) members.push_back(group_.member(rank));
    return give_group(std::move(members), group_.origin(), newgroup);
  }

  int give_others(Group** newgroup) const {
    return give_group(members_where(group_,
                                    [this](int rank, const ProcessId&) {
                                      return !chosen_[static_cast<std::size_t>(rank)];
                                    }),
                      group_.origin(), newgroup);
  }

 private:
  const Group& group_;
  std::vector<bool> chosen_;
  std::vector<int> order_;
};

}  // namespace

int group_size(Group* group, int* size) {
  *size = group->size();
  return MPI_SUCCESS;
}

int group_rank(Group* group, int* rank) {
  *rank = group->rank();
  return MPI_SUCCESS;
}

int group_translate_ranks(Group* group1, int n, const int ranks1[], Group* group2, int ranks2[]) {
  for (int i = 0; i < n; ++i) {
    const int rank = ranks1[i];
    if (rank == MPI_PROC_NULL) {
      ranks2[i] = MPI_PROC_NULL;
    } else if (rank >= 0 && rank < group1->size()) {
      ranks2[i] = group2->find(group1->member(rank));
    } else {
      return fail(MPI_ERR_RANK,
                  "ranks1[{}] is {}, but group1 has {} processes: allowed are "
                  "its ranks and MPI_PROC_NULL",
                  i, rank, group1->size());
    }
  }
  return MPI_SUCCESS;
}

int group_compare(Group* group1, Group* group2, int* result) {
  *result = group1->compare(*group2);
  return MPI_SUCCESS;
}

int group_union(Group* group1, Group* group2, Group** newgroup) {
  std::vector<ProcessId> members =
      members_where(*group1, [](int, const ProcessId&) { return true; });
  for (int rank = 0; rank < group2->size(); ++rank) {
    const ProcessId id = group2->member(rank);
    if (group1->find(id) == MPI_UNDEFINED) members.push_back(id);
  }
  return give_group(std::move(members), origin_of(*group1, *group2), newgroup);
}

int group_intersection(Group* group1, Group* group2, Group** newgroup) {
  return give_group(members_where(*group1,
                                  [group2](int, const ProcessId& id) {
                                    return group2->find(id) != MPI_UNDEFINED;
                                  }),
                    origin_of(*group1, *group2), newgroup);
}

int group_difference(Group* group1, Group* group2, Group** newgroup) {
  return give_group(members_where(*group1,
                                  [group2](int, const ProcessId& id) {
                                    return group2->find(id) == MPI_UNDEFINED;
                                  }),
                    origin_of(*group1, *group2), newgroup);
}

int group_incl(Group* group, int n, const int ranks[], Group** newgroup) {
  Choice choice(*group);
  if (const int error = choice.add_list(n, ranks)) return error;
  return choice.give_chosen(newgroup);
}

int group_excl(Group* group, int n, const int ranks[], Group** newgroup) {
  Choice choice(*group);
  if (const int error = choice.add_list(n, ranks)) return error;
  return choice.give_others(newgroup);
}

int group_range_incl(Group* group, int n, int ranges[][3], Group** newgroup) {
  Choice choice(*group);
  if (const int error = choice.add_ranges(n, ranges)) return error;
  return choice.give_chosen(newgroup);
}

int group_range_excl(Group* group, int n, int ranges[][3], Group** newgroup) {
  Choice choice(*group);
  if (const int error = choice.add_ranges(n, ranges)) return error;
  return choice.give_others(newgroup);
}

int group_free(MPI_Group* group) {
  // Freeing MPI_GROUP_EMPTY only forgets the handle: groups that turn out empty have that one, and
  // programs free what they got.
  to_group(*group)->release();
  *group = MPI_GROUP_NULL;
  return MPI_SUCCESS;
}

}  // namespace tern::mpi::impl
