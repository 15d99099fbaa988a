// mpi_api/coll/host_comms.cc - see host_comms.h.
#include "mpi_api/coll/host_comms.h"

#include <algorithm>
#include <array>
#include <new>
#include <span>

#include "impl.h"
#include "mpi_api/coll/execution.h"
#include "mpi_api/coll/two_level.h"
#include "mpi_api/comm_create.h"

namespace tern::mpi::coll {
namespace {

// The two hidden communicators' contexts: hashes of what all members know, as good as unique.
constexpr std::uint64_t kInside = 0x7465726e2d696e73;
constexpr std::uint64_t kBetween = 0x7465726e2d626574;

Comm* hidden_comm(const Comm& comm, std::uint64_t salt, std::span<const int> members) {
  Group* const group = subgroup(comm.group(), members);
  if (group == nullptr) return nullptr;
  Comm* const made = make_comm(mix(comm.context() ^ salt) & ~std::uint64_t{3}, group);
  if (made == nullptr) return nullptr;
  made->hosts_known = true;  // There is nothing to know: one host, or one member on each.
  made->told_ranks.assign(members.begin(), members.end());
  return made;
}

// Memory for elements of a datatype, for the time of a call.
class Aside {
 public:
  Aside(const Datatype& type, MPI_Count count) {
    origin_ = small_.data();
    if (count == 0) return;
    const auto [begin, size_bytes] = reach(type.layout(), static_cast<std::size_t>(count));
    std::byte* place = small_.data();
    if (size_bytes > small_.size()) {
      memory_.reset(new (std::nothrow) std::byte[size_bytes]);
      place = memory_.get();
    }
    origin_ = place == nullptr ? nullptr : place - begin;
  }
  // Where the first element's origin lies; nullptr: there is no memory.
  std::byte* origin() const { return origin_; }

 private:
  alignas(64) std::array<std::byte, 1024> small_;
  std::unique_ptr<std::byte[]> memory_;
  std::byte* origin_ = nullptr;
};

}  // namespace

// Keeps the first error of several steps.
class HostComms::Steps {
 public:
  // False: there is no use in going on.
  bool took(int error) {
    if (error_ == MPI_SUCCESS) error_ = error;
    return error == MPI_SUCCESS || error == MPI_ERR_TRUNCATE;
  }
  int error() const { return error_; }

