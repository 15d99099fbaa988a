// Info objects by the rules of MPI-5.0 chapter 10.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>
#include <vector>

#include "impl.h"
#include "mpi_api/errors.h"
#include "mpi_api/info.h"
#include "seed.h"

namespace tern::mpi {
namespace {

class InfoTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { make_predefined_infos(); }
  void SetUp() override { ASSERT_EQ(impl::info_create(&info_), MPI_SUCCESS); }
  void TearDown() override { info_->release(); }

  static std::string key_at(Info* info, int n) {
    std::array<char, MPI_MAX_INFO_KEY> key{};
    return impl::info_get_nthkey(info, n, key.data()) == MPI_SUCCESS ? key.data() : "(none)";
  }
  static std::string value_of(Info* info, const char* key) {
    std::array<char, MPI_MAX_INFO_VAL> value{};
    int length = value.size();
    int flag = 0;
    EXPECT_EQ(impl::info_get_string(info, key, &length, value.data(), &flag), MPI_SUCCESS);
    return flag != 0 ? value.data() : "(none)";
  }

  Info* info_ = nullptr;
};

TEST_F(InfoTest, KeysKeepTheOrderInWhichTheyWereFirstSet) {
  for (const char* key : {"b", "a", "c"}) impl::info_set(info_, key, key);
  impl::info_set(info_, "a", "again");
  int count = 0;
  impl::info_get_nkeys(info_, &count);
  EXPECT_EQ(count, 3);
  EXPECT_EQ(key_at(info_, 0) + key_at(info_, 1) + key_at(info_, 2), "bac");
  EXPECT_EQ(value_of(info_, "a"), "again");
  ASSERT_EQ(impl::info_delete(info_, "b"), MPI_SUCCESS);
  EXPECT_EQ(key_at(info_, 0) + key_at(info_, 1), "ac");
  EXPECT_EQ(value_of(info_, "b"), "(none)");
}

TEST_F(InfoTest, KeysAreCaseSensitiveAndSpacesCount) {
  impl::info_set(info_, "Key", "1");
  impl::info_set(info_, "key", "2");
  impl::info_set(info_, " key", "3");
  EXPECT_EQ(value_of(info_, "Key") + value_of(info_, "key") + value_of(info_, " key"), "123");
}

TEST_F(InfoTest, WrongKeysAndPositionsAreErrors) {
  std::array<char, MPI_MAX_INFO_KEY> key{};
  EXPECT_EQ(impl::info_delete(info_, "absent"), MPI_ERR_INFO_NOKEY);
  EXPECT_NE(last_failure(MPI_ERR_INFO_NOKEY).find("absent"), std::string_view::npos);
  EXPECT_EQ(impl::info_get_nthkey(info_, 0, key.data()), MPI_ERR_ARG);
  impl::info_set(info_, "present", "");
  EXPECT_EQ(impl::info_get_nthkey(info_, 0, key.data()), MPI_SUCCESS);
  EXPECT_EQ(impl::info_get_nthkey(info_, 1, key.data()), MPI_ERR_ARG);
  EXPECT_EQ(impl::info_get_nthkey(info_, -1, key.data()), MPI_ERR_ARG);
}

TEST_F(InfoTest, GetStringCutsAtTheBufferAndReportsWhatWouldFit) {
  impl::info_set(info_, "key", "12345");
  for (int capacity = 0; capacity <= 8; ++capacity) {
    std::array<char, 9> value;
    value.fill('#');
    int length = capacity;
    int flag = 0;
    ASSERT_EQ(impl::info_get_string(info_, "key", &length, value.data(), &flag), MPI_SUCCESS);
    EXPECT_EQ(flag, 1);
    EXPECT_EQ(length, 6);
    std::string expected(9, '#');
    const std::string kept =
        std::string("12345").substr(0, static_cast<std::size_t>(std::max(capacity - 1, 0)));
    if (capacity > 0) expected.replace(0, kept.size() + 1, kept + '\0');
    EXPECT_EQ(std::string(value.data(), value.size()), expected) << capacity;
  }
  int length = 0;
  int flag = 0;
  EXPECT_EQ(impl::info_get_string(info_, "key", &length, nullptr, &flag), MPI_SUCCESS);
  EXPECT_EQ(length, 6);
  EXPECT_EQ(impl::info_get_string(info_, "key", &length, nullptr, &flag), MPI_ERR_ARG);
  length = 7;
  EXPECT_EQ(impl::info_get_string(info_, "other", &length, nullptr, &flag), MPI_SUCCESS);
  EXPECT_EQ(flag, 0);
  EXPECT_EQ(length, 7);
}

TEST_F(InfoTest, DeprecatedGetCountsWithoutTheTerminator) {
  impl::info_set(info_, "key", "12345");
  std::array<char, 8> value;
  value.fill('#');
  int flag = 0;
  ASSERT_EQ(impl::info_get(info_, "key", 3, value.data(), &flag), MPI_SUCCESS);
  EXPECT_EQ(std::string(value.data(), 5), std::string("123\0#", 5));
  ASSERT_EQ(impl::info_get(info_, "key", 5, value.data(), &flag), MPI_SUCCESS);
  EXPECT_STREQ(value.data(), "12345");
  int length = 0;
  impl::info_get_valuelen(info_, "key", &length, &flag);
  EXPECT_EQ(length, 5);
  impl::info_get_valuelen(info_, "other", &length, &flag);
  EXPECT_EQ(flag, 0);
}

TEST_F(InfoTest, ADuplicateHasTheSameOrderAndALifeOfItsOwn) {
  impl::info_set(info_, "b", "1");
  impl::info_set(info_, "a", "2");
  Info* copy = nullptr;
  ASSERT_EQ(impl::info_dup(info_, &copy), MPI_SUCCESS);
  impl::info_set(info_, "a", "changed");
  impl::info_delete(info_, "b");
  EXPECT_EQ(key_at(copy, 0) + key_at(copy, 1), "ba");
  EXPECT_EQ(value_of(copy, "b") + value_of(copy, "a"), "12");
  MPI_Info handle = to_handle(copy);
  EXPECT_EQ(impl::info_free(&handle), MPI_SUCCESS);
  EXPECT_EQ(handle, MPI_INFO_NULL);
}

TEST_F(InfoTest, RandomHistoriesEndAsTheModelSays) {
  test::Random random;
  std::vector<std::pair<std::string, std::string>> model;
  for (int step = 0; step < 5000; ++step) {
    const std::string key = "key" + std::to_string(random.below(30));
    const auto at = std::find_if(model.begin(), model.end(),
                                 [&key](const auto& entry) { return entry.first == key; });
    if (random.one_in(3)) {
      const int expected = at == model.end() ? MPI_ERR_INFO_NOKEY : MPI_SUCCESS;
      ASSERT_EQ(impl::info_delete(info_, key.c_str()), expected);
      if (at != model.end()) model.erase(at);
    } else {
      const std::string value(random.below(20), static_cast<char>('a' + random.below(26)));
      ASSERT_EQ(impl::info_set(info_, key.c_str(), value.c_str()), MPI_SUCCESS);
      if (at != model.end())
        at->second = value;
      else
        model.emplace_back(key, value);
    }
    int count = 0;
    impl::info_get_nkeys(info_, &count);
    ASSERT_EQ(count, static_cast<int>(model.size()));
    for (int n = 0; n < count; ++n) {
      const auto& [name, value] = model[static_cast<std::size_t>(n)];
      ASSERT_EQ(key_at(info_, n), name);
      ASSERT_EQ(value_of(info_, name.c_str()), value);
    }
  }
}

TEST_F(InfoTest, TheEnvironmentSaysHowTheProgramWasStartedAndCannotBeChanged) {
  Info* const environment = to_info(MPI_INFO_ENV);
  EXPECT_NE(value_of(environment, "command"), "(none)");
  std::array<char, 1024> directory{};
  ASSERT_NE(getcwd(directory.data(), directory.size()), nullptr);
  EXPECT_EQ(value_of(environment, "wdir"), directory.data());
  EXPECT_EQ(value_of(environment, "maxprocs"), "1");
  EXPECT_EQ(impl::info_set(environment, "host", "x"), MPI_ERR_INFO);
  EXPECT_EQ(impl::info_delete(environment, "host"), MPI_ERR_INFO);
  MPI_Info handle = MPI_INFO_ENV;
  EXPECT_EQ(impl::info_free(&handle), MPI_ERR_INFO);
  EXPECT_EQ(handle, MPI_INFO_ENV);
}

TEST_F(InfoTest, CreateEnvTakesTheArgumentsItIsGiven) {
  std::string program = "./solver";
  std::string option = "-n";
  std::string number = "7";
  char* argv[] = {program.data(), option.data(), number.data(), nullptr};
  Info* made = nullptr;
  ASSERT_EQ(impl::info_create_env(3, argv, &made), MPI_SUCCESS);
  EXPECT_EQ(value_of(made, "command"), "./solver");
  EXPECT_EQ(value_of(made, "argv"), "-n 7");
  made->release();
  ASSERT_EQ(impl::info_create_env(0, nullptr, &made), MPI_SUCCESS);
  EXPECT_NE(value_of(made, "command").find("mpi_objects"), std::string::npos) << "this program";
  made->release();
}

TEST_F(InfoTest, ManyThreadsMayUseOneObject) {
  std::vector<std::thread> threads;
  for (int id = 0; id < 4; ++id) {
    threads.emplace_back([this, id] {
      const std::string key = "key" + std::to_string(id);
      for (int i = 0; i < 500; ++i) {
        impl::info_set(info_, key.c_str(), std::to_string(i).c_str());
        EXPECT_EQ(value_of(info_, key.c_str()), std::to_string(i));
        Info* copy = nullptr;
        EXPECT_EQ(impl::info_dup(info_, &copy), MPI_SUCCESS);
        copy->release();
        if (i % 5 == 0) {
          EXPECT_EQ(impl::info_delete(info_, key.c_str()), MPI_SUCCESS);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(info_->size(), 4);
}

}  // namespace
}  // namespace tern::mpi
