// verbs/memory_hooks.cc - libucm, loaded when needed; see memory_hooks.h.
#include "verbs/memory_hooks.h"

#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucm/api/ucm.h>
#include <unistd.h>

#include <atomic>
#include <iterator>
#include <mutex>

namespace tern::verbs {
namespace {

using SetHandler = decltype(&ucm_set_event_handler);

std::mutex mutex;  // Of watch_memory() and unwatch_memory().
std::atomic<RegistrationCache*> watcher{nullptr};
std::atomic<int> calls_inside{0};        // Of on_unmapped(), while they may use the watcher.
std::atomic<const void*> last{nullptr};  // The address of the latest call: whether hooks work.

// Called before the memory goes, from any place that gives memory back: nothing here may allocate.
void on_unmapped(ucm_event_type_t, ucm_event_t* event, void*) {
  calls_inside.fetch_add(1);  // Before the load, or unwatch_memory() would not see this call.
  last.store(event->vm_unmapped.address, std::memory_order_relaxed);
  if (RegistrationCache* const cache = watcher.load()) {
    cache->invalidate(event->vm_unmapped.address, event->vm_unmapped.size);
  }
  calls_inside.fetch_sub(1);
}

// UCX's base library replaces the handlers of fatal signals when it is loaded. Those are the
// program's.
class SignalsKept {
 public:
  SignalsKept() {
    for (std::size_t i = 0; i < std::size(kSignals); ++i)
      sigaction(kSignals[i], nullptr, &before_[i]);
  }
  ~SignalsKept() {
    for (std::size_t i = 0; i < std::size(kSignals); ++i)
      sigaction(kSignals[i], &before_[i], nullptr);
  }
  SignalsKept(const SignalsKept&) = delete;
  SignalsKept& operator=(const SignalsKept&) = delete;

 private:
  static constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGHUP, SIGUSR1};
  struct sigaction before_[std::size(kSignals)] = {};
};

// Installs the handler, once per process.
bool install(const char* library, std::string& why) {
  static bool is_installed = false;
  if (is_installed) return true;
  const SignalsKept kept;
  // The hooks patch the C library, so they must never be unloaded.
  void* const handle = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    const char* const text = dlerror();
    why =
        std::string("cannot load ") + library + ": " + (text != nullptr ? text : "no reason given");
    return false;
  }
  const auto set_handler = reinterpret_cast<SetHandler>(dlsym(handle, "ucm_set_event_handler"));
  if (set_handler == nullptr) {
    why = std::string(library) + " has no ucm_set_event_handler";
    return false;
  }
  constexpr int kPriority = -1000;  // Before the memory is gone, and before others act on that.
  const ucs_status_t status = set_handler(UCM_EVENT_VM_UNMAPPED, kPriority, on_unmapped, nullptr);
  if (status != UCS_OK) {
    why = std::string(library) + " cannot watch the memory of this process (status " +
          std::to_string(static_cast<int>(status)) + ")";
    return false;
  }
  is_installed = true;
  return true;
}

// Whether a munmap() of this process arrives here: it does not where functions cannot be patched.
bool works() {
  const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* const page = mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return false;
  last = nullptr;
  munmap(page, size);
  return last == page;
}

}  // namespace

bool watch_memory(RegistrationCache& cache, std::string& why, const char* library) {
  const std::lock_guard lock(mutex);
#if defined(__SANITIZE_THREAD__)
  why = "ThreadSanitizer gives memory back with its own locks held, which a hook must not see";
  return false;
#endif
  if (watcher != nullptr) {
    why = "another registration cache is watching already";
    return false;
  }
  if (!install(library, why)) return false;
  if (!works()) {
    why = std::string(library) + " is loaded, but does not see memory being unmapped";
    return false;
  }
  watcher = &cache;
  return true;
}

void unwatch_memory(RegistrationCache& cache) {
  const std::lock_guard lock(mutex);
  if (watcher != &cache) return;
  watcher = nullptr;
  while (calls_inside != 0) sched_yield();  // A few instructions each.
}

}  // namespace tern::verbs
