// spawn/pmi1_client.h - WireUp over the PMI-1 text protocol.
//
// Two dialects of one protocol. Under our own mpiexec everything MPI_Init needs is in the
// environment (job_env.h) and cards travel by two extensions, so no call waits for an answer:
//   client: cmd=tern_card value=TEXT          this rank's card; no answer
//   client: cmd=tern_want rank=R              several may be outstanding
//   server: cmd=tern_card rank=R value=TEXT   as soon as rank R has put it
//   server: cmd=tern_card rank=R error=TEXT   rank R ended without one
//   client: cmd=tern_spawn address=TEXT       start a launcher that makes contact there; no answer
// Under any other PMI-1 launcher: init, put, barrier, then one get at a time, as the standard has
// it. Threading: one thread. Failure: a line that makes no sense ends the connection with an error;
// it never crashes and never hangs the caller.
#pragma once
#include <deque>
#include <memory>
#include <string>

#include "spawn/card_pieces.h"
#include "spawn/launcher_contact.h"
#include "spawn/pmi1_line.h"
#include "spawn/wireup.h"

namespace tern::spawn {

class Pmi1Client final : public WireUp {
 public:
  // Takes over `fd`, a connected stream socket to the launcher. Reads the environment; under a
  // foreign launcher performs the init exchange. nullptr with a sentence in `error` on failure.
  static std::unique_ptr<Pmi1Client> from_descriptor(int fd, std::string& error);
  // Connects to "host:port" (the value of PMI_PORT) and introduces itself as `pmi_id`.
  static std::unique_ptr<Pmi1Client> from_port(std::string_view host_port, std::string_view pmi_id,
                                               std::string& error);
  ~Pmi1Client() override;
  Pmi1Client(const Pmi1Client&) = delete;
  Pmi1Client& operator=(const Pmi1Client&) = delete;

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
    int rank = 0;     // Whose card, or kBarrier.
    CardPieces card;  // Of foreign launchers.
  };

  explicit Pmi1Client(int fd) : fd_(fd) {}
  bool read_own_environment();                     // False: this is not our mpiexec's socket.
  std::string introduce(std::string_view pmi_id);  // PMI_PORT only. These return a sentence
  std::string init_foreign();                      // on failure, else nothing.
  std::string read_foreign_facts();

  // One request and its answer, for foreign launchers. False when the launcher is gone or answers
  // something else; `answer` is lent until the next read.
  bool call(const std::string& request, std::string_view expected, std::string_view& answer,
            std::chrono::milliseconds timeout);
  bool await_line(std::string_view& line, std::chrono::milliseconds timeout);
  std::error_code put_pieces(const std::string& text);
  void send_next_foreign();  // Asks for the front of pending_, if it was not asked for yet.

  void on_line(std::string_view line, WireUpSink& sink);
  void on_foreign_piece(std::string_view line, WireUpSink& sink);
  void answer_card(std::size_t index, std::string_view text, std::string_view why,
                   WireUpSink& sink);
  void lose(WireUpSink& sink);

  int fd_;
  bool own_ = false;  // The launcher is our mpiexec: the extensions may be used.
  bool lost_ = false;
  bool finalized_ = false;
  bool asked_ = false;  // Foreign launchers: the front of pending_ is on its way.
  int events_ = 0;      // Delivered by the poll() in progress.
  std::size_t value_bytes_max_ = 1024;
  std::deque<Pending> pending_;
  LineReader reader_;
  LaunchInfo info_;
  OwnLauncher own_launcher_;
};

}  // namespace tern::spawn
