// Error classes, codes and texts; error handlers and what reaches them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>
#include <vector>

#include "impl.h"
#include "mpi_api/comm.h"
#include "mpi_api/errhandler.h"
#include "mpi_api/errors.h"
#include "seed.h"

namespace tern::mpi {
namespace {

std::string string_of(int code) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = -1;
  EXPECT_EQ(impl::error_string(code, text.data(), &length), MPI_SUCCESS) << code;
  EXPECT_EQ(length, static_cast<int>(std::string(text.data()).size()));
  return text.data();
}

int class_of(int code) {
  int error_class = -1;
  return impl::error_class(code, &error_class) == MPI_SUCCESS ? error_class : -1;
}

TEST(ErrorClasses, EveryPredefinedClassIsItsOwnCodeAndHasANameAndAText) {
  for (int code = MPI_SUCCESS; code <= MPI_ERR_ABI; ++code) {
    EXPECT_EQ(class_of(code), code);
    EXPECT_GT(string_of(code).size(), error_name(code).size() + 4) << code;
    EXPECT_EQ(string_of(code).find(error_name(code) + ": "), 0U) << code;
  }
  EXPECT_EQ(error_name(MPI_ERR_TRUNCATE), "MPI_ERR_TRUNCATE");
}

TEST(ErrorClasses, UnknownCodesAreRefused) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  for (const int code : {-1, MPI_ERR_ABI + 1, static_cast<int>(MPI_ERR_LASTCODE), 1 << 30}) {
    EXPECT_EQ(class_of(code), -1) << code;
    EXPECT_EQ(impl::error_string(code, text.data(), &length), MPI_ERR_ARG) << code;
    EXPECT_EQ(impl::add_error_string(code, "text"), MPI_ERR_ARG) << code;
  }
}

TEST(ErrorClasses, AddedClassesAndCodesHaveTextsAndCountAsUsed) {
  int added_class = 0;
  int code = 0;
  ASSERT_EQ(impl::add_error_class(&added_class), MPI_SUCCESS);
  EXPECT_GT(added_class, MPI_ERR_LASTCODE);
  EXPECT_EQ(*last_used_code(), added_class);
  ASSERT_EQ(impl::add_error_code(added_class, &code), MPI_SUCCESS);
  EXPECT_GT(code, added_class);
  EXPECT_EQ(*last_used_code(), code);
  EXPECT_EQ(class_of(code), added_class);
  EXPECT_EQ(class_of(added_class), added_class);
  EXPECT_EQ(string_of(code), "") << "no text yet";
  ASSERT_EQ(impl::add_error_string(code, "the valve is shut"), MPI_SUCCESS);
  EXPECT_EQ(string_of(code), "the valve is shut");
  EXPECT_EQ(impl::remove_error_code(code), MPI_ERR_OTHER) << "still has a text";
  ASSERT_EQ(impl::remove_error_string(code), MPI_SUCCESS);
  EXPECT_EQ(impl::remove_error_string(code), MPI_ERR_ARG) << "has none any more";
  EXPECT_EQ(string_of(code), "");

  int code_of_predefined = 0;
  ASSERT_EQ(impl::add_error_code(MPI_ERR_IO, &code_of_predefined), MPI_SUCCESS);
  EXPECT_EQ(class_of(code_of_predefined), MPI_ERR_IO);
  EXPECT_EQ(impl::add_error_code(code, &code), MPI_ERR_ARG) << "a code is not a class";

  EXPECT_EQ(impl::remove_error_class(added_class), MPI_ERR_OTHER) << "still has a code";
  EXPECT_EQ(impl::remove_error_class(code), MPI_ERR_ARG);
  EXPECT_EQ(impl::remove_error_code(added_class), MPI_ERR_ARG);
  ASSERT_EQ(impl::remove_error_code(code), MPI_SUCCESS);
  EXPECT_EQ(class_of(code), -1);
  ASSERT_EQ(impl::remove_error_class(added_class), MPI_SUCCESS);
  EXPECT_EQ(class_of(added_class), -1);
  EXPECT_EQ(*last_used_code(), code_of_predefined);
  ASSERT_EQ(impl::remove_error_code(code_of_predefined), MPI_SUCCESS);
  EXPECT_EQ(*last_used_code(), MPI_ERR_LASTCODE);

  int later = 0;
  ASSERT_EQ(impl::add_error_class(&later), MPI_SUCCESS);
  EXPECT_GT(later, code_of_predefined) << "an old number must not get a new meaning";
  ASSERT_EQ(impl::remove_error_class(later), MPI_SUCCESS);
}

TEST(ErrorClasses, PredefinedOnesCannotBeChanged) {
  EXPECT_EQ(impl::add_error_string(MPI_ERR_COMM, "mine"), MPI_ERR_ARG);
  EXPECT_EQ(impl::remove_error_string(MPI_ERR_COMM), MPI_ERR_ARG);
  EXPECT_EQ(impl::remove_error_class(MPI_ERR_COMM), MPI_ERR_ARG);
  EXPECT_EQ(impl::remove_error_code(MPI_ERR_COMM), MPI_ERR_ARG);
}

