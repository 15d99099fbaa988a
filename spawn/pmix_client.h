// spawn/pmix_client.h - WireUp over PMIx: under Open MPI's mpirun, PRRTE and Slurm's --mpi=pmix.
//
// The card is put and committed once; others get it directly from this process's host when they
// need it, so MPI_Init has no fence and waits for nobody. Nothing else of PMIx is used: launchers
// differ too much in the rest. Threading: one thread; the answers of the library's own thread wait
// for poll(). Failure: error codes and sentences.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "spawn/launcher_contact.h"
#include "spawn/pmix_library.h"
#include "spawn/wireup.h"

namespace tern::spawn {

class PmixClient final : public WireUp {
 public:
  // Makes contact with the server that the environment names. nullptr with a sentence in `error`.
  static std::unique_ptr<PmixClient> connect(const PmixLibrary& library, std::string& error);
  ~PmixClient() override;
  PmixClient(const PmixClient&) = delete;
  PmixClient& operator=(const PmixClient&) = delete;

  const LaunchInfo& info() const override { return info_; }
  std::error_code put_card(std::span<const std::byte> card) override;
  void request_card(int rank) override;
  void start_barrier() override;
  int poll(WireUpSink& sink) override;
  int event_fd() const override;
  std::error_code start_launcher(const std::string& address) override;
  void abort(int code, std::string_view message) override;
  std::error_code finalize(std::chrono::milliseconds timeout) override;

 private:
  using Clock = std::chrono::steady_clock;
  class Answers;
  struct Question;
  struct Answer;
  struct Retry {
    Clock::time_point due;
    std::unique_ptr<Question> question;
  };

  explicit PmixClient(const PmixLibrary& library);
  std::string read_facts();
  void read_hosts();
  bool get_text(pmix_rank_t rank, const char* key, std::string& text) const;
  int get_number(pmix_rank_t rank, const char* key, int otherwise) const;
  void ask(std::unique_ptr<Question> question);
  void on_answer(Answer& answer, WireUpSink& sink);
  std::string words(pmix_status_t status) const;

  const PmixLibrary library_;
  pmix_proc_t self_{};
  LaunchInfo info_;
  OwnLauncher own_launcher_;
  // Shared with the library's thread. Owned, but left behind when this process ends without
  // finalize(): that thread may be in it until the last moment.
  Answers* answers_;
  std::vector<Retry> retries_;
  int outstanding_ = 0;
  bool finalized_ = false;
};

}  // namespace tern::spawn
