// spawn/arguments.h - brings mpiexec's command line into the form that CLI11 parses.
//
// mpiexec has single-dash long options (-np, -genv NAME VALUE), a ':' between the parts of an MPMD
// job, and a program whose own arguments must be left alone. All of that happens here; what the
// options mean is options.cc's. Pure, except for reading the file of -configfile.
// Failure: a Problem with one sentence, whatever the input.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "spawn/problem.h"

namespace tern::spawn {

using Words = std::vector<std::string>;

// The options there are: name without dashes -> how many values follow it. Names of one letter are
// short options (-n4, -n 4), others long ones (-np 4, --np 4, --np=4).
using OptionNames = std::map<std::string, int, std::less<>>;

// One part of the job: "options program arguments".
struct Segment {
  Words options;  // Long options with two dashes.
  Words command;  // The program and its arguments; may be empty.
};

// Splits at each ":".
std::vector<Words> split_segments(const Words& words);

// Separates options from the program and rewrites them.
Problem normalise(const Words& words, const OptionNames& names, Segment& segment);

// Splits a line of a configuration file at blanks, minding '...' and "..." and backslashes as a
// shell does. '#' at the start of a word begins a comment.
Problem split_line(std::string_view line, Words& words);

// The segments that a file of -configfile describes, one per line that is not empty.
Problem read_config_file(const std::string& path, std::vector<Words>& segments);

}  // namespace tern::spawn
