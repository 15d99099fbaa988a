// verbs/driver.cc - what core/connector.h asks for: queue pairs, datagrams, and taking up where an
// earlier queue pair ended. None of these calls the connector.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/clock.h"
#include "core/format.h"
#include "verbs/constants.h"
#include "verbs/fabric.h"
#include "verbs/queue_pair.h"

namespace tern::verbs {

using connect::Connection;
using connect::EndpointBlob;

// What all queue pairs share, made for the first of them. After a failure the next call goes on.
bool VerbsFabric::open_queues(std::string& why) {
  if (srq_ != nullptr) return true;
  const auto failed = [&](const char* what) {
    why = format("{} failed on {} ({})", what, port_->text(), std::strerror(errno));
    problem_ = why;
    return false;
  };
  if (channel_ == nullptr) {
    channel_ = table_.create_comp_channel(port_->context());
    if (channel_ == nullptr) return failed("making a completion channel");
    fcntl(channel_->fd, F_SETFL, O_NONBLOCK);
  }
  if (receive_slots_ == nullptr) {
    const auto device_writes = IBV_ACCESS_LOCAL_WRITE;
    receive_slots_ =
        std::make_unique<SlotPool>(table_, pd_, kSlotBytes, kReceivesPerChunk, device_writes);
    small_slots_ = std::make_unique<SlotPool>(table_, pd_, kSmallSlotBytes, kSmallSlotsPerChunk,
                                              device_writes);
    large_slots_ =
        std::make_unique<SlotPool>(table_, pd_, kSlotBytes, kLargeSlotsPerChunk, device_writes);
    mailboxes_ = std::make_unique<SlotPool>(table_, pd_, kMailboxBytes, kMailboxesPerChunk,
                                            device_writes | IBV_ACCESS_REMOTE_WRITE);
  }
  if (cq_ == nullptr) {
    constexpr int kEntriesFirst = kReceivesPerChunk + 2 * kQueueEntries;  // Of two connections.
    cq_ = table_.create_cq(port_->context(), kEntriesFirst, nullptr, channel_, 0);
    if (cq_ == nullptr) return failed("making a completion queue");
    cq_entries_ = kEntriesFirst;
  }
  const ibv_device_attr& device = port_->device_attributes();
  srq_entries_max_ =
      std::min<std::uint32_t>(kReceiveQueueEntries, static_cast<std::uint32_t>(device.max_srq_wr));
  const bool can_grow = (device.device_cap_flags & IBV_DEVICE_SRQ_RESIZE) != 0;
  ibv_srq_init_attr make{};
  make.attr.max_wr =
      can_grow ? std::min(kReceiveQueueEntriesFirst, srq_entries_max_) : srq_entries_max_;
  make.attr.max_sge = 1;
  srq_ = table_.create_srq(pd_, &make);
  if (srq_ == nullptr) return failed("making a shared receive queue");
  srq_entries_ = make.attr.max_wr;
  return true;
}

// Posts more receive slots until a peer may be promised `window` of them, as far as that goes.
bool VerbsFabric::make_room_for_window(std::uint32_t window) {
  while (budget_.free() < replay::ReceiveWindow::buffers(window)) {
    if (!make_room_for_receives(kReceivesPerChunk)) return false;
    if (!make_room_for_completions(kReceivesPerChunk)) return false;
    if (!receive_slots_->grow(problem_)) return false;
    for (std::size_t i = 0; i < kReceivesPerChunk; ++i) give_back(*receive_slots_->get());
    flush_receives();
    const auto added = static_cast<std::uint32_t>(kReceivesPerChunk);
    budget_.add(receives_ == 0 ? added - kReturnBatch : added);
    receives_ += added;
  }
  return true;
}

bool VerbsFabric::make_room_for_receives(std::uint32_t more) {
  if (receives_ + more <= srq_entries_) return true;
  ibv_srq_attr larger{};
  larger.max_wr = std::min(2 * srq_entries_, srq_entries_max_);
  int error = ENOSPC;
  if (receives_ + more <= larger.max_wr) error = table_.modify_srq(srq_, &larger, IBV_SRQ_MAX_WR);
  if (error != 0) {
    problem_ = format("the shared receive queue of {} is full with {} entries ({})", port_->text(),
                      srq_entries_, std::strerror(error));
    return false;
  }
  srq_entries_ = larger.max_wr;
  return true;
}

// The completion queue must never overflow, even when everything under way fails at once.
bool VerbsFabric::make_room_for_completions(std::uint32_t more) {
  const std::uint32_t needed = receives_ + queue_pairs_ * kQueueEntries + more;
  if (needed <= cq_entries_) return true;
  const std::uint32_t larger = std::max(needed, 2 * cq_entries_);
  if (const int error = table_.resize_cq(cq_, static_cast<int>(larger)); error != 0) {
    problem_ = format("the completion queue of {} cannot be made larger ({} entries: {})",
                      port_->text(), larger, std::strerror(error));
    return false;
  }
  cq_entries_ = larger;
  return true;
}

bool VerbsFabric::make_qp(VerbsLink& link) {
  ibv_qp_init_attr make{};
  make.send_cq = make.recv_cq = cq_;
  make.srq = srq_;
  make.cap.max_send_wr = kQueueEntries;
  make.cap.max_send_sge = static_cast<std::uint32_t>(segments_max());
  make.cap.max_inline_data = kInlineBytesMax;
  make.qp_type = IBV_QPT_RC;
  link.qp = table_.create_qp(pd_, &make);
  if (link.qp == nullptr) {
    problem_ = format("making a queue pair on {} failed ({}; {} are in use)", port_->text(),
                      std::strerror(errno), queue_pairs_);
    return false;
  }
  ++queue_pairs_;
  is_ready_ = false;
  inline_bytes_ = std::min(make.cap.max_inline_data, kInlineBytesMax);
  const int error = initialize_qp(*port_, link.qp);
  if (error != 0) {
    problem_ = format("a queue pair on {} cannot be initialized ({})", port_->text(),
                      std::strerror(error));
  }
  return error == 0;
}

bool VerbsFabric::create_endpoint(Connection& connection) {
  auto& link = static_cast<VerbsLink&>(connection);
  ++link.life;
  link.broken = false;
  if (device_lost_ || !open_queues(problem_) || !make_room_for_window(kWindowFirst) ||
      !make_room_for_completions(kQueueEntries)) {
    return false;
  }
  if (link.mailbox == nullptr) link.mailbox = mailboxes_->get();
  if (link.mailbox == nullptr) {
    problem_ = registration_problem(kMailboxBytes * kMailboxesPerChunk, ENOMEM);
    return false;
  }
  const Mail nothing_new{static_cast<std::uint32_t>(link.out.acknowledged()),
                         static_cast<std::uint32_t>(link.out.limit())};
  std::memcpy(link.mailbox->memory, &nothing_new, sizeof nothing_new);
  link.mail_seen = nothing_new;
  link.window_taken = budget_.take_window(kWindowFirst);
  if (link.window_taken == 0 || !make_qp(link)) {
    destroy_endpoint(link);
    return false;
  }
  link.in.set_window(link.window_taken);
  link.in.begin();
  link.since_growth = 0;
  link.packet_number = static_cast<std::uint32_t>(fine_ns() / 16 * 0x9e3779b97f4a7c15 >> 40);
  if (rail_ != nullptr && link.rail_failures < kRailFailuresMax) {
    link.rail_qp = rail_->make_qp(static_cast<std::uint32_t>(segments_max()));
  }
  return true;
}

void VerbsFabric::describe_endpoint(const Connection& connection, EndpointBlob& own) {
  const auto& link = static_cast<const VerbsLink&>(connection);
  const EndpointAddress address{link.qp->qp_num,
                                link.packet_number,
                                link.index,
                                link.life,
                                reinterpret_cast<std::uint64_t>(link.mailbox->memory),
                                link.mailbox->remote_key,
                                static_cast<std::uint8_t>(port_->attributes().active_mtu),
                                reads_served(*port_),
                                0};
  own.size_bytes = sizeof address;
  std::memcpy(own.bytes.data(), &address, sizeof address);
  if (link.rail_qp == nullptr) return;
  const RailAddress second = rail_->address_of(*link.rail_qp, link.packet_number);
  std::memcpy(own.bytes.data() + sizeof address, &second, sizeof second);
  own.size_bytes += sizeof second;
}

bool VerbsFabric::activate_endpoint(Connection& connection, const EndpointBlob& remote) {
  auto& link = static_cast<VerbsLink&>(connection);
  RailAddress second{};
  if (remote.size_bytes != sizeof link.remote &&
      remote.size_bytes != sizeof link.remote + sizeof second) {
    return false;
  }
  std::memcpy(&link.remote, remote.bytes.data(), sizeof link.remote);
  if (remote.size_bytes > sizeof link.remote && link.rail_qp != nullptr) {
    std::memcpy(&second, remote.bytes.data() + sizeof link.remote, sizeof second);
    link.has_rail = rail_->connect(link.rail_qp, link.packet_number, second);
  }
  const int error = connect_qp(*port_, link.qp, link.packet_number,
                               {signal_->route_to(link.signal), link.remote.qp_number,
                                link.remote.packet_number, link.remote.mtu, link.remote.reads});
  if (error != 0) {
    problem_ =
        format("a queue pair on {} cannot be connected ({})", port_->text(), std::strerror(error));
  }
  return error == 0;
}

void VerbsFabric::destroy_endpoint(Connection& connection) {
  auto& link = static_cast<VerbsLink&>(connection);
  if (link.qp != nullptr) {
    ibv_qp_attr change{};
    change.qp_state = IBV_QPS_ERR;
    table_.modify_qp(link.qp, &change, IBV_QP_STATE);
    table_.destroy_qp(link.qp);
    link.qp = nullptr;
    --queue_pairs_;
    drop_arrivals(link);
  }
  if (link.rail_qp != nullptr) rail_->destroy(link.rail_qp, link.index);
  link.rail_qp = nullptr;
  link.has_rail = false;
  ++link.life;  // Whatever of it is still to come is late.
  if (link.window_taken != 0) budget_.give_window(link.window_taken);
  link.window_taken = 0;
  link.queue_used = link.unsignaled = 0;
  link.quiescing = link.sends = false;
  rewind_transfers(link);
}

void VerbsFabric::send(Connection& connection, std::span<const std::byte> datagram) {
  auto& link = static_cast<VerbsLink&>(connection);
  counters_.setup_bytes.add(datagram.size() + own_card_.size());
  signal_->send(link.signal, {datagram, own_card_});
}

void VerbsFabric::up(Connection& connection, const connect::Resume& remote) {
  auto& link = static_cast<VerbsLink&>(connection);
  free_records(link.out.resume(remote));
  resume_writes(link, remote.received);
  if (!link.has_rail) leave_rail(link);
  counters_.count_opened(link.handshake_us());
  if (std::exchange(link.was_lost, false)) counters_.replayed.add(1);
  link.sends = true;
  link.activity_probed = ~std::uint64_t{0};
  if (link.in.is_bare_due()) post_bare(link);
  pump(link);
  wake_engine();
}

void VerbsFabric::quiesce(Connection& connection) {
  auto& link = static_cast<VerbsLink&>(connection);
  if (link.quiescing) return;
  link.quiescing = true;
  quiescing_.push_back(&link);
}

bool VerbsFabric::down(Connection& connection, connect::Down why) {
  auto& link = static_cast<VerbsLink&>(connection);
  wake_engine();
  if (why == connect::Down::kClosed) counters_.closed.add(1);
  link.was_lost = why == connect::Down::kLost;
  if (why == connect::Down::kLost || why == connect::Down::kClosed) {
    return awaits(link) || (link.broken && is_waiting());
  }
  counters_.failed.add(1);
  link.why = describe_failure(link, why);
  free_records(link.out.reset());
  link.in.reset();
  fail_transfers(link);
  failed_.push_back(&link);
  return false;
}

connect::Resume VerbsFabric::resume(const Connection& connection) {
  return static_cast<const VerbsLink&>(connection).in.resume();
}

void VerbsFabric::acknowledged(Connection& connection, std::uint64_t received) {
  free_records(static_cast<VerbsLink&>(connection).out.acknowledge_to(received));
}

std::uint64_t VerbsFabric::activity(const Connection& connection) {
  const auto& link = static_cast<const VerbsLink&>(connection);
  return link.out.acknowledged() + link.in.received() + link.pieces_finished;
}

}  // namespace tern::verbs
