// mpi_api/breakdowns.h - communicators whose collectives are over, because a member was lost.
//
// When one member fails in a collective, the others wait, most of them for members that are well:
// who has lost a peer is only noticed by those that are connected to it. So the member that fails
// breaks the communicator, and tells those whose places are 1, 2, 4, ... before and behind its own;
// each of them does the same, so that everybody hears of it although others are gone as well. Every
// collective that is in progress on a broken communicator ends with the error that is told, and so
// does each later one, for nobody knows how far the others have come. Messages go on as before.
//
// Hidden communicators (Comm::outer) break with the one that they belong to. A note may come before
// its communicator is there: the latest of these are kept.
// Threading: under the entry lock; break_down() may be called from inside progress. Failure: a note
// that cannot be sent is dropped, there are others.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "mpi_api/comm.h"
#include "mpi_api/repeated_receive.h"

namespace tern::mpi {

class Breakdowns {
 public:
  explicit Breakdowns(Engine& engine);
  ~Breakdowns();
  Breakdowns(const Breakdowns&) = delete;
  Breakdowns& operator=(const Breakdowns&) = delete;

  // Collectives on comm fail from now on, with this class and sentence. The others hear of it when
  // handle() is called next.
  void break_down(Comm& comm, int error_class, std::string_view sentence);

  // Tells and hears what there is. `comms`: all that exist.
  bool pending() const { return !untold_.empty() || !arrived_.empty(); }
  void handle(const std::vector<Comm*>& comms);

  // A communicator has been made.
  void begin(Comm& comm);

 private:
  struct Note {
    std::uint64_t context;
    std::int32_t error_class;
    std::uint32_t length;
    char sentence[384];
  };
  struct NoteSend;

  void mark(Comm& comm, const Breakdown& what);
  void tell(Comm& comm);
  static Breakdown read(const Note& note);

  Engine& engine_;
  std::vector<Comm*> untold_;  // One reference of each is ours.
  std::vector<Note> arrived_;
  std::deque<Note> early_;
  RepeatedReceive notes_;  // Last: it may hand on notes as soon as it is made.
};

// break_down() on this process's connections, with the sentence that fail() has kept for the class;
// returns the class.
int break_down(Comm& comm, int error_class);
// Tells at once, for a process that may not call MPI again soon. Not from inside progress.
void tell_of_breakdowns();
// The error of a collective on a broken communicator.
int broken_down(const Comm& comm);

}  // namespace tern::mpi
