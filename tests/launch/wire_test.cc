// Lines of the PMI-1 protocol and what a rank reads from its environment: taking apart anything
// that may arrive.
#include "spawn/pmi1_line.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "spawn/foreign_launcher.h"
#include "spawn/pmi2_message.h"
#include "spawn/wireup.h"
#include "tests/unit/seed.h"

namespace tern::spawn {
namespace {

using test::Random;

std::string random_bytes(Random& random, std::size_t most) {
  std::string text(random.below(most + 1), '\0');
  for (char& c : text) c = static_cast<char>(random.below(256));
  return text;
}

TEST(Wire, FieldFindsWholeKeysOnly) {
  const std::string_view line = "cmd=put xkey=1 key=a=b keyed=2 empty= last=z";
  EXPECT_EQ(field(line, "cmd"), "put");
  EXPECT_EQ(field(line, "key"), "a=b");
  EXPECT_EQ(field(line, "empty"), "");
  EXPECT_EQ(field(line, "last"), "z");
  EXPECT_FALSE(field(line, "ke").has_value());
  EXPECT_FALSE(field(line, "mpty").has_value());
  EXPECT_FALSE(field("", "cmd").has_value());
}

TEST(Wire, NumbersAreWholeOrNothing) {
  EXPECT_EQ(to_number("0"), 0);
  EXPECT_EQ(to_number("-17"), -17);
  for (const char* wrong : {"", " 1", "1 ", "+1", "1x", "0x1", "1.0", "99999999999", "-"}) {
    EXPECT_FALSE(to_number(wrong).has_value()) << wrong;
  }
}

TEST(Wire, EncodingBringsAllBytesBackAndHasNoBlanks) {
  Random random;
  for (int i = 0; i < 2000; ++i) {
    const std::string bytes = random_bytes(random, 200);
    const std::string text = encode_value(bytes);
    ASSERT_EQ(text.find_first_of(std::string(" \n=\0", 4)), std::string::npos);
    ASSERT_EQ(decode_value(text), bytes);
  }
}

TEST(Wire, DecodingRefusesWhatWasNotEncoded) {
  for (const char* wrong : {"%", "%4", "%zz", "%4a", "a b", "a=b", "\n"}) {
    EXPECT_FALSE(decode_value(wrong).has_value()) << wrong;
  }
  Random random(1);
  for (int i = 0; i < 5000; ++i) {
    const std::string garbage = random_bytes(random, 40);
    const auto bytes = decode_value(garbage);
    if (bytes) {
      EXPECT_EQ(decode_value(encode_value(*bytes)), *bytes);
    }
  }
}

class SocketPair : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fd_), 0); }
  void TearDown() override {
    for (const int fd : fd_) {
      if (fd >= 0) ::close(fd);
    }
  }
  int fd_[2] = {-1, -1};
};

using Reader = SocketPair;

TEST_F(Reader, LinesSurviveAnyCutting) {
  Random random(2);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::string> lines(random.below(20));
    std::string stream;
    for (std::string& line : lines) {
      line = random_bytes(random, 300);
      std::erase(line, '\n');
      stream += line + "\n";
    }
    LineReader reader;
    std::vector<std::string> got;
    while (!stream.empty()) {
      const std::size_t piece = std::min<std::size_t>(stream.size(), 1 + random.below(500));
      ASSERT_TRUE(send_all(fd_[0], std::string_view(stream).substr(0, piece)));
      stream.erase(0, piece);
      ASSERT_EQ(reader.fill(fd_[1]), LineReader::Fill::kData);
      while (const auto line = reader.next()) got.emplace_back(*line);
    }
    EXPECT_EQ(reader.fill(fd_[1]), LineReader::Fill::kNothing);
    EXPECT_EQ(got, lines);
  }
}

TEST_F(Reader, TellsSilenceFromTheEnd) {
  LineReader reader;
  EXPECT_EQ(reader.fill(fd_[1]), LineReader::Fill::kNothing);
  ASSERT_TRUE(send_all(fd_[0], "cmd=half"));
  ::close(fd_[0]);
  fd_[0] = -1;
  EXPECT_EQ(reader.fill(fd_[1]), LineReader::Fill::kData);
  EXPECT_FALSE(reader.next().has_value());
  EXPECT_EQ(reader.fill(fd_[1]), LineReader::Fill::kClosed);
}

TEST_F(Reader, ALineWithoutEndIsCutOff) {
  LineReader reader;
  const std::string piece(4096, 'x');
  LineReader::Fill fill = LineReader::Fill::kData;
  for (int i = 0; i < 1000 && fill == LineReader::Fill::kData; ++i) {
    ASSERT_TRUE(send_all(fd_[0], piece));
    fill = reader.fill(fd_[1]);
  }
  EXPECT_EQ(fill, LineReader::Fill::kTooLong);
}

TEST_F(Reader, SendingToNobodyIsAnErrorAndNoSignal) {
  ::close(fd_[1]);
  fd_[1] = -1;
  EXPECT_FALSE(send_all(fd_[0], "cmd=put\n"));
}

TEST(ProcessMapping, ReadsBlocks) {
  const auto blocks = parse_process_mapping("(vector,(0,2,3),(5,1,4))");
  ASSERT_EQ(blocks.size(), 2U);
  LaunchInfo info;
  info.hosts = blocks;
  const std::vector<int> expected = {0, 0, 0, 1, 1, 1, 5, 5, 5, 5, 0, 0};
  for (std::size_t rank = 0; rank < expected.size(); ++rank) {
    EXPECT_EQ(info.host_of(static_cast<int>(rank)), expected[rank]) << rank;
  }
}

