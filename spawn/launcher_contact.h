// spawn/launcher_contact.h - a process and the launcher of the processes that it spawns.
//
// The process listens, has a launcher started, sends it the request (spawn_request.h) and reads the
// answer; nothing blocks. Afterwards the socket says that both live. Threading: one thread at a
// time. Failure: sentences.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "spawn/slot_account.h"
#include "spawn/spawn_request.h"

namespace tern::spawn {

class LauncherContact {
 public:
  // Has a launcher started that makes contact at `address`.
  using StartLauncher = std::function<std::error_code(const std::string& address)>;
  // nullptr with a sentence in `why`.
  static std::unique_ptr<LauncherContact> start(const StartLauncher& start_launcher,
                                                const SpawnRequest& request, std::string& why);
  // Closes the conversation. Without detach() before, that ends the new processes.
  ~LauncherContact();
  LauncherContact(const LauncherContact&) = delete;
  LauncherContact& operator=(const LauncherContact&) = delete;

  // Goes on as far as it can.
  void poll();
  // Readable when poll() has something to do.
  int fd() const { return socket_ >= 0 ? socket_ : listener_; }
  // Whether there is an answer, or there never will be (then it is a failure).
  bool answered() const { return answered_; }
  const SpawnAnswer& answer() const { return answer_; }
  // After the answer: the launcher has ended, and so have all processes that it started.
  bool ended() const { return ended_; }
  // The new processes are connected to this one no more.
  void detach() const;
  // They have not become connected in time, and shall end.
  void give_up() const;

 private:
  LauncherContact() = default;
  void fail(std::string why);
  void send_some();
  void say(std::string_view line) const;
  void receive_some();

  int listener_ = -1;
  int socket_ = -1;
  std::string unsent_;
  std::string received_;
  SpawnAnswer answer_;
  bool answered_ = false;
  bool ended_ = false;
};

// Launchers for a process that has no mpiexec of Tern's above it: the mpiexec that belongs to this
// library, as nobody's child.
class OwnLauncher {
 public:
  // `job_id`: of the job that another launcher has started this process in; none: it is a program
  // on its own.
  std::error_code start(const std::string& address, std::optional<std::uint64_t> job_id = {});

 private:
  std::unique_ptr<SlotAccount> account_;
};

}  // namespace tern::spawn
