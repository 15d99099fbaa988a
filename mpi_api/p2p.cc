// mpi_api/p2p.cc - blocking, non-blocking and persistent sends and receives (MPI-5.0 sections 3.2,
// 3.4, 3.7 and 3.9). Buffered sends are in bsend.cc, combined ones in sendrecv.cc.
#include "mpi_api/p2p.h"

#include <array>
#include <span>

#include "impl.h"
#include "mpi_api/at_once.h"
#include "mpi_api/bsend.h"
#include "mpi_api/entry.h"
#include "mpi_api/errors.h"
#include "mpi_api/lanes.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

// An operation with MPI_PROC_NULL: done, and its status says so (section 3.10).
void complete_null(tern::Request& op) {
  op.reset();
  op.envelope = {0, MPI_PROC_NULL, MPI_ANY_TAG};
  op.done = true;
  if (op.on_done != nullptr) op.on_done(op);
}

// Sends a small message that can leave at once; false: nothing has happened. One with gaps is
// copied twice, which takes less than what it would need to wait.
bool send_small_now(Peer& peer, const Envelope& envelope, const DataView& data) {
  constexpr std::size_t kPackedMax = 1024;
  const std::size_t size = data.bytes();
  if (const std::byte* const run = data.run(); run != nullptr || size == 0) [[likely]] {
    return Engine::send_now(peer, envelope, run, size);
  }
  if (size > kPackedMax || peer.link == nullptr) return false;
  std::array<std::byte, kPackedMax> packed;
  tern::pack(data, 0, std::span(packed).first(size));
  return Engine::send_now(peer, envelope, packed.data(), size);
}

int hand_out(P2pRequest& made, bool persistent, Request** request) {
  made.persistent = persistent;
  made.active = false;
  if (!persistent) {
    if (const int error = made.start(); error != MPI_SUCCESS) {
      made.release();
      return error;
    }
  }
  *request = &made;
  return MPI_SUCCESS;
}

// One whose operation belongs to a lane.
class LanedRequest final : public P2pRequest {
 public:
  LanedRequest(Transfer transfer, const void* buffer, MPI_Count count, Datatype& datatype, int rank,
               int tag, Comm& communicator)
      : P2pRequest(transfer, buffer, count, datatype, rank, tag, communicator) {
    lane = communicator.lane();
    plain = false;
  }
  int start() override {
    const LaneHold hold(lane);
    return P2pRequest::start();
  }
  void cancel() override {
    const LaneHold hold(lane);
    P2pRequest::cancel();
  }
};

// begin() on a communicator that has a lane.
int begin_in_lane(Transfer transfer, bool persistent, const void* buffer, MPI_Count count,
                  Datatype& datatype, int rank, int tag, Comm& comm, Request** request) {
  Lane& lane = *comm.lane();
  if (transfer == Transfer::kReceive && !persistent && datatype.predefined() &&
      rank != MPI_PROC_NULL) {
    LaneRequest* made = lane.take_up();
    if (made == nullptr && lane.refill()) made = lane.take_up();
    if (made == nullptr) return fail_no_memory("a request");
    made->receive(view(buffer, count, datatype), rank, tag, comm);
    *request = made;
    return MPI_SUCCESS;
  }
  auto* const made = make<LanedRequest>(transfer, buffer, count, datatype, rank, tag, comm);
  return made == nullptr ? fail_no_memory("a request") : hand_out(*made, persistent, request);
}

// The common end of MPI_I... and MPI_..._init.
int begin(Transfer transfer, bool persistent, const void* buffer, MPI_Count count,
          Datatype& datatype, int rank, int tag, Comm& comm, Request** request) {
  if (comm.lane() != nullptr) [[unlikely]] {
    return begin_in_lane(transfer, persistent, buffer, count, datatype, rank, tag, comm, request);
  }
  if (transfer == Transfer::kReceive && !persistent && datatype.predefined() &&
      rank != MPI_PROC_NULL) {
    *request = P2pRequest::start_again(view(buffer, count, datatype), datatype, rank, tag, comm);
    if (*request != nullptr) return MPI_SUCCESS;
  }
  auto* const made = make<P2pRequest>(transfer, buffer, count, datatype, rank, tag, comm);
  if (made == nullptr) return fail_no_memory("a request");
  made->reusable = transfer == Transfer::kReceive && !persistent && datatype.predefined();
  return hand_out(*made, persistent, request);
}

}  // namespace

