// Which launcher of others is chosen for ranks on other hosts, and what it is told. With real ones:
// tests/cluster.
#include "spawn/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "spawn/engine_command.h"
#include "spawn/options.h"

namespace tern::spawn {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;

// A directory of empty programs, as PATH.
class Programs {
 public:
  explicit Programs(const std::vector<std::string>& names)
      : path_(testing::TempDir() + "/tern_engines_" + std::to_string(::getpid())) {
    std::filesystem::create_directories(path_);
    for (const std::string& name : names) {
      std::ofstream(path_ + "/" + name) << "#!/bin/sh\n";
      std::filesystem::permissions(path_ + "/" + name, std::filesystem::perms::owner_all);
    }
  }
  ~Programs() { std::filesystem::remove_all(path_); }
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

JobPlan plan_of(const Words& words) {
  JobPlan plan;
  std::string show;
  const Problem problem = read_command_line(words, nullptr, plan, show);
  EXPECT_EQ(problem.text, "");
  return plan;
}

// The name of the launcher, or the sentence.
std::string chosen(const Words& words, const std::vector<std::string>& programs,
                   std::map<std::string, std::string> variables = {}) {
  const Programs installed(programs);
  variables["PATH"] = "/nonexistent:" + installed.path();
  const auto lookup = [&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
  const JobPlan plan = plan_of(words);
  if (!needs_engine(plan, lookup)) return "none";
  FoundEngine engine;
  const Problem problem = choose_engine(plan, lookup, engine);
  return problem.has() ? problem.text : std::string(engine_name(engine.engine));
}

TEST(Engine, OrderOfChoice) {
  const std::vector<std::string> all = {"srun", "prterun", "mpirun.openmpi", "mpiexec.hydra",
                                        "ssh"};
  const Words away = {"-hosts", "surely-elsewhere", "a"};
  const std::map<std::string, std::string> allocation = {{"SLURM_JOB_ID", "7"},
                                                         {"SLURM_JOB_NUM_NODES", "2"}};
  EXPECT_EQ(chosen(away, all), "prrte");
  EXPECT_EQ(chosen(away, {"srun", "mpirun.openmpi", "mpiexec.hydra", "ssh"}), "openmpi");
  EXPECT_EQ(chosen(away, {"srun", "mpiexec.hydra", "rsh"}), "hydra");
  EXPECT_EQ(chosen(away, all, allocation), "srun");
  EXPECT_EQ(chosen({"a"}, all, allocation), "srun");
  EXPECT_EQ(chosen({"-H", "localhost", "a"}, all, allocation), "none");
  EXPECT_EQ(chosen({"a"}, all, {{"SLURM_JOB_ID", "7"}, {"SLURM_JOB_NUM_NODES", "1"}}), "none");
  // In a step of srun's mpiexec stays where it is; the shell of an allocation may be a special
  // step.
  auto in_step = allocation;
  in_step["SLURM_STEP_ID"] = "0";
  EXPECT_EQ(chosen({"a"}, all, in_step), "none");
  in_step["SLURM_STEP_ID"] = "4294967290";
  EXPECT_EQ(chosen({"a"}, all, in_step), "srun");
  EXPECT_EQ(chosen({"a"}, all), "none");
  EXPECT_EQ(chosen({"--launcher", "hydra", "a"}, all), "hydra");
  EXPECT_EQ(chosen({"-hosts", "h1", "-launcher", "hydra", "-launcher-exec", "ssh", "a"}, all),
            "hydra");
}

TEST(Engine, WhatIsMissingIsSaid) {
  const Words away = {"-hosts", "surely-elsewhere", "a"};
  EXPECT_THAT(chosen(away, {"ssh"}), AllOf(HasSubstr("surely-elsewhere"), HasSubstr("install")));
  EXPECT_THAT(chosen(away, {"mpiexec.hydra"}), HasSubstr("openssh-client"));
  EXPECT_THAT(chosen({"--launcher", "prrte", "a"}, {"ssh"}), HasSubstr("prterun"));
  EXPECT_THAT(chosen({"-hosts", "h1", "--launcher-agent", "reach", "a"}, {"mpiexec.hydra", "ssh"}),
              HasSubstr("reach"));
  EXPECT_THAT(chosen({"-hosts", "h1", "--launcher", "fork", "a"}, {"ssh"}), HasSubstr("h1"));
}

TEST(Engine, TernUnderAnothersNameIsNone) {
  const Programs installed({"mpiexec"});
  std::filesystem::create_symlink("mpiexec", installed.path() + "/mpiexec.hydra");
  EXPECT_THAT(find_engines(installed.path()), IsEmpty());
}

Words arguments(Engine engine, const Words& words, const SlurmFacts& slurm = {}) {
  const JobPlan plan = plan_of(words);
  std::vector<std::string> variables = {"PATH=/bin", "HOSTNAME=h1", "PMI_RANK=3", "TERN_SPIN_US=1"};
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);
  return make_engine_command({engine, "/usr/bin/launcher"}, plan, environment.data(), 1, slurm)
      .arguments;
}

std::string line(const Words& words) {
  std::string text;
  for (const std::string& word : words) text += word + " ";
  return text;
}

TEST(EngineCommand, Hydra) {
  EXPECT_THAT(line(arguments(Engine::kHydra, {"-hosts", "h1,h2:3", "--wdir", "/tmp", "a", "-n"})),
              HasSubstr("-hosts h1:1,h2:3 -n 4 -wdir /tmp a -n "));
  EXPECT_THAT(line(arguments(Engine::kHydra, {"-hosts", "h1,h2", "-ppn", "2", "a"})),
              HasSubstr("-hosts h1:2,h2:2 -n 4 a "));
  EXPECT_THAT(line(arguments(Engine::kHydra, {"-hosts", "h1", "--map-by", "ppr:3:node", "a"})),
              HasSubstr("-hosts h1:3 -n 3 a "));
  EXPECT_THAT(
      line(arguments(Engine::kHydra, {"-hosts", "h1:4,h2:4", "--map-by", "node", "-n", "4", "a"})),
      HasSubstr("-hosts h1:1,h2:1 -n 4 a "));
  EXPECT_THAT(line(arguments(Engine::kHydra, {"--launcher-agent", "/x/reach", "-hosts", "h1", "-n",
                                              "1", "-env", "A", "1", "a", ":", "-n", "2", "b"})),
              AllOf(HasSubstr("-launcher-exec /x/reach"), HasSubstr("-n 1 env A=1 a : -n 2 b ")));
  EXPECT_THAT(
      line(arguments(Engine::kHydra, {"-hosts", "h1", "-genvnone", "-genv", "A", "1", "a"})),
      AllOf(HasSubstr("-genvlist A,TERN_JOB_SEED"), Not(HasSubstr("PATH"))));
}

TEST(EngineCommand, OpenMpi) {
  const Words words =
      arguments(Engine::kOpenMpi, {"-hosts", "h1,h2", "-n", "5", "-x", "B=2", "--bind-to", "core",
                                   "--report-bindings", "-l", "a"});
  EXPECT_THAT(
      line(words),
      AllOf(HasSubstr("--host h1:1,h2:1 --oversubscribe --bind-to core --report-bindings "
                      "--tag-output"),
            HasSubstr("-x PATH -x TERN_SPIN_US"), HasSubstr("-x B "), HasSubstr("-n 5 a ")));
  EXPECT_THAT(words, Not(Contains(HasSubstr("PMI_RANK"))));
  EXPECT_THAT(words, Not(Contains("HOSTNAME")));
  // Its ranks on other hosts would wait for input that never comes.
  EXPECT_THAT(line(arguments(Engine::kOpenMpi, {"--stdin", "all", "-H", "h1", "a"})),
              HasSubstr("--stdin 0 "));
  EXPECT_THAT(line(arguments(Engine::kPrrte, {"--stdin", "all", "-H", "h1", "a"})),
              HasSubstr("--stdin all "));
  EXPECT_THAT(line(arguments(Engine::kPrrte, {"--launcher-agent", "reach", "-H", "h1", "--map-by",
                                              "core:PE=2", "a"})),
              AllOf(HasSubstr("--prtemca plm_ssh_agent reach"), HasSubstr("--map-by core:PE=2")));
}

TEST(EngineCommand, Slurm) {
  const SlurmFacts facts{.inside_step = false, .cpus = 4};
  EXPECT_THAT(
      arguments(Engine::kSlurm, {"-hosts", "h1:2,h2", "-n", "5", "-genv", "A", "1", "a"}, facts),
      IsSupersetOf({"--mpi=pmi2", "--ntasks=5", "--overcommit", "--kill-on-bad-exit=1", "--input=0",
                    "--nodelist=h1,h1,h2,h1,h1", "--nodes=2", "--distribution=arbitrary",
                    "--export=ALL", "a"}));
  EXPECT_THAT(arguments(Engine::kSlurm, {"--launcher", "srun", "-ppn", "2", "a"},
                        {.inside_step = true, .cpus = 0}),
              IsSupersetOf({"--mpi=pmi2", "--overlap", "--ntasks-per-node=2"}));
  EXPECT_THAT(
      arguments(Engine::kSlurm,
                {"--launcher", "srun", "-n", "1", "a", "it's", ":", "-n", "2", "--wdir", "/w",
                 "-env", "C", "x y", "b"},
                facts)
          .back(),
      "if [ \"$SLURM_PROCID\" -lt 1 ]; then TERN_JOB_APPNUM=0; export TERN_JOB_APPNUM; exec 'a' "
      "'it'\\''s'; elif [ \"$SLURM_PROCID\" -lt 3 ]; then TERN_JOB_APPNUM=1; export "
      "TERN_JOB_APPNUM; exec 'env' '--chdir=/w' 'C=x y' 'b'; fi");
}

TEST(EngineCommand, CountsSlurmsCpus) {
  EXPECT_EQ(count_slurm_cpus("8(x3),4"), 28);
  EXPECT_EQ(count_slurm_cpus("2"), 2);
  for (const char* wrong : {"", "x", "8(x", "8(xx)", "-1", "8(x99999999),", "1000000(x1000000)"}) {
    EXPECT_EQ(count_slurm_cpus(wrong), 0) << wrong;
  }
}

}  // namespace
}  // namespace tern::spawn
