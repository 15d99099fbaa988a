// bench/perf/options.cc - the command line, read with CLI11.
#include "options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <limits>

#include "sizes.h"

namespace tern::perf {
namespace {

constexpr std::size_t kLargestSize = std::numeric_limits<int>::max();  // MPI's int counts.

constexpr const char* kFooter = R"(
Sizes are bytes with an optional K, M or G: --sizes 1:4M doubles from 1 to 4M, --sizes 8,64K runs
just these two. Point-to-point tests pair rank i with rank i + n/2 and run all pairs at once.

  mpiexec -n 2 tern-perf                                latency and bandwidth
  mpiexec -n 2 tern-perf latency bandwidth --plot p.svg  ... drawn over size
  mpiexec -n 8 tern-perf allreduce --sizes 8:64K --full
  mpiexec -n 2 tern-perf all --time 0.05 --json all.jsonl)";

// CLI11's own usage line knows neither mpiexec nor that there may be several tests.
class HelpText : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string) const override {
    return "\nUsage: mpiexec -n RANKS tern-perf [OPTIONS] [TEST...]\n";
  }
};

// Texts that need more than CLI11's own conversion, checked after parsing.
struct RawArguments {
  std::string sizes;
  std::string memory;
};

std::string checked_sizes(const RawArguments& raw, Options& options) {
  if (!raw.sizes.empty()) {
    std::string error;
    options.sizes = parse_sizes(raw.sizes, error);
    if (!options.sizes) return "--sizes: " + error;
    for (const std::size_t size : *options.sizes) {
      if (size > kLargestSize) {
        return fmt::format("--sizes: {} is more than one message may carry here ({} bytes)",
                           format_size(size), kLargestSize);
      }
    }
  }
  if (!raw.memory.empty()) {
    const auto memory = parse_size(raw.memory);
    if (!memory || *memory == 0) {
      return fmt::format("--memory: '{}' is no amount of memory; write for instance 512M",
                         raw.memory);
    }
    options.memory_max = *memory;
  }
  return {};
}

std::vector<const Test*> every_test() {
  std::vector<const Test*> tests;
  for (const Test& test : point_to_point_tests()) tests.push_back(&test);
  for (const Test& test : collective_tests()) tests.push_back(&test);
  return tests;
}

std::vector<const Test*> chosen_tests(const CLI::App& app) {
  std::vector<const Test*> tests;
  std::vector<const Test*> known = every_test();
  for (const CLI::App* chosen : app.get_subcommands()) {
    if (chosen->get_name() == "all") return known;
    for (const Test* test : known) {
      if (test->name == chosen->get_name()) tests.push_back(test);
    }
  }
  if (tests.empty()) {
    for (const Test* test : known) {
      if (test->name == "latency" || test->name == "bandwidth") tests.push_back(test);
    }
  }
  return tests;
}

void declare(CLI::App& app, Options& options, RawArguments& raw) {
  app.add_option("-s,--sizes", raw.sizes, "Message sizes (default: each test's own range)")
      ->type_name("LIST");
  app.add_option("-t,--time", options.seconds_per_size, "Seconds to measure per size")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 3600.0));
  app.add_option("-w,--window", options.window, "Messages in flight in bandwidth, bibw and rate")
      ->type_name("COUNT")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 16));
  app.add_option("-m,--memory", raw.memory,
                 "Leave out sizes that need more buffer memory per rank (default 512M)")
      ->type_name("SIZE");
  app.add_flag("-f,--full", options.full,
               "Also best, 99th percentile, slowest rank and iterations");
  app.add_flag("-c,--check", options.check, "Verify the data; wrong data makes the exit status 1");
  app.add_option("-j,--json", options.json_path, "Write the results as JSON, one line each")
      ->type_name("FILE");
  app.add_option("-p,--plot", options.plot_path, "Draw latency and bandwidth over size as SVG")
      ->type_name("FILE");
  app.add_flag("--progress", options.progress,
               "Show progress even where standard error is not seen to be a terminal");
  app.set_version_flag("--version", std::string("tern-perf ") + TERN_PERF_VERSION);
}

}  // namespace

Invocation read_command_line(int argc, char** argv) {
  CLI::App app("Measures an MPI library: point to point and basic collectives.", "tern-perf");
  Options options;
  RawArguments raw;
  declare(app, options, raw);
  app.formatter(std::make_shared<HelpText>());
  app.footer(kFooter);
  app.fallthrough();  // Options may stand before or after the names of tests.
  app.require_subcommand(0, 0);
  for (const Test* test : every_test()) {
    app.add_subcommand(std::string(test->name), std::string(test->help))->group("Tests");
  }
  app.add_subcommand("all", "every test in turn")->group("Tests");

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success&) {  // --help and --version.
    const bool version = app.get_version_ptr() != nullptr && app.get_version_ptr()->count() > 0;
    return {std::nullopt, version ? app.version() : app.help(), 0};
  } catch (const CLI::ExtrasError&) {
    return {std::nullopt,
            fmt::format("tern-perf: there is no test or option '{}'; see --help",
                        fmt::join(app.remaining(true), " ")),
            2};
  } catch (const CLI::ParseError& error) {
    return {std::nullopt, fmt::format("tern-perf: {}; see --help", error.what()), 2};
  }
  const std::string mistake = checked_sizes(raw, options);
  if (!mistake.empty()) return {std::nullopt, fmt::format("tern-perf: {}", mistake), 2};
  options.tests = chosen_tests(app);
  return {std::move(options), {}, 0};
}

}  // namespace tern::perf
