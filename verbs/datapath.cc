// verbs/datapath.cc - the path of a message: out through a send slot, in through the shared receive
// queue.
//
// Whatever posts may find the queue pair broken; that is only noted (lose()) and told to the
// connector by settle(), so that nothing here disappears under its caller.
#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/small_copy.h"
#include "verbs/constants.h"
#include "verbs/fabric.h"

namespace tern::verbs {

Post VerbsFabric::send(Link& to, std::span<const std::byte> head, std::span<const std::byte> body) {
  const Turnstile::Owner inside(turnstile_);
  auto& link = static_cast<VerbsLink&>(to);
  if (!link.is_up() || link.broken || !link.out.can_send() || link.queue_used >= kQueueMessages)
      [[unlikely]] {
    return blocked(link);
  }
  if (!push(link, head, body)) return Post::kNoCredit;
  if (!link.is_watched()) [[unlikely]]
    watch(link);
  return Post::kDone;
}

// Numbers a message and posts it; false: there is no memory. Precondition: there is room.
bool VerbsFabric::push(VerbsLink& link, std::span<const std::byte> head,
                       std::span<const std::byte> body) {
  const std::size_t size = sizeof(MessageHead) + head.size() + body.size();
  Slot* const slot = (size <= kSmallSlotBytes ? small_slots_ : large_slots_)->get();
  if (slot == nullptr) return false;
  std::byte* const at = slot->memory + sizeof(MessageHead);
  small_copy(at, head.data(), head.size());
  if (!body.empty()) small_copy(at + head.size(), body.data(), body.size());
  slot->bytes = static_cast<std::uint32_t>(size);
  slot->head_bytes = static_cast<std::uint16_t>(head.size());
  link.out.push(*slot);
  if (!link.awaits_ack) {
    link.awaits_ack = true;
    awaiting_.push_back(&link);
  }
  post(link, *slot);
  return true;
}

Post VerbsFabric::blocked(VerbsLink& link) {
  if (link.state() == connect::State::kFailed) return Post::kPeerDown;
  if (!link.is_up() && !link.quiescing) {
    connector_->dial(link, now());
    if (connector_->next_time() < thread_wakes_at_) set_timer();
  }
  if (link.is_up() && !link.out.can_send()) {
    await_room(link);
    watch(link);
  }
  return Post::kNoCredit;
}

// What is to be sent waits for the peer's word.
void VerbsFabric::await_room(VerbsLink& link) {
  link.starved = true;
  if (!link.awaits_ack) awaiting_.push_back(&link);
  link.awaits_ack = true;
}

// Posts a numbered message, for the first time or again.
void VerbsFabric::post(VerbsLink& link, Slot& slot) {
  const replay::Stamp stamp = link.in.stamp(slot.number);
  const MessageHead head{link.remote.link,
                         link.remote.epoch,
                         stamp.number,
                         stamp.received,
                         stamp.limit,
                         slot.head_bytes,
                         0};
  std::memcpy(slot.memory, &head, sizeof head);
  ibv_sge piece{reinterpret_cast<std::uint64_t>(slot.memory), slot.bytes, slot.local_key};
  ibv_send_wr request{};
  request.sg_list = &piece;
  request.num_sge = 1;
  request.opcode = IBV_WR_SEND;
  if (slot.bytes <= inline_bytes_) request.send_flags = IBV_SEND_INLINE;
  post_request(link, request, kKindSend);
}

void VerbsFabric::post_request(VerbsLink& link, ibv_send_wr& request, std::uint64_t kind) {
  ++link.queue_used;
  ++link.unsignaled;
  std::uint32_t frees = 0;
  if (link.unsignaled >= kSignalEvery || kind != kKindSend) {
    frees = std::exchange(link.unsignaled, 0);
    request.send_flags |= IBV_SEND_SIGNALED;
  }
  request.wr_id = send_id(kind, link.index, link.life, frees);
  ibv_send_wr* refused = nullptr;
  if (ibv_post_send(link.qp, &request, &refused) != 0) [[unlikely]]
    lose(link, IBV_WC_GENERAL_ERR);
}

// Tells the peer at once how far it may send, and wakes it. Needs no credit.
void VerbsFabric::post_bare(VerbsLink& link) {
  if (!link.sends || link.broken || link.queue_used >= kQueueEntries) return;
  const replay::Stamp stamp = link.in.bare_stamp();
  const MessageHead head{link.remote.link, link.remote.epoch, 0, stamp.received, stamp.limit, 0, 0};
  // Beside the mailbox: a line of the link's own that is registered. What an earlier one said there
  // and has not left yet may be replaced: it is the same, but newer.
  std::byte* const at = link.mailbox->memory + 2 * sizeof(Mail);
  std::memcpy(at, &head, sizeof head);
  static_assert(2 * sizeof(Mail) + sizeof head <= kMailboxBytes);
  ibv_sge piece{reinterpret_cast<std::uint64_t>(at), sizeof head, link.mailbox->local_key};
  ibv_send_wr request{};
  request.sg_list = &piece;
  request.num_sge = 1;
  request.opcode = IBV_WR_SEND;
  if (sizeof head <= inline_bytes_) request.send_flags = IBV_SEND_INLINE;
  post_request(link, request, kKindSend);
}

// Tells the peer what has arrived without using one of its receive slots, or waking it.
void VerbsFabric::write_mail(VerbsLink& link) {
  const replay::Stamp stamp = link.in.stamp(0);
  const Mail mail{stamp.received, stamp.limit};
  std::byte* const at = link.mailbox->memory + sizeof(Mail);
  std::memcpy(at, &mail, sizeof mail);
  ibv_sge piece{reinterpret_cast<std::uint64_t>(at), sizeof mail, link.mailbox->local_key};
  ibv_send_wr request{};
  request.sg_list = &piece;
  request.num_sge = 1;
  request.opcode = IBV_WR_RDMA_WRITE;
  if (sizeof mail <= inline_bytes_) request.send_flags = IBV_SEND_INLINE;
  request.wr.rdma.remote_addr = link.remote.mailbox;
  request.wr.rdma.rkey = link.remote.mailbox_key;
  post_request(link, request, kKindSend);
}

void VerbsFabric::free_records(replay::SendRecord* record) {
  while (record != nullptr) {
    auto& slot = static_cast<Slot&>(*record);
    record = record->next;
    slot.pool->put(slot);
  }
}

int VerbsFabric::reap(FabricSink& sink) {
  // Bounded, so that one fast sender does not keep the program from noticing what it waits for.
  constexpr int kBatch = 16;
  ibv_wc done[kBatch];
  int count = 0;
  while (count < kBatch && !stashed_.empty()) {
    done[count++] = stashed_.front();
    stashed_.pop_front();
  }
  if (count == 0) count = ibv_poll_cq(cq_, kBatch, done);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t id = done[i].wr_id;
    if (id >> kKindShift == kKindReceive) {
      on_arrival(sink, *reinterpret_cast<Slot*>(id & kAddressMask), done[i]);
      continue;
    }
    VerbsLink& link = *links_[id & 0xffffff];
    if ((link.life & 0xffffff) == (id >> 24 & 0xffffff)) on_sent(sink, link, done[i]);
  }
  if (count <= 0) return 0;
  for (VerbsLink* const link : owing_) {
    if (link->in.is_bare_due()) post_bare(*link);
  }
  settle();
  return count;
}

