// verbs/reads.cc - large messages: the receiver reads them out of the sender's memory.
//
// A read that a broken queue pair interrupts is taken up where it was on the next one: the sender
// keeps the memory until it is told that all has been read.
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

void VerbsFabric::advance_reads(VerbsLink& link) {
  const std::size_t piece_bytes =
      std::min<std::size_t>(kReadBytes, std::max(port_->attributes().max_msg_sz, 4096U));
  for (auto* record = link.reads.first(); record != nullptr; record = record->next) {
    auto& job = static_cast<ReadJob&>(*record);
    while (job.posted < job.size) {
      if (link.qp == nullptr || link.broken || link.out.repeating() ||
          link.reads_posted >= kReadsMax || link.queue_used >= kQueueEntries) {
        return;
      }
      const std::size_t size = std::min(piece_bytes, job.size - job.posted);
      ibv_sge piece{reinterpret_cast<std::uint64_t>(job.to + job.posted),
                    static_cast<std::uint32_t>(size), job.region->local_key};
      ibv_send_wr request{};
      request.sg_list = &piece;
      request.num_sge = 1;
      request.opcode = IBV_WR_RDMA_READ;
      request.wr.rdma.remote_addr = job.from.address + job.posted;
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
  const std::size_t piece_bytes =
      std::min<std::size_t>(kReadBytes, std::max(port_->attributes().max_msg_sz, 4096U));
  for (auto* record = link.reads.first(); record != nullptr; record = record->next) {
    auto& job = static_cast<ReadJob&>(*record);
    if (job.posted == job.finished) continue;
    job.finished += std::min(piece_bytes, job.size - job.finished);
    if (job.finished < job.size) return;
    const std::uint32_t op = job.op;
    end_read(link, job);
    ++link.reads_finished;
    return sink.on_complete(op, true);
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
