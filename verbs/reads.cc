// verbs/reads.cc - large messages: the receiver reads them out of the sender's memory.
//
// A read that a broken queue pair interrupts is taken up where it was on the next one: the sender
// keeps the memory until it is told that all has been read.
//
// The rxe driver (soft-RoCE) of Linux, as of 6.12, can report a read as done that it has given up
// for a response out of sequence; the error comes with the next request of the queue pair. So a
// read over it is followed by one of a byte, and counts when that is done, too. See
// tests/rdma/raw_read.cc.
#include <algorithm>

#include "verbs/constants.h"
#include "verbs/fabric.h"

namespace tern::verbs {

Post VerbsFabric::get(Link& from, std::byte* to, RemoteSpan source, std::size_t size,
                      std::uint32_t op) {
  const Turnstile::Owner inside(turnstile_);
  auto& link = static_cast<VerbsLink&>(from);
  if (link.state() == connect::State::kFailed) return Post::kPeerDown;
  std::string why;
  if (!open_queues(why)) return Post::kNoCredit;
  Region* const region = memory().acquire(to, size, why);
  ReadJob* const job = region != nullptr ? read_jobs_.get() : nullptr;
  if (job == nullptr) {
    if (region != nullptr) memory_->release(*region);
    return Post::kNoCredit;  // The sender will send it by pieces.
  }
  *job = ReadJob{};
  job->to = to;
  job->from = source;
  job->size = size;
  job->end = size + (trusts_completions() ? 0 : kConfirmingBytes);
  job->region = region;
  job->op = op;
  link.reads.push(*job, link.out.last_number());
  if (link.is_up()) {
    advance_reads(link);
    watch(link);
  } else {
    (void)blocked(link);
  }
  return Post::kPending;
}

bool VerbsFabric::trusts_completions() const {
  constexpr std::uint32_t kVendorOfRxe = 0xffffff;
  return port_->device_attributes().vendor_id != kVendorOfRxe;
}

std::size_t VerbsFabric::read_bytes_max() const {
  return std::min<std::size_t>(kReadBytes, std::max(port_->attributes().max_msg_sz, 4096U));
}

// Of the piece that begins at `offset`; behind all memory there is the one that confirms.
std::size_t VerbsFabric::piece_size(const ReadJob& job, std::size_t offset) const {
  if (offset >= job.size) return job.end - offset;
  return std::min(read_bytes_max(), job.size - offset);
}

void VerbsFabric::advance_reads(VerbsLink& link) {
  for (auto* record = link.reads.first(); record != nullptr; record = record->next) {
    auto& job = static_cast<ReadJob&>(*record);
    while (job.posted < job.end) {
      if (link.qp == nullptr || link.broken || link.out.repeating() ||
          link.reads_posted >= kReadsMax || link.queue_used >= kQueueEntries) {
        return;
      }
      const std::size_t size = piece_size(job, job.posted);
      // The byte that confirms is the first one again.
      const std::size_t offset = job.posted < job.size ? job.posted : 0;
      ibv_sge piece{reinterpret_cast<std::uint64_t>(job.to + offset),
                    static_cast<std::uint32_t>(size), job.region->local_key};
      ibv_send_wr request{};
      request.sg_list = &piece;
      request.num_sge = 1;
      request.opcode = IBV_WR_RDMA_READ;
      request.wr.rdma.remote_addr = job.from.address + offset;
      request.wr.rdma.rkey = static_cast<std::uint32_t>(job.from.key);
      job.posted += size;
      ++link.reads_posted;
      post_request(link, request, kKindRead);
    }
  }
}

// The oldest piece under way is here: a queue pair completes in order.
void VerbsFabric::on_read(FabricSink& sink, VerbsLink& link) {
  if (link.reads_posted == 0) return;
  --link.reads_posted;
  for (auto* record = link.reads.first(); record != nullptr; record = record->next) {
    auto& job = static_cast<ReadJob&>(*record);
    if (job.posted == job.finished) continue;
    job.finished += piece_size(job, job.finished);
    if (job.finished < job.end) return;
    const std::uint32_t op = job.op;
    end_read(link, job);
    ++link.reads_finished;
    return sink.on_complete(op, true);
  }
}

// The queue pair is gone: what was under way is to be posted again.
void VerbsFabric::rewind_reads(VerbsLink& link) {
  for (auto* record = link.reads.first(); record != nullptr; record = record->next) {
    auto& job = static_cast<ReadJob&>(*record);
    // Of what is finished, the last piece is the one that nothing has confirmed.
    if (!trusts_completions() && job.finished > 0)
      job.finished = (job.finished - 1) / read_bytes_max() * read_bytes_max();
    job.posted = job.finished;
  }
}

void VerbsFabric::end_read(VerbsLink& link, ReadJob& job) {
  link.reads.remove(job);
  memory_->release(*job.region);
  read_jobs_.put(&job);
}

void VerbsFabric::fail_reads(VerbsLink& link) {
  while (replay::TransferRecord* const record = link.reads.first()) {
    auto& job = static_cast<ReadJob&>(*record);
    finished_reads_.emplace_back(job.op, false);
    end_read(link, job);
  }
}

}  // namespace tern::verbs
