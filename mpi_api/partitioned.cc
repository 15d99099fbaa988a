// mpi_api/partitioned.cc - partitioned requests; see partitioned.h.
#include "mpi_api/partitioned.h"

#include <algorithm>
#include <new>

#include "mpi_api/errors.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

// What a sender tells when it makes its request. Both sides are of one byte order (the card says).
struct PartitionPlan {
  std::uint32_t number;
  std::uint32_t pieces;
  std::uint64_t piece_bytes;
};

int plan_tag(int tag) { return -3 - tag; }

// A plan on its way to the receiver, which the request need not outlive.
struct PlanSend : tern::Request {
  PartitionPlan plan;
  static void forget(tern::Request& base) { delete static_cast<PlanSend*>(&base); }
};

}  // namespace

// --- both sides ---

PartitionedRequest::PartitionedRequest(const PartitionedData& data) : data_(data) {
  comm = data.comm;
  comm->retain();
  if (!data.type->predefined()) data.type->retain();
  persistent = true;
  active = false;
}

PartitionedRequest::~PartitionedRequest() {
  if (!data_.type->predefined()) data_.type->release();
}

bool PartitionedRequest::make_pieces(std::size_t count) {
  piece_count_ = count;
  if (count == 0) return true;
  pieces_.reset(new (std::nothrow) Piece[count]);
  return pieces_ != nullptr;
}

void PartitionedRequest::begin_run(std::size_t count) {
  active = true;
  op.done = false;
  op.outcome = Outcome::kOk;
  op.peer = nullptr;
  op.bytes = 0;
  unfinished_ = count;
}

void PartitionedRequest::on_piece_done(tern::Request& base) {
  auto& piece = static_cast<Piece&>(base);
  PartitionedRequest& request = *piece.owner;
  if (piece.outcome != Outcome::kOk && request.op.outcome == Outcome::kOk) {
    request.op.outcome = piece.outcome;
    request.op.peer = piece.peer;
  }
  request.op.bytes += piece.bytes;
  request.piece_arrived(piece);
  --request.unfinished_;
  request.finish_if_complete();
}

void PartitionedRequest::finish_if_complete() {
  if (unfinished_ == 0) finish();
}

void PartitionedRequest::finish() {
  op.done = true;
  if (op.on_done != nullptr) op.on_done(op);  // May destroy this request.
}

// --- the sender ---

PartitionedSend::PartitionedSend(const PartitionedData& data) : PartitionedRequest(data) {
  op.is_send = true;
}

int PartitionedSend::prepare() {
  if (data_.rank == MPI_PROC_NULL) return MPI_SUCCESS;
  const auto count = static_cast<std::uint32_t>(data_.partitions);
  auto* const told = new (std::nothrow) PlanSend;
  if (told == nullptr || !make_pieces(count)) {
    delete told;
    return fail_no_memory("the partitions");
  }
  ready_.resize(count);
  number_ = comm->next_partition_numbers(count);
  told->plan = {number_, count, partition_bytes()};
  told->on_done = &PlanSend::forget;
  engine().send(comm->peer(data_.rank),
                {comm->persistent_context(), comm->rank(), plan_tag(data_.tag)},
                DataView::bytes_at(&told->plan, sizeof told->plan), SendMode::kStandard, *told);
  return MPI_SUCCESS;
}

int PartitionedSend::start() {
  std::fill(ready_.begin(), ready_.end(), false);
  begin_run(data_.rank == MPI_PROC_NULL ? 0 : piece_count_);
  finish_if_complete();
  return MPI_SUCCESS;
}

int PartitionedSend::ready(int partition) {
  if (!active) {
    return fail(MPI_ERR_REQUEST,
                "the request has not been started; call MPI_Start before partitions become ready");
  }
  if (data_.rank == MPI_PROC_NULL) return MPI_SUCCESS;
  const auto i = static_cast<std::size_t>(partition);
  if (ready_[i]) {
    return fail(MPI_ERR_ARG,
                "partition {} has been marked ready already; each partition becomes ready once "
                "per MPI_Start",
                partition);
  }
  ready_[i] = true;
  Piece& piece = pieces_[i];
  piece.owner = this;
  piece.on_done = &on_piece_done;
  const std::ptrdiff_t offset = data_.type->extent() * data_.count * partition;
  const DataView part =
      view(static_cast<std::byte*>(data_.buffer) + offset, data_.count, *data_.type);
  engine().send(comm->peer(data_.rank),
                {comm->persistent_context(), comm->rank(), message_tag(number_, i)}, part,
                SendMode::kStandard, piece);
  return MPI_SUCCESS;
}

int PartitionedSend::result(MPI_Status& status) {
  set_status(status, MPI_ANY_SOURCE, MPI_ANY_TAG, 0, false);
  return op.outcome == Outcome::kOk ? MPI_SUCCESS : error_of(op);
}

// --- the receiver ---

// Outlives a request that is freed before the sender's plan arrives: later requests must not get
// it.
struct PartitionedReceive::Announcement : tern::Request {
  PartitionPlan plan;
  PartitionedReceive* owner = nullptr;
};

PartitionedReceive::PartitionedReceive(const PartitionedData& data) : PartitionedRequest(data) {}

