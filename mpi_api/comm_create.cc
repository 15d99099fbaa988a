// mpi_api/comm_create.cc - MPI_Comm_dup, _idup, _split, _create and _create_group (MPI-5.0 section
// 7.4.2). MPI_Comm_split_type: comm_split_type.cc; between groups: intercomm.cc.
#include "mpi_api/comm_create.h"

#include <algorithm>
#include <vector>

#include "impl.h"
#include "mpi_api/coll/internal.h"
#include "mpi_api/comm_hints.h"
#include "mpi_api/errhandler.h"
#include "mpi_api/errors.h"
#include "mpi_api/intercomm.h"
#include "mpi_api/lanes.h"
#include "mpi_api/request.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

// Takes over a reference of group. The new communicator has the error handler of the old one.
int make_from(Comm& comm, std::uint64_t context, Group& group, Comm::Lanes lanes, Comm** newcomm) {
  Comm* const made = make_comm(context, &group);
  if (made == nullptr) return fail_no_memory("a communicator");
  set_errhandler(*made, comm.errhandler);
  assign_lane(*made, lanes);
  *newcomm = made;
  return MPI_SUCCESS;
}

void discard(Comm& comm) {
  // What the program's delete functions say does not matter: an error is being reported already.
  (void)delete_attributes(comm);
  comm.release();
}

// A copy: groups, topology, error handler and attributes, but not the hints. The contexts may still
// be to come.
int make_twin(Comm& comm, const InterContexts& contexts, const Info* hints, Comm** newcomm) {
  comm.group().retain();
  Comm* made = nullptr;
  if (comm.is_inter()) {
    comm.remote_group()->retain();
    made = make_intercomm(contexts, comm.is_first(), &comm.group(), comm.remote_group());
  } else {
    made = make_comm(contexts.between, &comm.group());
  }
  if (made == nullptr) return fail_no_memory("a communicator");
  set_errhandler(*made, comm.errhandler);
  made->topology = comm.topology;
  take_hints(*made, hints);
  if (const int error = made->attributes.copy_from(comm.attributes, to_handle(&comm))) {
    discard(*made);
    return error;
  }
  *newcomm = made;
  return MPI_SUCCESS;
}

// A context for a new communicator, and whether the process that offers it has lanes.
struct ContextOffer {
  std::uint64_t context;
  std::uint64_t lanes;
};

// Whether it is worth asking all members of a communicator for their lanes, once. All of them come
// to the same result. Members on several hosts have none in common.
bool asks_for_lanes(const Comm& comm) {
  if (comm.lanes_of_members != Comm::Lanes::kUnknown) return false;
  if (comm.size() == 1) return true;
  const spawn::LaunchInfo& info = runtime().wireup->info();
  return info.local_size == info.size && is_of_own_job(comm.group());
}

// The same context at all members, drawn by the first one.
int agree_on_context(Comm& comm, std::uint64_t& context) {
  if (comm.rank() == 0) context = new_context();
  if (!asks_for_lanes(comm)) return coll::bcast_bytes(comm, &context, sizeof context, 0);
  const ContextOffer mine{context, lanes_offer()};
  std::vector<ContextOffer> all(static_cast<std::size_t>(comm.size()));
  if (const int error = coll::allgather_bytes(comm, &mine, sizeof mine, all.data())) return error;
  context = all[0].context;
  LaneVote vote;
  for (const ContextOffer& offer : all) vote.count(offer.lanes);
  comm.lanes_of_members = vote.result();
  return MPI_SUCCESS;
}

int dup(Comm& comm, const Info* hints, Comm** newcomm) {
  InterContexts contexts;
  if (comm.is_inter()) {
    if (const int error = dup_contexts(comm, contexts)) return error;
  } else {
    if (const int error = agree_on_context(comm, contexts.between)) return error;
  }
  if (const int error = make_twin(comm, contexts, hints, newcomm)) return error;
  assign_lane(**newcomm, comm.lanes_of_members);
  return MPI_SUCCESS;
}

