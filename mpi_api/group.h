// mpi_api/group.h - an ordered set of processes (MPI-5.0 chapter 7).
//
// Immutable after construction, so shared freely by communicators and handles.
// Threading: under the entry lock (find() builds its index on first use).
#pragma once
#include <optional>
#include <vector>

#include "core/ids.h"
#include "mpi_api/object.h"

namespace tern::mpi {

// What a new group takes over from those that it is made of.
struct Origin {
  Origin() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): a group of the world model has no session.
  Origin(const std::optional<ProcessId>& process) : self(process) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  Origin(const ProcessId& process) : self(process) {}
  Origin(const std::optional<ProcessId>& process, Session* of) : self(process), session(of) {}

  std::optional<ProcessId> self;  // This process, when it may be a member.
  Session* session = nullptr;     // nullptr: the world model.
};

class Group final : public Object {
 public:
  // Ranks 0..size-1 of one job in order (the world): takes no memory per process.
  Group(std::uint64_t job, int size, int my_rank);
  // Any list without repetitions; my_rank is MPI_UNDEFINED when this process is not in it.
  Group(std::vector<ProcessId> members, int my_rank);
  ~Group() override;

  // The session that the group was made in, nullptr for the world model. Kept alive by the group.
  Session* session() const { return session_; }
  void set_session(Session* session);  // Before the group is handed out.
  Origin origin() const { return {self(), session_}; }

  int size() const { return size_; }
  int rank() const { return rank_; }  // MPI_UNDEFINED when not a member.
  // This process, when it is a member.
  std::optional<ProcessId> self() const {
    return rank_ == MPI_UNDEFINED ? std::nullopt : std::optional(member(rank_));
  }
  ProcessId member(int rank) const {
    return members_.empty() ? ProcessId{job_, static_cast<std::uint64_t>(rank)}
                            : members_[static_cast<std::size_t>(rank)];
  }
  // Consecutive ranks of one job.
  bool is_range() const { return members_.empty(); }
  // Rank of a process in this group or MPI_UNDEFINED. Logarithmic.
  int find(const ProcessId& id) const;
  // True when both have the same members in the same order.
  bool same_order(const Group& other) const;
  // MPI_IDENT, MPI_SIMILAR (the same members in another order) or MPI_UNEQUAL.
  int compare(const Group& other) const;
  // A hash of the members in their order.
  std::uint64_t fingerprint() const;

 private:
  std::uint64_t job_ = 0;
  int size_ = 0;
  int rank_ = MPI_UNDEFINED;
  Session* session_ = nullptr;
  std::vector<ProcessId> members_;      // Empty for a plain range of one job.
  mutable std::vector<int> by_member_;  // Ranks in the order of their members, for find().
};

// The group of these members, one reference of it the caller's; MPI_GROUP_EMPTY when there are
// none; nullptr when there is no memory.
Group* make_group(std::vector<ProcessId> members, const Origin& origin);

// A hash of all bits of a number.
std::uint64_t mix(std::uint64_t number);

// Creates MPI_GROUP_EMPTY; called once by MPI_Init.
void make_predefined_groups();

}  // namespace tern::mpi
