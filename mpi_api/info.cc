// mpi_api/info.cc - info objects and the MPI_Info_ functions (MPI-5.0 chapter 10).
#include "mpi_api/info.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>

#include "impl.h"
#include "mpi_api/errors.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

auto with_key(auto& entries, std::string_view key) {
  return std::find_if(entries.begin(), entries.end(),
                      [key](const Info::Entry& entry) { return entry.key == key; });
}

// The words of this process's command line.
std::vector<std::string> command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
  return words;
}

// What is known about how this process was started (table of section 11.5.3). The keys soft,
// file and thread_level are only there when a launcher was told them, which this one never is.
std::vector<Info::Entry> environment_of(const std::vector<std::string>& words) {
  std::vector<Info::Entry> entries;
  const auto add = [&entries](const char* key, std::string value) {
    if (!value.empty() && value.size() < MPI_MAX_INFO_VAL) {
      entries.push_back({key, std::move(value)});
    }
  };
  if (!words.empty()) {
    add("command", words[0]);
    std::string arguments;
    for (std::size_t i = 1; i < words.size(); ++i) arguments += (i > 1 ? " " : "") + words[i];
    add("argv", arguments);
  }
  const auto& wireup = runtime().wireup;
  add("maxprocs", std::to_string(wireup == nullptr ? 1 : wireup->info().size));
  utsname system{};
  if (uname(&system) == 0) {
    add("host", system.nodename);
    add("arch", system.machine);
  }
  std::array<char, MPI_MAX_INFO_VAL> directory;
  if (getcwd(directory.data(), directory.size()) != nullptr) add("wdir", directory.data());
  return entries;
}

int refuse_environment(const Info& info) {
  if (!info.predefined()) return MPI_SUCCESS;
  return fail(MPI_ERR_INFO,
              "MPI_INFO_ENV can be read but not changed or freed; MPI_Info_dup gives "
              "a copy that can");
}

// Copies text and a terminating NUL to a buffer of capacity characters; what is too long is cut.
void copy_text(std::string_view text, char* buffer, std::size_t capacity) {
  const std::size_t length = std::min(text.size(), capacity - 1);
  std::memcpy(buffer, text.data(), length);
  buffer[length] = '\0';
}

}  // namespace

std::optional<std::string> Info::get(std::string_view key) const {
  const std::lock_guard lock(lock_);
  const auto at = with_key(entries_, key);
  return at == entries_.end() ? std::nullopt : std::optional(at->value);
}

void Info::set(std::string_view key, std::string_view value) {
  const std::lock_guard lock(lock_);
  const auto at = with_key(entries_, key);
  if (at != entries_.end()) {
    at->value = value;
  } else {
    entries_.push_back({std::string(key), std::string(value)});
  }
}

bool Info::remove(std::string_view key) {
  const std::lock_guard lock(lock_);
  const auto at = with_key(entries_, key);
  if (at == entries_.end()) return false;
  entries_.erase(at);
  return true;
}

std::optional<std::string> Info::key(int n) const {
  const std::lock_guard lock(lock_);
  if (n < 0 || n >= static_cast<int>(entries_.size())) return std::nullopt;
  return entries_[static_cast<std::size_t>(n)].key;
}

int Info::size() const {
  const std::lock_guard lock(lock_);
  return static_cast<int>(entries_.size());
}

std::vector<Info::Entry> Info::entries() const {
  const std::lock_guard lock(lock_);
  return entries_;
}

void make_predefined_infos() {
  const auto handle = reinterpret_cast<std::uintptr_t>(MPI_INFO_ENV);
  if (predefined_objects[handle] != nullptr) return;
  alignas(Info) static std::byte storage[sizeof(Info)];
  (::new (storage) Info(environment_of(command_line())))->make_predefined(handle);
}

namespace impl {

int info_create(Info** info) { return hand_over(make<Info>(), "an info object", info); }

int info_create_env(int argc, char* argv[], Info** info) {
  std::vector<std::string> words;
  if (argv != nullptr) {
    // argc may count more than there is: argv ends with a null pointer as that of main does.
    for (int i = 0; i < argc && argv[i] != nullptr; ++i) words.emplace_back(argv[i]);
  }
  if (words.empty()) words = command_line();
  return hand_over(make<Info>(environment_of(words)), "an info object", info);
}

int info_dup(Info* info, Info** newinfo) {
  return hand_over(make<Info>(info->entries()), "an info object", newinfo);
}

int info_free(MPI_Info* info) {
  Info* const object = to_info(*info);
  if (const int error = refuse_environment(*object)) return error;
  object->release();
  *info = MPI_INFO_NULL;
  return MPI_SUCCESS;
}

int info_set(Info* info, const char* key, const char* value) {
  if (const int error = refuse_environment(*info)) return error;
  info->set(key, value);
  return MPI_SUCCESS;
}

int info_delete(Info* info, const char* key) {
  if (const int error = refuse_environment(*info)) return error;
  if (info->remove(key)) return MPI_SUCCESS;
  return fail(MPI_ERR_INFO_NOKEY, "key is \"{}\", which the info object does not have", key);
}

int info_get_string(Info* info, const char* key, int* buflen, char* value, int* flag) {
  const std::optional<std::string> found = info->get(key);
  *flag = found.has_value();
  if (!found) return MPI_SUCCESS;  // buflen and value stay as they are.
  if (*buflen < 0) {
    return fail(MPI_ERR_ARG, "buflen is {}; allowed are 0 and more", *buflen);
  }
  if (*buflen > 0) {
    if (value == nullptr) {
      return fail(MPI_ERR_ARG, "value is a null pointer, but buflen is {}", *buflen);
    }
    copy_text(*found, value, static_cast<std::size_t>(*buflen));
  }
  *buflen = static_cast<int>(found->size()) + 1;
  return MPI_SUCCESS;
}

int info_get_nkeys(Info* info, int* nkeys) {
  *nkeys = info->size();
  return MPI_SUCCESS;
}

int info_get_nthkey(Info* info, int n, char* key) {
  const std::optional<std::string> found = info->key(n);
  if (!found) {
    return fail(MPI_ERR_ARG, "n is {}, but the info object has {} keys, counted from 0", n,
                info->size());
  }
  copy_text(*found, key, MPI_MAX_INFO_KEY);
  return MPI_SUCCESS;
}

int info_get(Info* info, const char* key, int valuelen, char* value, int* flag) {
  const std::optional<std::string> found = info->get(key);
  *flag = found.has_value();
  // valuelen does not count the terminating NUL.
  if (found) copy_text(*found, value, static_cast<std::size_t>(valuelen) + 1);
  return MPI_SUCCESS;
}

int info_get_valuelen(Info* info, const char* key, int* valuelen, int* flag) {
  const std::optional<std::string> found = info->get(key);
  *flag = found.has_value();
  if (found) *valuelen = static_cast<int>(found->size());
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
