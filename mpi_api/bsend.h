// mpi_api/bsend.h - buffered sends and the buffers users attach for them (MPI-5.0 section 3.6).
#pragma once
#include <cstddef>
#include <list>
#include <memory>
#include <vector>

#include "core/engine.h"
#include "mpi_api/comm.h"

namespace tern::mpi {

// Memory that a user attached (or MPI_BUFFER_AUTOMATIC: as much as is needed), and the messages in
// it. A message stays until it has left; messages are placed first-fit, so that what the standard's
// circular buffer could hold fits here too.
// Threading: under the entry lock.
class BsendBuffer {
 public:
  BsendBuffer(void* base, MPI_Count size_bytes)
      : base_(static_cast<std::byte*>(base)), size_(size_bytes) {}
  ~BsendBuffer();

  bool automatic() const { return base_ == MPI_BUFFER_AUTOMATIC; }
  void* base() const { return base_; }
  MPI_Count size() const { return size_; }
  bool empty() const { return messages_.empty(); }

  // Sets op.done when the buffer is next empty. Precondition: it is not empty; op lives until then.
  void notify_when_empty(tern::Request& op) { waiting_.push_back(&op); }

  // Copies the data and starts its transfer. Returns an MPI error class.
  int send(const DataView& data, int dest, int tag, Comm& comm);

 private:
  struct Message : tern::Request {
    BsendBuffer* buffer = nullptr;
    Lane* lane = nullptr;  // It leaves by that one.
    std::list<Message>::iterator place;
    std::byte* memory = nullptr;
    std::size_t reserved_bytes = 0;
    std::unique_ptr<std::byte[]> own;  // MPI_BUFFER_AUTOMATIC
  };

  // Where `bytes` fit, and before which message; nullptr when they fit nowhere now.
  std::byte* find_place(std::size_t bytes, std::list<Message>::iterator& before);
  static void message_left(tern::Request& op);

  std::byte* base_;
  MPI_Count size_;
  std::list<Message> messages_;  // In order of their memory.
  std::vector<tern::Request*> waiting_;
};

// MPI_Bsend: through the communicator's buffer if it has one, else through its session's, else
// through the process's.
int send_buffered(const DataView& data, int dest, int tag, Comm& comm);

// Waits until the process's buffer is empty; MPI_Finalize.
void finish_buffered_sends();
// Waits until a session's buffer is empty, and drops it; MPI_Session_finalize.
void finish_buffered_sends(Session& session);

}  // namespace tern::mpi
