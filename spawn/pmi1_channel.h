// spawn/pmi1_channel.h - mpiexec's end of one rank's PMI socket.
//
// Moves bytes only: lines in to a handler, text out, never blocking mpiexec on a rank that does not
// read. Threading: one thread. Failure: a rank that is gone or talks nonsense closes the channel.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "spawn/event_loop.h"
#include "spawn/pmi1_line.h"

namespace tern::spawn {

class Pmi1Channel {
 public:
  using OnLine = std::function<void(std::string_view line)>;

  Pmi1Channel() = default;
  ~Pmi1Channel();
  Pmi1Channel(const Pmi1Channel&) = delete;
  Pmi1Channel& operator=(const Pmi1Channel&) = delete;

  // Makes the socket pair and returns the rank's end, which the caller closes; -1 with errno set on
  // failure. Lines arrive from inside the loop and from receive_all().
  int open(EventLoop& loop, OnLine on_line);

  // Queues what the socket does not take at once.
  void send(std::string_view text);
  // Reads everything that has arrived. For a rank that has just ended: its last words may be there.
  void receive_all();
  void close();

 private:
  // A client that asks and asks and never reads is cut off here.
  static constexpr std::size_t kUnsentBytesMax = 64U << 20;

  void on_event(std::uint32_t events);
  bool receive();  // One read. False: nothing more for now.
  void flush();

  EventLoop* loop_ = nullptr;
  OnLine on_line_;
  int fd_ = -1;
  LineReader reader_;
  std::string unsent_;
  bool wants_out_ = false;
};

}  // namespace tern::spawn
