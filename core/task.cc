// core/task.cc - see task.h.
#include "core/task.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "core/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace tern {
namespace {

// The deepest calls need a tenth of it; what is not used takes no memory.
constexpr std::size_t kStackBytes = std::size_t{512} << 10;

std::size_t guard_bytes() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

}  // namespace

std::unique_ptr<Task> Task::make(std::function<void()> body) {
  std::unique_ptr<Task> task(new Task(std::move(body)));
  void* const memory = ::mmap(nullptr, guard_bytes() + kStackBytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  task->stack_ = static_cast<std::byte*>(memory) + guard_bytes();
  if (::mprotect(memory, guard_bytes(), PROT_NONE) != 0 || ::getcontext(&task->own_) != 0) {
    return nullptr;
  }
  task->own_.uc_stack.ss_sp = task->stack_;
  task->own_.uc_stack.ss_size = kStackBytes;
  task->own_.uc_link = nullptr;
  // makecontext hands on ints only.
  const auto self = reinterpret_cast<std::uintptr_t>(task.get());
  ::makecontext(&task->own_, reinterpret_cast<void (*)()>(&Task::begin), 2,
                static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
#if defined(__SANITIZE_THREAD__)
  task->own_fiber_ = __tsan_create_fiber(0);
#endif
  return task;
}

Task::~Task() {
  if (stack_ != nullptr) ::munmap(stack_ - guard_bytes(), guard_bytes() + kStackBytes);
#if defined(__SANITIZE_THREAD__)
  if (own_fiber_ != nullptr) __tsan_destroy_fiber(own_fiber_);
#endif
}

void Task::begin(unsigned high, unsigned low) {
  auto* const task = reinterpret_cast<Task*>(static_cast<std::uintptr_t>(high) << 32 | low);
  task->entered();
  task->body_();
  task->body_ = nullptr;
  task->over_ = true;
  task->suspend();
  CHECK(false);  // Nobody resumes a task that is over.
}

void Task::resume() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&back_fake_stack_, stack_, kStackBytes);
#endif
#if defined(__SANITIZE_THREAD__)
  back_fiber_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(own_fiber_, 0);
#endif
  CHECK(::swapcontext(&back_, &own_) == 0);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(back_fake_stack_, nullptr, nullptr);
#endif
}

// The thread sanitizer follows calls and returns on each stack: what tells it of a change must be
// in the function that makes the change.
void Task::suspend() {
#if defined(__SANITIZE_ADDRESS__)
  // A task that is over does not come back.
  __sanitizer_start_switch_fiber(over_ ? nullptr : &own_fake_stack_, back_stack_,
                                 back_stack_bytes_);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(back_fiber_, 0);
#endif
  CHECK(::swapcontext(&own_, &back_) == 0);
  entered();
}

void Task::entered() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(own_fake_stack_, &back_stack_, &back_stack_bytes_);
#endif
}

}  // namespace tern
