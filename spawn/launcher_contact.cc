// spawn/launcher_contact.cc - see launcher_contact.h.
#include "spawn/launcher_contact.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "core/format.h"
#include "spawn/abstract_socket.h"
#include "spawn/foreign_slots.h"
#include "spawn/pmi1_line.h"

namespace tern::spawn {
namespace {

// PREFIX/bin/mpiexec for the PREFIX/lib/libmpi_abi.so that this code is in.
std::string own_launcher() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&own_launcher), &info) == 0) return {};
  std::array<char, 4096> resolved;
  if (::realpath(info.dli_fname, resolved.data()) == nullptr) return {};
  std::string path = resolved.data();
  for (int up = 0; up < 2; ++up) path.erase(std::min(path.rfind('/'), path.size()));
  return path + "/bin/mpiexec";
}

// In the child of a child: only calls that are safe after a fork of a program with threads.
[[noreturn]] void become_launcher(const char* file, char* const* arguments, int kept,
                                  const CpuMask* cores) {
  if (kept >= 0) ::fcntl(kept, F_SETFD, 0);
  if (cores != nullptr) {
    (void)::sched_setaffinity(0, sizeof *cores, reinterpret_cast<const cpu_set_t*>(cores->data()));
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(file, arguments, environ);
  ::_exit(127);
}

}  // namespace

std::error_code OwnLauncher::start(const std::string& address,
                                   std::optional<std::uint64_t> job_id) {
  const std::string file = own_launcher();
  if (file.empty() || ::access(file.c_str(), X_OK) != 0) {
    return std::make_error_code(std::errc::no_such_file_or_directory);
  }
  std::string name = "mpiexec";
  std::string option = kSpawnedOption;
  std::string place = address;
  if (account_ == nullptr && job_id) account_ = open_foreign_account(*job_id);
  if (account_ == nullptr) {
    account_ = SlotAccount::open();
    if (account_ != nullptr) account_->enter({CpuSet()});  // This process.
  }
  CpuMask cores{};
  const bool unbinds = job_id.has_value() && cores_of_foreign_job(cores);
  const int kept = account_ != nullptr ? account_->fd() : -1;
  std::string slots = std::to_string(kept);
  std::array<char*, 5> arguments = {name.data(), option.data(), place.data(), slots.data(),
                                    nullptr};
  // By way of a child that ends at once, so that the program never finds a child that it has not
  // made.
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::fork() == 0)
      become_launcher(file.c_str(), arguments.data(), kept, unbinds ? &cores : nullptr);
    ::_exit(0);
  }
  if (pid < 0) return {errno, std::generic_category()};
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return {};
}

std::unique_ptr<LauncherContact> LauncherContact::start(const StartLauncher& start_launcher,
                                                        const SpawnRequest& request,
                                                        std::string& why) {
  std::unique_ptr<LauncherContact> contact(new LauncherContact);
  std::string address;
  contact->listener_ = listen_abstract(address);
  if (contact->listener_ < 0) {
    why = tern::format("a socket for the launcher cannot be made: {}", std::strerror(errno));
    return nullptr;
  }
  contact->unsent_ = request.encode();
  if (const std::error_code error = start_launcher(address)) {
    why = tern::format("a launcher cannot be started: {}", error.message());
    return nullptr;
  }
  return contact;
}

LauncherContact::~LauncherContact() {
  if (listener_ >= 0) ::close(listener_);
  if (socket_ >= 0) ::close(socket_);
}

void LauncherContact::fail(std::string why) {
  answer_ = {{}, std::move(why)};
  answered_ = true;
}

void LauncherContact::poll() {
  if (socket_ < 0) {
    socket_ = accept_abstract(listener_);
    if (socket_ < 0) return;
    ::close(std::exchange(listener_, -1));
  }
  if (!unsent_.empty()) send_some();
  if (!ended_) receive_some();
}

void LauncherContact::send_some() {
  const ssize_t sent = ::send(socket_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent > 0) unsent_.erase(0, static_cast<std::size_t>(sent));
}

void LauncherContact::receive_some() {
  std::array<char, 4096> piece;
  const ssize_t size = ::recv(socket_, piece.data(), piece.size(), MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) {
    ended_ = true;
    if (!answered_) fail("the launcher ended before it had started the processes");
    return;
  }
  received_.append(piece.data(), static_cast<std::size_t>(size));
  if (answered_ || !received_.ends_with(kEndLine)) return;
  if (auto answer = SpawnAnswer::decode(received_)) {
    answer_ = std::move(*answer);
    answered_ = true;
  } else {
    fail("the launcher answered with something else");
  }
}

void LauncherContact::say(std::string_view line) const {
  if (socket_ >= 0) (void)::send(socket_, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void LauncherContact::detach() const { say(kDetachLine); }
void LauncherContact::give_up() const { say(kGiveUpLine); }

}  // namespace tern::spawn