TEST(ProcessMapping, KnowsNothingWithoutBlocks) { EXPECT_EQ(LaunchInfo().host_of(3), -1); }

TEST(ProcessMapping, RefusesEverythingElse) {
  for (const char* wrong :
       {"", "vector", "(vector)", "(vector,)", "(vector,())", "(vector,(0,1))", "(vector,(0,0,1))",
        "(vector,(0,1,0))", "(vector,(0,1,1,1))", "(vector,(-1,1,1))", "(vector,(0,1,1)",
        "(vector,(0,99999999,1))", "(vector,(0,1000000,1000000))", "(vector,0,1,1)"}) {
    EXPECT_TRUE(parse_process_mapping(wrong).empty()) << wrong;
  }
  Random random(3);
  const std::string alphabet = "(),0123456789vector-";
  for (int i = 0; i < 20000; ++i) {
    std::string text = random.one_in(2) ? "(vector,(" : "";
    for (std::uint64_t n = random.below(30); n > 0; --n)
      text += alphabet[random.below(alphabet.size())];
    LaunchInfo info;
    info.hosts = parse_process_mapping(text + (random.one_in(2) ? "))" : ""));
    (void)info.host_of(random.between(0, 1 << 30));
  }
}

TEST(Pmi2, MessagesAreFramedAndTakenApart) {
  EXPECT_EQ(make_pmi2_message("kvs-put", {{"key", "k"}, {"value", "a;b"}}),
            "    29cmd=kvs-put;key=k;value=a;;b;");
  const auto fields = parse_pmi2_fields("cmd=x;value=a;;b=c;empty=;");
  ASSERT_TRUE(fields.has_value());
  EXPECT_EQ(fields->at("value"), "a;b=c");
  EXPECT_EQ(fields->at("empty"), "");
  for (const char* wrong : {"cmd", "=x;", "cmd=x", "cmd=x;;", "cmd=x;y"}) {
    EXPECT_FALSE(parse_pmi2_fields(wrong).has_value()) << wrong;
  }
}

TEST(Pmi2, MessagesArriveInPieces) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const std::string text = "cmd=greeting\n" + make_pmi2_message("one", {{"a", "1"}}) +
                           make_pmi2_message("two", {{"b", ";;"}});
  Pmi2Reader reader;
  std::vector<std::string> heard;
  for (const char c : text) {
    ASSERT_TRUE(send_all(ends[1], std::string_view(&c, 1)));
    ASSERT_EQ(reader.fill(ends[0]), LineReader::Fill::kData);
    if (heard.empty()) {
      if (const auto line = reader.next_line()) heard.push_back(*line);
    } else if (const auto fields = reader.next()) {
      heard.push_back(fields->at("cmd"));
    }
  }
  EXPECT_EQ(heard, (std::vector<std::string>{"cmd=greeting", "one", "two"}));
  ::close(ends[1]);
  EXPECT_EQ(reader.fill(ends[0]), LineReader::Fill::kClosed);
  ::close(ends[0]);
}

TEST(Pmi2, AnythingMayArrive) {
  Random random;
  for (int round = 0; round < 2000; ++round) {
    const std::string text = random_bytes(random, 60);
    (void)parse_pmi2_fields(text);
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    if (!text.empty()) {
      ASSERT_TRUE(send_all(ends[1], text));
      Pmi2Reader reader;
      (void)reader.fill(ends[0]);
      // What makes no sense is said once, and then there is nothing more.
      for (int i = 0; i < 100 && reader.next(); ++i) ASSERT_LT(i, 99);
    }
    ::close(ends[0]);
    ::close(ends[1]);
  }
}

using Environment = std::map<std::string, std::string>;

std::string problem(const Environment& environment) {
  return foreign_launcher_problem([&environment](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

TEST(ForeignLauncher, OneOfSeveralTasksIsStopped) {
  const Environment several[] = {
      {{"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "4"}},
      {{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "2"}},
      {{"MV2_COMM_WORLD_RANK", "0"}, {"MV2_COMM_WORLD_SIZE", "2"}},
      {{"PMIX_RANK", "0"}},
      {{"PMI_RANK", "3"}, {"PMI_SIZE", "8"}},
      {{"FLUX_TASK_RANK", "0"}, {"FLUX_JOB_SIZE", "2"}},
      {{"PALS_RANKID", "0"}, {"PMI_SIZE", "2"}},
  };
  for (const Environment& environment : several) {
    EXPECT_NE(problem(environment).find("Start it with"), std::string::npos)
        << environment.begin()->first;
  }
}

TEST(ForeignLauncher, AProgramOnItsOwnIsNot) {
  EXPECT_EQ(problem({}), "");
  // One task; and a batch script outside any step, however many tasks the allocation has.
  EXPECT_EQ(problem({{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}}), "");
  EXPECT_EQ(problem({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "16"}}), "");
  EXPECT_EQ(problem({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}}), "");
  EXPECT_EQ(problem({{"OMPI_COMM_WORLD_RANK", "x"}, {"OMPI_COMM_WORLD_SIZE", "4"}}), "");
}

TEST(ForeignLauncher, AProgramThatARankStartedIsOnItsOwnToo) {
  Environment inherited = {{"TERN_JOB_ID", "1"},
                           {"PMI_RANK", "1"},
                           {"PMI_SIZE", "4"},
                           {"OMPI_COMM_WORLD_RANK", "1"},
                           {"OMPI_COMM_WORLD_SIZE", "4"}};
  EXPECT_EQ(problem(inherited), "");
  // Unless another launcher stands between.
  inherited["OMPI_COMM_WORLD_SIZE"] = "3";
  EXPECT_NE(problem(inherited), "");
}

}  // namespace
}  // namespace tern::spawn
