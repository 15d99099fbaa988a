// spawn/stdin_relay.cc - see stdin_relay.h.
#include "spawn/stdin_relay.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace tern::spawn {
namespace {

constexpr std::size_t kPieceBytes = 64 * 1024;

// A background job that reads its terminal is stopped by the kernel; mpiexec must not be.
bool may_read() { return ::isatty(STDIN_FILENO) == 0 || ::tcgetpgrp(STDIN_FILENO) == ::getpgrp(); }

}  // namespace

StdinRelay::~StdinRelay() {
  if (reading_) loop_.remove(STDIN_FILENO);
  for (Target& target : targets_) close(target);
}

int StdinRelay::add_rank() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return -1;
  ::fcntl(ends[1], F_SETFL, O_NONBLOCK);
  targets_.push_back({.pipe = ends[1]});
  return ends[0];
}

void StdinRelay::start() {
  if (!ended_ && !reading_) next_if_all_done();
}

void StdinRelay::next_if_all_done() {
  while (!ended_) {
    const auto busy = [this](const Target& t) { return t.pipe >= 0 && t.written < piece_.size(); };
    const auto open = [](const Target& t) { return t.pipe >= 0; };
    if (std::ranges::any_of(targets_, busy) || !may_read()) return;
    if (std::ranges::none_of(targets_, open)) {
      ended_ = true;
      return;
    }
    reading_ = loop_.add(STDIN_FILENO, EPOLLIN, [this](std::uint32_t) {
      loop_.remove(STDIN_FILENO);
      reading_ = false;
      if (may_read()) read_piece();
      next_if_all_done();
    });
    if (reading_) return;
    read_piece();  // A regular file: always ready.
  }
}

void StdinRelay::read_piece() {
  piece_.resize(kPieceBytes);
  ssize_t got;
  do {
    got = ::read(STDIN_FILENO, piece_.data(), piece_.size());
  } while (got < 0 && errno == EINTR);
  piece_.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  if (got < 0 && errno == EAGAIN) return;
  ended_ = got <= 0;
  for (Target& target : targets_) {
    target.written = 0;
    if (ended_)
      close(target);
    else
      push(target);
  }
}

void StdinRelay::push(Target& target) {
  while (target.pipe >= 0 && target.written < piece_.size()) {
    const ssize_t done =
        ::write(target.pipe, piece_.data() + target.written, piece_.size() - target.written);
    if (done >= 0) {
      target.written += static_cast<std::size_t>(done);
    } else if (errno == EAGAIN) {
      if (target.watched) return;
      const auto index = static_cast<std::size_t>(&target - targets_.data());
      target.watched = loop_.add(target.pipe, EPOLLOUT, [this, index](std::uint32_t) {
        push(targets_[index]);
        next_if_all_done();
      });
      return;
    } else if (errno != EINTR) {
      close(target);
    }
  }
  if (target.watched) loop_.remove(target.pipe);
  target.watched = false;
}

void StdinRelay::close(Target& target) {
  if (target.pipe < 0) return;
  if (target.watched) loop_.remove(target.pipe);
  target.watched = false;
  ::close(target.pipe);
  target.pipe = -1;
}

}  // namespace tern::spawn
