// tests/mpi/check.h - the small harness that every MPI test program here is written with.
//
// A program is a list of named tests that all ranks run in the same order. EXPECT* count checks and
// failures and print one line per failure with rank, test, place and reason; check::main() adds the
// failures of all ranks up with plain blocking sends (so that it relies on as little as possible of
// what is under test), and every rank exits non-zero if any rank failed.
// The harness is not part of Tern: it needs only an MPI library (3.1 or newer), so that the same
// programs also run on another MPI, which is how the tests themselves are tested (run_with.py).
//
// Environment: TEST_SEED replays the random inputs (the seed in use is always printed), TEST_ONLY
// runs only the tests whose name contains it, TEST_TIMEOUT is the hang guard in seconds.
// Threading: EXPECT* may be used from several threads. Everything else is for the main thread.
// Failure: a failed check never stops a test; tests return early themselves where going on would
// hang.
#pragma once

#include <mpi.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <initializer_list>
#include <sstream>
#include <string>
#include <vector>

// True when the MPI library under test promises at least this version of the standard.
#define MPI_AT_LEAST(major, minor) \
  (MPI_VERSION > (major) || (MPI_VERSION == (major) && MPI_SUBVERSION >= (minor)))

namespace check {

inline int rank = 0;                    // In MPI_COMM_WORLD.
inline int size = 1;                    // Of MPI_COMM_WORLD.
inline std::uint64_t seed = 0;          // The same on every rank.
inline const char* test_name = "init";  // The test that runs now, for messages.
inline std::atomic<long> checks{0};
inline std::atomic<long> failures{0};

// What a test program returns when it cannot be run here (ctest's SKIP_RETURN_CODE).
inline constexpr int kSkip = 77;

[[gnu::format(printf, 3, 4)]] inline void fail(const char* file, int line, const char* format,
                                               ...) {
  constexpr long kPrintedMax = 20;  // Enough to see the pattern; a broken loop must not print 1 GB.
  long count = ++failures;
  if (count > kPrintedMax) return;
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  const char* slash = std::strrchr(file, '/');
  std::fprintf(stderr, "FAILED [rank %d of %d] %s:%d %s: %s%s\n", rank, size,
               slash ? slash + 1 : file, line, test_name, text,
               count == kPrintedMax ? " (further failures of this rank are only counted)" : "");
}

inline std::string error_name(int error) {
  char text[MPI_MAX_ERROR_STRING + 1] = "";
  int length = 0;
  if (MPI_Error_string(error, text, &length) != MPI_SUCCESS) return std::to_string(error);
  return std::to_string(error) + " (" + text + ")";
}

inline int error_class(int error) {
  int result = -1;
  MPI_Error_class(error, &result);
  return result;
}

template <typename A, typename B>
bool expect_equal(const A& actual, const B& expected, const char* what, const char* file,
                  int line) {
  ++checks;
  if (actual == expected) return true;
  std::ostringstream text;
  text << what << " is " << +actual << ", expected " << +expected;
  fail(file, line, "%s", text.str().c_str());
  return false;
}

inline bool expect_equal(const std::string& actual, const std::string& expected, const char* what,
                         const char* file, int line) {
  ++checks;
  if (actual == expected) return true;
  fail(file, line, "%s is \"%s\", expected \"%s\"", what, actual.c_str(), expected.c_str());
  return false;
}

inline bool expect_ok(int error, const char* what, const char* file, int line) {
  ++checks;
  if (error == MPI_SUCCESS) return true;
  fail(file, line, "%s failed: %s", what, error_name(error).c_str());
  return false;
}

// The call must fail with one of the given error classes (more than one only where versions of the
// standard, or the standard's silence, allow it).
inline bool expect_class(int error, std::initializer_list<int> classes, const char* what,
                         const char* file, int line) {
  ++checks;
  int actual = error_class(error);
  if (std::find(classes.begin(), classes.end(), actual) != classes.end()) return true;
  if (error == MPI_SUCCESS) {
    fail(file, line, "%s succeeded, expected class %s", what, error_name(*classes.begin()).c_str());
  } else {
    fail(file, line, "%s failed with class %d: %s, expected class %s", what, actual,
         error_name(error).c_str(), error_name(*classes.begin()).c_str());
  }
  return false;
}

// Each yields true when the expectation held.
#define EXPECT(condition) \
  (++check::checks, (condition) ? true : (check::fail(__FILE__, __LINE__, "%s", #condition), false))
#define EXPECT_EQ(actual, expected) \
  check::expect_equal((actual), (expected), #actual, __FILE__, __LINE__)
#define EXPECT_OK(call) check::expect_ok((call), #call, __FILE__, __LINE__)
#define EXPECT_CLASS(call, ...) \
  check::expect_class((call), {__VA_ARGS__}, #call, __FILE__, __LINE__)
// For loops and tables: says in printf style what was being tried.
#define EXPECT_MSG(condition, ...) \
  (++check::checks, (condition) ? true : (check::fail(__FILE__, __LINE__, __VA_ARGS__), false))

inline std::uint64_t mix(std::uint64_t x) {  // splitmix64's finalizer: a good 64-bit hash.
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// A stream of random numbers that is a pure function of the run's seed and the given keys: any rank
// can recompute what any other rank drew.
class Random {
 public:
  template <typename... Keys>
  explicit Random(Keys... keys) : state_(mix(seed)) {
    ((state_ = mix(state_ ^ static_cast<std::uint64_t>(keys))), ...);
  }
  std::uint64_t next() { return mix(state_++); }
  // Uniform in [0, n), n > 0.
  int below(int n) { return static_cast<int>(next() % static_cast<std::uint64_t>(n)); }
  // Uniform in [low, high].
  int between(int low, int high) { return low + below(high - low + 1); }
  bool chance(int percent) { return below(100) < percent; }
  template <typename T>
  const T& pick(const std::vector<T>& values) {
    return values[below(static_cast<int>(values.size()))];
  }
  template <typename T>
  void shuffle(std::vector<T>& values) {
    for (std::size_t i = values.size(); i > 1; --i) {
      std::swap(values[i - 1], values[below(static_cast<int>(i))]);
    }
  }

 private:
  std::uint64_t state_;
};

// The version string of the library that runs (not the one that was compiled against).
inline std::string library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING + 1] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);
  return text;
}
inline bool library_is_tern() { return library_version().find("Tern") != std::string::npos; }
// True on another MPI that is known to get the matter at hand wrong: the check is then left out
// there, so that the rest of the program still validates. Tern never gets this indulgence.
inline bool library_is(const char* name) {
  return !library_is_tern() && library_version().find(name) != std::string::npos;
}

struct Test {
  const char* name;
  void (*run)();
};

// The hang guard. A stuck rank says where and ends; the launcher then ends the others.
inline void on_alarm(int) {
  char text[256];
  int length =
      std::snprintf(text, sizeof text, "FAILED [rank %d of %d] %s: hangs (TEST_SEED=%llu)\n", rank,
                    size, test_name, static_cast<unsigned long long>(seed));
  ssize_t ignored = write(2, text, length);
  (void)ignored;
  _exit(124);
}

inline void start_hang_guard() {
  const char* limit = std::getenv("TEST_TIMEOUT");
  signal(SIGALRM, on_alarm);
  alarm(limit ? std::atoi(limit) : 120);
}

// Rank 0 chooses the seed; plain sends carry it to the others.
inline void agree_on_seed(const char* program) {
  unsigned long long value = 0;
  if (rank == 0) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const char* given = std::getenv("TEST_SEED");
    value = given ? std::strtoull(given, nullptr, 10)
                  : mix(now.tv_sec * 1000000000ull + now.tv_nsec) % 1000000000;
    for (int to = 1; to < size; ++to) {
      MPI_Send(&value, 1, MPI_UNSIGNED_LONG_LONG, to, 0, MPI_COMM_WORLD);
    }
    const char* slash = std::strrchr(program, '/');
    std::printf("%s: %d ranks, TEST_SEED=%llu\n", slash ? slash + 1 : program, size, value);
    std::fflush(stdout);
  } else {
    MPI_Recv(&value, 1, MPI_UNSIGNED_LONG_LONG, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }
  seed = value;
}

// Sums {checks, failures} over all ranks with plain sends to rank 0 and back.
inline void sum_over_ranks(long totals[2]) {
  constexpr int kTag = 32766;  // Within every library's MPI_TAG_UB and used by no test.
  if (rank == 0) {
    for (int from = 1; from < size; ++from) {
      long part[2];
      MPI_Recv(part, 2, MPI_LONG, from, kTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      totals[0] += part[0];
      totals[1] += part[1];
    }
    for (int to = 1; to < size; ++to) MPI_Send(totals, 2, MPI_LONG, to, kTag, MPI_COMM_WORLD);
  } else {
    MPI_Send(totals, 2, MPI_LONG, 0, kTag, MPI_COMM_WORLD);
    MPI_Recv(totals, 2, MPI_LONG, 0, kTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }
}

inline void run_tests(const std::vector<Test>& tests) {
  const char* only = std::getenv("TEST_ONLY");
  for (const Test& test : tests) {
    if (only && !std::strstr(test.name, only)) continue;
    test_name = test.name;
    test.run();
  }
  test_name = "finish";
}

// Runs the tests, finalizes, and returns the exit code. A program in which not one check was made
// on any rank fails: it has tested nothing.
inline int run_and_finish(const std::vector<Test>& tests) {
  run_tests(tests);
  long totals[2] = {checks, failures};
  sum_over_ranks(totals);
  MPI_Finalize();
  bool empty = totals[0] == 0;
  if (rank == 0) {
    std::printf("%s: %ld checks, %ld failures\n", totals[1] || empty ? "FAILED" : "passed",
                totals[0], totals[1]);
    std::fflush(stdout);
  }
  return totals[1] || empty ? 1 : 0;
}

// Initializes MPI without any communication.
inline bool start(int argc, char** argv, int thread_level) {
  start_hang_guard();
  int provided = 0;
  if (MPI_Init_thread(&argc, &argv, thread_level, &provided) != MPI_SUCCESS) return false;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (provided < thread_level) {
    fail(__FILE__, __LINE__, "asked for thread level %d, got %d", thread_level, provided);
  }
  return true;
}

// The whole of a test program's main().
inline int main(int argc, char** argv, const std::vector<Test>& tests,
                int thread_level = MPI_THREAD_SINGLE) {
  if (!start(argc, argv, thread_level)) return 1;
  agree_on_seed(argv[0]);
  return run_and_finish(tests);
}

}  // namespace check