P2pRequest::P2pRequest(Transfer transfer, const void* buffer, MPI_Count count, Datatype& datatype,
                       int rank, int tag, Comm& communicator)
    : datatype_(&datatype), rank_(rank), tag_(tag), transfer_(transfer) {
  op.data = view(buffer, count, datatype);
  plain = true;
  comm = &communicator;
  communicator.retain();
  if (!datatype.predefined()) datatype.retain();
}

P2pRequest::~P2pRequest() {
  if (!datatype_->predefined()) datatype_->release();
}

int P2pRequest::start() {
  active = true;
  op.done = false;
  switch (transfer_) {
    case Transfer::kReceive:
      if (rank_ == MPI_PROC_NULL) {
        complete_null(op);
      } else {
        op.envelope = {comm->context(), rank_, tag_};
        comm->p2p_engine().receive(op);
      }
      return MPI_SUCCESS;
    case Transfer::kBufferedSend:
      op.reset();
      op.done = true;
      return start_buffered();
    default:
      start_send(
          op.data, rank_, tag_, *comm,
          transfer_ == Transfer::kSynchronousSend ? SendMode::kSynchronous : SendMode::kStandard,
          op);
      return MPI_SUCCESS;
  }
}

int P2pRequest::start_buffered() {
  const int error = send_buffered(op.data, rank_, tag_, *comm);
  active = error == MPI_SUCCESS;
  return error;
}

int P2pRequest::result(MPI_Status& status) {
  if (transfer_ == Transfer::kReceive) {
    set_receive_status(status, op);
  } else {
    set_status(status, MPI_ANY_SOURCE, MPI_ANY_TAG, 0, op.outcome == Outcome::kCancelled);
  }
  return op.outcome == Outcome::kOk ? MPI_SUCCESS : error_of(op);
}

void P2pRequest::cancel() {
  if (transfer_ == Transfer::kReceive) {
    comm->p2p_engine().cancel_receive(op);
  } else if (transfer_ != Transfer::kBufferedSend) {
    comm->p2p_engine().cancel_send(op);
  }
}

void start_send(const DataView& data, int dest, int tag, Comm& comm, SendMode mode,
                tern::Request& op) {
  if (dest == MPI_PROC_NULL) return complete_null(op);
  comm.p2p_engine().send(comm.p2p_peer(dest), {comm.context(), comm.rank(), tag}, data, mode, op);
}

void start_receive(const DataView& data, int source, int tag, Comm& comm, tern::Request& op) {
  if (source == MPI_PROC_NULL) return complete_null(op);
  comm.p2p_engine().receive({comm.context(), source, tag}, data, op);
}

int send_blocking(const void* buffer, MPI_Count count, Datatype& datatype, int dest, int tag,
                  Comm& comm, SendMode mode) {
  at_once::prepare(comm);
  if (dest == MPI_PROC_NULL) return MPI_SUCCESS;
  const DataView data = view(buffer, count, datatype);
  Peer& peer = comm.p2p_peer(dest);
  const Envelope envelope{comm.context(), comm.rank(), tag};
  if (mode == SendMode::kStandard && send_small_now(peer, envelope, data)) [[likely]]
    return MPI_SUCCESS;
  tern::Request op;
  comm.p2p_engine().send(peer, envelope, data, mode, op);
  return wait_internal(op);
}

