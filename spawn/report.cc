// spawn/report.cc - see report.h.
#include "spawn/report.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/format.h"

#include "spawn/hosts.h"

namespace tern::spawn {
namespace {

bool be_quiet = false;  // Set once from the command line.

std::string signal_name(int number) {
  return tern::format("signal {} ({})", number, ::strsignal(number));
}

std::string_view likely_cause(int number) {
  switch (number) {
    case SIGKILL:
      return ", which another process sent, or the kernel because memory ran out (see dmesg)";
    case SIGBUS:
      return "; usually a mapped file is shorter than thought or its file system is full";
    case SIGXCPU:
      return "; its limit of CPU time is used up (ulimit -t)";
    case SIGXFSZ:
      return "; its limit of file size is used up (ulimit -f)";
    default:
      return "";
  }
}

}  // namespace

std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f)
      line += tern::format("\\x{:02x}", byte);
    else
      line += c;
  }
  return line;
}

void say(std::string_view text) {
  const std::string line = tern::format("mpiexec: {}\n", one_line(text));
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

void set_quiet(bool quiet) { be_quiet = quiet; }

void remark(std::string_view text) {
  if (!be_quiet) say(text);
}

std::string describe(const RankName& name) {
  return tern::format("rank {} (host {}, pid {}, {})", name.rank, host_name(), name.pid,
                      name.program);
}

std::string describe_end(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int number = WTERMSIG(wait_status);
    return tern::format("was killed by {}{}{}", signal_name(number),
                        WCOREDUMP(wait_status) ? ", core dumped" : "", likely_cause(number));
  }
  const int code = WEXITSTATUS(wait_status);
  // Shells pass a signal on like this.
  if (code > 128 && code < 128 + NSIG && ::strsignal(code - 128) != nullptr) {
    return tern::format(
        "exited with code {} (a program that it ran seems to have been killed by {})", code,
        signal_name(code - 128));
  }
  return tern::format("exited with code {}", code);
}

int exit_code_of(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace tern::spawn