TEST(ErrorClasses, TextsThatAreTooLongAreRefusedAndTheLongestFits) {
  int added = 0;
  impl::add_error_class(&added);
  const std::string longest(MPI_MAX_ERROR_STRING - 1, 'x');
  EXPECT_EQ(impl::add_error_string(added, (longest + "x").c_str()), MPI_ERR_ARG);
  ASSERT_EQ(impl::add_error_string(added, longest.c_str()), MPI_SUCCESS);
  EXPECT_EQ(string_of(added), longest);
  impl::remove_error_class(added);
}

TEST(ErrorClasses, ThreadsAddAndRemoveAtOnce) {
  std::vector<std::thread> threads;
  for (int id = 0; id < 4; ++id) {
    threads.emplace_back([] {
      for (int i = 0; i < 300; ++i) {
        int error_class = 0;
        int code = 0;
        EXPECT_EQ(impl::add_error_class(&error_class), MPI_SUCCESS);
        EXPECT_EQ(impl::add_error_code(error_class, &code), MPI_SUCCESS);
        EXPECT_EQ(impl::add_error_string(code, std::to_string(code).c_str()), MPI_SUCCESS);
        EXPECT_EQ(string_of(code), std::to_string(code));
        EXPECT_EQ(class_of(code), error_class);
        EXPECT_EQ(impl::remove_error_string(code), MPI_SUCCESS);
        EXPECT_EQ(impl::remove_error_code(code), MPI_SUCCESS);
        EXPECT_EQ(impl::remove_error_class(error_class), MPI_SUCCESS);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// --- From failure to handler ---------------------------------------------------------------------

struct Call {
  MPI_Comm comm;
  int code;
};
std::vector<Call> calls;

void record(MPI_Comm* comm, int* code, ...) { calls.push_back({*comm, *code}); }

class ErrorHandling : public testing::Test {
 protected:
  void SetUp() override {
    make_predefined_groups();
    calls.clear();
    comm_ = make_comm(100, make_group({{1, 0}, {1, 1}}, ProcessId{1, 1}));
    comm_->name = "ocean";
    ASSERT_EQ(impl::comm_set_errhandler(comm_, to_errhandler(MPI_ERRORS_RETURN)), MPI_SUCCESS);
  }
  void TearDown() override { comm_->release(); }

  Comm* comm_ = nullptr;
};

TEST_F(ErrorHandling, TheSentenceNamesFunctionCauseAndPlace) {
  const int error = fail(MPI_ERR_RANK, "dest is {}; ranks are 0 to {}", 7, 1);
  EXPECT_EQ(raise(comm_, error, "MPI_Send"), MPI_ERR_RANK);
  const std::string text = string_of(MPI_ERR_RANK);
  for (const std::string& part :
       {std::string("MPI_ERR_RANK: invalid rank"),
        std::string("MPI_Send: dest is 7; ranks are 0 to 1"),
        std::string("on rank 1 of ocean, host "), "pid " + std::to_string(getpid())}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST_F(ErrorHandling, OnlyTheClassOfTheLatestFailureHasItsSentence) {
  raise(comm_, fail(MPI_ERR_TAG, "tag is -5"), "MPI_Recv");
  EXPECT_NE(string_of(MPI_ERR_TAG).find("tag is -5"), std::string::npos);
  raise(comm_, fail(MPI_ERR_COUNT, "count is -1"), "MPI_Send");
  EXPECT_EQ(string_of(MPI_ERR_TAG).find("tag is -5"), std::string::npos);
  std::thread([] {
    EXPECT_EQ(string_of(MPI_ERR_COUNT).find("count is -1"), std::string::npos) << "another thread";
  }).join();
}

TEST_F(ErrorHandling, AnErrorWithoutASentenceDoesNotGetAnOldOne) {
  raise(comm_, fail(MPI_ERR_TYPE, "datatype is freed"), "MPI_Send");
  raise(comm_, MPI_ERR_TYPE, "MPI_Recv");
  const std::string text = string_of(MPI_ERR_TYPE);
  EXPECT_EQ(text.find("datatype is freed"), std::string::npos) << text;
  EXPECT_NE(text.find("MPI_Recv"), std::string::npos) << text;
}

TEST_F(ErrorHandling, LongSentencesAreCutToTheStandardsLength) {
  raise(comm_, fail(MPI_ERR_OTHER, "{}", std::string(5000, 'y')), "MPI_Init");
  EXPECT_EQ(string_of(MPI_ERR_OTHER).size(), MPI_MAX_ERROR_STRING - 1U);
}

TEST_F(ErrorHandling, TheProgramsFunctionIsCalledWithTheCommunicatorAndTheCode) {
  Errhandler* handler = nullptr;
  ASSERT_EQ(impl::comm_create_errhandler(record, &handler), MPI_SUCCESS);
  impl::comm_set_errhandler(comm_, handler);
  EXPECT_EQ(raise(comm_, fail(MPI_ERR_ROOT, "root is 9"), "MPI_Bcast"), MPI_ERR_ROOT);
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].comm, to_handle(comm_));
  EXPECT_EQ(calls[0].code, MPI_ERR_ROOT);

  // The communicator keeps a handler that the program has freed.
  MPI_Errhandler handle = to_handle(handler);
  const MPI_Errhandler stale = handle;
  ASSERT_EQ(impl::errhandler_free(&handle), MPI_SUCCESS);
  EXPECT_EQ(handle, MPI_ERRHANDLER_NULL);
  int code = 0;
  impl::add_error_code(MPI_ERR_IO, &code);
  EXPECT_EQ(impl::comm_call_errhandler(comm_, code), MPI_SUCCESS);
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[1].code, code);
  EXPECT_EQ(impl::comm_call_errhandler(comm_, code + 1), MPI_ERR_ARG);
  impl::remove_error_code(code);

  Errhandler* current = nullptr;
  ASSERT_EQ(impl::comm_get_errhandler(comm_, &current), MPI_SUCCESS);
  EXPECT_EQ(current, handler);
  current->release();
  impl::comm_set_errhandler(comm_, to_errhandler(MPI_ERRORS_RETURN));
  EXPECT_EQ(find_errhandler(stale), nullptr) << "last use gone";
}

TEST_F(ErrorHandling, PredefinedHandlersSurviveBeingFreed) {
  for (MPI_Errhandler predefined : {MPI_ERRORS_ARE_FATAL, MPI_ERRORS_ABORT, MPI_ERRORS_RETURN}) {
    for (int i = 0; i < 3; ++i) {
      MPI_Errhandler handle = predefined;
      ASSERT_EQ(impl::errhandler_free(&handle), MPI_SUCCESS);
    }
    EXPECT_NE(find_errhandler(predefined), nullptr);
  }
}

using ErrorHandlingDeathTest = ErrorHandling;

TEST_F(ErrorHandlingDeathTest, FatalErrorsEndTheProcessWithOneParagraphAndTheClassAsExitCode) {
  impl::comm_set_errhandler(comm_, to_errhandler(MPI_ERRORS_ARE_FATAL));
  EXPECT_EXIT(raise(comm_, fail(MPI_ERR_RANK, "dest is 7"), "MPI_Send"),
              testing::ExitedWithCode(MPI_ERR_RANK),
              "^tern: MPI_Send: dest is 7 \\(on rank 1 of ocean, host .*, pid [0-9]+\\) "
              "\\[MPI_ERR_RANK\\]\\. .*MPI_ERRORS_ARE_FATAL.*MPI_ERRORS_RETURN[^\n]*\n$");
  impl::comm_set_errhandler(comm_, to_errhandler(MPI_ERRORS_ABORT));
  EXPECT_EXIT(raise(comm_, fail(MPI_ERR_TAG, "tag is -5"), "MPI_Send"),
              testing::ExitedWithCode(MPI_ERR_TAG), "MPI_ERRORS_ABORT");
}

TEST_F(ErrorHandlingDeathTest, CallsOutsideInitAndFinalizeAreFatalUnlessTheLauncherSaysOtherwise) {
  EXPECT_EXIT(raise_uninitialized("MPI_Send"), testing::ExitedWithCode(MPI_ERR_OTHER),
              "MPI_Send: called before MPI_Init");
  EXPECT_EXIT(
      {
        setenv("TERN_JOB_ERRHANDLER", "mpi_errors_return", 1);
        _exit(raise_uninitialized("MPI_Send") == MPI_ERR_OTHER ? 42 : 1);
      },
      testing::ExitedWithCode(42), "^$");
}

TEST_F(ErrorHandlingDeathTest, AbortEndsWithTheProgramsCodeAndNeverWithSuccess) {
  EXPECT_EXIT(impl::abort(comm_, 3), testing::ExitedWithCode(3),
              "MPI_Abort .* code 3 \\(on rank 1 of ocean");
  EXPECT_EXIT(impl::abort(comm_, 0), testing::ExitedWithCode(1), "code 0");
  EXPECT_EXIT(impl::abort(comm_, 256), testing::ExitedWithCode(1), "code 256");
}

TEST_F(ErrorHandlingDeathTest, WhatTheProgramPrintedBeforeComesOut) {
  EXPECT_EXIT(
      {
        dup2(STDERR_FILENO, STDOUT_FILENO);
        std::printf("half a line");
        impl::abort(comm_, 3);
      },
      testing::ExitedWithCode(3), "^half a linetern: ");
}

}  // namespace
}  // namespace tern::mpi
