// The rank's side of PMI-1 against a launcher played by the test: our own dialect, the standard
// one, and launchers that misbehave or vanish.
#include "spawn/pmi1_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "spawn/job_env.h"
#include "tests/unit/seed.h"

namespace tern::spawn {
namespace {

using std::chrono::milliseconds;
using test::Random;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Writes down what the client reports.
struct Notes final : WireUpSink {
  void on_card(int rank, std::span<const std::byte> card, std::string_view why) override {
    const std::string text(reinterpret_cast<const char*>(card.data()), card.size());
    events.push_back(std::to_string(rank) + "=" +
                     (why.empty() ? text : "error: " + std::string(why)));
  }
  void on_barrier_done() override { events.emplace_back("barrier"); }
  void on_lost() override { events.emplace_back("lost"); }
  std::vector<std::string> events;
};

class Client : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fd_), 0); }

  void TearDown() override {
    client_.reset();
    if (fd_[0] >= 0) ::close(fd_[0]);
    for (const auto& [name, value] : set_) ::unsetenv(name.c_str());
  }

  void set(const std::string& name, const std::string& value) {
    set_[name] = value;
    ::setenv(name.c_str(), value.c_str(), 1);
  }

  // As our mpiexec starts rank 1 of 4.
  void connect_as_ours() {
    struct stat status {};
    ASSERT_EQ(::fstat(fd_[1], &status), 0);
    set(env::kPmiRank, "1");
    set(env::kPmiSize, "4");
    set(env::kChannel, std::to_string(status.st_ino));
    set(env::kJobId, "00000000deadbeef");
    set(env::kKvsName, "kvs_test");
    set(env::kLocalRank, "1");
    set(env::kLocalSize, "4");
    set(env::kCores, "3");
    set(env::kAppnum, "0");
    set(env::kUniverse, "8");
    std::string error;
    client_ = Pmi1Client::from_descriptor(fd_[1], error);
    ASSERT_NE(client_, nullptr) << error;
  }

  // What the client has sent so far.
  std::string heard() {
    std::string text(4096, '\0');
    const ssize_t got = ::recv(fd_[0], text.data(), text.size(), MSG_DONTWAIT);
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
  }
  void say(const std::string& text) { ASSERT_TRUE(send_all(fd_[0], text)); }
  void hang_up() {
    ::close(fd_[0]);
    fd_[0] = -1;
  }

  // Plays a launcher of the standard dialect: answers every line by `answer` until the client is
  // gone. The client must be made and used by another thread: this one's.
  std::thread launcher(std::function<std::string(const std::string&)> answer) {
    return std::thread([this, answer = std::move(answer)] {
      LineReader reader;
      while (true) {
        pollfd wait{.fd = fd_[0], .events = POLLIN, .revents = 0};
        ::poll(&wait, 1, 5000);
        if (reader.fill(fd_[0]) != LineReader::Fill::kData) return;
        while (const auto line = reader.next()) {
          const std::string reply = answer(std::string(*line));
          if (!reply.empty() && !send_all(fd_[0], reply + "\n")) return;
        }
      }
    });
  }

  // Polls until something was reported.
  void wait(Notes& notes) {
    for (int i = 0; i < 5000 && notes.events.empty(); ++i) {
      client_->poll(notes);
      pollfd ready{.fd = client_->event_fd(), .events = POLLIN, .revents = 0};
      if (notes.events.empty()) ::poll(&ready, 1, 10);
    }
  }

  int fd_[2] = {-1, -1};
  std::unique_ptr<Pmi1Client> client_;
  std::map<std::string, std::string> set_;
};

TEST_F(Client, UnderOurMpiexecNothingIsAskedToGetStarted) {
  connect_as_ours();
  EXPECT_EQ(heard(), "");
  const LaunchInfo& info = client_->info();
  EXPECT_EQ(info.rank, 1);
  EXPECT_EQ(info.size, 4);
  EXPECT_EQ(info.job_id, 0xdeadbeefU);
  EXPECT_EQ(info.universe_size, 8);
  EXPECT_EQ(info.shared_cores, 3);
  EXPECT_EQ(info.host_of(3), 0);
  EXPECT_EQ(client_->put_card(as_bytes("my card")), std::error_code());
  EXPECT_EQ(heard(), "cmd=tern_card value=my%20card\n");
}

