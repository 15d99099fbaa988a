// spawn/foreign_launcher.h - recognises the launchers that Tern cannot talk to.
//
// A program started N times by such a launcher must stop with a sentence: N silent singletons give
// N wrong results. Pure, except for what the given lookup function does.
#pragma once
#include <functional>
#include <string>

namespace tern::spawn {

// Like getenv: the value of an environment variable, or nullptr.
using EnvLookup = std::function<const char*(const char*)>;

// The sentence for the user when the environment says that this process is one of several tasks of
// a launcher; empty when it is a program on its own. Call it only when there is neither PMI_FD nor
// PMI_PORT.
std::string foreign_launcher_problem(const EnvLookup& lookup);

}  // namespace tern::spawn
