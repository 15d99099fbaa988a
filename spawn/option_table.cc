// spawn/option_table.cc - see option_table.h. The only file that knows CLI11.
#include "spawn/option_table.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>
#include <string_view>

#include "core/format.h"

namespace tern::spawn {
namespace {

constexpr const char* kIntroduction =
    "Usage: mpiexec [OPTIONS] PROGRAM [ARGUMENTS] [: [OPTIONS] PROGRAM [ARGUMENTS]]...\n"
    "Starts the ranks of an MPI program, here or on the hosts that are named. Long options may be\n"
    "written with one dash or two: -np 4, --np 4, --np=4.\n";

constexpr const char* kFooter =
    "Examples:\n"
    "  mpiexec -n 4 ./program                four ranks of one program\n"
    "  mpiexec -n 1 ./a : -n 3 ./b           one job of two programs\n"
    "\nExit code: that of the first rank that failed (128 + signal if it was killed), else 0;\n"
    "2 wrong options, 124 time limit passed, 126 not executable, 127 not found.\n";

// CLI11's help in 100 columns, without its blank lines and dots.
class Help : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string) const override { return {}; }

  std::string make_group(std::string group, bool is_positional,
                         std::vector<const CLI::Option*> options) const override {
    std::string text = group + ":\n";
    for (const CLI::Option* option : options) text += make_option(option, is_positional);
    return text;
  }

  std::string make_option(const CLI::Option* option, bool) const override {
    constexpr std::size_t kColumn = 30;
    constexpr std::size_t kWidth = 100;
    std::string text = "  " + option->get_name(false, true);
    if (option->get_items_expected_max() > 0) text += " " + option->get_type_name();
    text += text.size() + 1 < kColumn ? std::string(kColumn - text.size(), ' ')
                                      : "\n" + std::string(kColumn, ' ');
    std::size_t column = kColumn;
    for (const std::string& word : CLI::detail::split(option->get_description(), ' ')) {
      if (column > kColumn && column + 1 + word.size() > kWidth) {
        text += "\n" + std::string(kColumn, ' ');
        column = kColumn;
      }
      if (column > kColumn) text += ' ';
      text += word;
      column += word.size() + 1;
    }
    return text + "\n";
  }
};

// Adds options to one CLI11 application with the few forms that mpiexec needs.
class Table {
 public:
  Table(CLI::App& app, RawOptions& raw) : app_(app), raw_(raw) {}

  void add_all() {
    add_processes();
    add_programs();
    add_environment();
    add_streams();
    add_placement();
    add_control();
    add_without_effect();
  }

