// spawn/pmi2_client.h - WireUp over PMI-2, as Slurm's srun --mpi=pmi2 speaks it.
//
// The protocol itself, over the socket that srun hands out: no library of Slurm's is needed. Cards
// become visible by a fence, so put_card() returns when every rank has called it. One question at a
// time. Threading: one thread. Failure: error codes and sentences; what makes no sense ends the
// conversation.
#pragma once
#include <chrono>
#include <deque>
#include <memory>
#include <string>

#include "spawn/card_pieces.h"
#include "spawn/launcher_contact.h"
#include "spawn/pmi2_message.h"
#include "spawn/wireup.h"

namespace tern::spawn {

class Pmi2Client final : public WireUp {
 public:
  // Takes over `fd`, a connected stream socket to the launcher. nullptr with a sentence in `error`.
  static std::unique_ptr<Pmi2Client> from_descriptor(int fd, std::string& error);
  ~Pmi2Client() override;
  Pmi2Client(const Pmi2Client&) = delete;
  Pmi2Client& operator=(const Pmi2Client&) = delete;

  const LaunchInfo& info() const override { return info_; }
  std::error_code put_card(std::span<const std::byte> card) override;
  void request_card(int rank) override;
  void start_barrier() override;
  int poll(WireUpSink& sink) override;
  int event_fd() const override { return pending_.empty() ? -1 : fd_; }
  std::error_code start_launcher(const std::string& address) override;
  void abort(int code, std::string_view message) override;
  std::error_code finalize(std::chrono::milliseconds timeout) override;

 private:
  // What was asked for and not answered yet, in the order asked.
  struct Pending {
    static constexpr int kBarrier = -1;
    int rank = 0;  // Whose card, or kBarrier.
    CardPieces card;
  };

  explicit Pmi2Client(int fd) : fd_(fd) {}
  std::string greet();       // These return a sentence on failure,
  std::string read_facts();  // else nothing.
  // One question and its answer; false when the launcher is gone or answers something else.
  bool call(const std::string& message, std::string_view expected, Pmi2Fields& answer,
            std::chrono::milliseconds timeout);
  // Until there is more to read.
  bool await_data(std::chrono::steady_clock::time_point until);
  void ask_next();
  void on_answer(const Pmi2Fields& answer, WireUpSink& sink);
  void answer_card(std::string_view text, std::string_view why, WireUpSink& sink);
  void lose(WireUpSink& sink);

  int fd_;
  bool lost_ = false;
  bool finalized_ = false;
  bool asked_ = false;  // The front of pending_ is on its way.
  int events_ = 0;      // Delivered by the poll() in progress.
  std::deque<Pending> pending_;
  Pmi2Reader reader_;
  LaunchInfo info_;
  OwnLauncher own_launcher_;
};

}  // namespace tern::spawn
