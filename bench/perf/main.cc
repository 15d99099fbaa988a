// bench/perf/main.cc - tern-perf: measures an MPI library and prints the familiar tables.
//
// A plain MPI program that knows nothing of Tern's inside, so that it measures every MPI alike.
// Rank 0 does all the talking. Exit status: 0 done, 1 wrong data (--check) or a result file could
// not be written, 2 bad arguments.
#include <fmt/format.h>
#include <mpi.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "environment.h"
#include "load.h"
#include "measure.h"
#include "options.h"
#include "plot.h"
#include "report.h"
#include "sizes.h"

namespace tern::perf {
namespace {

constexpr int kExitWrong = 1;
constexpr int kExitUsage = 2;

// Of the cores in use: what the system's housekeeping needs stays below it.
constexpr double kDisturbingShare = 0.05;

// Opened before measuring, so that a typing mistake does not cost the measurement.
File open_for_writing(const std::string& path, const char* option, std::string& error) {
  File file(std::fopen(path.c_str(), "w"));
  if (!file) error = fmt::format("{}: cannot write '{}': {}", option, path, std::strerror(errno));
  return file;
}

// The sizes a test runs at, and sentences about those it leaves out.
std::vector<std::size_t> sizes_for(const Test& test, const Options& options, int ranks,
                                   std::vector<std::string>& notes) {
  if (!test.has_sizes) return {0};
  std::vector<std::size_t> wanted;
  if (options.sizes) {
    wanted = *options.sizes;
  } else {
    for (std::size_t size = test.element; size <= test.bytes_max; size *= 2) wanted.push_back(size);
  }
  std::vector<std::size_t> sizes;
  std::string uneven;
  std::string large;
  for (const std::size_t size : wanted) {
    if (size % test.element != 0) {
      uneven += (uneven.empty() ? "" : ", ") + format_size(size);
    } else if (memory_needed(test, size, ranks) > options.memory_max) {
      large += (large.empty() ? "" : ", ") + format_size(size);
    } else {
      sizes.push_back(size);
    }
  }
  if (!uneven.empty()) {
    notes.push_back(fmt::format("left out {}: no multiple of {} bytes", uneven, test.element));
  }
  if (!large.empty()) {
    notes.push_back(fmt::format("left out {}: more than {} of buffers per rank (see --memory)",
                                large, format_size(options.memory_max)));
  }
  return sizes;
}

// Rank 0's side of the session: everything that leaves the program.
class Reporter {
 public:
  Reporter(const Options& options, const Environment& environment, File json, File plot, int steps)
      : table_(options),
        environment_(environment),
        plot_file_(std::move(plot)),
        progress_(steps, options.progress) {
    table_.print_environment(environment, options);
    if (json) {
      json_.emplace(std::move(json));
      json_->environment(environment);
    }
  }

  void begin(const Test& test, const Ranks& ranks, const std::vector<std::string>& notes) {
    progress_.hide();
    table_.begin(test, ranks, notes);
    if (test.metric != Metric::kRate && test.has_sizes) {
      panel_for(test).series.push_back({std::string(test.name), {}});
    }
  }

  void before(const Test& test, std::size_t bytes) {
    progress_.show(test.has_sizes ? fmt::format("{} {}", test.name, format_size(bytes))
                                  : std::string(test.name));
  }

  void result(const Test& test, std::size_t bytes, const Ranks& ranks, const Figures& figures) {
    progress_.hide();
    table_.row(test, bytes, figures);
    if (json_) json_->result(test, bytes, ranks, figures);
    if (test.metric != Metric::kRate && test.has_sizes) {
      panel_for(test).series.back().points.push_back({bytes, figures.median});
    }
  }

  // What else the machine did. More than a few percent and the figures are not to be trusted.
  void load(double foreign_cores) {
    const HostPlacement& host = environment_.hosts.front();
    const double share = foreign_cores / host.cores;
    const std::string sentence =
        fmt::format("other programs used {:.0f} % of the cores of {}", 100 * share, host.host);
    const bool disturbed = share > kDisturbingShare;
    if (disturbed) environment_.warnings.push_back(sentence);
    note(fmt::format("{}{} meanwhile", disturbed ? "WARNING: " : "", sentence));
    if (json_) json_->load(foreign_cores);
  }

  void note(const std::string& sentence) {
    progress_.hide();
    table_.note(sentence);
  }

  // Returns whether the plot, if wanted, is complete on disk.
  bool finish() {
    if (!plot_file_) return true;
    const HostPlacement& host = environment_.hosts.front();
    std::string subtitle = fmt::format("{} ranks on {}", environment_.ranks, host.host);
    if (environment_.hosts.size() > 1) {
      subtitle += fmt::format(" and {} more hosts", environment_.hosts.size() - 1);
    }
    subtitle += fmt::format(", {}", environment_.time);
    for (const std::string& warning : environment_.warnings) subtitle += ", " + warning;
    const std::string svg = draw_plot(environment_.library, subtitle, {times_, bandwidths_});
    return std::fwrite(svg.data(), 1, svg.size(), plot_file_.get()) == svg.size() &&
           std::fflush(plot_file_.get()) == 0;
  }

