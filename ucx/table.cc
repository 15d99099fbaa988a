// ucx/table.cc - loads libucp; see table.h.
#include "ucx/table.h"

#include <dlfcn.h>
#include <signal.h>
#include <unistd.h>

#include <array>

#include "core/format.h"

namespace tern::ucx {
namespace {

constexpr char kLibrary[] = "libucp.so.0";
// What the active messages with a header of their own and UCP_OP_ATTR_* need.
constexpr unsigned kMajor = 1;
constexpr unsigned kMinor = 13;

// UCX catches these when it is loaded, to print a trace. What the program does about them is the
// program's own business.
class SignalKeeper {
 public:
  SignalKeeper() {
    for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], nullptr, &before_[i]);
  }
  ~SignalKeeper() {
    for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before_[i], nullptr);
  }
  SignalKeeper(const SignalKeeper&) = delete;
  SignalKeeper& operator=(const SignalKeeper&) = delete;

 private:
  static constexpr std::array kSignals = {SIGILL, SIGSEGV, SIGBUS, SIGFPE};
  std::array<struct sigaction, kSignals.size()> before_{};
};

template <class Function>
void find(void* library, Function& function, const char* name, std::string& missing) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr && missing.empty()) missing = name;
}

bool fill(void* library, UcpTable& table, std::string& why) {
  std::string missing;
  find(library, table.get_version, "ucp_get_version", missing);
  find(library, table.config_read, "ucp_config_read", missing);
  find(library, table.config_modify, "ucp_config_modify", missing);
  find(library, table.config_release, "ucp_config_release", missing);
  find(library, table.init_version, "ucp_init_version", missing);
  find(library, table.cleanup, "ucp_cleanup", missing);
  find(library, table.worker_create, "ucp_worker_create", missing);
  find(library, table.worker_destroy, "ucp_worker_destroy", missing);
  find(library, table.worker_query, "ucp_worker_query", missing);
  find(library, table.release_address, "ucp_worker_release_address", missing);
  find(library, table.worker_progress, "ucp_worker_progress", missing);
  find(library, table.worker_get_efd, "ucp_worker_get_efd", missing);
  find(library, table.worker_arm, "ucp_worker_arm", missing);
  find(library, table.worker_set_am_recv_handler, "ucp_worker_set_am_recv_handler", missing);
  find(library, table.ep_create, "ucp_ep_create", missing);
  find(library, table.ep_close_nbx, "ucp_ep_close_nbx", missing);
  find(library, table.am_send_nbx, "ucp_am_send_nbx", missing);
  find(library, table.request_check_status, "ucp_request_check_status", missing);
  find(library, table.request_free, "ucp_request_free", missing);
  find(library, table.status_string, "ucs_status_string", missing);
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  if (table.get_version != nullptr) table.get_version(&major, &minor, &release);
  if (!missing.empty() || major != kMajor || minor < kMinor) {
    why = format("{} is of UCX {}.{}; UCX {}.{} or a newer {}.x is needed", kLibrary, major, minor,
                 kMajor, kMinor, kMajor);
    return false;
  }
  return true;
}

// What UCX thinks of a failed connection is in our sentence; it would print it among the program's
// output. The function is not part of UCX's public interface, so it may be missing.
void quiet_log(void* library) {
  using SetOption = ucs_status_t (*)(const char*, const char*);
  const auto set = reinterpret_cast<SetOption>(dlsym(library, "ucs_global_opts_set_value"));
  if (set != nullptr && !user_has_set("LOG_LEVEL")) (void)set("LOG_LEVEL", "fatal");
}

}  // namespace

const UcpTable* load_ucp(std::string& why) {
  static UcpTable table;
  static bool loaded = false;
  if (loaded) return &table;
  const SignalKeeper keeper;
  void* const library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    why = format("{} cannot be loaded ({}); install UCX's libraries", kLibrary, dlerror());
    return nullptr;
  }
  if (!fill(library, table, why)) return nullptr;
  quiet_log(library);
  loaded = true;
  return &table;
}

bool user_has_set(std::string_view name) {
  for (char* const* entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    std::string_view text(*entry);
    if (!text.starts_with("UCX_")) continue;
    text.remove_prefix(4);
    if (text.starts_with(name) && text.substr(name.size()).starts_with('=')) return true;
  }
  return false;
}

}  // namespace tern::ucx
