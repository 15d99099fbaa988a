// mpi_api/coll/host_comms.h - blocking collectives in two levels, through the memory of each host.
//
// A communicator on several hosts has two hidden ones: of the members of this host, whose blocking
// collectives go through shared memory as anywhere else (shared.h), and of the leaders, one per
// host. What is short and frequent goes step by step through these; everything else in two levels
// is a schedule (two_level.h), and so are the other forms of these calls.
// Threading: under the entry lock. Failure: MPI error classes, sentences kept by fail(). After a
// message that was too long the steps go on, because the other members rely on them; after the loss
// of a member they end.
#pragma once
#include <memory>

#include "mpi_api/coll/algorithms.h"
#include "mpi_api/coll/form.h"
#include "mpi_api/comm.h"
#include "mpi_api/op.h"

namespace tern::mpi::coll {

class HostComms {
 public:
  // Local: the members need not agree on anything. nullptr when there is no memory.
  static std::unique_ptr<HostComms> make(Comm& comm);
  ~HostComms();
  HostComms(const HostComms&) = delete;
  HostComms& operator=(const HostComms&) = delete;

  // The hidden communicators that there are.
  template <class Visit>
  void for_each(Visit visit) {
    if (inside_ != nullptr) visit(*inside_);
    if (between_ != nullptr) visit(*between_);
  }

  // Arguments as in the MPI calls; sendbuf is no MPI_IN_PLACE but recvbuf where that is meant.
  int barrier();
  int bcast(void* buffer, MPI_Count count, Datatype& type, int root);
  struct Reduction {
    const void* sendbuf;
    void* recvbuf;
    MPI_Count count;
    Datatype& type;
    Op& op;
  };
  int reduce(const Reduction& r, int root);
  int allreduce(const Reduction& r);

 private:
  explicit HostComms(const HostMap& hosts) : hosts_(hosts) {}
  bool leads() const { return hosts_.place() == 0; }
  bool alone() const { return hosts_.members().size() == 1; }
  int place_of(int member) const;  // Of this host.
  class Steps;
  struct Sum;
  // One step of a reduction; false: there is no use in going on.
  bool reduce_inside(const Reduction& r, Sum& sum, Steps& steps);  // The leader's part.
  bool join_inside(const Reduction& r, Steps& steps);              // The others'.

  const HostMap& hosts_;
  Comm* inside_ = nullptr;   // This host's members.
  Comm* between_ = nullptr;  // The leaders; nullptr where this process is none.
};

// What the blocking collective that begins now goes through; nullptr: something else. All members
// come to the same result.
HostComms* host_comms_for(Collective which, Comm& comm, const Form& form, std::size_t bytes,
                          bool commutative = true);

}  // namespace tern::mpi::coll
