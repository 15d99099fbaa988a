// spawn/environment.h - the environment that ranks are started with.
//
// Built once per part of an MPMD command line; only a handful of entries differ from rank to rank.
// Threading: none. Failure: none.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tern::spawn {

// What the command line asks of the environment. Later entries of `set` win.
struct EnvironmentWish {
  bool inherit_none = false;               // -envnone, -genvnone
  std::vector<std::string> inherit_only;   // -envlist, -genvlist; empty: everything
  std::vector<std::string> inherit_extra;  // -x NAME: from mpiexec's environment even so; NAME*
  std::vector<std::pair<std::string, std::string>> set;
};

// What is the same in all ranks of a job.
struct JobFacts {
  std::uint64_t job_id = 0;
  std::string kvs_name;
  int size = 1;
  int universe_size = 1;
  std::string initial_errhandler;
};

class RankEnvironment {
 public:
  // `inherited` is mpiexec's own environment. Variables that an outer launcher set for mpiexec are
  // left out: they would tell the rank that it is somebody else. Names of -x that do not exist are
  // added to `missing`.
  RankEnvironment(char* const* inherited, const EnvironmentWish& wish, const JobFacts& facts,
                  int appnum, std::vector<std::string>& missing);

  // The environment of one rank, lent until the next call. `channel` is the inode number of the
  // socket that the rank gets as descriptor `pmi_fd`.
  char* const* for_rank(int rank, int pmi_fd, std::uint64_t channel);

  // The value that ranks see, or nullptr.
  const char* get(const std::string& name) const;

 private:
  void set(const std::string& name, const std::string& value);

  std::vector<std::string> common_;
  std::vector<std::string> own_;  // Those of the rank at hand.
  std::vector<char*> pointers_;
};

}  // namespace tern::spawn
