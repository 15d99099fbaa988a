// verbs/rail.h - a second port, which takes a share of large transfers: its device, and what its
// queue pairs share.
//
// There is one when TERN_VERBS_DEVICES names more than one port that works. Messages never take it:
// a connection's order is that of its first queue pair. Threading: one thread at a time. Failure: a
// sentence for people, or no queue pair, without which the first port does all.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>

#include "verbs/port.h"
#include "verbs/wire.h"

namespace tern::verbs {

class Rail {
 public:
  // Nothing when no second port is named, or works; `why` then says why not.
  static std::unique_ptr<Rail> create(const IbvTable& table, const PortOptions& options,
                                      const Port& first, std::string& why);
  ~Rail();  // Precondition: its queue pairs and registrations are gone.
  Rail(const Rail&) = delete;
  Rail& operator=(const Rail&) = delete;

  const Port& port() const { return *port_; }
  ibv_pd* pd() const { return pd_; }

  // Makes a queue pair for transfers; nullptr when there is none to be had.
  ibv_qp* make_qp(std::uint32_t segments_max);
  RailAddress address_of(const ibv_qp& qp, std::uint32_t packet_number) const;
  bool connect(ibv_qp* qp, std::uint32_t packet_number, const RailAddress& remote) const;
  // `index`: of the link, whose completions are dropped.
  void destroy(ibv_qp* qp, std::uint32_t index);
  int poll(std::span<ibv_wc> done);

 private:
  explicit Rail(std::unique_ptr<Port> port) : port_(std::move(port)), table_(port_->table()) {}
  bool make_room();

  std::unique_ptr<Port> port_;
  const IbvTable& table_;
  ibv_pd* pd_ = nullptr;
  ibv_cq* cq_ = nullptr;
  std::uint32_t entries_ = 0;
  std::uint32_t queue_pairs_ = 0;
  std::deque<ibv_wc> stashed_;  // Completions that were taken before their turn.
};

}  // namespace tern::verbs
