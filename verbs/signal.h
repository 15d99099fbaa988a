// verbs/signal.h - datagrams between fabrics: one UD queue pair per process.
//
// The only queue pair that exists before something is sent. Datagrams may be lost; that is
// core/connector.h's business. A device puts the queue pair into error when it cannot send, as
// while a link is down; it is then started again, with its number, which others know. Threading:
// one thread at a time; the channel's descriptor may be watched by another. Failure: send() drops
// what it cannot send.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verbs/cm.h"
#include "verbs/port.h"
#include "verbs/slots.h"
#include "verbs/wire.h"

namespace tern::verbs {

// Where another fabric listens.
struct SignalAddress {
  PortAddress port;
  std::uint32_t qp_number = 0;
  CmAddress cm = {};  // Port 0: it does not use librdmacm.
  Path path = {};     // Of who has sent to us: the way that it came.
  std::string encode() const;
  static bool decode(std::string_view text, SignalAddress& address);
};

struct Datagram {
  std::span<const std::byte> message;
  std::string_view card;
  SignalAddress from = {};  // Of what is received.
};

class SignalQueue {
 public:
  // `cm`: with librdmacm; nullptr: without.
  static std::unique_ptr<SignalQueue> create(Port& port, ibv_pd* pd, const CmTable* cm,
                                             std::string& why);
  ~SignalQueue();
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;

  SignalAddress address() const {
    return {port_.address(), qp_->qp_num, cm_ != nullptr ? cm_->address() : CmAddress{}, {}};
  }
  // What message and card together may have.
  std::size_t bytes_max() const { return payload_bytes_ - kHeadBytes; }

  // While the way to there is looked for, the last datagram to each waits for that.
  void send(const SignalAddress& to, const Datagram& datagram);
  // Finds the way to processes that use the same port before somebody waits for it.
  void find_own_way() { (void)way_to(port_.address(), {}); }
  // The way to a process that datagrams have been exchanged with.
  ibv_ah_attr route_to(const SignalAddress& to) const;

  // Takes the next datagram; false when there is none. What it shows stays valid until release(),
  // which comes before the next receive().
  bool receive(Datagram& datagram, Slot*& slot);
  void release(Slot& slot);

  // Readable after arm() when something arrives; then read_event() is to be called.
  int event_fd() const { return channel_->fd; }
  void arm() { ibv_req_notify_cq(cq_, kOnlyWhatArrives); }
  void read_event();
  // Likewise of librdmacm, without arming; -1: it is not used.
  int cm_event_fd() const { return cm_ != nullptr ? cm_->event_fd() : -1; }
  // Noticed when something could not be sent.
  bool device_gone() const { return device_gone_; }
  // What keeps librdmacm from finding a way; empty: nothing.
  std::string problem() const { return cm_ != nullptr ? cm_->problem() : std::string(); }

 private:
  static constexpr std::size_t kHeadBytes = sizeof(DatagramHead);
  static constexpr std::size_t kGrhBytes = 40;  // In front of each datagram received.
  static constexpr int kOnlyWhatArrives = 1;    // And errors: "solicited" in the words of verbs.
  static constexpr int kReceives = 64;
  static constexpr int kSends = 32;

  SignalQueue(Port& port, ibv_pd* pd);
  bool open(std::string& why);
  bool start(std::string& why);
  bool start_again();
  bool post_receive(Slot& slot);
  void reap();
  ibv_ah* way_to(const PortAddress& port, const Path& path);
  void send_what_waited();
  void forget_ways();

  Port& port_;
  const IbvTable& table_;
  ibv_pd* pd_;
  std::size_t payload_bytes_;
  SlotPool receive_slots_;
  SlotPool send_slots_;
  std::vector<Slot*> receives_;    // All of them,
  const Slot* lent_ = nullptr;     // and the one that the caller looks at.
  std::deque<ibv_wc> arrived_;     // Those of them that receive() will show.
  std::vector<Slot*> sends_;       // All of them,
  std::vector<Slot*> free_sends_;  // and those that are not under way.
  bool failed_ = false;            // The queue pair is in error.
  bool device_gone_ = false;
  ibv_comp_channel* channel_ = nullptr;
  ibv_cq* cq_ = nullptr;
  ibv_qp* qp_ = nullptr;
  // To each port that was sent to, whatever number of processes are there.
  using WayKey = std::array<std::uint8_t, 20>;
  std::map<WayKey, ibv_ah*> ways_;

  struct Waiting {
    SignalAddress to;
    std::vector<std::byte> message;
    std::string card;
  };
  std::unique_ptr<PathFinder> cm_;
  std::map<CmAddress, Waiting> waiting_;  // For its path.
};

}  // namespace tern::verbs
