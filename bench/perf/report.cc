// bench/perf/report.cc - implementation of report.h.
#include "report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "sizes.h"

namespace tern::perf {
namespace {

constexpr int kSizeWidth = 12;
constexpr int kFigureWidth = 16;
constexpr double kMegabyte = 1e6;  // Decimal, as networks and the OSU benchmarks count.

const char* unit_of(Metric metric) {
  switch (metric) {
    case Metric::kHalfRoundTrip:
    case Metric::kDuration:
      return "us";
    case Metric::kBandwidth:
    case Metric::kBidirectionalBandwidth:
      return "MB/s";
    case Metric::kRate:
      return "messages/s";
  }
  return "";
}

std::string heading(const Test& test) {
  switch (test.metric) {
    case Metric::kHalfRoundTrip:
    case Metric::kDuration:
      return "Latency (us)";
    case Metric::kBandwidth:
    case Metric::kBidirectionalBandwidth:
      return "MB/s";
    case Metric::kRate:
      return "Messages/s";
  }
  return "";
}

std::string figure(Metric metric, double value) {
  const int decimals = metric == Metric::kRate ? 0 : lower_is_better(metric) ? 3 : 2;
  return fmt::format("{:>{}.{}f}", value, kFigureWidth, decimals);
}

std::string json_text(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      quoted += fmt::format("\\u{:04x}", c);
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

}  // namespace

void Table::print_environment(const Environment& environment, const Options& options) {
  fmt::print("# tern-perf {} on {} (MPI {}), {}\n", TERN_PERF_VERSION, environment.library,
             environment.standard, environment.time);
  for (const HostPlacement& host : environment.hosts) {
    fmt::print("# {}: {} rank{}, {} core{}; {}\n", host.host, host.ranks,
               host.ranks == 1 ? "" : "s", host.cores, host.cores == 1 ? "" : "s", host.placement);
  }
  if (environment.warnings.empty()) fmt::print("# not oversubscribed\n");
  for (const std::string& warning : environment.warnings) fmt::print("# WARNING: {}\n", warning);
  fmt::print("# medians over blocks of iterations, {} s per size after warm-up\n",
             options.seconds_per_size);
  std::fflush(stdout);
}

void Table::begin(const Test& test, const Ranks& ranks, const std::vector<std::string>& notes) {
  const bool lower = lower_is_better(test.metric);
  fmt::print("\n# {}", test.title);
  if (test.between_pairs && ranks.pairs() > 1) {
    fmt::print(", {} pairs at once: {}", ranks.pairs(), lower ? "mean" : "sum");
  }
  if (!test.between_pairs) {
    fmt::print(", {} rank{}: mean over ranks", ranks.size(), ranks.size() == 1 ? "" : "s");
  }
  fmt::print("\n");
  for (const std::string& sentence : notes) note(sentence);
  fmt::print("{:<{}}", test.has_sizes ? "# Size" : "#", kSizeWidth);
  fmt::print("{:>{}}", heading(test), kFigureWidth);
  if (test.metric == Metric::kRate) fmt::print("{:>{}}", "MB/s", kFigureWidth);
  if (full_) {
    fmt::print("{:>{}}{:>{}}", lower ? "Min" : "Max", kFigureWidth, lower ? "P99" : "P1",
               kFigureWidth);
    if (!test.between_pairs) fmt::print("{:>{}}", "Slowest rank", kFigureWidth);
    fmt::print("{:>{}}", "Iterations", kFigureWidth);
  }
  if (check_) fmt::print("{:>{}}", "Data", kFigureWidth);
  fmt::print("\n");
  std::fflush(stdout);
}

void Table::row(const Test& test, std::size_t bytes, const Figures& figures) {
  const std::string size = test.has_sizes ? fmt::format("{}", bytes) : "";
  fmt::print("{:<{}}{}", size, kSizeWidth, figure(test.metric, figures.median));
  if (test.metric == Metric::kRate) {
    fmt::print("{:>{}.2f}", figures.median * static_cast<double>(bytes) / kMegabyte, kFigureWidth);
  }
  if (full_) {
    fmt::print("{}{}", figure(test.metric, figures.best), figure(test.metric, figures.bad));
    if (!test.between_pairs) fmt::print("{}", figure(test.metric, figures.slowest));
    fmt::print("{:>{}}", figures.iterations, kFigureWidth);
  }
  if (check_) {
    const std::string verdict = !figures.checked     ? "-"
                                : figures.wrong == 0 ? "right"
                                                     : fmt::format("{} WRONG", figures.wrong);
    fmt::print("{:>{}}", verdict, kFigureWidth);
  }
  fmt::print("\n");
  std::fflush(stdout);
}

void Table::note(const std::string& sentence) {
  fmt::print("# {}\n", sentence);
  std::fflush(stdout);
}

void JsonLines::environment(const Environment& environment) {
  fmt::print(file_.get(),
             "{{\"record\":\"environment\",\"program\":\"tern-perf {}\",\"library\":{},"
             "\"mpi_standard\":{},\"time\":{},\"ranks\":{},\"hosts\":[",
             TERN_PERF_VERSION, json_text(environment.library), json_text(environment.standard),
             json_text(environment.time), environment.ranks);
  const char* separator = "";
  for (const HostPlacement& host : environment.hosts) {
    fmt::print(file_.get(),
               "{}{{\"host\":{},\"ranks\":{},\"cores\":{},\"oversubscribed\":{},\"placement\":{}}}",
               separator, json_text(host.host), host.ranks, host.cores, host.oversubscribed,
               json_text(host.placement));
    separator = ",";
  }
  fmt::print(file_.get(), "],\"warnings\":[");
  separator = "";
  for (const std::string& warning : environment.warnings) {
    fmt::print(file_.get(), "{}{}", separator, json_text(warning));
    separator = ",";
  }
  fmt::print(file_.get(), "]}}\n");
  std::fflush(file_.get());
}

void JsonLines::result(const Test& test, std::size_t bytes, const Ranks& ranks,
                       const Figures& figures) {
  fmt::print(file_.get(),
             "{{\"record\":\"result\",\"test\":{},\"ranks\":{},\"bytes\":{},\"unit\":{},"
             "\"median\":{:.6g},\"best\":{:.6g},\"bad\":{:.6g},\"iterations\":{},\"blocks\":{}",
             json_text(test.name), ranks.size(), bytes, json_text(unit_of(test.metric)),
             figures.median, figures.best, figures.bad, figures.iterations, figures.blocks);
  if (test.between_pairs) {
    fmt::print(file_.get(), ",\"pairs\":{}", ranks.pairs());
  } else {
    fmt::print(file_.get(), ",\"slowest_rank\":{:.6g}", figures.slowest);
  }
  if (figures.checked) fmt::print(file_.get(), ",\"wrong\":{}", figures.wrong);
  fmt::print(file_.get(), "}}\n");
  std::fflush(file_.get());
}

void JsonLines::load(double foreign_cores) {
  fmt::print(file_.get(), "{{\"record\":\"load\",\"foreign_cores\":{:.3g}}}\n", foreign_cores);
  std::fflush(file_.get());
}

Progress::Progress(int steps, bool always)
    : enabled_(always || isatty(STDERR_FILENO) == 1 ||
               std::getenv("TERN_JOB_STDERR_TTY") != nullptr),
      steps_(steps) {}

void Progress::show(std::string_view what) {
  const int done = done_++;
  if (!enabled_) return;
  constexpr int kBarWidth = 24;
  const int filled = kBarWidth * done / std::max(steps_, 1);
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start_;
  std::string left;
  if (done > 0) left = fmt::format(", {:.0f} s left", spent.count() / done * (steps_ - done));
  // Column 0, the line, erase the rest: nothing is left of a longer line before it.
  fmt::print(stderr, "\r[{:=<{}}{:<{}}] {}/{} {}{}\033[K", "", filled, "", kBarWidth - filled,
             done + 1, steps_, what, left);
  std::fflush(stderr);
}

void Progress::hide() {
  if (!enabled_) return;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
}

}  // namespace tern::perf