 private:
  PlotPanel& panel_for(const Test& test) {
    return lower_is_better(test.metric) ? times_ : bandwidths_;
  }

  Table table_;
  Environment environment_;
  std::optional<JsonLines> json_;
  File plot_file_;
  Progress progress_;
  PlotPanel times_{"Latency", "us", true, {}};
  PlotPanel bandwidths_{"Bandwidth", "MB/s", false, {}};
};

// Opens the result files on rank 0 and tells everybody whether that worked.
std::optional<Reporter> open_reporter(const Options& options, const Environment& environment,
                                      int steps, std::string& error) {
  File json;
  File plot;
  if (!options.json_path.empty()) json = open_for_writing(options.json_path, "--json", error);
  if (error.empty() && !options.plot_path.empty()) {
    plot = open_for_writing(options.plot_path, "--plot", error);
  }
  if (!error.empty()) return std::nullopt;
  return std::optional<Reporter>(std::in_place, options, environment, std::move(json),
                                 std::move(plot), steps);
}

int count_steps(const Options& options, int ranks) {
  std::size_t steps = 0;
  std::vector<std::string> ignored;
  for (const Test* test : options.tests) steps += sizes_for(*test, options, ranks, ignored).size();
  return static_cast<int>(steps);
}

// Runs one test at all its sizes; returns whether all data was right (known to rank 0 only).
bool run_test(const Test& test, const Options& options, const Ranks& ranks, Reporter* reporter) {
  std::vector<std::string> notes;
  const std::vector<std::size_t> sizes = sizes_for(test, options, ranks.size(), notes);
  if (reporter != nullptr) reporter->begin(test, ranks, notes);
  bool right = true;
  for (const std::size_t bytes : sizes) {
    if (reporter != nullptr) reporter->before(test, bytes);
    const Figures figures = measure(test, bytes, options, ranks);
    if (reporter != nullptr) reporter->result(test, bytes, ranks, figures);
    right = right && figures.wrong == 0;
  }
  return right;
}

// All ranks decide alike: tests between pairs need two ranks. Returns a sentence if none is left.
std::string drop_impossible_tests(Options& options, int ranks) {
  if (ranks > 1) return {};
  const std::string first(options.tests.front()->name);
  std::erase_if(options.tests, [](const Test* test) { return test->between_pairs; });
  if (!options.tests.empty()) return {};
  return fmt::format("{} needs two ranks and there is one; run: mpiexec -n 2 tern-perf", first);
}

int run(Options options) {
  const Ranks ranks;
  std::string error = drop_impossible_tests(options, ranks.size());
  const Environment environment = survey(ranks.all());

  std::optional<Reporter> reporter;
  if (ranks.reports() && error.empty()) {
    reporter = open_reporter(options, environment, count_steps(options, ranks.size()), error);
  }
  int status = error.empty() ? 0 : kExitUsage;
  MPI_Bcast(&status, 1, MPI_INT, 0, ranks.all());
  if (status != 0) {
    if (ranks.reports()) fmt::print(stderr, "tern-perf: {}\n", error);
    return status;
  }

  const LoadWatch load(ranks.all());
  bool right = true;
  for (const Test* test : options.tests) {
    right = run_test(*test, options, ranks, reporter ? &*reporter : nullptr) && right;
  }
  const std::optional<double> foreign_cores = load.cores_used_by_others();
  if (reporter) {
    if (foreign_cores) reporter->load(*foreign_cores);
    if (!right) reporter->note("WRONG DATA arrived, see the table");
    const bool written = reporter->finish();
    if (!written) fmt::print(stderr, "tern-perf: --plot: '{}' is incomplete\n", options.plot_path);
    status = right && written ? 0 : kExitWrong;
  }
  MPI_Bcast(&status, 1, MPI_INT, 0, ranks.all());
  return status;
}

// Says on rank 0 what all ranks found wrong with (or were asked by) the command line.
void tell(const Invocation& invocation) {
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank != 0) return;
  fmt::print(invocation.exit_status == 0 ? stdout : stderr, "{}\n", invocation.message);
}

}  // namespace
}  // namespace tern::perf

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  tern::perf::Invocation invocation = tern::perf::read_command_line(argc, argv);
  int status = invocation.exit_status;
  if (invocation.options) {
    status = tern::perf::run(std::move(*invocation.options));
  } else {
    tern::perf::tell(invocation);
  }
  MPI_Finalize();
  return status;
}