 private:
  void text(const char* names, std::string& target, const char* value, const char* help) {
    app_.add_option(names, target, help)
        ->type_name(value)
        ->group(group_)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
  void list(const char* names, Words& target, const char* value, const char* help) {
    app_.add_option(names, target, help)->type_name(value)->group(group_)->allow_extra_args(false);
  }
  void pairs(const char* names, std::vector<std::pair<std::string, std::string>>& target,
             const char* help) {
    app_.add_option(names, target, help)
        ->type_name("NAME VALUE")
        ->group(group_)
        ->allow_extra_args(false);
  }
  void flag(const char* names, bool& target, const char* help) {
    app_.add_flag_callback(
            names, [&target] { target = true; }, help)
        ->group(group_);
  }

  void add_processes() {
    group_ = "Processes";
    text("-n,--np,-c", raw_.count, "N",
         "Number of ranks (default: one per core, or the hosts' slots)");
    text("-N,--ppn,--perhost,--npernode,--ntasks-per-node", raw_.per_host, "N",
         "Number of ranks per host");
    text("--usize", raw_.universe, "N", "MPI_UNIVERSE_SIZE (default: the CPUs of this job)");
    text("--soft", raw_.soft, "LIST",
         "Numbers of ranks that would do as well; the largest is used");
    text("--arch", raw_.arch, "NAME", "Refuse to run on another architecture than this");
    list("-H,--host,--hosts", raw_.hosts, "HOST[:SLOTS],...",
         "Hosts to run on (default: this one; in a Slurm allocation its own)");
    list("-f,--hostfile,--machinefile,--default-hostfile", raw_.host_files, "FILE",
         "The same from a file with lines HOST, HOST:SLOTS or HOST slots=N");
    text(
        "--launcher,--bootstrap", raw_.launcher, "NAME",
        "Who starts ranks on other hosts: srun, prrte, openmpi, hydra (default: the first of these "
        "that is there), fork: only this host");
    text("--launcher-agent,--launcher-exec,--bootstrap-exec", raw_.launcher_agent, "PROGRAM",
         "What that launcher reaches other hosts with (default: ssh)");
  }

  void add_programs() {
    group_ = "Programs";
    text("--wdir,--wd", raw_.directory, "DIR", "Working directory");
    text("--path", raw_.path, "DIR:...", "Where to look for the program before PATH");
    text("--configfile,--app", raw_.config_file, "FILE",
         "Read the programs from FILE, one per line");
    text("--initial-errhandler", raw_.errhandler, "NAME",
         "mpi_errors_are_fatal, mpi_errors_abort or mpi_errors_return");
  }

  void add_environment() {
    group_ = "Environment";
    list("-x", raw_.exports, "NAME[=VALUE],...",
         "Pass or set variables; NAME* passes all that begin so");
    pairs("--env", raw_.local_set, "Set a variable for this program");
    pairs("--genv", raw_.global_set, "Set a variable for all programs");
    text("--envlist", raw_.local_list, "NAME,...", "Pass only these variables to this program");
    text("--genvlist", raw_.global_list, "NAME,...", "Pass only these variables to all programs");
    flag("--envnone", raw_.local_none, "Pass no variables to this program");
    flag("--genvnone", raw_.global_none, "Pass no variables to all programs");
    flag("--envall,--genvall", raw_.inherit_all, "Pass all variables (default)");
    text(
        "--preconnect", raw_.preconnect, "PLAN",
        "Connections made in MPI_Init: none, all, neighbors:K, nodes, file:PATH (TERN_PRECONNECT)");
  }

  void add_streams() {
    group_ = "Input and output";
    flag("-l,--prepend-rank", raw_.label_rank, "Begin each line of output with [RANK]");
    flag("--tag-output", raw_.label_job, "Begin each line of output with [1,RANK]<stdout>:");
    flag("--timestamp-output", raw_.timestamp, "Begin each line of output with the time");
    list("--output", raw_.output, "KIND,...",
         "tag, rank, timestamp, merge, dir=DIR: as the options of these names");
    flag("--merge-stderr-to-stdout", raw_.merge, "Send what ranks write to stderr to stdout");
    text("--output-filename", raw_.output_directory, "DIR[:nocopy]",
         "Write output also (nocopy: only) to DIR/1/rank.RANK/stdout and stderr");
    text("--outfile-pattern", raw_.output_pattern, "FILE", "Write stdout to FILE; %r is the rank");
    text("--errfile-pattern", raw_.error_pattern, "FILE", "Write stderr to FILE; %r is the rank");
    text("--stdin", raw_.stdin_to, "RANK|all|none", "Who reads standard input (default: rank 0)");
  }

  void add_placement() {
    group_ = "Placement";
    text("--bind-to", raw_.bind_to, "OBJECT",
         "none, hwthread, core, l1cache, l2cache, l3cache, numa, socket (default: ranks share the "
         "cores out evenly, and are not bound when there are more ranks than cores)");
    text("--map-by", raw_.map_by, "OBJECT[:MODIFIER]...",
         "slot, node, hwthread, core, l3cache, numa, socket, ppr:N:OBJECT; modifiers PE=N, "
         "OVERSUBSCRIBE, "
         "NOOVERSUBSCRIBE, HWTCPUS");
    text("--rank-by", raw_.rank_by, "OBJECT", "Number the ranks round these objects");
    text("--cpu-set,--cpu-list", raw_.cpu_set, "LIST", "Use only these CPUs, such as 0,2-5");
    text("--cpus-per-rank,--cpus-per-proc", raw_.cores_per_rank, "N", "Cores per rank, as PE=N");
    text("--npersocket", raw_.per_socket, "N", "Ranks per socket, as --map-by ppr:N:socket");
    flag("--oversubscribe", raw_.oversubscribe, "Allow more ranks than cores (default)");
    flag("--nooversubscribe", raw_.no_oversubscribe, "Refuse more ranks than cores");
    flag("--use-hwthread-cpus", raw_.hwthreads, "Count hardware threads as cores");
    flag("--report-bindings", raw_.report_bindings, "Say which CPUs each rank got");
    flag("--display-map", raw_.display_map, "Say which rank runs what and where");
    flag("--display-allocation", raw_.display_allocation, "Say which host and slots are used");
  }

  void add_control() {
    group_ = "Control";
    text("--timeout", raw_.timeout, "SECONDS",
         "End the job after this time (also MPIEXEC_TIMEOUT)");
    text("--report-connections", raw_.connections_path, "FILE.svg",
         "Draw who talked to whom, over what and how much");
    flag("--print-all-exitcodes", raw_.exit_codes, "Print the exit codes of all ranks");
    flag("-v,--verbose", raw_.verbose, "Say what is done");
    flag("-q,--quiet", raw_.quiet, "Say nothing but errors");
    flag("-V,--version", raw_.version, "Print the version");
  }

  // Options of other MPIs that scripts carry along; hidden from the help.
  void add_without_effect() {
    bool& ignored = nothing_;
    group_ = "";
    flag("--allow-run-as-root", ignored, "");
    for (const char* name : {"--iface", "--rmk", "--nameserver", "--prefix", "--localhost",
                             "--demux", "--topolib", "--membind", "--file", "--personality",
                             "--order-nodes", "--mca", "--gmca", "--prtemca", "--pmixmca"}) {
      const int values = std::string_view(name).ends_with("mca") ? 2 : 1;
      app_.add_option_function<Words>(
              name,
              [this, name, values](const Words& given) {
                for (std::size_t i = 0; i < given.size(); i += static_cast<std::size_t>(values)) {
                  raw_.without_effect.push_back(std::string(name) + " " + given[i]);
                }
              })
          ->type_size(values)
          ->allow_extra_args(false)
          ->group("");
    }
    for (const char* name :
         {"--disable-hostname-propagation", "--tune-off", "--enable-x", "--disable-x"}) {
      app_.add_flag_callback(name, [this, name] { raw_.without_effect.emplace_back(name); })
          ->group("");
    }
  }

  CLI::App& app_;
  RawOptions& raw_;
  std::string group_;
  bool nothing_ = false;
};

}  // namespace

