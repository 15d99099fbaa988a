// core/check.h - the one place where Tern ends the process on purpose.
//
// CHECK guards what only a defect in Tern can break. It stays on in release builds. What a user,
// a peer or the system can cause is never a CHECK: that is a Result, an Outcome or an MPI error.
#pragma once

namespace tern {

[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace tern

// A macro, because the condition's text and place are the message.
#define CHECK(condition)                        \
  (__builtin_expect(!!(condition), 1) ? (void)0 \
                                      : ::tern::check_failed(#condition, __FILE__, __LINE__))
