// mpi_api/repeated_receive.h - a receive for the library's own notes, posted again after each one.
//
// Threading: under the entry lock. Failure: a note that is lost or too long is not handed on.
#pragma once
#include <cstddef>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "core/engine.h"

namespace tern::mpi {

class RepeatedReceive final : private tern::Request {
 public:
  // Who sent it, with what rank and tag, and what. May be called by the constructor already.
  using Handler = std::function<void(Peer&, const Envelope&, std::span<const std::byte>)>;

  RepeatedReceive(Engine& engine, const Envelope& pattern, std::size_t bytes_max, Handler handler)
      : engine_(engine), pattern_(pattern), buffer_(bytes_max), handler_(std::move(handler)) {
    on_done = [](tern::Request& request) { static_cast<RepeatedReceive&>(request).take(); };
    post();
  }
  ~RepeatedReceive() { engine_.cancel_receive(*this); }
  RepeatedReceive(const RepeatedReceive&) = delete;
  RepeatedReceive& operator=(const RepeatedReceive&) = delete;

 private:
  void post() {
    engine_.receive(pattern_, DataView::bytes_at(buffer_.data(), buffer_.size()), *this);
  }

  void take() {
    arrived_ = true;
    if (handling_) return;  // post() is further up this stack.
    handling_ = true;
    while (std::exchange(arrived_, false)) {
      if (outcome == Outcome::kCancelled) return;
      if (outcome == Outcome::kOk) handler_(*peer, envelope, std::span(buffer_).first(bytes));
      post();
    }
    handling_ = false;
  }

  Engine& engine_;
  Envelope pattern_;
  std::vector<std::byte> buffer_;
  Handler handler_;
  bool handling_ = false;
  bool arrived_ = false;
};

}  // namespace tern::mpi
