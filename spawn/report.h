// spawn/report.h - the words in which mpiexec speaks to people.
//
// Everything goes to stderr in one write per message, so that it does not mix with ranks' output.
// Threading: any. Failure: none (a message that cannot be written is lost).
#pragma once
#include <sys/types.h>

#include <string>
#include <string_view>

#include "spawn/problem.h"

namespace tern::spawn {

// "mpiexec: TEXT". `text` starts in lower case or with a name and ends without a full stop.
void say(std::string_view text);

// The same text with control characters made visible: whatever a user typed, it stays one line.
std::string one_line(std::string_view text);

// -q: nothing but errors from now on.
void set_quiet(bool quiet);
// A remark that -q suppresses.
void remark(std::string_view text);

// Which process a message is about.
struct RankName {
  int rank = 0;
  pid_t pid = 0;
  std::string program;
};

// "rank 3 (host node1, pid 4711, ./a.out)".
std::string describe(const RankName& name);

// "was killed by signal 11 (Segmentation fault)", "exited with code 3", from waitpid's status; with
// what is known about likely causes.
std::string describe_end(int wait_status);

// The exit code that mpiexec passes on: the program's own, or 128 + signal.
int exit_code_of(int wait_status);

}  // namespace tern::spawn
