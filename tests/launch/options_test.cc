// What mpiexec's options mean, and that no command line whatever does more than parse or give a
// line.
#include "spawn/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "spawn/hosts.h"
#include "spawn/option_table.h"
#include "tests/unit/seed.h"

namespace tern::spawn {
namespace {

using std::chrono::milliseconds;
using test::Random;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

JobPlan good(const Words& words, const char* timeout = nullptr) {
  JobPlan plan;
  std::string show;
  const Problem problem = read_command_line(words, timeout, plan, show);
  EXPECT_EQ(problem.text, "");
  EXPECT_EQ(show, "");
  return plan;
}

std::string bad(const Words& words, const char* timeout = nullptr) {
  JobPlan plan;
  std::string show;
  const Problem problem = read_command_line(words, timeout, plan, show);
  EXPECT_EQ(problem.code, ExitCode::kUsage);
  return problem.text;
}

TEST(Options, NumberOfRanksInAllSpellings) {
  for (const Words& words : std::vector<Words>{{"-n", "3", "a"},
                                               {"-np", "3", "a"},
                                               {"--np=3", "a"},
                                               {"-c", "3", "a"},
                                               {"-n3", "a"},
                                               {"-n", "3", "-ppn", "1", "a"},
                                               {"-soft", "1:4:2,2", "a"}}) {
    EXPECT_EQ(good(words).apps.at(0).count, 3) << testing::PrintToString(words);
  }
  for (const char* option : {"-N", "-ppn", "--npernode"}) {
    EXPECT_EQ(good({option, "3", "a"}).apps.at(0).per_host, 3) << option;
  }
  EXPECT_EQ(good({"--pernode", "a"}).apps.at(0).per_host, 1);
  EXPECT_EQ(good({"a"}).apps.at(0).count, 0);
}

TEST(Options, WrongNumbersGetALine) {
  for (const char* wrong : {"0", "-1", "abc", "1.5", "3x", "99999999999", " 3"}) {
    EXPECT_THAT(bad({"-n", wrong, "a"}), AllOf(HasSubstr("at least 1"), HasSubstr(wrong)));
  }
}

TEST(Options, ThePartsOfAJobKeepTheirOwn) {
  const JobPlan plan =
      good({"-n", "1", "-wdir", "/tmp", "-env",  "A",    "1",    "-genv", "G", "g",  "./a",
            "x",  ":", "-n",    "2",    "-path", "/opt", "-env", "B",     "2", "./b"});
  ASSERT_EQ(plan.apps.size(), 2U);
  EXPECT_EQ(plan.apps[0].directory, "/tmp");
  EXPECT_EQ(plan.apps[1].directory, "");
  EXPECT_EQ(plan.apps[1].path, "/opt");
  EXPECT_THAT(plan.apps[0].command, ElementsAre("./a", "x"));
  EXPECT_THAT(plan.apps[0].environment.set, ElementsAre(Pair("G", "g"), Pair("A", "1")));
  EXPECT_THAT(plan.apps[1].environment.set, ElementsAre(Pair("G", "g"), Pair("B", "2")));
}

TEST(Options, JobWideOptionsMayStandInAnyPart) {
  const JobPlan plan =
      good({"-n", "1", "a", ":", "-l", "-genv", "G", "g", "-timeout", "2", "-n", "1", "b"});
  EXPECT_EQ(plan.output.label, OutputWish::Label::kRank);
  EXPECT_EQ(plan.timeout, milliseconds(2000));
  EXPECT_THAT(plan.apps[0].environment.set, Contains(Pair("G", "g")));
}

TEST(Options, ExportsPassSetAndMatch) {
  const EnvironmentWish wish =
      good({"-x", "A,B", "-x", "C=1,2", "-x", "OMP_*", "a"}).apps[0].environment;
  EXPECT_THAT(wish.inherit_extra, ElementsAre("A", "B", "OMP_*"));
  EXPECT_THAT(wish.set, ElementsAre(Pair("C", "1,2")));
  EXPECT_THAT(bad({"-x", "=1", "a"}), HasSubstr("-x"));
}

TEST(Options, ConnectionsInAdvanceAreAVariableOfAllRanks) {
  for (const char* plan : {"all", "neighbors:2", "nodes", "none"}) {
    EXPECT_THAT(good({"-preconnect", plan, "a", ":", "b"}).apps[1].environment.set,
                ElementsAre(Pair("TERN_PRECONNECT", plan)));
  }
  for (const char* wrong : {"some", "neighbors", "neighbors:0", "file:", "all:2"}) {
    EXPECT_THAT(bad({"--preconnect", wrong, "a"}),
                AllOf(HasSubstr("--preconnect"), HasSubstr(wrong)));
  }
  EXPECT_THAT(bad({"--preconnect", "file:not/there", "a"}), HasSubstr("not/there cannot be read"));
}

// The ranks may run in another directory than mpiexec.
TEST(Options, ThePairsToConnectAreReadBeforeAnythingStarts) {
  const std::string path = ::testing::TempDir() + "tern_pairs_" + std::to_string(::getpid());
  std::ofstream(path) << "tern-pairs 1 4\n0 3\n";
  const std::string relative = std::filesystem::relative(path).string();
  EXPECT_THAT(
      good({"--preconnect", "file:" + relative, "a"}).apps[0].environment.set,
      ElementsAre(Pair("TERN_PRECONNECT", "file:" + std::filesystem::absolute(relative).string())));
  std::ofstream(path) << "tern-pairs 1 4\n0 4\n";
  EXPECT_THAT(bad({"--preconnect", "file:" + path, "a"}), HasSubstr(path + ":2: rank 4"));
  ::unlink(path.c_str());
}

TEST(Options, ListsOfVariables) {
  const JobPlan plan =
      good({"-genvlist", "A,B", "a", ":", "-envlist", "C", "b", ":", "-envnone", "c"});
  EXPECT_THAT(plan.apps[0].environment.inherit_only, ElementsAre("A", "B"));
  EXPECT_THAT(plan.apps[1].environment.inherit_only, ElementsAre("C"));
  EXPECT_TRUE(plan.apps[2].environment.inherit_none);
  EXPECT_FALSE(plan.apps[0].environment.inherit_none);
}

TEST(Options, OutputInBothSpellings) {
  EXPECT_EQ(good({"-prepend-rank", "a"}).output.label, OutputWish::Label::kRank);
  EXPECT_EQ(good({"--tag-output", "a"}).output.label, OutputWish::Label::kJobRank);
  const OutputWish wish = good({"--output", "tag,timestamp", "--output", "merge", "a"}).output;
  EXPECT_EQ(wish.label, OutputWish::Label::kJobRank);
  EXPECT_TRUE(wish.timestamp);
  EXPECT_TRUE(wish.merge);
  const OutputWish files = good({"--output-filename", "a:b:nocopy,nojobid", "a"}).output;
  EXPECT_EQ(files.directory, "a:b");
  EXPECT_TRUE(files.directory_only);
  EXPECT_FALSE(files.directory_has_job);
  EXPECT_EQ(good({"--output-filename", "a:b", "a"}).output.directory, "a:b");
  EXPECT_EQ(good({"-outfile-pattern", "o.%r", "a"}).output.output_pattern, "o.%r");
  EXPECT_THAT(bad({"--output", "colour", "a"}), HasSubstr("colour"));
}

TEST(Options, StandardInputGoesToOneAllOrNone) {
  EXPECT_EQ(good({"a"}).stdin_rank, 0);
  EXPECT_EQ(good({"--stdin", "3", "a"}).stdin_rank, 3);
  EXPECT_EQ(good({"--stdin", "all", "a"}).stdin_to, StdinTo::kAll);
  EXPECT_EQ(good({"--stdin", "none", "a"}).stdin_to, StdinTo::kNone);
  EXPECT_THAT(bad({"--stdin", "-1", "a"}), HasSubstr("--stdin"));
}

TEST(Options, BindingAndMapping) {
  EXPECT_TRUE(good({"a"}).placement.is_default());
  EXPECT_TRUE(good({"--map-by", ":OVERSUBSCRIBE", "a"}).placement.is_default());
  EXPECT_TRUE(good({"--oversubscribe", "a"}).placement.is_default());
  EXPECT_TRUE(good({"--bind-to", "none", "a"}).placement.bind_none);
  EXPECT_EQ(good({"--bind-to", "package", "a"}).placement.bind, Level::kSocket);
  EXPECT_EQ(good({"-bind-to", "core:overload-allowed", "a"}).placement.bind, Level::kCore);
  EXPECT_EQ(good({"-bind-to", "core:2", "a"}).placement.cores_per_rank, 2);
  EXPECT_TRUE(good({"--bind-to-none", "a"}).placement.bind_none);
  const PlacementWish ppr = good({"--map-by", "ppr:2:socket:PE=3", "a"}).placement;
  EXPECT_EQ(ppr.per_object, 2);
  EXPECT_EQ(ppr.map, Level::kSocket);
  EXPECT_EQ(ppr.cores_per_rank, 3);
  const PlacementWish slot = good({"--map-by", "slot:pe=2,nooversubscribe:hwtcpus", "a"}).placement;
  EXPECT_TRUE(slot.map_by_slot && slot.refuse_oversubscription && slot.count_hwthreads);
  EXPECT_EQ(slot.cores_per_rank, 2);
  EXPECT_EQ(good({"--npersocket", "2", "a"}).placement.per_object, 2);
  EXPECT_EQ(good({"--rank-by", "socket", "a"}).placement.rank_by, Level::kSocket);
  EXPECT_EQ(good({"--rank-by", "slot", "a"}).placement.rank_by, std::nullopt);
  for (const Words& words : std::vector<Words>{{"--bind-to", "shoe", "a"},
                                               {"--bind-to", ":", "a"},
                                               {"--bind-to", "core:upside-down", "a"},
                                               {"--map-by", "shoe", "a"},
                                               {"--map-by", "ppr:2", "a"},
                                               {"--map-by", "ppr:x:core", "a"},
                                               {"--map-by", "core:PE=0", "a"},
                                               {"--map-by", "core:often", "a"},
                                               {"--rank-by", "shoe", "a"},
                                               {"--rank-by", ":", "a"}}) {
    EXPECT_THAT(bad(words), HasSubstr(words[0])) << words[1];
  }
}

TEST(Options, Hosts) {
  const std::string own = host_name();
  EXPECT_EQ(good({"-host", "localhost:3," + own, "a"}).hosts.slots(), 4);
  EXPECT_EQ(good({"-H", "127.0.0.1", "-hosts", "::1", "a"}).hosts.slots(), 2);
  EXPECT_TRUE(good({"-H", "localhost:3," + own, "a"}).hosts.only_this_host());
  EXPECT_FALSE(good({"-H", "localhost,surely-elsewhere:2", "a"}).hosts.only_this_host());
  EXPECT_THAT(bad({"-host", "localhost:0", "a"}), HasSubstr("SLOTS"));
  EXPECT_THAT(bad({"-f", "/nonexistent/hosts", "a"}), HasSubstr("/nonexistent/hosts"));
}

TEST(Options, Launchers) {
  EXPECT_EQ(good({"-launcher", "slurm", "a"}).launcher, "srun");
  EXPECT_EQ(good({"--launcher", "openmpi", "a"}).launcher, "openmpi");
  EXPECT_EQ(good({"-launcher", "ssh", "a"}).launcher_agent, "ssh");
  EXPECT_EQ(good({"-launcher", "ssh", "-launcher-exec", "reach", "a"}).launcher_agent, "reach");
  EXPECT_TRUE(good({"--map-by", "node", "a"}).round_hosts);
  EXPECT_FALSE(good({"--map-by", "core", "a"}).round_hosts);
  EXPECT_THAT(bad({"--launcher", "rocket", "a"}), HasSubstr("hydra"));
}

TEST(Options, TimeLimits) {
  EXPECT_EQ(good({"-timeout", "1.5", "a"}).timeout, milliseconds(1500));
  EXPECT_EQ(good({"a"}, "7").timeout, milliseconds(7000));
  EXPECT_EQ(good({"-timeout", "2", "a"}, "7").timeout, milliseconds(2000));
  EXPECT_EQ(good({"a"}, "").timeout, milliseconds(0));
  for (const char* wrong : {"0", "-3", "soon", "1e300", "nan", "inf", "5s"}) {
    EXPECT_THAT(bad({"-timeout", wrong, "a"}), HasSubstr(wrong));
  }
  EXPECT_THAT(bad({"a"}, "soon"), HasSubstr("MPIEXEC_TIMEOUT"));
}

TEST(Options, OtherLaunchersOptionsAreAcceptedAndNamed) {
  const JobPlan plan = good({"--allow-run-as-root", "--mca", "btl", "^openib", "-iface", "eth0",
                             "--mca", "pml", "ob1", "a"});
  EXPECT_THAT(plan.without_effect, UnorderedElementsAre("--mca btl", "--mca pml", "--iface eth0"));
}

TEST(Options, WhatIsMissingIsSaid) {
  EXPECT_THAT(bad({}), HasSubstr("no program"));
  EXPECT_THAT(bad({"-n", "2"}), HasSubstr("no program"));
  EXPECT_THAT(bad({"a", ":"}), HasSubstr("no program"));
  EXPECT_THAT(bad({"-arch", "pdp11", "a"}), HasSubstr("pdp11"));
  EXPECT_THAT(bad({"-initial-errhandler", "shrug", "a"}), HasSubstr("shrug"));
  EXPECT_THAT(bad({"-usize", "many", "a"}), HasSubstr("many"));
  EXPECT_EQ(good({"-usize", "INFINITE", "a"}).universe_size, 0);
  EXPECT_THAT(bad({"-soft", "4:2", "a"}), HasSubstr("-soft"));
  EXPECT_THAT(bad({"-configfile", "/nonexistent", "a"}), HasSubstr("one program too many"));
}

TEST(Options, HelpAndVersionAreOnlyShown) {
  for (const char* word : {"-h", "--help", "-V", "--version"}) {
    JobPlan plan;
    std::string show;
    EXPECT_EQ(read_command_line({word}, nullptr, plan, show).text, "");
    EXPECT_THAT(show, HasSubstr("mpiexec")) << word;
  }
}

TEST(Options, HelpNamesEveryOptionOnce) {
  JobPlan plan;
  std::string show;
  (void)read_command_line({"-h"}, nullptr, plan, show);
  for (const char* name :
       {"--np", "--bind-to", "--genv", "--timeout", "--output-filename", "--host"}) {
    EXPECT_NE(show.find(name), std::string::npos) << name;
  }
  EXPECT_EQ(show.find("--mca"), std::string::npos);  // Accepted, not recommended.
}

// Never a crash, never a hang: a plan, something to show, or one line.
TEST(Options, AnyCommandLineParsesOrGivesOneLine) {
  Random random;
  std::vector<std::string> words = {
      "a",     ":",   "-",   "--",         "=",    "",          "0",     "3",
      "-1",    "x=y", "ppr", "ppr:2:core", "core", "none",      "all",   "1,2-3",
      "[1,2]", "--=", "-=",  "%%",         "'",    "localhost", "a:b:c", "9999999999"};
  for (const auto& [name, values] : option_names()) {
    if (name == "configfile" || name == "app") continue;  // Reads a file of the given name.
    words.push_back((name.size() > 1 && random.one_in(2) ? "--" : "-") + name);
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(8);
  for (int i = 0; i < 4000 && std::chrono::steady_clock::now() < deadline; ++i) {
    Words line(random.below(9));
    for (std::string& word : line) {
      word = words[random.below(words.size())];
      if (random.one_in(6)) word += "=" + words[random.below(words.size())];
      if (random.one_in(10)) word += static_cast<char>(1 + random.below(255));
      if (random.one_in(30)) word.resize(random.below(word.size() + 1));
    }
    JobPlan plan;
    std::string show;
    const Problem problem = read_command_line(line, nullptr, plan, show);
    SCOPED_TRACE(testing::PrintToString(line));
    EXPECT_LT(problem.text.size(), 1000U);
    if (!problem.has() && show.empty()) {
      EXPECT_FALSE(plan.apps.empty());
      for (const AppPlan& app : plan.apps) EXPECT_FALSE(app.command.empty());
    }
  }
}

}  // namespace
}  // namespace tern::spawn
