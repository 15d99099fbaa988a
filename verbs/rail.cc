// verbs/rail.cc - see rail.h.
#include "verbs/rail.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/format.h"
#include "verbs/constants.h"
#include "verbs/queue_pair.h"

namespace tern::verbs {

std::unique_ptr<Rail> Rail::create(const IbvTable& table, const PortOptions& options,
                                   const Port& first, std::string& why) {
  PortOptions others = options;
  others.devices = devices_behind(options.devices, first);
  if (others.devices.empty()) return nullptr;
  std::unique_ptr<Port> port = Port::open(table, others, why);
  if (port == nullptr) return nullptr;
  std::unique_ptr<Rail> rail(new Rail(std::move(port)));
  rail->pd_ = table.alloc_pd(rail->port_->context());
  if (rail->pd_ != nullptr) {
    rail->entries_ = kRailEntriesFirst;
    rail->cq_ = table.create_cq(rail->port_->context(), kRailEntriesFirst, nullptr, nullptr, 0);
  }
  if (rail->cq_ != nullptr) return rail;
  why = format("{} cannot be used ({})", rail->port_->text(), std::strerror(errno));
  return nullptr;
}

Rail::~Rail() {
  if (cq_ != nullptr) table_.destroy_cq(cq_);
  if (pd_ != nullptr) table_.dealloc_pd(pd_);
}

bool Rail::make_room() {
  const std::uint32_t needed = (queue_pairs_ + 1) * kRailQueueEntries;
  if (needed <= entries_) return true;
  const std::uint32_t larger = std::max(needed, 2 * entries_);
  if (table_.resize_cq(cq_, static_cast<int>(larger)) != 0) return false;
  entries_ = larger;
  return true;
}

ibv_qp* Rail::make_qp(std::uint32_t segments_max) {
  if (!make_room()) return nullptr;
  ibv_qp_init_attr make{};
  make.send_cq = make.recv_cq = cq_;
  make.cap.max_send_wr = kRailQueueEntries;
  make.cap.max_send_sge = segments_max;
  make.qp_type = IBV_QPT_RC;
  ibv_qp* const qp = table_.create_qp(pd_, &make);
  if (qp == nullptr) return nullptr;
  ++queue_pairs_;
  if (initialize_qp(*port_, qp) == 0) return qp;
  table_.destroy_qp(qp);
  --queue_pairs_;
  return nullptr;
}

RailAddress Rail::address_of(const ibv_qp& qp, std::uint32_t packet_number) const {
  const PortAddress& own = port_->address();
  return {own.gid,
          qp.qp_num,
          packet_number,
          own.lid,
          own.gid_type,
          static_cast<std::uint8_t>(own.ethernet),
          static_cast<std::uint8_t>(port_->attributes().active_mtu),
          reads_served(*port_),
          0};
}

bool Rail::connect(ibv_qp* qp, std::uint32_t packet_number, const RailAddress& remote) const {
  PortAddress where;
  where.ethernet = remote.ethernet != 0;
  where.gid_type = remote.gid_type;
  where.lid = remote.lid;
  where.gid = remote.gid;
  const PortAddress& own = port_->address();
  if (own.network() != where.network()) return false;
  return connect_qp(*port_, qp, packet_number,
                    {port_->route_to(where, {}), remote.qp_number, remote.packet_number, remote.mtu,
                     remote.reads}) == 0;
}

void Rail::destroy(ibv_qp* qp, std::uint32_t index) {
  table_.destroy_qp(qp);
  --queue_pairs_;
  const auto is_own = [index](const ibv_wc& done) { return (done.wr_id & 0xffffff) == index; };
  std::erase_if(stashed_, is_own);
  ibv_wc done{};
  while (ibv_poll_cq(cq_, 1, &done) == 1) {
    if (!is_own(done)) stashed_.push_back(done);
  }
}

int Rail::poll(std::span<ibv_wc> done) {
  int count = 0;
  while (!stashed_.empty() && count < static_cast<int>(done.size())) {
    done[static_cast<std::size_t>(count++)] = stashed_.front();
    stashed_.pop_front();
  }
  if (count > 0) return count;
  return ibv_poll_cq(cq_, static_cast<int>(done.size()), done.data());
}

}  // namespace tern::verbs
