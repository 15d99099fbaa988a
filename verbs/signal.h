// verbs/signal.h - datagrams between fabrics: one UD queue pair per process.
//
// The only queue pair that exists before something is sent. Datagrams may be lost; that is
// core/connector.h's business. Threading: one thread at a time; the channel's descriptor may be
// watched by another. Failure: send() drops what it cannot send.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verbs/port.h"
#include "verbs/slots.h"

namespace tern::verbs {

// Where another fabric listens.
struct SignalAddress {
  PortAddress port;
  std::uint32_t qp_number = 0;
  std::string encode() const;
  static bool decode(std::string_view text, SignalAddress& address);
};

struct Datagram {
  std::span<const std::byte> message;
  std::string_view card;
};

class SignalQueue {
 public:
  static std::unique_ptr<SignalQueue> create(const Port& port, ibv_pd* pd, std::string& why);
  ~SignalQueue();
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;

  SignalAddress address() const { return {port_.address(), qp_->qp_num}; }
  // What message and card together may have.
  std::size_t bytes_max() const { return payload_bytes_ - kHeadBytes; }

  // handle: from the caller's earlier sends to this address, or nullptr; made and kept by the
  // caller, freed by forget().
  void send(const SignalAddress& to, ibv_ah*& handle, const Datagram& datagram);
  void forget(ibv_ah*& handle);

  // Takes the next datagram; false when there is none. What it shows stays valid until release().
  bool receive(Datagram& datagram, Slot*& slot);
  void release(Slot& slot);

  // Readable after arm() when something arrives; then read_event() is to be called.
  int event_fd() const { return channel_->fd; }
  void arm() { ibv_req_notify_cq(cq_, 0); }
  void read_event();

 private:
  static constexpr std::size_t kHeadBytes = 8;
  static constexpr std::size_t kGrhBytes = 40;  // In front of each datagram received.
  static constexpr int kReceives = 64;
  static constexpr int kSends = 32;

  SignalQueue(const Port& port, ibv_pd* pd);
  bool start(std::string& why);
  bool post_receive(Slot& slot);

  const Port& port_;
  const IbvTable& table_;
  ibv_pd* pd_;
  std::size_t payload_bytes_;
  SlotPool receive_slots_;
  SlotPool send_slots_;
  int sends_free_ = kSends;
  ibv_comp_channel* channel_ = nullptr;
  ibv_cq* cq_ = nullptr;
  ibv_qp* qp_ = nullptr;
};

}  // namespace tern::verbs
