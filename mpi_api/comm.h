// mpi_api/comm.h - communicators (MPI-5.0 chapter 7).
//
// A context id is 64 bits: the creating leader's number and that leader's counter, so that it is
// unique without any agreement and never runs out (new_context() in runtime.h). The lowest two bits
// tell the plane: point-to-point, collective, the making of further communicators, or persistent.
// Threading: under the entry lock. Failure: make_comm() gives nullptr when there is no memory.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/engine.h"
#include "mpi_api/attributes.h"
#include "mpi_api/group.h"
#include "mpi_api/object.h"

namespace tern::mpi::coll {
class HostComms;    // coll/host_comms.h
class HostMap;      // coll/host_map.h
class SharedGroup;  // coll/shared.h
}  // namespace tern::mpi::coll

namespace tern::mpi {

class BsendBuffer;     // bsend.h
struct InterContexts;  // intercomm.h
struct Topology;       // topology.h

// Why the collectives on a communicator are over (breakdowns.h).
struct Breakdown {
  int error_class;
  std::string sentence;
};

// Tags 0..kTagUb are the user's. Every one of them has a negative twin that is neither MPI_ANY_TAG
// nor MPI_ANY_SOURCE: -3 - tag, for the library's own messages about it.
inline constexpr int kTagUb = 0x7ffffffd;

// In the persistent plane, tags up to this are the collectives', those from kPartitionTags on are
// numbers of partitioned messages, and the negative twins are those of messages that set these up.
inline constexpr std::uint32_t kPersistentTags = 0x3fffffff;
inline constexpr std::uint32_t kPartitionTags = 0x40000000;

class Comm final : public Object {
 public:
  // Use make_comm() or make_intercomm() (intercomm.h).
  Comm(std::uint64_t context, Group* local, Group* remote);
  ~Comm() override;

  int rank() const { return rank_; }
  int size() const { return size_; }                // Local group.
  int remote_size() const { return remote_size_; }  // Size of the group that ranks address.
  bool is_inter() const { return remote_ != nullptr; }
  Group& group() const { return *local_; }
  Group* remote_group() const { return remote_; }
  // Intercommunicators: a hidden intracommunicator of the local group, for what its members do
  // among themselves.
  Comm& local_comm() const { return *local_comm_; }
  // Intercommunicators: true in one of the two groups, the same one for all processes.
  bool is_first() const { return first_; }

  // The peer that point-to-point rank addresses (in the remote group of an intercommunicator).
  Peer& peer(int rank) {
    Peer* known = peers_[rank];
    return known != nullptr ? *known : find_peer(rank);
  }

  // The same where it has been asked for before; else nullptr.
  Peer* known_peer(int rank) const { return peers_[rank]; }

  // Where point-to-point messages of this communicator are matched and who they go to: in its lane,
  // if it has one, whose lock it takes to use these (P2pGuard, LaneHold).
  Lane* lane() const { return lane_; }
  Engine& p2p_engine() const { return *p2p_engine_; }
  Peer& p2p_peer(int rank) {
    Peer* known = p2p_peers_[rank];
    return known != nullptr ? *known : find_p2p_peer(rank);
  }
  Peer* known_p2p_peer(int rank) const { return p2p_peers_[rank]; }
  // All members use the same lane from the start. False: no memory.
  bool use_lane(Lane& lane);

  // Shadows that of Object: operations of the lane, which count themselves, may still be in flight.
  void release() {
    if (drop_reference()) [[unlikely]]
      destroy();
  }

