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

Parting::Parting(Comm& comm) : comm_(&comm), places_(comm) { comm.retain(); }

Parting::~Parting() { comm_->release(); }

void Parting::start_step() {
  const std::uint64_t context = comm_->context() | kPartingPlane;
  const int own = places_.own();
  const int size = places_.size();
  const int to = (own + step_) % size;
  const int from = (own - step_ % size + size) % size;
  engine().receive({context, from, step_}, DataView::bytes_at(nullptr, 0), receive_);
  engine().send(places_.peer(to), {context, own, step_}, DataView::bytes_at(nullptr, 0),
                SendMode::kStandard, send_);
  started_ = true;
}

bool Parting::advance() {
  const int size = places_.size();
  while (step_ < size) {
    if (!started_) start_step();
    if (!send_.done) return false;
    // A member that has ended cannot be told, and is not waited for.
    if (send_.outcome != Outcome::kOk && engine().cancel_receive(receive_)) step_ = size;
    if (!receive_.done) return false;
    if (receive_.outcome != Outcome::kOk) step_ = size;
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
