// mpi_api/breakdowns.cc - see breakdowns.h.
#include "mpi_api/breakdowns.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "mpi_api/coll/execution.h"
#include "mpi_api/coll/host_comms.h"
#include "mpi_api/coll/shared.h"
#include "mpi_api/connections.h"
#include "mpi_api/errors.h"
#include "mpi_api/places.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

constexpr std::uint64_t kBreakdownNotes = 0x7465726e2d62726b;  // A context of no communicator.
constexpr std::size_t kEarlyMax = 64;

Comm& outermost(Comm& comm) {
  Comm* at = &comm;
  while (at->outer != nullptr) at = at->outer;
  return *at;
}

}  // namespace

// Frees itself when it has been sent.
struct Breakdowns::NoteSend : tern::Request {
  explicit NoteSend(const Note& what) : note(what) {
    on_done = [](tern::Request& sent) { delete static_cast<NoteSend*>(&sent); };
  }
  Note note;
};

Breakdowns::Breakdowns(Engine& engine)
    : engine_(engine),
      notes_(engine, {kBreakdownNotes, 0, 0}, sizeof(Note),
             [this](Peer&, const Envelope&, std::span<const std::byte> bytes) {
               if (bytes.size() != sizeof(Note)) return;
               std::memcpy(&arrived_.emplace_back(), bytes.data(), sizeof(Note));
             }) {}

Breakdowns::~Breakdowns() {
  for (Comm* const comm : untold_) comm->release();
}

Breakdown Breakdowns::read(const Note& note) {
  const std::size_t length = std::min<std::size_t>(note.length, sizeof note.sentence);
  return {note.error_class, std::string(note.sentence, length)};
}

void Breakdowns::break_down(Comm& comm, int error_class, std::string_view sentence) {
  Comm& whole = outermost(comm);
  if (whole.broken != nullptr) return;
  mark(whole, {error_class, std::string(sentence)});
  whole.retain();
  untold_.push_back(&whole);
}

void Breakdowns::mark(Comm& comm, const Breakdown& what) {
  if (comm.broken != nullptr) return;
  comm.broken = std::make_unique<const Breakdown>(what);
  if (comm.shared != nullptr) comm.shared->give_up();
  if (comm.host_comms != nullptr) {
    comm.host_comms->for_each([&](Comm& hidden) { mark(hidden, what); });
  }
  if (comm.is_inter()) mark(comm.local_comm(), what);
  coll::end_executions(comm);
}

void Breakdowns::tell(Comm& comm) {
  Note note{comm.context(), comm.broken->error_class, 0, {}};
  note.length =
      static_cast<std::uint32_t>(std::min(comm.broken->sentence.size(), sizeof note.sentence));
  std::memcpy(note.sentence, comm.broken->sentence.data(), note.length);
  const Places places(comm);
  const int size = places.size();
  for (int step = 1; step < size; step *= 2) {
    for (const int place : {places.own() + step, places.own() - step + size}) {
      Peer& peer = places.peer(place % size);
      if (peer.state == Peer::State::kFailed || peer.id == engine_.self()) continue;
      auto* const send = new (std::nothrow) NoteSend(note);
      if (send == nullptr) continue;
      engine_.send(peer, {kBreakdownNotes, 0, 0},
                   DataView::bytes_at(&send->note, sizeof send->note), SendMode::kStandard, *send);
    }
  }
}

void Breakdowns::handle(const std::vector<Comm*>& comms) {
  const std::vector<Note> arrived = std::exchange(arrived_, {});
  for (const Note& note : arrived) {
    const auto place = std::ranges::find(comms, note.context, &Comm::context);
    if (place == comms.end()) {
      early_.push_back(note);
      if (early_.size() > kEarlyMax) early_.pop_front();
    } else {
      const Breakdown what = read(note);
      break_down(**place, what.error_class, what.sentence);
    }
  }
  const std::vector<Comm*> untold = std::exchange(untold_, {});
  for (Comm* const comm : untold) {
    tell(*comm);
    comm->release();
  }
}

void Breakdowns::begin(Comm& comm) {
  if (early_.empty()) [[likely]]
    return;
  const auto note = std::ranges::find(early_, comm.context(), &Note::context);
  if (note == early_.end()) return;
  const Breakdown what = read(*note);
  early_.erase(note);
  break_down(comm, what.error_class, what.sentence);
}

int break_down(Comm& comm, int error_class) {
  const std::string sentence(last_failure(error_class));
  runtime().connections->breakdowns().break_down(comm, error_class, sentence);
  return error_class;
}

void tell_of_breakdowns() { runtime().connections->tell_of_breakdowns(); }

int broken_down(const Comm& comm) {
  return fail(comm.broken->error_class, "{}", comm.broken->sentence);
}

}  // namespace tern::mpi