void VerbsFabric::on_sent(FabricSink& sink, VerbsLink& link, const ibv_wc& done) {
  if (done.status != IBV_WC_SUCCESS) return lose(link, done.status);
  link.queue_used -= static_cast<std::uint32_t>(done.wr_id >> 48 & 0xff);
  const std::uint64_t kind = done.wr_id >> kKindShift;
  if (kind != kKindSend) {
    using Kind = TransferLane::Kind;
    on_transfer(sink, link, link.lane, kind == kKindRead ? Kind::kRead : Kind::kWrite);
  }
  if (link.out.repeating() || !link.lane.reads.empty() || !link.lane.writes.empty()) pump(link);
}

void VerbsFabric::on_arrival(FabricSink& sink, Slot& slot, const ibv_wc& done) {
  MessageHead head;
  if (done.status != IBV_WC_SUCCESS || done.byte_len < sizeof head) return give_back(slot);
  std::memcpy(&head, slot.memory, sizeof head);
  if (head.link >= links_.size()) return give_back(slot);
  VerbsLink& link = *links_[head.link];
  if (head.epoch != link.life || link.qp == nullptr || link.qp->qp_num != done.qp_num) {
    return give_back(slot);  // Of a queue pair that is no more.
  }
  slot.bytes = done.byte_len;
  if (!link.is_up()) {
    connector_->traffic(link, now());
    if (link.qp == nullptr || head.epoch != link.life) return give_back(slot);
  }
  free_records(link.out.acknowledge({head.number, head.received, head.limit}));
  if (link.out.repeating() || !link.lane.writes.empty()) pump(link);
  if (head.number == 0) return give_back(slot);
  deliver(sink, link, head, slot);
}

