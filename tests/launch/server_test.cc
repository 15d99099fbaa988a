// mpiexec's side of PMI-1: cards that are asked for too early, barriers, names, nonsense.
#include "spawn/pmi1_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "spawn/pmi1_line.h"
#include "tests/unit/seed.h"

namespace tern::spawn {
namespace {

using test::Random;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Stage = Pmi1Server::Stage;

class Server : public testing::Test, protected Pmi1ServerSink {
 protected:
  explicit Server(int size = 3)
      : sent_(static_cast<std::size_t>(size)),
        server_("kvs_test", 16, std::vector<int>(static_cast<std::size_t>(size), 2), *this) {}

  void send_to(int rank, std::string_view text) override {
    ASSERT_TRUE(text.ends_with('\n'));
    sent_[static_cast<std::size_t>(rank)].emplace_back(text.substr(0, text.size() - 1));
  }
  void on_abort(int rank, int code, std::string_view message) override {
    aborts_.push_back(std::to_string(rank) + ":" + std::to_string(code) + ":" +
                      std::string(message));
  }

  void on_spawn(int rank, std::string_view address) override {
    spawns_.push_back(std::to_string(rank) + ":" + std::string(address));
  }

  void on_spawn_request(int rank, SpawnRequest request) override {
    spawns_.push_back(std::to_string(rank) + ":" + request.encode());
  }

  // What the server has sent to this rank since the last look.
  std::vector<std::string> sent(int rank) {
    return std::exchange(sent_[static_cast<std::size_t>(rank)], {});
  }
  // The answer to one line.
  std::string ask(int rank, std::string_view line) {
    server_.on_line(rank, line);
    const auto answers = sent(rank);
    return answers.size() == 1 ? answers[0] : std::to_string(answers.size()) + " answers";
  }

