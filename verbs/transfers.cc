// verbs/transfers.cc - large messages without a copy: the receiver reads them out of the sender's
// memory (get), or the sender writes them into the receiver's (put).
//
// A transfer that a broken queue pair interrupts is taken up where it was on the next one: memory
// on both sides stays as it is until the peer has been told that all is there. What a put sends
// behind its data says so; it is numbered as any message, so that after a break the peer's word of
// what it has received tells whether the data may still be written
// (TransferWindow::has_happened()).
//
// Where there is a second port (rail.h), it takes a part of a large transfer, which is a job of its
// own. Nothing is in order between two queue pairs: a transfer is complete, and what follows a put
// leaves, when the part is known to be there.
//
// The rxe driver (soft-RoCE) of Linux, as of 6.12, can report a read as done that it has given up
// for a response out of sequence; the error comes with the next request of the queue pair. So a
// read over it is followed by one of a byte, and counts when that is done, too. See
// tests/rdma/raw_read.cc.
#include <algorithm>
#include <cstring>

#include "verbs/constants.h"
#include "verbs/fabric.h"

namespace tern::verbs {

using Kind = replay::TransferRecord::Kind;

Post VerbsFabric::get(Link& from, const DataView& to, RemoteSpan source, std::size_t size,
                      std::uint32_t op) {
  const Turnstile::Owner inside(turnstile_);
  auto& link = static_cast<VerbsLink&>(from);
  if (link.state() == connect::State::kFailed) return Post::kPeerDown;
  TransferJob* const job = new_job(Kind::kRead, link, to, source, size, op);
  if (job == nullptr) return Post::kNoCredit;
  split(link, *job);
  for (TransferJob* const one : {job, job->part}) {
    if (one != nullptr && is_soft()) one->end += kConfirmingBytes;
  }
  link.lane.reads.push(*job, link.out.last_number());
  start(link);
  return Post::kPending;
}

Post VerbsFabric::put(Link& to, std::span<const std::byte> head, const DataView& from,
                      RemoteSpan target, std::size_t size, std::uint32_t op) {
  const Turnstile::Owner inside(turnstile_);
  auto& link = static_cast<VerbsLink&>(to);
  if (link.state() == connect::State::kFailed) return Post::kPeerDown;
  TransferJob* const job = new_job(Kind::kWrite, link, from, target, size, op);
  if (job == nullptr) return Post::kNoCredit;
  std::copy(head.begin(), head.end(), job->head.begin());
  job->head_bytes = head.size();
  split(link, *job);
  link.lane.writes.push(*job, TransferJob::kNotAnnounced);
  start(link);
  return Post::kPending;
}

// nullptr: the memory has too many gaps, cannot be registered, or there is none for the job.
TransferJob* VerbsFabric::new_job(Kind kind, VerbsLink& link, const DataView& local,
                                  RemoteSpan remote, std::size_t size, std::uint32_t op) {
  std::string why;
  if (!gathers(local) || !open_queues(why)) return nullptr;
  const std::span<std::byte> all =
      local.run() != nullptr ? std::span(local.run(), size) : reach(local);
  Region* const region = memory().acquire(all.data(), all.size(), why);
  TransferJob* const job = region != nullptr ? transfer_jobs_.get() : nullptr;
  if (job == nullptr) {
    if (region != nullptr) memory_->release(*region);
    return nullptr;
  }
  *job = TransferJob{};
  job->kind = kind;
  job->lane = &link.lane;
  job->local = local;
  job->remote = remote;
  job->size = job->end = size;
  job->region = region;
  job->op = op;
  return job;
}

// Gives the second port its share of a large transfer that is in no list yet.
void VerbsFabric::split(VerbsLink& link, TransferJob& job) {
  constexpr std::size_t kPage = 4096;
  const bool both = job.region->second_handle != nullptr && job.remote.key >> kSecondKeyShift != 0;
  if (!link.has_rail || !both || job.size < kStripeBytesMin) return;
  TransferJob* const part = transfer_jobs_.get();
  if (part == nullptr) return;
  const std::size_t share = port_->speed();
  const std::size_t cut = job.size / (share + rail_->port().speed()) * share / kPage * kPage;
  *part = job;
  part->begin = cut;
  part->size = part->end = job.size - cut;
  part->whole = &job;
  part->lane = &link.rail_lane;
  job.size = job.end = cut;
  job.part = part;
  part->lane->of(job.kind).push(*part, TransferJob::kNotAnnounced);
}

// There is no second port any more: the first one takes what is left for it.
void VerbsFabric::leave_rail(VerbsLink& link) {
  for (const Kind kind : {Kind::kRead, Kind::kWrite}) {
    replay::TransferWindow& jobs = link.rail_lane.of(kind);
    while (replay::TransferRecord* const record = jobs.first()) {
      jobs.remove(*record);
      static_cast<TransferJob*>(record)->lane = &link.lane;
      link.lane.of(kind).push(*record, TransferJob::kNotAnnounced);
    }
  }
}

// Whether the device had better pick the blocks of memory with gaps than the processor: when they
// are long, and what lies between is not much more.
bool VerbsFabric::gathers(const DataView& view) const {
  if (view.run() != nullptr) return true;
  const std::size_t most = segments_max();
  if (most < 2 || reach(view).size() > kReachPerByteMax * view.bytes()) return false;
  std::array<Segment, kSegmentsMax> first;
  const std::size_t count = segments(view, 0, view.bytes(), std::span(first).first(most));
  std::size_t size = 0;
  for (const Segment& segment : std::span(first).first(count)) size += segment.size_bytes;
  return size >= count * kSegmentBytesMin;
}

std::size_t VerbsFabric::segments_max() const {
  int most = kSegmentsMax;
  const std::array<const Port*, 2> ports = {port_.get(),
                                            rail_ != nullptr ? &rail_->port() : nullptr};
  for (const Port* const port : ports) {
    if (port == nullptr) continue;
    const ibv_device_attr& device = port->device_attributes();
    most = std::min(most, device.max_sge);
    if (device.max_sge_rd > 0) most = std::min(most, device.max_sge_rd);
  }
  return static_cast<std::size_t>(std::max(most, 1));
}

// Whether large messages are to be read by their receivers rather than written by their senders.
bool VerbsFabric::reads() const {
  if (port_->device_attributes().max_qp_rd_atom <= 0 ||
      port_->device_attributes().max_qp_init_rd_atom <= 0) {
    return false;
  }
  return options_.rendezvous != Rendezvous::kWrite;
}

std::size_t VerbsFabric::piece_bytes_max(Kind kind) const {
  const std::size_t most = kind == Kind::kWrite && is_soft() ? kSoftWriteBytes : kPieceBytes;
  return std::min<std::size_t>(most, std::max(port_->attributes().max_msg_sz, 4096U));
}

void VerbsFabric::start(VerbsLink& link) {
  if (link.sends) {
    pump(link);
    watch(link);
  } else {
    (void)blocked(link);
  }
}

void VerbsFabric::advance_reads(VerbsLink& link) {
  if (link.out.repeating()) return;
  for (TransferLane* const lane : {&link.lane, &link.rail_lane}) {
    for (auto* record = lane->reads.first(); record != nullptr; record = record->next) {
      if (!post_rest(link, static_cast<TransferJob&>(*record))) break;
    }
  }
}

// Nothing new leaves while the connection is being closed. Messages leave in the order of the list.
void VerbsFabric::advance_writes(VerbsLink& link) {
  if (link.quiescing || link.out.repeating()) return;
  for (auto* record = link.rail_lane.writes.first(); record != nullptr; record = record->next) {
    if (!post_rest(link, static_cast<TransferJob&>(*record))) break;
  }
  bool in_turn = true;
  for (auto* record = link.lane.writes.first(); record != nullptr;) {
    auto& job = static_cast<TransferJob&>(*record);
    record = record->next;
    if (job.is_announced()) continue;
    if (!post_rest(link, job)) return;
    if (job.whole != nullptr) continue;
    in_turn = in_turn && job.part == nullptr && announce(link, job);
    if (in_turn && job.finished == job.end) end_early(job);
  }
}

// Puts whose message had left before the queue pair broke; they come first in the list. False: not
// all now, and their messages must not be repeated yet.
bool VerbsFabric::repeat_writes(VerbsLink& link) {
  for (auto* record = link.lane.writes.first(); record != nullptr; record = record->next) {
    auto& job = static_cast<TransferJob&>(*record);
    if (!job.is_announced()) return true;
    if (!post_rest(link, job)) return false;
  }
  return true;
}

// Posts what is left of a transfer; false: not all now.
bool VerbsFabric::post_rest(VerbsLink& link, TransferJob& job) {
  while (job.posted < job.end) {
    if (!post_piece(link, job)) return false;
  }
  return true;
}

// Sends the message behind a put; false: not now.
bool VerbsFabric::announce(VerbsLink& link, TransferJob& job) {
  const std::span<const std::byte> head(job.head.data(), job.head_bytes);
  if (link.broken) return false;
  if (link.out.can_send() && link.queue_used < kQueueMessages && push(link, head, {})) {
    job.after = link.out.last_number() - 1;
    return true;
  }
  await_room(link);
  return false;
}

// Posts as much as one request takes. False: not now.
bool VerbsFabric::post_piece(VerbsLink& link, TransferJob& job) {
  const bool is_second = job.lane == &link.rail_lane;
  if (link.broken || job.lane->posted(job.kind) >= kTransfersMax ||
      (!is_second && link.queue_used >= kQueueEntries)) {
    return false;
  }
  // Behind all memory of a read there may be the byte that confirms: the first one again.
  const bool confirms = job.posted >= job.size;
  const std::size_t offset = confirms ? 0 : job.posted;
  const std::size_t wanted =
      confirms ? job.end - job.posted : std::min(piece_bytes_max(job.kind), job.size - job.posted);
  std::array<Segment, kSegmentsMax> found;
  const std::size_t count =
      segments(job.local, job.begin + offset, wanted, std::span(found).first(segments_max()));
  std::array<ibv_sge, kSegmentsMax> list;
  std::size_t size = 0;
  for (std::size_t i = 0; i < count; ++i) {
    list[i] = {reinterpret_cast<std::uint64_t>(found[i].at),
               static_cast<std::uint32_t>(found[i].size_bytes),
               is_second ? job.region->second_local_key : job.region->local_key};
    size += found[i].size_bytes;
  }
  const bool is_read = job.kind == Kind::kRead;
  ibv_send_wr request{};
  request.sg_list = list.data();
  request.num_sge = static_cast<int>(count);
  request.opcode = is_read ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE;
  request.wr.rdma.remote_addr = job.remote.address + job.begin + offset;
  request.wr.rdma.rkey =
      static_cast<std::uint32_t>(is_second ? job.remote.key >> kSecondKeyShift : job.remote.key);
  job.pieces[job.pieces_posted++ % kTransfersMax] = static_cast<std::uint32_t>(size);
  job.posted += size;
  ++job.lane->posted(job.kind);
  const std::uint64_t kind = is_read ? kKindRead : kKindWrite;
  if (is_second) {
    post_to_rail(link, request, kind);
  } else {
    post_request(link, request, kind);
  }
  return true;
}

void VerbsFabric::post_to_rail(VerbsLink& link, ibv_send_wr& request, std::uint64_t kind) {
  request.send_flags = IBV_SEND_SIGNALED;
  request.wr_id = send_id(kind, link.index, link.life, 0);
  ibv_send_wr* refused = nullptr;
  if (ibv_post_send(link.rail_qp, &request, &refused) != 0) [[unlikely]]
    lose_rail(link, IBV_WC_GENERAL_ERR);
}

// Both ends make the connection anew, with or without the second port.
void VerbsFabric::lose_rail(VerbsLink& link, ibv_wc_status status) {
  if (!link.broken) ++link.rail_failures;
  lose(link, status);
}

int VerbsFabric::reap_rail(FabricSink& sink) {
  constexpr int kBatch = 16;
  std::array<ibv_wc, kBatch> all;
  const int count = rail_->poll(all);
  for (int i = 0; i < count; ++i) {
    const ibv_wc& done = all[static_cast<std::size_t>(i)];
    VerbsLink& link = *links_[done.wr_id & 0xffffff];
    if ((link.life & 0xffffff) != (done.wr_id >> 24 & 0xffffff)) continue;
    if (done.status != IBV_WC_SUCCESS) {
      lose_rail(link, done.status);
      continue;
    }
    link.rail_failures = 0;
    const bool is_read = done.wr_id >> kKindShift == kKindRead;
    on_transfer(sink, link, link.rail_lane, is_read ? Kind::kRead : Kind::kWrite);
    pump(link);
  }
  if (count > 0) settle();
  return std::max(count, 0);
}

// The oldest piece under way of this kind is done: a queue pair completes in order.
void VerbsFabric::on_transfer(FabricSink& sink, VerbsLink& link, TransferLane& lane, Kind kind) {
  if (lane.posted(kind) == 0) return;
  --lane.posted(kind);
  for (auto* record = lane.of(kind).first(); record != nullptr; record = record->next) {
    auto& job = static_cast<TransferJob&>(*record);
    if (job.posted == job.finished) continue;
    ++link.pieces_finished;
    job.confirmed = job.finished;
    job.finished += job.pieces[job.pieces_finished++ % kTransfersMax];
    if (job.finished == job.end) on_finished(sink, job);
    return;
  }
}

// All pieces of a transfer, or of a part of one, are done.
void VerbsFabric::on_finished(FabricSink& sink, TransferJob& job) {
  TransferJob& whole = job.whole != nullptr ? *job.whole : job;
  if (&whole != &job) {
    whole.part = nullptr;
    end_transfer(job);
  }
  if (whole.part != nullptr || whole.finished < whole.end) return;
  if (whole.kind == Kind::kWrite && !whole.is_announced()) return;
  const std::uint32_t op = whole.op;
  end_transfer(whole);
  sink.on_complete(op, true);
}

// The queue pairs are gone: what was under way is to be posted again.
void VerbsFabric::rewind_transfers(VerbsLink& link) {
  for (TransferLane* const lane : {&link.lane, &link.rail_lane}) {
    for (const Kind kind : {Kind::kRead, Kind::kWrite}) {
      for (auto* record = lane->of(kind).first(); record != nullptr; record = record->next) {
        auto& job = static_cast<TransferJob&>(*record);
        // Of what has been read, the last piece is the one that nothing has confirmed.
        if (kind == Kind::kRead && is_soft()) job.finished = job.confirmed;
        job.posted = job.finished;
        job.pieces_posted = job.pieces_finished = 0;
      }
      lane->posted(kind) = 0;
    }
  }
}

// Of the puts whose message has left, those that the peer has that message of are done.
void VerbsFabric::resume_writes(VerbsLink& link, std::uint64_t remote_received) {
  while (auto* const job = static_cast<TransferJob*>(link.lane.writes.first())) {
    if (!replay::TransferWindow::has_happened(*job, remote_received)) return;
    end_early(*job);
  }
}

// Done, outside poll().
void VerbsFabric::end_early(TransferJob& job) {
  finished_transfers_.emplace_back(job.op, true);
  end_transfer(job);
}

void VerbsFabric::end_transfer(TransferJob& job) {
  job.lane->of(job.kind).remove(job);
  if (job.whole == nullptr) memory_->release(*job.region);
  transfer_jobs_.put(&job);
}

void VerbsFabric::fail_transfers(VerbsLink& link) {
  for (TransferLane* const lane : {&link.rail_lane, &link.lane}) {
    for (const Kind kind : {Kind::kRead, Kind::kWrite}) {
      while (replay::TransferRecord* const record = lane->of(kind).first()) {
        auto& job = static_cast<TransferJob&>(*record);
        if (job.whole == nullptr) finished_transfers_.emplace_back(job.op, false);
        end_transfer(job);
      }
    }
  }
}

}  // namespace tern::verbs
