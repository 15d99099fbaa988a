// What mpiexec finds around it: programs, hosts, its own environment, and the words for a death.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "core/wait.h"
#include "spawn/environment.h"
#include "spawn/hosts.h"
#include "spawn/job_env.h"
#include "spawn/program.h"
#include "spawn/report.h"

namespace tern::spawn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Programs : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/tern_programs_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    std::filesystem::create_directories(root_ + "/bin");
    std::filesystem::create_directories(root_ + "/folder");
    make("bin/tool", 0755);
    make("here", 0755);
    make("plain", 0644);
    make("bin/hidden", 0644);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void make(const std::string& name, mode_t mode) {
    std::ofstream(root_ + "/" + name) << "echo\n";
    ASSERT_EQ(::chmod((root_ + "/" + name).c_str(), mode), 0);
  }
  Problem find(const std::string& command) {
    return find_program(command, root_ + "/nothing:" + root_ + "/bin", root_, file_);
  }

  std::string root_;
  std::string file_;
};

TEST_F(Programs, AreFoundInPathThenInTheDirectory) {
  EXPECT_EQ(find("tool").text, "");
  EXPECT_EQ(file_, root_ + "/bin/tool");
  EXPECT_EQ(find("here").text, "");
  EXPECT_EQ(find("./here").text, "");
  EXPECT_EQ(find(root_ + "/bin/tool").text, "");
}

TEST_F(Programs, MissingAndNotExecutableAreTwoThings) {
  for (const char* missing : {"nothing", "./nothing", "bin/nothing", ""}) {
    EXPECT_EQ(find(missing).code, ExitCode::kNotFound) << missing;
    EXPECT_TRUE(find(missing).has());
  }
  EXPECT_THAT(find("./plain").text, HasSubstr("chmod +x"));
  for (const char* useless : {"./plain", "plain", "hidden", "./folder"}) {
    EXPECT_EQ(find(useless).code, ExitCode::kNotExecutable) << useless;
    EXPECT_TRUE(find(useless).has());
  }
}

TEST_F(Programs, ScriptsAreToldFromBinaries) {
  EXPECT_TRUE(is_script("plain", root_));
  EXPECT_FALSE(is_script("/proc/self/exe", ""));
}

TEST_F(Programs, DirectoriesMustBeUsable) {
  EXPECT_EQ(check_directory(root_).text, "");
  EXPECT_THAT(check_directory(root_ + "/nowhere").text, HasSubstr("No such file"));
  EXPECT_THAT(check_directory(root_ + "/plain").text, HasSubstr("not a directory"));
}

TEST(Hosts, ThisOneHasManyNames) {
  const std::string own = host_name();
  for (const std::string& name : {std::string("localhost"), std::string("127.0.0.1"),
                                  std::string("127.0.1.1"), std::string("::1"), own}) {
    EXPECT_TRUE(is_this_host(name)) << name;
  }
  for (const char* name : {"", "surely-elsewhere", "192.0.2.1", "2001:db8::1", "127.0.0", "."}) {
    EXPECT_FALSE(is_this_host(name)) << name;
  }
}

class HostFile : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  Problem read(const std::string& text) {
    std::ofstream(path_) << text;
    hosts_ = {};
    return read_host_file(path_, hosts_);
  }
  const std::string path_ = testing::TempDir() + "/tern_hosts_" + std::to_string(::getpid());
  HostList hosts_;
};

TEST_F(HostFile, CountsSlotsInBothStyles) {
  EXPECT_EQ(read("# all\nlocalhost\n\nlocalhost:3\nlocalhost slots=4 max_slots=8 # more\n").text,
            "");
  EXPECT_EQ(hosts_.slots(), 8);
  EXPECT_EQ(read("h1 slots=2\nh2:3\nh1\nroot@h3.example\n").text, "");
  ASSERT_EQ(hosts_.hosts.size(), 3U);
  EXPECT_EQ(hosts_.hosts[0].name, "h1");
  EXPECT_EQ(hosts_.hosts[0].slots, 3);
  EXPECT_EQ(hosts_.hosts[1].slots, 3);
  EXPECT_FALSE(hosts_.only_this_host());
}

TEST_F(HostFile, RefusesWhatItDoesNotUnderstand) {
  EXPECT_THAT(read("localhost\nlocalhost slots=x\n").text, HasSubstr("line 2"));
  EXPECT_THAT(read("localhost cores 4\n").text, HasSubstr("line 1"));
  EXPECT_THAT(read("# none\n").text, HasSubstr("names no host"));
  // What a launcher could take for an option or a command, and what is no text at all.
  for (const char* line : {"-oProxyCommand=x", "h1;reboot", "h1:0", "h1:x", "h1,h2",
                           "\x7f"
                           "ELF\x01"}) {
    EXPECT_THAT(read("localhost\n" + std::string(line) + "\n").text, HasSubstr("line 2")) << line;
  }
}

