// spawn/program.h - finds the program file that a command names, before anything is started.
//
// Looks at the file system only. Failure: a Problem with the exit code a shell would give.
#pragma once
#include <string>

#include "spawn/problem.h"

namespace tern::spawn {

// What execve gets for `command`, run in `directory` (empty: the current one). A name with a slash
// is taken as it is; others are searched in `path` (colon-separated, as $PATH), then in the
// directory itself, where users of Open MPI expect it.
Problem find_program(const std::string& command, const std::string& path,
                     const std::string& directory, std::string& file);

// True when the file is text, so that a shell may be tried on it when it has no #! line.
bool is_script(const std::string& file, const std::string& directory);

// Checks that `directory` can be entered.
Problem check_directory(const std::string& directory);

}  // namespace tern::spawn
