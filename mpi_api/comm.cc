// mpi_api/comm.cc - communicators as objects. Their MPI_ functions: comm_calls.cc and
// comm_create.cc.
#include "mpi_api/comm.h"

#include <algorithm>
#include <cstdlib>

#include "mpi_api/at_once.h"
#include "mpi_api/bsend.h"
#include "mpi_api/coll/host_comms.h"
#include "mpi_api/coll/host_map.h"
#include "mpi_api/coll/shared.h"
#include "mpi_api/connections.h"
#include "mpi_api/errhandler.h"
#include "mpi_api/info.h"
#include "mpi_api/intercomm.h"
#include "mpi_api/lanes.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {

Comm::Comm(std::uint64_t context, Group* local, Group* remote)
    : Object(Kind::kComm),
      buffer(nullptr, [](BsendBuffer* unused) { delete unused; }),
      shared(nullptr, [](coll::SharedGroup* unused) { delete unused; }),
      collectives_until_shared(remote == nullptr && local->size() > 1 &&
                                       local->size() <= coll::kSharedMembersMax
                                   ? 1 + coll::kCollectivesBeforeShared
                                   : 0),
      hosts(nullptr, [](coll::HostMap* unused) { delete unused; }),
      hosts_known(remote != nullptr || local->size() < 3),
      host_comms(nullptr, [](coll::HostComms* unused) { delete unused; }),
      rank_(local->rank()),
      size_(local->size()),
      remote_size_(remote == nullptr ? local->size() : remote->size()),
      context_(context),
      peers_(static_cast<Peer**>(
          // NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers.
          std::calloc(static_cast<std::size_t>(std::max(remote_size_, 1)), sizeof(Peer*)))),
      p2p_peers_(peers_),
      p2p_engine_(runtime().engine.get()),
      local_(local),
      remote_(remote) {}

Comm::~Comm() {
  if (at_once::latest == this) at_once::latest = nullptr;
  if (runtime().connections != nullptr) runtime().connections->untrack(*this);
  if (errhandler != nullptr) errhandler->release();
  if (info != nullptr) info->release();
  local_->release();
  if (remote_ != nullptr) remote_->release();
  if (local_comm_ != nullptr) {
    local_comm_->outer = nullptr;
    local_comm_->release();
  }
  if (p2p_peers_ != peers_) std::free(p2p_peers_);
  std::free(peers_);
}

void Comm::destroy() {
  if (lane_ == nullptr || lane_->may_destroy(*this)) delete this;
}

bool Comm::use_lane(Lane& lane) {
  auto** const peers = static_cast<Peer**>(
      // NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers.
      std::calloc(static_cast<std::size_t>(remote_size_), sizeof(Peer*)));
  if (peers == nullptr) return false;
  p2p_peers_ = peers;
  p2p_engine_ = &lane.engine();
  lane_ = &lane;
  return true;
}

Peer& Comm::find_peer(int rank) {
  const Group& group = remote_ == nullptr ? *local_ : *remote_;
  Peer& found = engine().peer(group.member(rank));
  peers_[rank] = &found;
  return found;
}

Peer& Comm::find_p2p_peer(int rank) {
  if (lane_ == nullptr) return find_peer(rank);
  Peer& found = p2p_engine_->peer(local_->member(rank));
  p2p_peers_[rank] = &found;
  return found;
}

namespace {

void track(Comm& comm) {
  if (runtime().connections != nullptr) runtime().connections->track(comm);
}

}  // namespace

// A hash of what all of them know: as good as unique, being one of 2^62.
InterContexts Comm::next_copy() {
  const std::uint64_t copy = mix(++copies_);
  const auto derived = [copy](std::uint64_t context) {
    return mix(context ^ copy) & ~std::uint64_t{3};
  };
  return {derived(context_), derived(local_comm_->context_)};
}

Comm* make_comm(std::uint64_t context, Group* group) {
  Comm* const comm = make<Comm>(context, group, nullptr);
  if (comm == nullptr) {
    group->release();
  } else if (comm->peers_ == nullptr) {
    comm->release();
    return nullptr;
  } else {
    track(*comm);
  }
  return comm;
}

Comm* make_intercomm(const InterContexts& contexts, bool first, Group* local, Group* remote) {
  local->retain();
  Comm* const inside = make_comm(contexts.local, local);
  Comm* const comm = inside == nullptr ? nullptr : make<Comm>(contexts.between, local, remote);
  if (comm == nullptr) {
    local->release();
    remote->release();
    if (inside != nullptr) inside->release();
    return nullptr;
  }
  comm->first_ = first;
  comm->local_comm_ = inside;
  inside->outer = comm;
  if (comm->peers_ != nullptr) {
    track(*comm);
    return comm;
  }
  comm->release();
  return nullptr;
}

int delete_attributes(Comm& comm) { return comm.attributes.remove_all(to_handle(&comm)); }

}  // namespace tern::mpi
