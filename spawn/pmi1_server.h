// spawn/pmi1_server.h - mpiexec's side of PMI-1: the key-value space, cards, barrier, names.
//
// A state machine without I/O: lines in, lines out through the sink. Serves both Tern's client
// (with the extensions described in pmi1_client.h) and programs of other MPIs that speak the
// standard. It also keeps what decides whether a rank's exit is a failure: did it join MPI, did it
// finish. Threading: one thread. Failure: a line that is not understood is answered with rc=-1
// where the protocol has an answer, else ignored; no input can end the server.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "spawn/pmi1_spawn.h"

namespace tern::spawn {

class Pmi1ServerSink {
 public:
  // `text` is one or more whole lines for this rank.
  virtual void send_to(int rank, std::string_view text) = 0;
  // The rank asks for the end of the job. `message` may be empty.
  virtual void on_abort(int rank, int code, std::string_view message) = 0;
  // The rank wants a launcher for processes that it spawns; it waits for it at `address`
  // (spawned.h). There is no answer: the launcher itself makes contact.
  virtual void on_spawn(int rank, std::string_view address) = 0;
  // A program of another MPI wants processes (pmi1_spawn.h), and waits for spawn_result.
  virtual void on_spawn_request(int rank, SpawnRequest request) = 0;

 protected:
  ~Pmi1ServerSink() = default;
};

class Pmi1Server {
 public:
  enum class Stage : std::uint8_t {
    kOutside,   // Has said nothing: not an MPI program, or not there yet.
    kInside,    // Has joined and not finished: its exit now would be a failure.
    kFinished,  // Has finalized.
    kGone,      // Its process has ended.
  };

  // appnums has one entry per rank.
  Pmi1Server(std::string kvs_name, int universe_size, std::vector<int> appnums,
             Pmi1ServerSink& sink);

  // Something that is in the key-value space from the start.
  void preset(const std::string& key, const std::string& value) { values_[key] = value; }

  // One line without its end, from this rank.
  void on_line(int rank, std::string_view line);
  // The rank's process has ended. Those who wait for its card are told so.
  void on_exit(int rank);

  Stage stage(int rank) const { return ranks_[static_cast<std::size_t>(rank)].stage; }
  const std::string& kvs_name() const { return kvs_name_; }

 private:
  struct Waiting {
    int rank;
    int life;
  };
  // A rank may run several MPI programs one after the other (a script). Each is a life of its own,
  // and cards of one life are never handed out to another.
  struct Rank {
    Stage stage = Stage::kOutside;
    int life = 0;
    bool in_barrier = false;
    std::string card;              // As sent, encoded; empty: not put (a card is never empty).
    std::vector<Waiting> waiting;  // Who wants the card.
    Pmi1SpawnBlock block;          // Of which some lines may be there.
  };

  Rank& at(int rank) { return ranks_[static_cast<std::size_t>(rank)]; }
  void on_block_line(int rank, std::string_view line);
  void on_card(int rank, std::string_view line);
  void on_want(int rank, std::string_view line);
  void on_barrier(int rank);
  void on_put(int rank, std::string_view line);
  void on_get(int rank, std::string_view line);
  void on_name(int rank, std::string_view command, std::string_view line);
  void on_finalize(int rank);
  void answer_waiting(int rank);

  std::string kvs_name_;
  int universe_size_;
  std::vector<int> appnums_;
  Pmi1ServerSink& sink_;
  std::vector<Rank> ranks_;
  std::size_t in_barrier_count_ = 0;
  std::map<std::string, std::string, std::less<>> values_;
  std::map<std::string, std::string, std::less<>> names_;
};

}  // namespace tern::spawn