TEST_F(Client, CardsArriveInAnyOrder) {
  connect_as_ours();
  Notes notes;
  EXPECT_EQ(client_->event_fd(), -1);
  EXPECT_EQ(client_->poll(notes), 0);
  client_->request_card(3);
  client_->request_card(0);
  client_->request_card(3);
  EXPECT_EQ(heard(), "cmd=tern_want rank=3\ncmd=tern_want rank=0\ncmd=tern_want rank=3\n");
  EXPECT_GE(client_->event_fd(), 0);
  EXPECT_EQ(client_->poll(notes), 0);
  say("cmd=tern_card rank=0 value=zero\ncmd=tern_card rank=3 va");
  EXPECT_EQ(client_->poll(notes), 1);
  say("lue=a%3Db\ncmd=tern_card rank=3 error=rank%203%20has%20ended\n");
  EXPECT_EQ(client_->poll(notes), 2);
  EXPECT_THAT(notes.events, ElementsAre("0=zero", "3=a=b", "3=error: rank 3 has ended"));
  EXPECT_EQ(client_->event_fd(), -1);
}

TEST_F(Client, ABarrierAndACardMayBeOutstandingTogether) {
  connect_as_ours();
  Notes notes;
  client_->start_barrier();
  client_->request_card(2);
  say("cmd=barrier_out rc=0\n");
  EXPECT_EQ(client_->poll(notes), 1);
  say("cmd=tern_card rank=2 value=x\n");
  EXPECT_EQ(client_->poll(notes), 1);
  EXPECT_THAT(notes.events, ElementsAre("barrier", "2=x"));
}

TEST_F(Client, AVanishedLauncherAnswersEverything) {
  connect_as_ours();
  Notes notes;
  client_->request_card(0);
  client_->start_barrier();
  client_->request_card(2);
  hang_up();
  EXPECT_GT(client_->poll(notes), 0);
  EXPECT_THAT(notes.events, ElementsAre(HasSubstr("0=error"), HasSubstr("2=error"), "lost"));
  EXPECT_NE(client_->put_card(as_bytes("late")), std::error_code());
  client_->request_card(3);
  notes.events.clear();
  EXPECT_GT(client_->poll(notes), 0);
  EXPECT_THAT(notes.events, ElementsAre(HasSubstr("3=error"), "lost"));
}

TEST_F(Client, NonsenseFromTheWireIsHarmless) {
  connect_as_ours();
  Random random;
  Notes notes;
  const std::vector<std::string> words = {
      "cmd=tern_card",    "cmd=barrier_out", "cmd=get_result", "rank=0",    "rank=-1",
      "rank=77777777777", "rank=",           "value=%",        "value=%41", "error=",
      "error=%4",         "rc=-1",           "cmd=",           "="};
  for (int i = 0; i < 3000; ++i) {
    client_->request_card(static_cast<int>(random.below(4)));
    if (random.one_in(5)) client_->start_barrier();
    std::string text;
    for (std::uint64_t n = random.below(8); n > 0; --n) {
      text += words[random.below(words.size())] + (random.one_in(3) ? "\n" : " ");
    }
    for (std::uint64_t n = random.below(4); n > 0; --n)
      text += static_cast<char>(random.below(256));
    say(text + "\n");
    client_->poll(notes);
    (void)heard();
  }
  notes.events.clear();
  hang_up();
  client_->poll(notes);
  EXPECT_EQ(notes.events.back(), "lost");
}

TEST_F(Client, LeftOversOfAnOuterJobDoNotCount) {
  // Another launcher runs inside a rank of ours: its socket is not the one TERN_JOB_CHANNEL names.
  set(env::kChannel, "1");
  set(env::kJobId, "0000000000000001");
  set(env::kPmiRank, "0");
  set(env::kPmiSize, "2");
  std::vector<std::string> lines;
  std::thread other = launcher([&lines](const std::string& line) -> std::string {
    lines.push_back(line);
    return "cmd=response_to_init rc=-1";
  });
  std::string error;
  client_ = Pmi1Client::from_descriptor(fd_[1], error);
  EXPECT_EQ(client_, nullptr);
  EXPECT_THAT(error, HasSubstr("PMI-1"));
  other.join();
  EXPECT_THAT(lines, ElementsAre("cmd=init pmi_version=1 pmi_subversion=1"));
}

