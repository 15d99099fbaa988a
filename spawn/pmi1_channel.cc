// spawn/pmi1_channel.cc - see pmi1_channel.h.
#include "spawn/pmi1_channel.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace tern::spawn {

Pmi1Channel::~Pmi1Channel() { close(); }

int Pmi1Channel::open(EventLoop& loop, OnLine on_line) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return -1;
  loop_ = &loop;
  on_line_ = std::move(on_line);
  fd_ = ends[0];
  loop.add(fd_, EPOLLIN, [this](std::uint32_t events) { on_event(events); });
  return ends[1];
}

void Pmi1Channel::close() {
  if (fd_ < 0) return;
  loop_->remove(fd_);
  ::close(fd_);
  fd_ = -1;
}

void Pmi1Channel::on_event(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) flush();
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) receive();
}

void Pmi1Channel::receive_all() {
  while (receive()) {
  }
}

bool Pmi1Channel::receive() {
  if (fd_ < 0) return false;
  const LineReader::Fill fill = reader_.fill(fd_);
  if (fill == LineReader::Fill::kNothing) return false;
  while (auto line = reader_.next()) on_line_(*line);
  if (fill == LineReader::Fill::kData) return true;
  close();
  return false;
}

void Pmi1Channel::send(std::string_view text) {
  if (fd_ < 0) return;
  const bool was_empty = unsent_.empty();
  unsent_ += text;
  if (was_empty) flush();
  if (unsent_.size() > kUnsentBytesMax) close();
}

void Pmi1Channel::flush() {
  while (fd_ >= 0 && !unsent_.empty()) {
    const ssize_t sent = ::send(fd_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      unsent_.erase(0, static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!std::exchange(wants_out_, true)) loop_->change(fd_, EPOLLIN | EPOLLOUT);
      return;
    } else if (errno != EINTR) {
      unsent_.clear();  // The rank is gone; its exit says the rest.
      return;
    }
  }
  if (fd_ >= 0 && std::exchange(wants_out_, false)) loop_->change(fd_, EPOLLIN);
}

}  // namespace tern::spawn