  std::uint64_t context() const { return context_; }                  // Point-to-point.
  std::uint64_t collective_context() const { return context_ | 1U; }  // Collectives.
  // Leaders that agree on a new communicator; no receive has wildcards here.
  std::uint64_t creation_context() const { return context_ | 2U; }
  // Persistent collectives and partitioned messages: they may live as long as the communicator, so
  // the numbers of their tags must not come round with those of short-lived operations.
  std::uint64_t persistent_context() const { return context_ | 3U; }  // Tags: see below.
  // The context of a communicator that was created without blocking has become known.
  void set_context(std::uint64_t context) { context_ = context; }
  // Tag of the next collective on this communicator; all members draw it in the same order.
  int next_collective_tag() { return static_cast<int>(collective_tag_++ & 0x7fffffffU); }
  // The same for persistent collectives.
  std::uint32_t next_persistent_number() { return persistent_number_++; }
  // The first of `count` numbers that this process gives to its partitioned messages.
  std::uint32_t next_partition_numbers(std::uint32_t count) {
    return std::exchange(partition_number_, partition_number_ + count);
  }

  // The contexts of the next copy of an intercommunicator that its processes make without a word
  // between them; the same at all of them.
  InterContexts next_copy();

  Errhandler* errhandler = nullptr;  // One reference is ours. nullptr: MPI_ERRORS_ARE_FATAL.
  Attributes attributes;
  std::string name;
  std::shared_ptr<const Topology> topology;  // nullptr: none.
  Info* info = nullptr;  // Hints in force; one reference is ours; nullptr: none.
  // Of them: no receive and no probe has these wildcards.
  bool no_any_source = false;
  bool no_any_tag = false;
  std::unique_ptr<BsendBuffer, void (*)(BsendBuffer*)> buffer;  // MPI_Comm_attach_buffer
  // Memory for blocking collectives; nullptr: none so far, or, when `collectives_until_shared` is
  // 0, never.
  std::unique_ptr<coll::SharedGroup, void (*)(coll::SharedGroup*)> shared;
  int collectives_until_shared = 0;
  // Whether all members have lanes and can reach one another there; all of them know the same.
  enum class Lanes : std::uint8_t { kUnknown, kNone, kAll } lanes_of_members = Lanes::kUnknown;
  // Which members share a host; nullptr: all of them, or not asked for so far.
  std::unique_ptr<coll::HostMap, void (*)(coll::HostMap*)> hosts;
  bool hosts_known = false;
  // Of these hosts, when blocking collectives have needed them.
  std::unique_ptr<coll::HostComms, void (*)(coll::HostComms*)> host_comms;
  std::unique_ptr<const Breakdown> broken;  // nullptr: they are not.
  // Hidden communicators: what they belong to, while that lives.
  Comm* outer = nullptr;
  // Hidden communicators: the ranks that users know of its members, for messages.
  std::vector<int> told_ranks;
  int told_rank(int rank) const {
    return told_ranks.empty() ? rank : told_ranks[static_cast<std::size_t>(rank)];
  }

 private:
  friend class Lane;
  friend Comm* make_comm(std::uint64_t context, Group* group);
  friend Comm* make_intercomm(const InterContexts& contexts, bool first, Group* local,
                              Group* remote);
  Peer& find_peer(int rank);
  Peer& find_p2p_peer(int rank);
  void destroy();

  int rank_;
  int size_;
  int remote_size_;
  bool first_ = false;
  std::uint64_t context_;
  // calloc'ed: pages of peers never talked to take no memory.
  Peer** peers_;
  Peer** p2p_peers_;  // The same, or those of the lane.
  Engine* p2p_engine_;
  Group* local_;
  Group* remote_;
  Comm* local_comm_ = nullptr;
  std::uint32_t collective_tag_ = 0;
  std::uint32_t persistent_number_ = 0;
  std::uint32_t partition_number_ = 0;
  std::uint32_t copies_ = 0;
  Lane* lane_ = nullptr;
  // Under the lock of the lane: its operations in flight, and whether the last one of them is to
  // destroy the communicator.
  int lane_uses_ = 0;
  bool doomed_ = false;
};

// An intracommunicator; it takes over one reference of the group (also on failure). context comes
// from new_context().
Comm* make_comm(std::uint64_t context, Group* group);

// Deletes all attributes, latest first. Returns what the program's delete function said when one
// fails; the attributes that are left stay.
int delete_attributes(Comm& comm);

}  // namespace tern::mpi
