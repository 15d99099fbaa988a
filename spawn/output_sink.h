// spawn/output_sink.h - one destination of relayed output: mpiexec's stdout or stderr.
//
// Takes pieces from many streams, keeps what the destination does not take yet, and never blocks
// mpiexec: a reader that stands still must not make Ctrl-C or a rank's death go unnoticed.
// Threading: one thread. Failure: once the destination is gone everything is dropped.
#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "spawn/event_loop.h"

namespace tern::spawn {

class OutputSink {
 public:
  // Above kHighBytes the sources should pause; on_drained() says when to go on.
  static constexpr std::size_t kHighBytes = 256 * 1024;
  static constexpr std::size_t kLowBytes = 64 * 1024;

  // `fd` stays the caller's. on_error gets errno, once.
  OutputSink(EventLoop& loop, int fd, std::function<void()> on_drained,
             std::function<void(int error_number)> on_error);
  ~OutputSink();
  OutputSink(const OutputSink&) = delete;
  OutputSink& operator=(const OutputSink&) = delete;

  // Bytes as they are.
  void write(std::string_view bytes);
  // A piece of text of `source` (any value that tells streams apart), with `prefix` before every
  // new line. Starts on a new line when another source left its line unfinished.
  void write_piece(const void* source, std::string_view prefix, std::string_view piece);

  bool full() const { return waiting_bytes() > kHighBytes; }
  bool empty() const { return waiting_bytes() == 0; }
  bool broken() const { return broken_; }

 private:
  std::size_t waiting_bytes() const { return queue_.size() - written_; }
  void push(bool ready);
  void fail(int error_number);

  EventLoop& loop_;
  int fd_;
  std::function<void()> on_drained_;
  std::function<void(int)> on_error_;
  std::string queue_;
  std::size_t written_ = 0;
  bool watched_ = false;  // Waiting for room.
  bool was_full_ = false;
  bool broken_ = false;
  const void* unfinished_ = nullptr;  // Whose line is not ended yet.
};

}  // namespace tern::spawn