PartitionedReceive::~PartitionedReceive() {
  if (announcement_ == nullptr) return;
  if (announcement_->done) {
    delete announcement_;
  } else {
    announcement_->owner = nullptr;
  }
}

int PartitionedReceive::prepare() {
  if (data_.rank == MPI_PROC_NULL) return MPI_SUCCESS;
  announcement_ = new (std::nothrow) Announcement;
  if (announcement_ == nullptr) return fail_no_memory("the partitions");
  announcement_->owner = this;
  announcement_->on_done = &on_announced;
  engine().receive({comm->persistent_context(), data_.rank, plan_tag(data_.tag)},
                   DataView::bytes_at(&announcement_->plan, sizeof announcement_->plan),
                   *announcement_);
  return MPI_SUCCESS;
}

void PartitionedReceive::on_announced(tern::Request& base) {
  auto* const announcement = static_cast<Announcement*>(&base);
  PartitionedReceive* const request = announcement->owner;
  if (request == nullptr) {
    delete announcement;
    return;
  }
  if (request->active) request->post();
}

int PartitionedReceive::start() {
  posted_ = false;
  std::fill(arrived_.begin(), arrived_.end(), false);
  // One more than nothing, so that it is not complete before it is posted.
  begin_run(data_.rank == MPI_PROC_NULL ? 0 : 1);
  if (announcement_ == nullptr) {
    finish();
  } else if (announcement_->done) {
    post();
  }
  return MPI_SUCCESS;
}

void PartitionedReceive::post() {
  const PartitionPlan& plan = announcement_->plan;
  if (announcement_->outcome != Outcome::kOk) {
    op.outcome = announcement_->outcome;
    op.peer = announcement_->peer;
    return finish();
  }
  if (arrived_.empty() && plan.pieces != 0) {  // The first run.
    piece_bytes_ = plan.piece_bytes;
    arrived_.resize(plan.pieces);
    const DataView whole = all();
    const std::size_t element = data_.type->layout().size();
    const bool divides = element != 0 && piece_bytes_ % element != 0;
    if (whole.run() == nullptr && divides) staged_.resize(whole.bytes());
    if (!make_pieces(plan.pieces)) {
      arrived_.clear();
      op.outcome = Outcome::kNoMemory;
      return finish();
    }
  }
  posted_ = true;
  unfinished_ += piece_count_;
  for (std::size_t i = 0; i < piece_count_; ++i) {
    Piece& piece = pieces_[i];
    piece.owner = this;
    piece.on_done = &on_piece_done;
    engine().receive({comm->persistent_context(), data_.rank, message_tag(plan.number, i)},
                     place_of(i), piece);
  }
  --unfinished_;
  finish_if_complete();
}

// Where a message goes: as much of it as there is room for.
DataView PartitionedReceive::place_of(std::size_t piece) {
  const DataView whole = all();
  const std::size_t begin = std::min(piece * piece_bytes_, whole.bytes());
  const std::size_t size = std::min(piece_bytes_, whole.bytes() - begin);
  if (size == 0) return {};
  if (!staged_.empty()) return DataView::bytes_at(staged_.data() + begin, size);
  if (std::byte* const run = whole.run()) return DataView::bytes_at(run + begin, size);
  const std::size_t element = whole.layout->size();
  const auto first = static_cast<std::ptrdiff_t>(begin / element);
  return DataView::of(whole.base + first * whole.layout->extent(), *whole.layout, size / element);
}

void PartitionedReceive::piece_arrived(const Piece& piece) {
  const std::size_t i = index_of(piece);
  arrived_[i] = true;
  if (staged_.empty() || piece.data.bytes() == 0) return;
  const std::size_t size = std::min(piece.data.bytes(), piece.bytes);
  unpack(all(), i * piece_bytes_, std::span(staged_).subspan(i * piece_bytes_, size));
}

bool PartitionedReceive::arrived(int partition) const {
  if (op.done || !active) return true;
  if (!posted_) return false;
  const std::size_t begin = static_cast<std::size_t>(partition) * partition_bytes();
  const std::size_t end = begin + partition_bytes();
  if (piece_bytes_ == 0) return true;
  const std::size_t last = std::min((end + piece_bytes_ - 1) / piece_bytes_, arrived_.size());
  for (std::size_t i = begin / piece_bytes_; i < last; ++i) {
    if (!arrived_[i]) return false;
  }
  return true;
}

int PartitionedReceive::result(MPI_Status& status) {
  const bool null = data_.rank == MPI_PROC_NULL;
  const std::size_t bytes = std::min(op.bytes, all().bytes());
  set_status(status, data_.rank, null ? MPI_ANY_TAG : data_.tag, static_cast<MPI_Count>(bytes),
             false);
  if (op.outcome == Outcome::kTruncated) {
    return fail(MPI_ERR_TRUNCATE,
                "the sender's {} partitions of {} bytes each are more than the {} bytes that the "
                "receiver has room for; both sides must describe the same amount of data",
                piece_count_, piece_bytes_, all().bytes());
  }
  return op.outcome == Outcome::kOk ? MPI_SUCCESS : error_of(op);
}

}  // namespace tern::mpi
