// From the words of a command line to options and program, without looking at what they mean.
#include "spawn/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

namespace tern::spawn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const OptionNames kNames = {{"n", 1},   {"np", 1},   {"l", 0},    {"v", 0},       {"x", 1},
                            {"env", 2}, {"genv", 2}, {"host", 1}, {"bind-to", 1}, {"map-by", 1}};

Segment good(const Words& words) {
  Segment segment;
  const Problem problem = normalise(words, kNames, segment);
  EXPECT_FALSE(problem.has()) << problem.text;
  return segment;
}

std::string bad(const Words& words) {
  Segment segment;
  return normalise(words, kNames, segment).text;
}

TEST(Arguments, OneDashAndTwoAreTheSame) {
  const auto expected = ElementsAre("--np", "4");
  EXPECT_THAT(good({"-np", "4", "a"}).options, expected);
  EXPECT_THAT(good({"--np", "4", "a"}).options, expected);
  EXPECT_THAT(good({"-np=4", "a"}).options, expected);
  EXPECT_THAT(good({"--np=4", "a"}).options, expected);
  EXPECT_THAT(good({"--n", "4", "a"}).options, ElementsAre("-n", "4"));
}

TEST(Arguments, ShortOptionsMayBeJoined) {
  EXPECT_THAT(good({"-n4", "a"}).options, ElementsAre("-n4"));
  EXPECT_THAT(good({"-lv", "a"}).options, ElementsAre("-lv"));
}

TEST(Arguments, TheProgramEndsTheOptions) {
  const Segment segment = good({"-n", "2", "./a", "-n", "3", "--", "-x"});
  EXPECT_THAT(segment.options, ElementsAre("-n", "2"));
  EXPECT_THAT(segment.command, ElementsAre("./a", "-n", "3", "--", "-x"));
}

TEST(Arguments, TwoDashesEndTheOptions) {
  EXPECT_THAT(good({"-l", "--", "-odd-name", "1"}).command, ElementsAre("-odd-name", "1"));
}

TEST(Arguments, ValuesMayLookLikeOptions) {
  EXPECT_THAT(good({"-x", "-n", "./a"}).options, ElementsAre("-x", "-n"));
  EXPECT_THAT(good({"-env", "A", "-5", "./a"}).options, ElementsAre("--env", "A", "-5"));
}

TEST(Arguments, EnvTakesOneWordToo) {
  const Segment segment = good({"-genv", "A=b=c", "./a", "x=y"});
  EXPECT_THAT(segment.options, ElementsAre("--genv", "A", "b=c"));
  EXPECT_THAT(segment.command, ElementsAre("./a", "x=y"));
  EXPECT_THAT(good({"-env", "A", "B=C", "./a"}).options, ElementsAre("--env", "A", "B=C"));
}

TEST(Arguments, OldNamesOfOpenMpiAreTranslated) {
  EXPECT_THAT(good({"--bind-to-core", "--bycore", "a"}).options,
              ElementsAre("--bind-to", "core", "--map-by", "core"));
}

TEST(Arguments, MistypedOptionsGetTheNearestName) {
  EXPECT_THAT(bad({"--bnd-to", "core"}), HasSubstr("did you mean '--bind-to'"));
  EXPECT_THAT(bad({"-hots", "h"}), HasSubstr("did you mean '-host'"));
  EXPECT_THAT(bad({"-nq", "3", "ls"}), HasSubstr("unknown option '-nq'"));
  const std::string far_away = bad({"--zzzzzzzz"});
  EXPECT_THAT(far_away, HasSubstr("unknown option '--zzzzzzzz'"));
  EXPECT_EQ(far_away.find("did you mean"), std::string::npos);
}

TEST(Arguments, MissingValuesAreNamed) {
  EXPECT_THAT(bad({"-n"}), HasSubstr("'-n' needs a value"));
  EXPECT_THAT(bad({"-n", "", "ls"}), HasSubstr("empty"));
  EXPECT_THAT(bad({"--np=", "ls"}), HasSubstr("empty"));
  EXPECT_THAT(bad({"-env", "A"}), HasSubstr("2 values"));
  EXPECT_THAT(bad({"-env=A", "b"}), HasSubstr("2 values"));
  EXPECT_THAT(bad({"-l=3", "b"}), HasSubstr("takes no value"));
}

TEST(Arguments, ColonsSeparatePrograms) {
  EXPECT_THAT(split_segments({"a", ":", "b", "c", ":", ":"}),
              ElementsAre(ElementsAre("a"), ElementsAre("b", "c"), IsEmpty(), IsEmpty()));
  EXPECT_THAT(split_segments({}), ElementsAre(IsEmpty()));
}

Words split(const std::string& line) {
  Words words;
  EXPECT_EQ(split_line(line, words).text, "");
  return words;
}

TEST(Arguments, LinesAreSplitAsAShellDoes) {
  EXPECT_THAT(split("-n 2  ./a\t'b c' \"d 'e\" f\\ g # rest"),
              ElementsAre("-n", "2", "./a", "b c", "d 'e", "f g"));
  EXPECT_THAT(split("a#b ''"), ElementsAre("a#b", ""));
  EXPECT_THAT(split("  # nothing"), IsEmpty());
  EXPECT_THAT(split("dos\r"), ElementsAre("dos"));
  Words words;
  EXPECT_THAT(split_line("a 'b", words).text, HasSubstr("not closed"));
}

class ConfigFile : public testing::Test {
 protected:
  void TearDown() override { std::remove(path_.c_str()); }
  Problem read(const std::string& text) {
    std::ofstream(path_) << text;
    segments_.clear();
    return read_config_file(path_, segments_);
  }
  const std::string path_ = testing::TempDir() + "/tern_config_file";
  std::vector<Words> segments_;
};

TEST_F(ConfigFile, HasOneProgramPerLine) {
  EXPECT_EQ(read("# job\n-n 1 ./a\n\n:\n-n 2 ./b 'c d' : -n 1 ./e\n").text, "");
  EXPECT_THAT(segments_,
              ElementsAre(ElementsAre("-n", "1", "./a"), ElementsAre("-n", "2", "./b", "c d"),
                          ElementsAre("-n", "1", "./e")));
}

TEST_F(ConfigFile, ProblemsNameTheLine) {
  EXPECT_THAT(read("./a\n./b \"c\n").text, HasSubstr("line 2"));
  EXPECT_THAT(read("# nothing\n").text, HasSubstr("names no program"));
  EXPECT_THAT(read("").text, HasSubstr("empty"));
  std::vector<Words> segments;
  EXPECT_THAT(read_config_file("/nonexistent/file", segments).text, HasSubstr("No such file"));
  EXPECT_THAT(read_config_file("/", segments).text, HasSubstr("cannot read"));
}

}  // namespace
}  // namespace tern::spawn