class Environment : public testing::Test {
 protected:
  // The variables that rank 1 gets when mpiexec has `own`.
  std::map<std::string, std::string> given(std::vector<std::string> own,
                                           const EnvironmentWish& wish) {
    std::vector<char*> pointers;
    for (std::string& entry : own) pointers.push_back(entry.data());
    pointers.push_back(nullptr);
    JobFacts facts;
    facts.job_id = 255;
    facts.kvs_name = "kvs";
    facts.size = 3;
    facts.universe_size = 8;
    missing_.clear();
    RankEnvironment environment(pointers.data(), wish, facts, 2, missing_);
    (void)environment.for_rank(0, 5, 76);  // The entries of one rank must not stay for the next.
    std::map<std::string, std::string> variables;
    for (char* const* entry = environment.for_rank(1, 6, 77); *entry != nullptr; ++entry) {
      const std::string text = *entry;
      const std::size_t equals = text.find('=');
      EXPECT_TRUE(variables.emplace(text.substr(0, equals), text.substr(equals + 1)).second)
          << text;
    }
    return variables;
  }
  std::vector<std::string> missing_;
};

TEST_F(Environment, TellsTheRankWhoItIsInEveryDialect) {
  auto variables = given({"HOME=/h", "EMPTY="}, {});
  EXPECT_EQ(variables["HOME"], "/h");
  EXPECT_EQ(variables.count("EMPTY"), 1U);
  for (const char* name : {"PMI_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK",
                           "OMPI_COMM_WORLD_NODE_RANK", "MV2_COMM_WORLD_RANK",
                           "MV2_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "LOCAL_RANK"}) {
    EXPECT_EQ(variables[name], "1") << name;
  }
  for (const char* name : {"PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE",
                           "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"}) {
    EXPECT_EQ(variables[name], "3") << name;
  }
  EXPECT_EQ(variables["PMI_FD"], "6");
  EXPECT_EQ(variables[env::kChannel], "77");
  EXPECT_EQ(variables[env::kJobId], "00000000000000ff");
  EXPECT_EQ(variables[env::kCores], std::to_string(usable_cores()));
  EXPECT_EQ(variables[env::kAppnum], "2");
  EXPECT_EQ(variables[env::kUniverse], "8");
}

TEST_F(Environment, LeavesOutWhatAnOuterLauncherSaid) {
  auto variables = given({"PMI_PORT=h:1", "PMIX_RANK=9", "PMI_RANK=7", "OMPI_COMM_WORLD_RANK=7",
                          "TERN_JOB_PARENT_PORT=old", "TERN_FABRIC=shm", "SLURM_PROCID=0"},
                         {});
  EXPECT_EQ(variables.count("PMI_PORT"), 0U);
  EXPECT_EQ(variables.count("PMIX_RANK"), 0U);
  EXPECT_EQ(variables.count(env::kParentPort), 0U);
  EXPECT_EQ(variables["PMI_RANK"], "1");
  EXPECT_EQ(variables["TERN_FABRIC"], "shm");
  EXPECT_EQ(variables["SLURM_PROCID"], "0");
}

TEST_F(Environment, DoesWhatTheOptionsSay) {
  const std::vector<std::string> own = {"A=1", "B=2", "OMP_X=3", "OMP_Y=4"};
  EnvironmentWish none;
  none.inherit_none = true;
  none.inherit_extra = {"B", "OMP_*", "NOT_THERE", "NOR_*"};
  none.set = {{"C", "5"}, {"B", "6"}, {"B", "7"}};
  auto variables = given(own, none);
  EXPECT_EQ(variables.count("A"), 0U);
  EXPECT_EQ(variables["B"], "7");
  EXPECT_EQ(variables["C"], "5");
  EXPECT_EQ(variables["OMP_Y"], "4");
  EXPECT_THAT(missing_, ElementsAre("NOT_THERE", "NOR_*"));

  EnvironmentWish only;
  only.inherit_only = {"A"};
  variables = given(own, only);
  EXPECT_EQ(variables.count("A"), 1U);
  EXPECT_EQ(variables.count("B"), 0U);
}

TEST(Words, AreOneLineWhateverTheUserTyped) {
  EXPECT_EQ(one_line("a\nb\x1b[1m\x7f\tc\xc3\xa4"), "a\\x0ab\\x1b[1m\\x7f\\x09c\xc3\xa4");
}

TEST(Words, ForTheWaysToEnd) {
  EXPECT_EQ(describe_end(3 << 8), "exited with code 3");
  EXPECT_THAT(describe_end(SIGSEGV), HasSubstr("signal 11 (Segmentation fault)"));
  EXPECT_THAT(describe_end(SIGABRT | 0x80), HasSubstr("core dumped"));
  EXPECT_THAT(describe_end(SIGKILL), HasSubstr("memory"));
  EXPECT_THAT(describe_end(139 << 8), HasSubstr("signal 11"));
  EXPECT_EQ(exit_code_of(3 << 8), 3);
  EXPECT_EQ(exit_code_of(SIGTERM), 143);
}

}  // namespace
}  // namespace tern::spawn