void VerbsFabric::deliver(FabricSink& sink, VerbsLink& link, const MessageHead& head, Slot& slot) {
  const std::size_t size = slot.bytes - sizeof head;
  if (head.head_bytes > size || (link.record == nullptr && !report_contact(sink, link))) {
    give_back(slot);
    return lose(link, IBV_WC_BAD_RESP_ERR);
  }
  switch (link.in.arrive(head.number)) {
    case replay::Arrival::kNext:
      break;
    case replay::Arrival::kDuplicate:
      return give_back(slot);
    case replay::Arrival::kGap:
      give_back(slot);
      return lose(link, IBV_WC_BAD_RESP_ERR);
  }
  const std::byte* const at = slot.memory + sizeof head;
  if (!link.owes_ack) {
    link.owes_ack = true;
    owing_.push_back(&link);
  }
  sink.on_message(*link.record, {at, head.head_bytes},
                  {at + head.head_bytes, size - head.head_bytes});
  give_back(slot);
  link.in.release();
  if (++link.since_growth >= 2 * link.in.window()) grow_window(link);
}

// A peer that keeps sending may have more under way.
void VerbsFabric::grow_window(VerbsLink& link) {
  link.since_growth = 0;
  if (link.window_taken == 0 || link.window_taken >= kWindowMax) return;
  budget_.give_window(link.window_taken);
  make_room_for_window(2 * link.window_taken);
  link.window_taken = budget_.take_window(2 * link.window_taken);
  link.in.set_window(link.window_taken);
}

void VerbsFabric::give_back(Slot& slot) {
  const std::uint32_t i = returned_count_++;
  returned_pieces_[i] = {reinterpret_cast<std::uint64_t>(slot.memory), kSlotBytes, slot.local_key};
  returned_[i] = {};
  returned_[i].wr_id = kKindReceive << kKindShift | reinterpret_cast<std::uint64_t>(&slot);
  returned_[i].sg_list = &returned_pieces_[i];
  returned_[i].num_sge = 1;
  if (i > 0) returned_[i - 1].next = &returned_[i];
  if (returned_count_ == kReturnBatch) flush_receives();
}

void VerbsFabric::flush_receives() {
  if (returned_count_ == 0) return;
  ibv_recv_wr* refused = nullptr;
  // There is an entry for each slot that exists: only a lost device refuses.
  if (ibv_post_srq_recv(srq_, returned_.data(), &refused) != 0) {
    device_lost_ = true;
    problem_ = port_->text() + " takes no receive buffers any more";
  }
  returned_count_ = 0;
}

