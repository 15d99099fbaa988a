// bench/perf/report.h - what people and programs read: the table, the JSON lines, the progress
// line.
//
// Used on rank 0 only. Threading: none. Failure: a file that cannot be written is told by an empty
// optional at creation, before anything is measured.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "environment.h"
#include "measure.h"
#include "options.h"
#include "workload.h"

namespace tern::perf {

// The table on standard output, each line as soon as it is known.
class Table {
 public:
  explicit Table(const Options& options) : full_(options.full), check_(options.check) {}

  void print_environment(const Environment& environment, const Options& options);
  // Title, notes and the columns' heads.
  void begin(const Test& test, const Ranks& ranks, const std::vector<std::string>& notes);
  void row(const Test& test, std::size_t bytes, const Figures& figures);
  void note(const std::string& sentence);

 private:
  bool full_;
  bool check_;
};

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

// One JSON object per line: first the environment, then one per size.
class JsonLines {
 public:
  explicit JsonLines(File file) : file_(std::move(file)) {}

  void environment(const Environment& environment);
  void result(const Test& test, std::size_t bytes, const Ranks& ranks, const Figures& figures);
  void load(double foreign_cores);

 private:
  File file_;
};

// A line on standard error that is rewritten in place and wiped before other output. Silent unless
// standard error is a terminal, or a launcher that forwards it says that it ends in one (by setting
// TERN_JOB_STDERR_TTY), or the user wants it.
class Progress {
 public:
  Progress(int steps, bool always);
  ~Progress() { hide(); }

  void show(std::string_view what);  // A step begins.
  void hide();

 private:
  bool enabled_;
  int steps_;
  int done_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace tern::perf