// A communicator whose context is on its way.
struct Pending {
  Comm* comm;  // One reference is ours: a program that frees it too early must not break us.
  std::uint64_t context;
};

// The context has arrived (or never will).
int twin_ready(void* context, int error) {
  auto* const pending = static_cast<Pending*>(context);
  pending->comm->set_context(pending->context);
  pending->comm->release();
  delete pending;
  return error;
}

int idup(Comm& comm, const Info* hints, Comm** newcomm, Request** request) {
  Comm* made = nullptr;
  if (comm.is_inter()) {
    *request = completed_send();
    return make_twin(comm, comm.next_copy(), hints, newcomm);
  }
  const std::uint64_t context = comm.rank() == 0 ? new_context() : 0;
  const int error = make_twin(comm, {context, 0}, hints, &made);
  if (made == nullptr) return error;
  made->lanes_of_members = comm.lanes_of_members;  // It has none itself: its context is to come.
  made->retain();
  auto* const pending = new Pending{made, context};
  *request =
      coll::start_bcast_bytes(comm, &pending->context, sizeof context, 0, twin_ready, pending);
  if (*request == nullptr) {
    made->release();
    delete pending;
    discard(*made);
    return fail_no_memory("a communicator");
  }
  *newcomm = made;
  return MPI_SUCCESS;
}

}  // namespace

Group* subgroup(Group& from, std::span<const int> members) {
  const int size = static_cast<int>(members.size());
  bool same = size == from.size();
  for (int i = 0; same && i < size; ++i) same = members[static_cast<std::size_t>(i)] == i;
  if (same) {
    from.retain();
    return &from;
  }
  std::vector<ProcessId> ids;
  ids.reserve(members.size());
  for (const int rank : members) ids.push_back(from.member(rank));
  return make_group(std::move(ids), from.origin());
}

int ranks_of_group(const Comm& comm, const Group& group, std::vector<int>& members) {
  members.reserve(static_cast<std::size_t>(group.size()));
  for (int i = 0; i < group.size(); ++i) {
    const int rank = comm.group().find(group.member(i));
    if (rank == MPI_UNDEFINED) {
      return fail(MPI_ERR_GROUP,
                  "the process at rank {} of group is not in comm; group must be a subset of the "
                  "group of comm",
                  i);
    }
    members.push_back(rank);
  }
  return MPI_SUCCESS;
}

namespace {

int transfer(bool send, Peer& peer, const Envelope& envelope, std::uint64_t& context) {
  const DataView data = DataView::bytes_at(&context, sizeof context);
  tern::Request op;
  if (send) {
    engine().send(peer, envelope, data, SendMode::kStandard, op);
  } else {
    engine().receive(envelope, data, op);
  }
  return wait_internal(op);
}

}  // namespace

int share_context(const Group& group, std::uint64_t plane, int tag, std::uint64_t& context) {
  // Different groups may share processes and use the same tag one after the other.
  plane = ((mix(plane ^ group.fingerprint())) & ~std::uint64_t{3}) | 2U;
  const int size = group.size();
  const int me = group.rank();
  context = me == 0 ? new_context() : 0;
  int step = 1;
  while (step < size && (me & step) == 0) step *= 2;
  if (me != 0) {
    const int parent = me - step;
    Peer& peer = engine().peer(group.member(parent));
    if (const int error = transfer(false, peer, {plane, parent, tag}, context)) return error;
  }
  for (step /= 2; step > 0; step /= 2) {
    if (me + step >= size) continue;
    Peer& peer = engine().peer(group.member(me + step));
    if (const int error = transfer(true, peer, {plane, me, tag}, context)) return error;
  }
  return MPI_SUCCESS;
}

int derive_comm(Comm& comm, std::span<const int> members, std::uint64_t context, Comm::Lanes lanes,
                Comm** newcomm) {
  Group* const group = subgroup(comm.group(), members);
  return group == nullptr ? fail_no_memory("a communicator")
                          : make_from(comm, context, *group, lanes, newcomm);
}