// The link's queue pair is gone: what it had received must not keep its slots from others.
void VerbsFabric::drop_arrivals(VerbsLink& link) {
  ibv_wc done{};
  while (ibv_poll_cq(cq_, 1, &done) == 1) {
    if (done.wr_id >> kKindShift != kKindReceive) {
      if ((done.wr_id & 0xffffff) != link.index) stashed_.push_back(done);
      continue;
    }
    auto& slot = *reinterpret_cast<Slot*>(done.wr_id & kAddressMask);
    MessageHead head{};
    if (done.status == IBV_WC_SUCCESS) std::memcpy(&head, slot.memory, sizeof head);
    if (done.status != IBV_WC_SUCCESS || head.link == link.index) {
      give_back(slot);
    } else {
      stashed_.push_back(done);
    }
  }
  flush_receives();
}

// Posts what waits for room. What is repeated keeps its order: puts, the messages behind them.
void VerbsFabric::pump(VerbsLink& link) {
  if (!link.sends || link.broken || !repeat_writes(link)) return;
  while (!link.broken && link.queue_used < kQueueMessages) {
    replay::SendRecord* const record = link.out.next_repeat();
    if (record == nullptr) break;
    post(link, static_cast<Slot&>(*record));
  }
  advance_writes(link);
  advance_reads(link);
}

void VerbsFabric::lose(VerbsLink& link, ibv_wc_status status) {
  if (link.broken || link.qp == nullptr) return;
  link.broken = true;
  link.last_error = status;
  broken_.push_back(&link);
}

// Nothing has arrived: look after what does not come as a completion.
void VerbsFabric::idle_turn() {
  // Seldom where a thread looks, too, and nothing is about to happen.
  constexpr std::uint32_t kOften = 16;
  constexpr std::uint32_t kSeldom = 256;
  settle();
  ++idle_polls_;
  if (!awaiting_.empty() && idle_polls_ % 4 == 0) read_mail();
  if (idle_polls_ % kOften != 0) return;
  const connect::Micros time = now();
  if (!owing_.empty()) {
    if (owing_since_ == 0) owing_since_ = time;
    if (time - owing_since_ >= kAckDelayUs) flush_acks();
  }
  if (connector_->dials() != 0 || (!has_thread_ && idle_polls_ % kSeldom == 0)) {
    read_signals();
    if (!has_thread_) read_async_event();
  }
  if (connector_->next_time() <= time) {
    connector_->advance(time);
    settle();
  }
}

// What peers have written of our messages. A limit counts only when all that came before it has
// been taken from the completion queue; that is so at the second look with nothing in between.
void VerbsFabric::read_mail() {
  for (std::size_t i = 0; i < awaiting_.size();) {
    VerbsLink& link = *awaiting_[i];
    if (link.mailbox != nullptr) {
      const Mail before = link.mail_seen;
      std::uint64_t word =
          __atomic_load_n(reinterpret_cast<std::uint64_t*>(link.mailbox->memory), __ATOMIC_ACQUIRE);
      std::memcpy(&link.mail_seen, &word, sizeof word);
      if (before.received == link.mail_seen.received && before.limit == link.mail_seen.limit) {
        free_records(link.out.acknowledge({0, before.received, before.limit}));
        if (!link.lane.writes.empty()) pump(link);
      }
    }
    if (link.out.can_send() || !link.is_up()) link.starved = false;
    if (!link.out.empty() || link.starved) {
      ++i;
      continue;
    }
    link.awaits_ack = false;
    awaiting_[i] = awaiting_.back();
    awaiting_.pop_back();
  }
}

void VerbsFabric::flush_acks() {
  owing_since_ = 0;
  for (std::size_t i = 0; i < owing_.size();) {
    VerbsLink& link = *owing_[i];
    const bool owes = link.in.has_unannounced() && link.sends && !link.broken;
    if (owes && link.queue_used >= kQueueEntries) {
      ++i;
      continue;  // Later.
    }
    if (owes) write_mail(link);
    link.owes_ack = false;
    owing_[i] = owing_.back();
    owing_.pop_back();
  }
}

}  // namespace tern::verbs
