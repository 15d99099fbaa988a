// mpi_api/bsend.cc - see bsend.h.
#include "mpi_api/bsend.h"

#include <new>

#include "impl.h"
#include "mpi_api/entry.h"
#include "mpi_api/errors.h"
#include "mpi_api/lanes.h"
#include "mpi_api/p2p.h"
#include "mpi_api/request.h"
#include "mpi_api/runtime.h"
#include "mpi_api/session.h"

namespace tern::mpi {
namespace {

// Every message takes a whole number of lines, well within MPI_BSEND_OVERHEAD.
std::size_t reserved_for(std::size_t bytes) { return (bytes + 63) & ~std::size_t{63}; }

using BufferPlace = std::unique_ptr<BsendBuffer, void (*)(BsendBuffer*)>;

BufferPlace& process_buffer() {
  static BufferPlace buffer(nullptr, [](BsendBuffer* attached) { delete attached; });
  return buffer;
}

int attach(BufferPlace& place, void* buffer, MPI_Count size) {
  if (place != nullptr) {
    return fail(MPI_ERR_BUFFER, "a buffer of {} bytes is attached already; detach it first",
                place->size());
  }
  place.reset(new (std::nothrow) BsendBuffer(buffer, size));
  return place != nullptr ? MPI_SUCCESS : fail_no_memory("a buffer");
}

void flush(const BufferPlace& place) {
  engine().wait_until([&place] { return place == nullptr || place->empty(); });
}

int detach(BufferPlace& place, void* address, MPI_Count* size) {
  if (place == nullptr) {
    return fail(MPI_ERR_BUFFER, "no buffer is attached; attach one before detaching it");
  }
  flush(place);
  *static_cast<void**>(address) = place->base();
  *size = place->automatic() ? 0 : place->size();
  place.reset();
  return MPI_SUCCESS;
}

// Done when all messages that were in the buffer at its start have left. Messages added later may
// delay it; the standard allows that.
class FlushRequest final : public Request {
 public:
  explicit FlushRequest(BufferPlace& place) {
    BsendBuffer* const buffer = place.get();
    if (buffer == nullptr || buffer->empty()) {
      op.done = true;
    } else {
      buffer->notify_when_empty(op);
    }
  }
};

int iflush(BufferPlace& place, Request** request) {
  return hand_over<Request>(make<FlushRequest>(place), "a request", request);
}

}  // namespace

// A freed communicator's messages are still on their way: they are part of it.
BsendBuffer::~BsendBuffer() {
  engine().wait_until([this] { return empty(); });
}

std::byte* BsendBuffer::find_place(std::size_t bytes, std::list<Message>::iterator& before) {
  std::byte* free_from = base_;
  for (before = messages_.begin(); before != messages_.end(); ++before) {
    if (static_cast<std::size_t>(before->memory - free_from) >= bytes) return free_from;
    free_from = before->memory + before->reserved_bytes;
  }
  return static_cast<std::size_t>(base_ + size_ - free_from) >= bytes ? free_from : nullptr;
}

int BsendBuffer::send(const DataView& data, int dest, int tag, Comm& comm) {
  const std::size_t bytes = data.bytes();
  auto before = messages_.end();
  std::unique_ptr<std::byte[]> own;
  std::byte* memory = nullptr;
  if (automatic()) {
    own.reset(new (std::nothrow) std::byte[bytes]);
    memory = own.get();
    if (memory == nullptr)
      return fail(MPI_ERR_NO_MEM, "no memory is left to buffer {} bytes", bytes);
  } else {
    const bool possible = bytes + MPI_BSEND_OVERHEAD <= static_cast<std::size_t>(size_);
    if (possible) memory = find_place(reserved_for(bytes), before);
    // What has been delivered meanwhile makes room.
    if (possible && memory == nullptr && engine().progress() > 0) {
      memory = find_place(reserved_for(bytes), before);
    }
    if (memory == nullptr) {
      return fail(
          MPI_ERR_BUFFER,
          "the attached buffer of {} bytes has no room for a message of {} bytes (plus "
          "MPI_BSEND_OVERHEAD, {} bytes, each; {} messages are in it); attach a larger one, or "
          "MPI_BUFFER_AUTOMATIC",
          size_, bytes, static_cast<int>(MPI_BSEND_OVERHEAD), messages_.size());
    }
  }
  pack(data, 0, {memory, bytes});
  const auto place = messages_.emplace(before);
  place->buffer = this;
  place->place = place;
  place->memory = memory;
  place->reserved_bytes = reserved_for(bytes);
  place->own = std::move(own);
  place->lane = comm.lane();
  place->on_done = message_left;
  start_send(DataView::bytes_at(memory, bytes), dest, tag, comm, SendMode::kStandard, *place);
  return MPI_SUCCESS;
}

void BsendBuffer::message_left(tern::Request& op) {
  auto& message = static_cast<Message&>(op);
  if (message.lane != nullptr && !entry_is_mine()) return message.lane->later(op, message_left);
  BsendBuffer& buffer = *message.buffer;
  buffer.messages_.erase(message.place);
  if (!buffer.messages_.empty()) return;
  for (tern::Request* const waiting : buffer.waiting_) waiting->done = true;
  buffer.waiting_.clear();
}

int send_buffered(const DataView& data, int dest, int tag, Comm& comm) {
  if (dest == MPI_PROC_NULL) return MPI_SUCCESS;
  Session* const session = comm.group().session();
  BsendBuffer* buffer = comm.buffer.get();
  if (buffer == nullptr && session != nullptr) buffer = session->buffer.get();
  if (buffer == nullptr) buffer = process_buffer().get();
  if (buffer == nullptr) {
    return fail(MPI_ERR_BUFFER,
                "no buffer is attached for buffered sends; call MPI_Buffer_attach "
                "(MPI_BUFFER_AUTOMATIC takes what it needs) before");
  }
  return buffer->send(data, dest, tag, comm);
}

void finish_buffered_sends() { flush(process_buffer()); }

void finish_buffered_sends(Session& session) {
  flush(session.buffer);
  session.buffer.reset();
}

namespace impl {

int bsend(const void* buf, MPI_Count count, Datatype* datatype, int dest, int tag, Comm* comm) {
  return send_buffered(view(buf, count, *datatype), dest, tag, *comm);
}

int buffer_attach(void* buffer, MPI_Count size) { return attach(process_buffer(), buffer, size); }
int buffer_detach(void* buffer_addr, MPI_Count* size) {
  return detach(process_buffer(), buffer_addr, size);
}
int buffer_flush() {
  flush(process_buffer());
  return MPI_SUCCESS;
}
int buffer_iflush(Request** request) { return iflush(process_buffer(), request); }

int comm_attach_buffer(Comm* comm, void* buffer, MPI_Count size) {
  return attach(comm->buffer, buffer, size);
}
int comm_detach_buffer(Comm* comm, void* buffer_addr, MPI_Count* size) {
  return detach(comm->buffer, buffer_addr, size);
}
int comm_flush_buffer(Comm* comm) {
  flush(comm->buffer);
  return MPI_SUCCESS;
}
int comm_iflush_buffer(Comm* comm, Request** request) { return iflush(comm->buffer, request); }

int session_attach_buffer(Session* session, void* buffer, MPI_Count size) {
  return attach(session->buffer, buffer, size);
}
int session_detach_buffer(Session* session, void* buffer_addr, MPI_Count* size) {
  return detach(session->buffer, buffer_addr, size);
}
int session_flush_buffer(Session* session) {
  flush(session->buffer);
  return MPI_SUCCESS;
}
int session_iflush_buffer(Session* session, Request** request) {
  return iflush(session->buffer, request);
}

}  // namespace impl
}  // namespace tern::mpi
