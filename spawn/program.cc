// spawn/program.cc - see program.h.
#include "spawn/program.h"

#include <sys/stat.h>
#include <unistd.h>
#include "core/format.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>

namespace tern::spawn {
namespace {

std::string in_directory(const std::string& directory, const std::string& file) {
  return directory.empty() || file.starts_with('/') ? file : directory + "/" + file;
}

bool is_file(const std::string& path, struct stat& status) {
  return ::stat(path.c_str(), &status) == 0 && !S_ISDIR(status.st_mode);
}

// A file with that name is there; can it be started?
Problem check_executable(const std::string& path, const std::string& command) {
  if (::access(path.c_str(), X_OK) == 0) return {};
  return {
      tern::format("'{}' is not executable. If it is a program, type: chmod +x {}", command, path),
      ExitCode::kNotExecutable};
}

Problem find_by_path_name(const std::string& command, const std::string& directory,
                          std::string& file) {
  file = in_directory(directory, command);
  struct stat status;
  if (::stat(file.c_str(), &status) != 0) {
    const ExitCode code = errno == EACCES ? ExitCode::kNotExecutable : ExitCode::kNotFound;
    return {tern::format("the program '{}' cannot be found: {}", file, std::strerror(errno)), code};
  }
  if (S_ISDIR(status.st_mode)) {
    return {tern::format("'{}' is a directory, not a program", file), ExitCode::kNotExecutable};
  }
  return check_executable(file, command);
}

}  // namespace

Problem find_program(const std::string& command, const std::string& path,
                     const std::string& directory, std::string& file) {
  if (command.find('/') != std::string::npos) return find_by_path_name(command, directory, file);
  struct stat status;
  std::string refused;  // Found, but not executable.
  std::string_view rest = path;
  while (!command.empty() && !rest.empty()) {
    const std::size_t colon = rest.find(':');
    const std::string folder(rest.substr(0, colon));
    const std::string candidate =
        in_directory(directory, folder.empty() ? "." : folder) + "/" + command;
    if (is_file(candidate, status)) {
      if (::access(candidate.c_str(), X_OK) == 0) {
        file = candidate;
        return {};
      }
      if (refused.empty()) refused = candidate;
    }
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  const std::string here = in_directory(directory, "./" + command);
  if (is_file(here, status)) {
    file = here;
    return check_executable(here, here);
  }
  if (!refused.empty()) return check_executable(refused, refused);
  return {tern::format("the program '{}' is neither in PATH nor in {}", command,
                       directory.empty() ? "the current directory" : "'" + directory + "'"),
          ExitCode::kNotFound};
}

bool is_script(const std::string& file, const std::string& directory) {
  std::ifstream stream(in_directory(directory, file), std::ios::binary);
  std::array<char, 256> start{};
  stream.read(start.data(), start.size());
  const std::string_view text(start.data(), static_cast<std::size_t>(stream.gcount()));
  return text.find('\0') == std::string_view::npos;
}

Problem check_directory(const std::string& directory) {
  struct stat status;
  const char* why = nullptr;
  if (::stat(directory.c_str(), &status) != 0)
    why = std::strerror(errno);
  else if (!S_ISDIR(status.st_mode))
    why = "it is not a directory";
  else if (::access(directory.c_str(), X_OK) != 0)
    why = std::strerror(errno);
  if (why == nullptr) return {};
  return {tern::format("cannot use the working directory '{}' (-wdir): {}", directory, why),
          ExitCode::kFailure};
}

}  // namespace tern::spawn
