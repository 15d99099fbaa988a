// spawn/name_service.h - published names: a directory of small files that jobs of one user share.
//
// A name is a file that its publisher keeps locked as long as it lives. The kernel drops the lock
// with the process, however it ends, so a name whose file is not locked is dead, and whoever meets
// it removes it: no server, and nothing to clean up. On a file system that several hosts share,
// names are seen from all of them. Not all of these show locks to other hosts: there a name of
// another host counts until somebody on that host finds it dead.
// Threading: one thread at a time. Failure: an Answer with a sentence.
#pragma once
#include <map>
#include <string>
#include <string_view>

namespace tern::spawn {

class NameService {
 public:
  enum class Code { kOk, kTaken, kUnknown, kNotOurs, kBadName, kSystem };
  struct Answer {
    Code code = Code::kOk;
    std::string text;  // lookup: the port. Failures: a sentence.
  };

  // `directory` is used as it is; empty: a private one of this user, made when it is needed.
  explicit NameService(std::string directory) : directory_(std::move(directory)) {}
  // Withdraws everything that this object published.
  ~NameService();
  NameService(const NameService&) = delete;
  NameService& operator=(const NameService&) = delete;

  Answer publish(std::string_view name, std::string_view port);
  Answer unpublish(std::string_view name, std::string_view port);
  Answer lookup(std::string_view name);

 private:
  struct Published {
    int fd;  // Holds the lock.
    std::string port;
  };

  Answer find_directory();
  std::string path_of(std::string_view name) const;

  std::string directory_;
  bool checked_ = false;
  std::map<std::string, Published, std::less<>> published_;
};

}  // namespace tern::spawn
