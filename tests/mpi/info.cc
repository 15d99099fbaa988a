// tests/mpi/info.cc - info objects (chapter 10): order, copies, lengths, truncation, errors,
// environment.
//
// Local objects: one rank would do, more only show that nothing is shared by mistake. Random
// sequences of operations are compared with a std::vector of pairs.
#include <utility>

#include "check.h"

namespace {

using check::Random;
using Pairs = std::vector<std::pair<std::string, std::string>>;

// All keys in order, with their values, by the calls that enumerate.
Pairs contents(MPI_Info info) {
  Pairs pairs;
  int count = -1;
  EXPECT_OK(MPI_Info_get_nkeys(info, &count));
  for (int i = 0; i < count; ++i) {
    char key[MPI_MAX_INFO_KEY + 1];
    int length = -1, flag = 0;
    EXPECT_OK(MPI_Info_get_nthkey(info, i, key));
    EXPECT_OK(MPI_Info_get_valuelen(info, key, &length, &flag));
    EXPECT_EQ(flag, 1);
    std::string value(length + 1, '?');
    EXPECT_OK(MPI_Info_get(info, key, length, value.data(), &flag));
    EXPECT_EQ(flag, 1);
    EXPECT_EQ(static_cast<int>(std::strlen(value.c_str())), length);
    pairs.emplace_back(key, value.c_str());
  }
  return pairs;
}

std::string random_text(Random& random, int longest) {
  std::string text(random.between(1, longest), ' ');
  for (char& c : text) c = static_cast<char>(random.between('!', '~'));
  return text;
}

void random_operations() {
  Random random(1, check::rank);
  MPI_Info info;
  Pairs expected;
  EXPECT_OK(MPI_Info_create(&info));
  for (int step = 0; step < 500; ++step) {
    if (!expected.empty() && random.chance(30)) {
      std::size_t victim = random.below(static_cast<int>(expected.size()));
      EXPECT_OK(MPI_Info_delete(info, expected[victim].first.c_str()));
      expected.erase(expected.begin() + static_cast<long>(victim));
    } else if (!expected.empty() && random.chance(30)) {
      auto& pair = expected[random.below(static_cast<int>(expected.size()))];
      pair.second = random_text(random, 60);  // Overwriting keeps the key's place.
      EXPECT_OK(MPI_Info_set(info, pair.first.c_str(), pair.second.c_str()));
    } else {
      std::string key = std::to_string(step) + random_text(random, 20),
                  value = random_text(random, 60);
      EXPECT_OK(MPI_Info_set(info, key.c_str(), value.c_str()));
      expected.emplace_back(key, value);
    }
    if (step % 20 == 0) EXPECT(contents(info) == expected);
  }
  EXPECT(contents(info) == expected);
  MPI_Info copy;
  EXPECT_OK(MPI_Info_dup(info, &copy));
  EXPECT_OK(MPI_Info_set(info, "only in the original", "x"));
  EXPECT(contents(copy) == expected);
  EXPECT_OK(MPI_Info_free(&info));
  EXPECT(info == MPI_INFO_NULL);
  EXPECT(contents(copy) == expected);
  EXPECT_OK(MPI_Info_free(&copy));
}

void longest_keys_and_values() {
  MPI_Info info;
  EXPECT_OK(MPI_Info_create(&info));
  std::string key(MPI_MAX_INFO_KEY - 1, 'k'), value(MPI_MAX_INFO_VAL - 1, 'v');
  EXPECT_OK(MPI_Info_set(info, key.c_str(), value.c_str()));
  EXPECT_OK(MPI_Info_set(info, "K", "upper"));  // Case matters.
  EXPECT_OK(MPI_Info_set(info, "k", "lower"));
  Pairs expected = {{key, value}, {"K", "upper"}, {"k", "lower"}};
  EXPECT(contents(info) == expected);
  EXPECT_OK(MPI_Info_free(&info));
}

// MPI_Info_get cuts silently at valuelen and always terminates.
void get_truncates() {
  MPI_Info info;
  MPI_Info_create(&info);
  MPI_Info_set(info, "key", "0123456789");
  int shortest = check::library_is("MPICH") ? 10 : 0;  // 4.0 makes truncation an error.
  for (int room = shortest; room <= 12; ++room) {
    char value[16];
    std::memset(value, '#', sizeof value);
    int flag = 0;
    EXPECT_OK(MPI_Info_get(info, "key", room, value, &flag));
    EXPECT_EQ(flag, 1);
    std::string expected = std::string("0123456789").substr(0, room);
    EXPECT_EQ(std::string(value), expected);
    EXPECT_EQ(value[expected.size() + 1], '#');
  }
  char value[4] = "abc";
  int flag = 1, length = 77;
  EXPECT_OK(MPI_Info_get(info, "none", 3, value, &flag));
  EXPECT_EQ(flag, 0);
  EXPECT_EQ(std::string(value), std::string("abc"));  // Untouched when the key is missing.
  EXPECT_OK(MPI_Info_get_valuelen(info, "none", &length, &flag));
  EXPECT_EQ(flag, 0);
  EXPECT_EQ(length, 77);
  MPI_Info_free(&info);
}

#if MPI_AT_LEAST(4, 0)
// MPI_Info_get_string: buflen counts the terminator in and out, 0 only asks for the length.
void get_string_reports_the_room_it_needs() {
  MPI_Info info;
  MPI_Info_create(&info);
  MPI_Info_set(info, "key", "0123456789");
  for (int room = 0; room <= 13; ++room) {
    char value[16];
    std::memset(value, '#', sizeof value);
    int length = room, flag = 0;
    EXPECT_OK(MPI_Info_get_string(info, "key", &length, value, &flag));
    EXPECT_EQ(flag, 1);
    EXPECT_EQ(length, 11);
    if (room == 0) {
      EXPECT_EQ(value[0], '#');
      continue;
    }
    std::string expected = std::string("0123456789").substr(0, room - 1);
    EXPECT_EQ(std::string(value), expected);
    EXPECT_EQ(value[expected.size() + 1], '#');
  }
  int length = 5, flag = 1;
  char value[8] = "abc";
  EXPECT_OK(MPI_Info_get_string(info, "none", &length, value, &flag));
  EXPECT_EQ(flag, 0);
  EXPECT_EQ(length, 5);
  EXPECT_EQ(std::string(value), std::string("abc"));
  MPI_Info_free(&info);
}

void environment_of_the_program() {
  char first[] = "program", second[] = "--flag";
  char* arguments[] = {first, second, nullptr};
  MPI_Info info = MPI_INFO_NULL;
  EXPECT_OK(MPI_Info_create_env(2, arguments, &info));
  EXPECT(info != MPI_INFO_NULL);
  EXPECT_OK(MPI_Info_free(&info));
  char level[64] = "";
  int flag = 0, length = sizeof level;
  EXPECT_OK(MPI_Info_get_string(MPI_INFO_ENV, "thread_level", &length, level, &flag));
  if (flag) EXPECT_EQ(std::string(level), std::string("MPI_THREAD_SINGLE"));
}
#endif

void environment_object() {
  int keys = -1, flag = 0;
  EXPECT_OK(MPI_Info_get_nkeys(MPI_INFO_ENV, &keys));
  EXPECT(keys >= 0);
  char text[MPI_MAX_INFO_VAL + 1] = "";
  EXPECT_OK(MPI_Info_get(MPI_INFO_ENV, "maxprocs", MPI_MAX_INFO_VAL, text, &flag));
  if (flag) EXPECT_EQ(std::atoi(text), check::size);
  EXPECT_OK(MPI_Info_get(MPI_INFO_ENV, "command", MPI_MAX_INFO_VAL, text, &flag));
  if (flag) EXPECT(std::strstr(text, "info") != nullptr);
  MPI_Info copy;
  EXPECT_OK(MPI_Info_dup(MPI_INFO_ENV, &copy));
  EXPECT_OK(MPI_Info_set(copy, "mine", "1"));  // A copy may be changed.
  EXPECT_OK(MPI_Info_free(&copy));
}

void wrong_arguments() {
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  MPI_Info info, none = MPI_INFO_NULL;
  char value[8];
  int flag = 0, count = 0;
  EXPECT_OK(MPI_Info_create(&info));
  EXPECT_OK(MPI_Info_set(info, "key", "value"));
  std::string long_key(MPI_MAX_INFO_KEY + 1, 'k'), long_value(MPI_MAX_INFO_VAL + 1, 'v');
  EXPECT_CLASS(MPI_Info_delete(info, "none"), MPI_ERR_INFO_NOKEY);
  EXPECT_CLASS(MPI_Info_set(info, long_key.c_str(), "v"), MPI_ERR_INFO_KEY);
  EXPECT_CLASS(MPI_Info_set(info, "key", long_value.c_str()), MPI_ERR_INFO_VALUE);
  EXPECT_CLASS(MPI_Info_set(info, nullptr, "v"), MPI_ERR_INFO_KEY, MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Info_set(info, "", "v"), MPI_ERR_INFO_KEY);
  EXPECT_CLASS(MPI_Info_set(info, "key", nullptr), MPI_ERR_INFO_VALUE, MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Info_set(none, "key", "value"), MPI_ERR_INFO, MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Info_get(none, "key", 3, value, &flag), MPI_ERR_INFO, MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Info_get(info, long_key.c_str(), 3, value, &flag), MPI_ERR_INFO_KEY);
  EXPECT_CLASS(MPI_Info_get_nthkey(info, 1, value), MPI_ERR_ARG, MPI_ERR_INFO_KEY);
  EXPECT_CLASS(MPI_Info_get_nthkey(info, -1, value), MPI_ERR_ARG, MPI_ERR_INFO_KEY);
  EXPECT_CLASS(MPI_Info_get_nkeys(info, nullptr), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Info_get_nkeys(none, &count), MPI_ERR_INFO, MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Info_free(&none), MPI_ERR_INFO, MPI_ERR_ARG);
  if (check::library_is_tern())
    EXPECT_CLASS(MPI_Info_set(MPI_INFO_ENV, "key", "value"), MPI_ERR_INFO);
  EXPECT((contents(info) == Pairs{{"key", "value"}}));  // None of it changed anything.
  EXPECT_OK(MPI_Info_free(&info));
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_ARE_FATAL);
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv, {
    {"random_operations", random_operations}, {"longest_keys_and_values", longest_keys_and_values},
        {"get_truncates", get_truncates},
#if MPI_AT_LEAST(4, 0)
        {"get_string_reports_the_room_it_needs", get_string_reports_the_room_it_needs},
        {"environment_of_the_program", environment_of_the_program},
#endif
        {"environment_object", environment_object}, {
      "wrong_arguments", wrong_arguments
    }
  });
}
