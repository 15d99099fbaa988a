// spawn/output_sink.cc - see output_sink.h.
#include "spawn/output_sink.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace tern::spawn {
namespace {

// The descriptor is shared with whoever started mpiexec, so it must stay as it is: blocking. A pipe
// that reports room takes this much without blocking (PIPE_BUF); terminals are drained by people.
constexpr std::size_t kWriteBytes = 4096;

}  // namespace

OutputSink::OutputSink(EventLoop& loop, int fd, std::function<void()> on_drained,
                       std::function<void(int)> on_error)
    : loop_(loop), fd_(fd), on_drained_(std::move(on_drained)), on_error_(std::move(on_error)) {}

OutputSink::~OutputSink() {
  if (watched_) loop_.remove(fd_);
}

void OutputSink::write(std::string_view bytes) {
  if (broken_ || bytes.empty()) return;
  queue_ += bytes;
  was_full_ = was_full_ || full();
  push(false);
}

void OutputSink::write_piece(const void* source, std::string_view prefix, std::string_view piece) {
  std::string text;
  if (unfinished_ != source) {
    if (unfinished_ != nullptr) text += '\n';
    text += prefix;
  }
  text += piece;
  unfinished_ = piece.ends_with('\n') ? nullptr : source;
  write(text);
}

void OutputSink::push(bool ready) {
  if (watched_ && !ready) return;
  if (!watched_) {
    watched_ = loop_.add(fd_, EPOLLOUT, [this](std::uint32_t) { push(true); });
    if (watched_) return;  // Else it is a regular file, which always has room.
  }
  do {
    const std::size_t size = std::min(watched_ ? kWriteBytes : waiting_bytes(), waiting_bytes());
    const ssize_t done = ::write(fd_, queue_.data() + written_, size);
    if (done < 0 && errno != EINTR && errno != EAGAIN) {
      fail(errno);
      return;
    }
    if (done > 0) written_ += static_cast<std::size_t>(done);
  } while (!watched_ && !empty());
  if (empty()) {
    queue_.clear();
    written_ = 0;
    if (watched_) loop_.remove(fd_);
    watched_ = false;
  } else if (written_ > kHighBytes) {
    queue_.erase(0, written_);
    written_ = 0;
  }
  if (was_full_ && waiting_bytes() < kLowBytes) {
    was_full_ = false;
    on_drained_();
  }
}

void OutputSink::fail(int error_number) {
  broken_ = true;
  queue_.clear();
  written_ = 0;
  if (watched_) loop_.remove(fd_);
  watched_ = false;
  on_error_(error_number);
  on_drained_();  // Paused sources must run into the end, not stay paused.
}

}  // namespace tern::spawn