namespace impl {

int comm_dup(Comm* comm, Comm** newcomm) { return dup(*comm, nullptr, newcomm); }

int comm_dup_with_info(Comm* comm, Info* info, Comm** newcomm) { return dup(*comm, info, newcomm); }

int comm_idup(Comm* comm, Comm** newcomm, Request** request) {
  return idup(*comm, nullptr, newcomm, request);
}

int comm_idup_with_info(Comm* comm, Info* info, Comm** newcomm, Request** request) {
  return idup(*comm, info, newcomm, request);
}

int comm_split(Comm* comm, int color, int key, Comm** newcomm) {
  if (comm->is_inter()) return split_intercomm(*comm, color, key, newcomm);
  // Everybody offers a context; that of the new rank 0 is used.
  struct Choice {
    int color;
    int key;
    ContextOffer offer;
  };
  const Choice mine{color, key, {new_context(), lanes_offer()}};
  std::vector<Choice> all(static_cast<std::size_t>(comm->size()));
  if (const int error = coll::allgather_bytes(*comm, &mine, sizeof mine, all.data())) return error;
  *newcomm = nullptr;
  if (color == MPI_UNDEFINED) return MPI_SUCCESS;

  const auto choice = [&all](int rank) -> const Choice& {
    return all[static_cast<std::size_t>(rank)];
  };
  std::vector<int> members;
  for (int rank = 0; rank < comm->size(); ++rank) {
    if (choice(rank).color == color) members.push_back(rank);
  }
  std::ranges::stable_sort(members, {}, [&](int rank) { return choice(rank).key; });
  LaneVote vote;
  for (const int rank : members) vote.count(choice(rank).offer.lanes);
  return derive_comm(*comm, members, choice(members[0]).offer.context, vote.result(), newcomm);
}

int comm_create(Comm* comm, Group* group, Comm** newcomm) {
  if (comm->is_inter()) return create_intercomm(*comm, *group, newcomm);
  // Several disjoint groups may be passed at once. A process whose arguments are wrong takes part
  // all the same, offering no context, so that the others get an error and do not wait for ever.
  std::vector<int> members;
  const int wrong = ranks_of_group(*comm, *group, members);
  const ContextOffer mine{wrong == MPI_SUCCESS ? new_context() : 0, lanes_offer()};
  std::vector<ContextOffer> all(static_cast<std::size_t>(comm->size()));
  const int error = coll::allgather_bytes(*comm, &mine, sizeof mine, all.data());
  if (wrong != MPI_SUCCESS) return wrong;
  if (error != MPI_SUCCESS) return error;
  *newcomm = nullptr;
  if (group->rank() == MPI_UNDEFINED) return MPI_SUCCESS;
  const std::uint64_t context = all[static_cast<std::size_t>(members[0])].context;
  if (context == 0) {
    return fail(MPI_ERR_GROUP, "rank {} of comm, the first of group, has passed a wrong group",
                members[0]);
  }
  LaneVote vote;
  for (const int rank : members) vote.count(all[static_cast<std::size_t>(rank)].lanes);
  return derive_comm(*comm, members, context, vote.result(), newcomm);
}

int comm_create_group(Comm* comm, Group* group, int tag, Comm** newcomm) {
  *newcomm = nullptr;
  if (group->rank() == MPI_UNDEFINED) return MPI_SUCCESS;
  std::vector<int> members;
  if (const int error = ranks_of_group(*comm, *group, members)) return error;
  std::uint64_t context = 0;
  const int error = share_context(*group, comm->creation_context(), tag, context);
  if (error != MPI_SUCCESS) return error;
  // Members may call this in different orders with what tells them more about comm's lanes, but
  // whether comm itself has one they have known since it was made.
  return derive_comm(*comm, members, context,
                     comm->lane() != nullptr ? Comm::Lanes::kAll : Comm::Lanes::kUnknown, newcomm);
}

}  // namespace impl
}  // namespace tern::mpi
