// core/task.h - work that waits like blocking code, beside the program and without a thread.
//
// A task has a stack of its own. It runs when the engine progresses; where it would block, it
// returns to the engine and goes on there once what it waits for has come. So one text serves a
// blocking call (run on the program's stack) and its non-blocking form (run as a task).
//
// Threading: one thread at a time, not always the same one; what a task does must not depend on the
// thread. Failure: make() gives nullptr when there is no memory for a stack. No exception may leave
// a task.
#pragma once
#include <ucontext.h>

#include <cstddef>
#include <functional>
#include <memory>

namespace tern {

class Task {
 public:
  static std::unique_ptr<Task> make(std::function<void()> body);
  // One that is not over is dropped where it waits: what its stack refers to stays as it is.
  ~Task();
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  // Runs it until it waits or is over. Precondition: it is not over, and nothing or something that
  // holds is waited for.
  void resume();
  bool is_over() const { return over_; }
  // Whether what it waits for has come. Precondition: it was resumed once and is not over.
  bool can_go_on() const { return holds_(condition_); }

  // Called by the task itself: returns once condition() holds, which is asked by can_go_on().
  template <class Condition>
  void wait(Condition& condition) {
    condition_ = &condition;
    holds_ = [](void* asked) { return (*static_cast<Condition*>(asked))(); };
    suspend();
  }

 private:
  explicit Task(std::function<void()> body) : body_(std::move(body)) {}
  static void begin(unsigned high, unsigned low);
  void suspend();
  // Tells the address sanitizer that the stack has changed to this one.
  void entered();

  std::function<void()> body_;
  bool (*holds_)(void* condition) = nullptr;
  void* condition_ = nullptr;
  bool over_ = false;
  std::byte* stack_ = nullptr;  // With an inaccessible page below.
  ucontext_t own_{};
  ucontext_t back_{};  // Where resume() was called.
  // Of the sanitizers: what they know of the two stacks.
  void* own_fiber_ = nullptr;
  void* back_fiber_ = nullptr;
  void* own_fake_stack_ = nullptr;
  void* back_fake_stack_ = nullptr;
  const void* back_stack_ = nullptr;
  std::size_t back_stack_bytes_ = 0;
};

}  // namespace tern