 private:
  int error_ = MPI_SUCCESS;
};

std::unique_ptr<HostComms> HostComms::make(Comm& comm) {
  const HostMap& hosts = *comm.hosts;
  std::unique_ptr<HostComms> made(new (std::nothrow) HostComms(hosts));
  if (made == nullptr) return nullptr;
  made->inside_ = hidden_comm(comm, kInside, hosts.members());
  if (made->leads()) made->between_ = hidden_comm(comm, kBetween, hosts.leaders());
  made->for_each([&comm](Comm& hidden) { hidden.outer = &comm; });
  const bool complete = made->inside_ != nullptr && (!made->leads() || made->between_ != nullptr);
  return complete ? std::move(made) : nullptr;
}

HostComms::~HostComms() {
  for_each([](Comm& hidden) {
    hidden.outer = nullptr;
    hidden.release();
  });
}

HostComms* host_comms_for(Collective which, Comm& comm, const Form& form, std::size_t bytes,
                          bool commutative) {
  if (form.request != nullptr || comm.is_inter()) return nullptr;
  // Communicators that are made only now would not know that this one is over.
  if (comm.broken != nullptr) return nullptr;
  if (!comm.hosts_known && find_hosts(comm, true) != MPI_SUCCESS) return nullptr;
  const Means means = means_of(comm.hosts.get(), which, commutative);
  if (means != Means::kHosts ||
      select(which, comm.size(), bytes, commutative, means) != Algorithm::kTwoLevel) {
    return nullptr;
  }
  if (comm.host_comms == nullptr) comm.host_comms.reset(HostComms::make(comm).release());
  return comm.host_comms.get();
}

int HostComms::place_of(int member) const {
  const std::span<const int> members = hosts_.members();
  return static_cast<int>(std::ranges::lower_bound(members, member) - members.begin());
}

int HostComms::barrier() {
  Steps steps;
  if (!alone() && !steps.took(impl::barrier({}, inside_))) return steps.error();
  if (leads()) {
    const auto build = [](Schedule& s) { coll::barrier(s, two_level::kBarrierBetween); };
    if (!steps.took(launch(*between_, {}, {}, build))) return steps.error();
  }
  if (!alone()) steps.took(impl::barrier({}, inside_));
  return steps.error();
}

int HostComms::bcast(void* buffer, MPI_Count count, Datatype& type, int root) {
  Steps steps;
  const int root_host = hosts_.host_of(root);
  // On the root's host everybody has the data before they leave it, unless the leader is the root.
  const bool early = root_host == hosts_.host() && root != hosts_.members().front();
  if (early) {
    if (!steps.took(impl::bcast({}, buffer, count, &type, place_of(root), inside_))) {
      return steps.error();
    }
  }
  if (leads()) {
    const DataView data = view(buffer, count, type);
    const auto build = [&](Schedule& s) {
      coll::bcast(s, two_level::bcast_between(s.size(), data.bytes()), data, root_host);
    };
    if (!steps.took(launch(*between_, {}, {}, build))) return steps.error();
  }
  if (!early && !alone()) steps.took(impl::bcast({}, buffer, count, &type, 0, inside_));
  return steps.error();
}

// What the leader has after the members of its host have been reduced: its own input where there
// are no others.
struct HostComms::Sum {
  Sum(const Reduction& r, bool alone) : aside(r.type, alone ? 0 : r.count) {}
  Aside aside;
  const std::byte* value = nullptr;
};

bool HostComms::reduce_inside(const Reduction& r, Sum& sum, Steps& steps) {
  sum.value = static_cast<const std::byte*>(r.sendbuf);
  if (alone()) return true;
  sum.value = sum.aside.origin();
  if (sum.value == nullptr) return steps.took(no_memory(*inside_));
  return steps.took(
      impl::reduce({}, r.sendbuf, sum.aside.origin(), r.count, &r.type, &r.op, 0, inside_));
}

bool HostComms::join_inside(const Reduction& r, Steps& steps) {
  return steps.took(impl::reduce({}, r.sendbuf, nullptr, r.count, &r.type, &r.op, 0, inside_));
}

int HostComms::reduce(const Reduction& r, int root) {
  Steps steps;
  const int root_host = hosts_.host_of(root);
  const bool here = root_host == hosts_.host();
  // The result is made at the leader of the root's host, which need not be the root.
  const int place = here ? place_of(root) : 0;
  if (!leads()) {
    if (!join_inside(r, steps) || !here || place == 0) return steps.error();
    steps.took(launch(*inside_, {}, {}, [&](Schedule& s) {
      if (s.rank() == place) s.receive(0, 0, view(r.recvbuf, r.count, r.type));
    }));
    return steps.error();
  }
  Sum sum(r, alone());
  const Aside result(r.type, place != 0 ? r.count : 0);
  if (result.origin() == nullptr) return no_memory(*inside_);
  if (!reduce_inside(r, sum, steps)) return steps.error();
  std::byte* const to = place != 0 ? result.origin() : static_cast<std::byte*>(r.recvbuf);
  const auto build = [&](Schedule& s) {
    s.set_reduction(r.op, r.type);
    coll::reduce(s, two_level::kReduceBetween,
                 {sum.value, here ? to : nullptr, static_cast<std::size_t>(r.count)}, root_host);
  };
  if (!steps.took(launch(*between_, {}, {}, build)) || place == 0) return steps.error();
  steps.took(
      launch(*inside_, {}, {}, [&](Schedule& s) { s.send(place, 0, view(to, r.count, r.type)); }));
  return steps.error();
}

int HostComms::allreduce(const Reduction& r) {
  Steps steps;
  if (leads()) {
    Sum sum(r, alone());
    if (!reduce_inside(r, sum, steps)) return steps.error();
    const auto count = static_cast<std::size_t>(r.count);
    const std::size_t bytes = count * r.type.layout().size();
    const auto build = [&](Schedule& s) {
      s.set_reduction(r.op, r.type);
      coll::allreduce(s, two_level::allreduce_between(bytes, r.op.commutative()),
                      {sum.value, static_cast<std::byte*>(r.recvbuf), count});
    };
    if (!steps.took(launch(*between_, {}, {}, build))) return steps.error();
  } else if (!join_inside(r, steps)) {
    return steps.error();
  }
  if (!alone()) steps.took(impl::bcast({}, r.recvbuf, r.count, &r.type, 0, inside_));
  return steps.error();
}

}  // namespace tern::mpi::coll