namespace impl {

int send(const void* buf, MPI_Count count, Datatype* datatype, int dest, int tag, Comm* comm) {
  return send_blocking(buf, count, *datatype, dest, tag, *comm, SendMode::kStandard);
}

// A ready send may rely on the posted receive; the eager and rendezvous protocols need no such
// help.
int rsend(const void* buf, MPI_Count count, Datatype* datatype, int dest, int tag, Comm* comm) {
  return send_blocking(buf, count, *datatype, dest, tag, *comm, SendMode::kStandard);
}

int ssend(const void* buf, MPI_Count count, Datatype* datatype, int dest, int tag, Comm* comm) {
  return send_blocking(buf, count, *datatype, dest, tag, *comm, SendMode::kSynchronous);
}

int recv(void* buf, MPI_Count count, Datatype* datatype, int source, int tag, Comm* comm,
         MPI_Status* status) {
  tern::Request op;
  start_receive(view(buf, count, *datatype), source, tag, *comm, op);
  const int error = wait_internal(op);
  if (status != MPI_STATUS_IGNORE) set_receive_status(*status, op);
  return error;
}

int isend(const void* buf, MPI_Count count, Datatype* datatype, int dest, int tag, Comm* comm,
          Request** request) {
  at_once::prepare(*comm);
  if (dest == MPI_PROC_NULL) {
    *request = completed_send();
    return MPI_SUCCESS;
  }
  // A message that leaves at once needs no request of its own.
  const DataView data = view(buf, count, *datatype);
  if (send_small_now(comm->p2p_peer(dest), {comm->context(), comm->rank(), tag}, data)) {
    *request = completed_send();
    return MPI_SUCCESS;
  }
  return begin(Transfer::kSend, false, buf, count, *datatype, dest, tag, *comm, request);
}

int irsend(const void* buf, MPI_Count count, Datatype* datatype, int dest, int tag, Comm* comm,
           Request** request) {
  return isend(buf, count, datatype, dest, tag, comm, request);
}

int issend(const void* buf, MPI_Count count, Datatype* datatype, int dest, int tag, Comm* comm,
           Request** request) {
  return begin(Transfer::kSynchronousSend, false, buf, count, *datatype, dest, tag, *comm, request);
}

int ibsend(const void* buf, MPI_Count count, Datatype* datatype, int dest, int tag, Comm* comm,
           Request** request) {
  return begin(Transfer::kBufferedSend, false, buf, count, *datatype, dest, tag, *comm, request);
}

int irecv(void* buf, MPI_Count count, Datatype* datatype, int source, int tag, Comm* comm,
          Request** request) {
  at_once::prepare(*comm);
  if (source == MPI_PROC_NULL) {
    *request = completed_proc_null();
    return MPI_SUCCESS;
  }
  return begin(Transfer::kReceive, false, buf, count, *datatype, source, tag, *comm, request);
}

int send_init(const void* buf, MPI_Count count, Datatype* datatype, int dest, int tag, Comm* comm,
              Request** request) {
  return begin(Transfer::kSend, true, buf, count, *datatype, dest, tag, *comm, request);
}

int rsend_init(const void* buf, MPI_Count count, Datatype* datatype, int dest, int tag, Comm* comm,
               Request** request) {
  return begin(Transfer::kSend, true, buf, count, *datatype, dest, tag, *comm, request);
}

int ssend_init(const void* buf, MPI_Count count, Datatype* datatype, int dest, int tag, Comm* comm,
               Request** request) {
  return begin(Transfer::kSynchronousSend, true, buf, count, *datatype, dest, tag, *comm, request);
}

int bsend_init(const void* buf, MPI_Count count, Datatype* datatype, int dest, int tag, Comm* comm,
               Request** request) {
  return begin(Transfer::kBufferedSend, true, buf, count, *datatype, dest, tag, *comm, request);
}

int recv_init(void* buf, MPI_Count count, Datatype* datatype, int source, int tag, Comm* comm,
              Request** request) {
  return begin(Transfer::kReceive, true, buf, count, *datatype, source, tag, *comm, request);
}

}  // namespace impl
}  // namespace tern::mpi
