// mpi_api/parting.cc - see parting.h. A dissemination barrier: in step k = 1, 2, 4, ... everybody
// tells the k-th behind it and hears from the k-th before it.
#include "mpi_api/parting.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "mpi_api/connections.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

// A plane of its own beside those of comm.h.
constexpr std::uint64_t kPartingPlane = 3;

}  // namespace

Parting::Parting(Comm& comm) : comm_(&comm) {
  comm.retain();
  const int remote = comm.is_inter() ? comm.remote_size() : 0;
  size_ = comm.size() + remote;
  // The places of the group that is first come first.
  place_ = comm.rank() + (comm.is_inter() && !comm.is_first() ? remote : 0);
}

Parting::~Parting() { comm_->release(); }

Peer& Parting::member(int place) const {
  Comm& comm = *comm_;
  if (!comm.is_inter()) return comm.peer(place);
  const int before = comm.is_first() ? comm.size() : comm.remote_size();
  const bool in_first = place < before;
  const int rank = in_first ? place : place - before;
  return in_first == comm.is_first() ? engine().peer(comm.group().member(rank)) : comm.peer(rank);
}

void Parting::start_step() {
  const std::uint64_t context = comm_->context() | kPartingPlane;
  const int to = (place_ + step_) % size_;
  const int from = (place_ - step_ % size_ + size_) % size_;
  engine().receive({context, from, step_}, DataView::bytes_at(nullptr, 0), receive_);
  engine().send(member(to), {context, place_, step_}, DataView::bytes_at(nullptr, 0),
                SendMode::kStandard, send_);
  started_ = true;
}

bool Parting::advance() {
  while (step_ < size_) {
    if (!started_) start_step();
    if (!send_.done) return false;
    // A member that has ended cannot be told, and is not waited for.
    if (send_.outcome != Outcome::kOk && engine().cancel_receive(receive_)) step_ = size_;
    if (!receive_.done) return false;
    if (receive_.outcome != Outcome::kOk) step_ = size_;
    started_ = false;
    step_ *= 2;
  }
  return true;
}

void part_from_everybody() {
  std::vector<std::unique_ptr<Parting>> partings;
  for (Comm* const comm : runtime().connections->comms()) {
    partings.push_back(std::make_unique<Parting>(*comm));
  }
  engine().wait_until([&] {
    // Each of them, even when an earlier one is not through.
    return std::ranges::count_if(partings, [](auto& parting) { return !parting->advance(); }) == 0;
  });
}

}  // namespace tern::mpi