// A launcher of the standard dialect with a key-value space.
class Standard {
 public:
  std::string operator()(const std::string& line) {
    const auto command = field(line, "cmd").value_or("");
    if (command == "init") return "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0";
    if (command == "get_maxes") return "cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=100";
    if (command == "get_my_kvsname") return "cmd=my_kvsname kvsname=other_17";
    if (command == "get_appnum") return "cmd=appnum appnum=1";
    if (command == "get_universe_size") return "cmd=universe_size size=12";
    if (command == "barrier_in") return "cmd=barrier_out";
    if (command == "finalize") return "cmd=finalize_ack";
    const std::string key(field(line, "key").value_or(""));
    if (command == "put") {
      const std::string value(field(line, "value").value_or(""));
      if (value.size() > 100) return "cmd=put_result rc=-1";
      values[key] = value;
      return "cmd=put_result rc=0 msg=success";
    }
    const auto found = values.find(key);
    return found == values.end() ? "cmd=get_result rc=-1 msg=not_found value=unknown"
                                 : "cmd=get_result rc=0 msg=success value=" + found->second;
  }
  std::map<std::string, std::string> values = {{"PMI_process_mapping", "(vector,(0,2,2))"}};
};

TEST_F(Client, SpeaksTheStandardWithOtherLaunchers) {
  set(env::kPmiRank, "3");
  set(env::kPmiSize, "4");
  Standard standard;
  std::thread other = launcher(std::ref(standard));
  std::string error;
  client_ = Pmi1Client::from_descriptor(fd_[1], error);
  ASSERT_NE(client_, nullptr) << error;
  const LaunchInfo& info = client_->info();
  EXPECT_EQ(info.size, 4);
  EXPECT_EQ(info.local_rank, 1);
  EXPECT_EQ(info.local_size, 2);
  EXPECT_EQ(info.appnum, 1);
  EXPECT_EQ(info.universe_size, 12);
  EXPECT_EQ(info.shared_cores, 0);
  EXPECT_NE(info.job_id, 0U);

  // Longer than a value may be: it goes out and comes back in pieces.
  std::string card;
  for (int i = 0; i < 500; ++i) card += static_cast<char>(i);
  ASSERT_EQ(client_->put_card(as_bytes(card)), std::error_code());
  Notes notes;
  client_->request_card(3);
  client_->request_card(0);
  wait(notes);
  EXPECT_EQ(notes.events.at(0), "3=" + card);
  notes.events.clear();
  client_->start_barrier();
  wait(notes);
  EXPECT_THAT(notes.events, ElementsAre(HasSubstr("0=error")));
  notes.events.clear();
  wait(notes);
  EXPECT_THAT(notes.events, ElementsAre("barrier"));
  EXPECT_EQ(client_->finalize(milliseconds(5000)), std::error_code());
  client_.reset();
  other.join();
}

TEST_F(Client, ALauncherThatNeverAnswersFinalizeIsNotWaitedForForEver) {
  set(env::kPmiRank, "0");
  set(env::kPmiSize, "2");
  Standard standard;
  std::thread other = launcher([&standard](const std::string& line) -> std::string {
    return line == "cmd=finalize" ? "" : standard(line);
  });
  std::string error;
  client_ = Pmi1Client::from_descriptor(fd_[1], error);
  ASSERT_NE(client_, nullptr) << error;
  EXPECT_NE(client_->finalize(milliseconds(50)), std::error_code());
  client_.reset();
  other.join();
}

TEST_F(Client, AClosedDescriptorIsExplained) {
  std::string error;
  EXPECT_EQ(Pmi1Client::from_descriptor(9999, error), nullptr);
  EXPECT_THAT(error, HasSubstr("PMI_FD"));
  EXPECT_EQ(Pmi1Client::from_descriptor(-1, error), nullptr);
}

TEST_F(Client, AnUnreachablePortIsExplained) {
  std::string error;
  EXPECT_EQ(Pmi1Client::from_port("127.0.0.1:1", "0", error), nullptr);
  EXPECT_THAT(error, HasSubstr("127.0.0.1:1"));
  EXPECT_EQ(Pmi1Client::from_port("no colon", "0", error), nullptr);
}

TEST_F(Client, ASingletonNeedsNoLauncher) {
  for (const char* name : {env::kPmiFd, env::kPmiPort, env::kPmiRank, env::kPmiSize, env::kJobId}) {
    ::unsetenv(name);
  }
  std::string error;
  const std::unique_ptr<WireUp> alone = make_wireup(error);
  ASSERT_NE(alone, nullptr) << error;
  EXPECT_EQ(alone->info().size, 1);
  EXPECT_NE(alone->info().job_id, 0U);
  EXPECT_EQ(alone->put_card(as_bytes("me")), std::error_code());
  alone->request_card(0);
  alone->start_barrier();
  Notes notes;
  EXPECT_EQ(alone->poll(notes), 2);
  EXPECT_THAT(notes.events, ElementsAre("0=me", "barrier"));
  EXPECT_EQ(alone->poll(notes), 0);
}

}  // namespace
}  // namespace tern::spawn