  std::vector<std::vector<std::string>> sent_;
  std::vector<std::string> aborts_;
  std::vector<std::string> spawns_;
  Pmi1Server server_;
};

TEST_F(Server, AnswersTheStandardQuestions) {
  EXPECT_EQ(ask(0, "cmd=init pmi_version=1 pmi_subversion=1"),
            "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0");
  EXPECT_THAT(ask(0, "cmd=get_maxes"), HasSubstr("vallen_max=1024"));
  EXPECT_THAT(ask(0, "cmd=get_appnum"), HasSubstr("appnum=2"));
  EXPECT_THAT(ask(0, "cmd=get_my_kvsname"), HasSubstr("kvsname=kvs_test"));
  EXPECT_THAT(ask(0, "cmd=get_universe_size"), HasSubstr("size=16"));
  EXPECT_THAT(ask(0, "cmd=get kvsname=kvs_test key=PMI_process_mapping"),
              HasSubstr("value=(vector,(0,1,3))"));
}

TEST_F(Server, KeepsKeysForOtherRanks) {
  EXPECT_THAT(ask(1, "cmd=put kvsname=kvs_test key=k value=a=b;c"), HasSubstr("rc=0"));
  EXPECT_THAT(ask(0, "cmd=get kvsname=kvs_test key=k"), HasSubstr("rc=0 msg=success value=a=b;c"));
  EXPECT_THAT(ask(0, "cmd=get kvsname=kvs_test key=other"), HasSubstr("rc=-1"));
}

TEST_F(Server, RefusesKeysAndValuesThatOthersCouldNotRead) {
  EXPECT_THAT(ask(0, "cmd=put kvsname=kvs_test key=k"), HasSubstr("rc=-1"));
  EXPECT_THAT(ask(0, "cmd=put kvsname=kvs_test value=v"), HasSubstr("rc=-1"));
  const std::string long_value = "cmd=put kvsname=kvs_test key=k value=" + std::string(1025, 'v');
  EXPECT_THAT(ask(0, long_value), HasSubstr("rc=-1"));
}

TEST_F(Server, ACardAskedForEarlyComesWhenItIsPut) {
  server_.on_line(0, "cmd=tern_want rank=2");
  server_.on_line(1, "cmd=tern_want rank=2");
  server_.on_line(1, "cmd=tern_want rank=2");
  EXPECT_THAT(sent(0), IsEmpty());
  server_.on_line(2, "cmd=tern_card value=two");
  EXPECT_THAT(sent(0), ElementsAre("cmd=tern_card rank=2 value=two"));
  EXPECT_THAT(sent(1), ElementsAre("cmd=tern_card rank=2 value=two"));
  EXPECT_THAT(sent(2), IsEmpty());
  EXPECT_EQ(ask(0, "cmd=tern_want rank=2"), "cmd=tern_card rank=2 value=two");
}

TEST_F(Server, ARankThatEndsWithoutACardIsAnAnswerToo) {
  server_.on_line(0, "cmd=tern_want rank=1");
  server_.on_exit(1);
  EXPECT_THAT(sent(0), ElementsAre(HasSubstr("cmd=tern_card rank=1 error=")));
  EXPECT_THAT(ask(2, "cmd=tern_want rank=1"), HasSubstr("error="));
}

TEST_F(Server, TheCardOfAFinishedProgramIsNotHandedOutAsTheNextOnes) {
  server_.on_line(0, "cmd=tern_card value=zero");
  server_.on_line(1, "cmd=tern_card value=first");
  EXPECT_THAT(ask(0, "cmd=finalize"), HasSubstr("finalize_ack"));
  // Rank 0 is in its second program and rank 1 still in its first.
  server_.on_line(0, "cmd=tern_want rank=1");
  EXPECT_THAT(sent(0), IsEmpty());
  EXPECT_THAT(ask(1, "cmd=finalize"), HasSubstr("finalize_ack"));
  EXPECT_THAT(sent(0), IsEmpty());
  server_.on_line(1, "cmd=tern_card value=second");
  EXPECT_THAT(sent(0), ElementsAre("cmd=tern_card rank=1 value=second"));
}

TEST_F(Server, WhoLagsBehindIsToldThatTheOtherHasLeft) {
  server_.on_line(1, "cmd=tern_want rank=0");
  EXPECT_THAT(ask(0, "cmd=finalize"), HasSubstr("finalize_ack"));
  EXPECT_THAT(sent(1), ElementsAre(HasSubstr("rank=0 error=")));
  server_.on_line(0, "cmd=tern_card value=second");
  EXPECT_THAT(ask(1, "cmd=tern_want rank=0"), HasSubstr("rank=0 error="));
}

TEST_F(Server, TheBarrierWaitsForAllAndCanBeRepeated) {
  for (int round = 0; round < 3; ++round) {
    server_.on_line(2, "cmd=barrier_in");
    server_.on_line(2, "cmd=barrier_in");  // Twice by the same rank is not two ranks.
    server_.on_line(0, "cmd=barrier_in");
    EXPECT_THAT(sent(0), IsEmpty());
    server_.on_line(1, "cmd=barrier_in");
    for (int rank = 0; rank < 3; ++rank) {
      EXPECT_THAT(sent(rank), ElementsAre("cmd=barrier_out rc=0"));
    }
  }
}

TEST_F(Server, KnowsWhoIsInsideMpi) {
  EXPECT_EQ(server_.stage(0), Stage::kOutside);
  server_.on_line(0, "cmd=tern_card value=x");
  EXPECT_EQ(server_.stage(0), Stage::kInside);
  server_.on_line(0, "cmd=finalize");
  EXPECT_EQ(server_.stage(0), Stage::kFinished);
  server_.on_line(0, "cmd=init pmi_version=1 pmi_subversion=1");
  EXPECT_EQ(server_.stage(0), Stage::kInside);
  server_.on_exit(0);
  EXPECT_EQ(server_.stage(0), Stage::kGone);
}

TEST_F(Server, AbortCarriesCodeAndMessage) {
  server_.on_line(1, "cmd=abort exitcode=7 message=out%20of%20luck");
  server_.on_line(2, "cmd=abort");
  EXPECT_THAT(aborts_, ElementsAre("1:7:out of luck", "2:1:"));
}

TEST_F(Server, NamesArePublishedOnce) {
  EXPECT_THAT(ask(0, "cmd=lookup_name service=s"), HasSubstr("rc=1"));
  EXPECT_THAT(ask(0, "cmd=publish_name service=s port=p"), HasSubstr("publish_result info=ok"));
  EXPECT_THAT(ask(1, "cmd=publish_name service=s port=q"), HasSubstr("info=fail"));
  EXPECT_THAT(ask(1, "cmd=lookup_name service=s"), HasSubstr("port=p"));
  EXPECT_THAT(ask(1, "cmd=unpublish_name service=s"), HasSubstr("info=ok"));
  EXPECT_THAT(ask(1, "cmd=unpublish_name service=s"), HasSubstr("info=fail"));
}

TEST_F(Server, ASpawnRequestComesInBlocks) {
  for (const char* line :
       {"mcmd=spawn", "nprocs=2", "execname=a.out", "totspawns=2", "spawnssofar=1", "arg1=one two",
        "arg2=", "argcnt=2", "preput_num=1", "preput_key_0=PORT", "preput_val_0=tag#0$a b=c",
        "info_num=1", "info_key_0=wdir", "info_val_0=/tmp/x y", "endcmd"}) {
    server_.on_line(0, line);
  }
  EXPECT_THAT(spawns_, IsEmpty());  // One of two blocks.
  for (const char* line : {"mcmd=spawn", "nprocs=1", "execname=b.out", "totspawns=2",
                           "spawnssofar=2", "argcnt=0", "endcmd"}) {
    server_.on_line(0, line);
  }
  SpawnRequest expected;
  expected.values = {{"PORT", "tag#0$a b=c"}};
  expected.commands = {{"a.out", {"one two", ""}, 2, {{"wdir", "/tmp/x y"}}}, {"b.out", {}, 1, {}}};
  EXPECT_THAT(spawns_, ElementsAre("0:" + expected.encode()));
  EXPECT_EQ(SpawnRequest::decode(expected.encode())->values, expected.values);
  EXPECT_THAT(sent(0), IsEmpty());  // Whoever starts the processes answers.
  EXPECT_THAT(ask(0, "cmd=get_appnum"), HasSubstr("appnum"));
}

TEST_F(Server, ASpawnRequestWithoutSenseIsAnError) {
  const std::vector<std::vector<const char*>> blocks = {
      {"mcmd=spawn", "nprocs=1", "endcmd"},
      {"mcmd=spawn", "nprocs=0", "execname=a", "endcmd"},
      {"mcmd=launch", "nprocs=1", "execname=a", "endcmd"},
      {"mcmd=spawn", "nprocs=1", "execname=a", "what is this", "endcmd"}};
  for (const auto& block : blocks) {
    for (const char* line : block) server_.on_line(1, line);
    EXPECT_THAT(sent(1), ElementsAre(HasSubstr("cmd=spawn_result rc=-1")));
  }
  server_.on_line(1, "mcmd=spawn");
  for (int i = 0; i < 1000; ++i) server_.on_line(1, "arg1=" + std::string(10000, 'x'));
  EXPECT_THAT(ask(1, "endcmd"), HasSubstr("cmd=spawn_result rc=-1"));
  EXPECT_THAT(spawns_, IsEmpty());
}

TEST_F(Server, UnknownCommandsAreAnswered) {
  EXPECT_EQ(ask(0, "cmd=frobnicate"), "cmd=frobnicate_result rc=-1 msg=unknown_command");
  server_.on_line(0, "");
  server_.on_line(0, "no command at all");
  EXPECT_THAT(sent(0), IsEmpty());
}

TEST_F(Server, NonsenseChangesNothingForOthers) {
  Random random;
  const std::vector<std::string> words = {
      "cmd=tern_want", "cmd=tern_card",  "cmd=put", "cmd=get",     "cmd=barrier_in",
      "mcmd=spawn",    "endcmd",         "rank=1",  "rank=-1",     "rank=99",
      "rank=x",        "value=",         "value=v", "key=",        "key=k",
      "cmd=",          "cmd=finalize",   "=",       "service=s",   "cmd=abort",
      "cmd=init",      "exitcode=-9",    "port=",   "totspawns=0", "spawnssofar=z",
      "message=%",     "cmd=lookup_name"};
  // Rank 0 and 1 talk nonsense; rank 2 must be served all the same. The barrier is theirs to break.
  for (int i = 0; i < 20000; ++i) {
    std::string line;
    for (std::uint64_t n = random.below(5); n > 0; --n) {
      line += (line.empty() ? "" : " ") + words[random.below(words.size())];
    }
    if (random.one_in(4)) {
      for (std::uint64_t n = random.below(20); n > 0; --n)
        line += static_cast<char>(random.below(256));
    }
    server_.on_line(static_cast<int>(random.below(2)), line);
    for (auto& outbox : sent_) outbox.clear();
  }
  EXPECT_THAT(ask(2, "cmd=put kvsname=kvs_test key=mine value=1"), HasSubstr("rc=0"));
  EXPECT_THAT(ask(2, "cmd=get kvsname=kvs_test key=mine"), HasSubstr("value=1"));
}

TEST_F(Server, PassesOnWhereALauncherIsWanted) {
  server_.on_line(1, "cmd=tern_spawn address=tern-0123");
  EXPECT_THAT(spawns_, ElementsAre("1:tern-0123"));
}

}  // namespace
}  // namespace tern::spawn
