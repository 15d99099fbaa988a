// mpi_api/group.cc - groups as values: who is in, at which rank. Set operations: group_calls.cc.
#include "mpi_api/group.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "mpi_api/session.h"

namespace tern::mpi {
namespace {

// Up to here looking at every member is quicker than building an index.
constexpr int kIndexFrom = 16;

bool is_range_of_one_job(const std::vector<ProcessId>& members) {
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i] != ProcessId{members[0].job, i}) return false;
  }
  return true;
}

}  // namespace

Group::Group(std::uint64_t job, int size, int my_rank)
    : Object(Kind::kGroup), job_(job), size_(size), rank_(my_rank) {}

Group::Group(std::vector<ProcessId> members, int my_rank)
    : Object(Kind::kGroup),
      size_(static_cast<int>(members.size())),
      rank_(my_rank),
      members_(std::move(members)) {
  if (members_.empty() || !is_range_of_one_job(members_)) return;
  job_ = members_[0].job;
  members_ = {};
}

Group::~Group() {
  if (session_ != nullptr) session_->release();
}

void Group::set_session(Session* session) {
  session_ = session;
  if (session_ != nullptr) session_->retain();
}

int Group::find(const ProcessId& id) const {
  if (members_.empty()) {
    const bool in = id.job == job_ && id.rank < static_cast<std::uint64_t>(size_);
    return in ? static_cast<int>(id.rank) : MPI_UNDEFINED;
  }
  if (size_ < kIndexFrom) {
    const auto at = std::find(members_.begin(), members_.end(), id);
    return at == members_.end() ? MPI_UNDEFINED : static_cast<int>(at - members_.begin());
  }
  const auto member_of = [this](int rank) { return members_[static_cast<std::size_t>(rank)]; };
  if (by_member_.empty()) {
    by_member_.resize(members_.size());
    std::iota(by_member_.begin(), by_member_.end(), 0);
    std::ranges::sort(by_member_, {}, member_of);
  }
  const auto at = std::ranges::lower_bound(by_member_, id, {}, member_of);
  return at == by_member_.end() || member_of(*at) != id ? MPI_UNDEFINED : *at;
}

bool Group::same_order(const Group& other) const {
  if (size_ != other.size_) return false;
  if (this == &other || size_ == 0) return true;
  // A range of one job is always kept as such, so the two forms never describe the same list.
  return members_ == other.members_ && (!members_.empty() || job_ == other.job_);
}

int Group::compare(const Group& other) const {
  if (same_order(other)) return MPI_IDENT;
  if (size_ != other.size_) return MPI_UNEQUAL;
  for (int rank = 0; rank < size_; ++rank) {
    if (other.find(member(rank)) == MPI_UNDEFINED) return MPI_UNEQUAL;
  }
  return MPI_SIMILAR;
}

std::uint64_t Group::fingerprint() const {
  std::uint64_t hash = mix(static_cast<std::uint64_t>(size_) ^ mix(job_));
  for (const ProcessId& id : members_) hash = mix(hash ^ id.job) + mix(id.rank + 1);
  return hash;
}

Group* make_group(std::vector<ProcessId> members, const Origin& origin) {
  if (members.empty()) {
    Group* const empty = to_group(MPI_GROUP_EMPTY);
    empty->retain();
    return empty;
  }
  const auto at =
      origin.self ? std::find(members.begin(), members.end(), *origin.self) : members.end();
  const int rank = at == members.end() ? MPI_UNDEFINED : static_cast<int>(at - members.begin());
  Group* const made = make<Group>(std::move(members), rank);
  if (made != nullptr) made->set_session(origin.session);
  return made;
}

std::uint64_t mix(std::uint64_t number) {  // The finalizer of splitmix64.
  number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9U;
  number = (number ^ (number >> 27)) * 0x94d049bb133111ebU;
  return number ^ (number >> 31);
}

void make_predefined_groups() {
  if (predefined_objects[reinterpret_cast<std::uintptr_t>(MPI_GROUP_EMPTY)] != nullptr) return;
  alignas(Group) static std::byte storage[sizeof(Group)];
  (::new (storage) Group(0, 0, MPI_UNDEFINED))
      ->make_predefined(reinterpret_cast<std::uintptr_t>(MPI_GROUP_EMPTY));
}

}  // namespace tern::mpi