const OptionNames& option_names() {
  static const OptionNames names = [] {
    RawOptions raw;
    CLI::App app;
    Table table(app, raw);
    table.add_all();
    OptionNames all;
    for (const CLI::Option* option : app.get_options()) {
      // For lists CLI11 would take any number; here it is one turn's worth.
      const int values = option->get_items_expected_max() == 0 ? 0 : option->get_type_size_max();
      for (const std::string& name : option->get_lnames()) all[name] = values;
      for (const std::string& name : option->get_snames()) all[name] = values;
    }
    return all;
  }();
  return names;
}

Problem parse_options(const Words& options, RawOptions& raw, std::string& help) {
  CLI::App app(kIntroduction);
  app.formatter(std::make_shared<Help>());
  app.set_help_flag();
  Table table(app, raw);
  table.add_all();
  app.set_help_flag("-h,--help", "Print this help")->group("Control");
  app.footer(kFooter);
  try {
    // CLI11 takes words from the back.
    app.parse(Words(options.rbegin(), options.rend()));
  } catch (const CLI::CallForHelp&) {
    help = app.help();
  } catch (const CLI::ParseError& error) {
    return Problem::usage(tern::format("{}; mpiexec -h lists the options", error.what()));
  }
  return {};
}

}  // namespace tern::spawn
