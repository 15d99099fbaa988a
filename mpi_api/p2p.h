// mpi_api/p2p.h - point-to-point requests (MPI-5.0 chapter 3).
#pragma once
#include "core/engine.h"
#include "mpi_api/comm.h"
#include "mpi_api/datatype.h"
#include "mpi_api/request.h"

namespace tern::mpi {

enum class Transfer : std::uint8_t { kSend, kSynchronousSend, kBufferedSend, kReceive };

// A non-blocking or persistent send or receive. Keeps its communicator and datatype alive.
class P2pRequest final : public Request {
 public:
  P2pRequest(Transfer transfer, const void* buffer, MPI_Count count, Datatype& datatype, int rank,
             int tag, Comm& communicator);
  ~P2pRequest() override;

  int start() override;
  int result(MPI_Status& status) override;
  void cancel() override;

 private:
  int start_buffered();

  Datatype* datatype_;
  int rank_;
  int tag_;
  Transfer transfer_;
};

// Blocking operations with their request on the stack. All return an MPI error class.
int send_blocking(const void* buffer, MPI_Count count, Datatype& datatype, int dest, int tag,
                  Comm& comm, SendMode mode);

// rank may be MPI_PROC_NULL: then the operation is complete at once.
void start_send(const DataView& data, int dest, int tag, Comm& comm, SendMode mode,
                tern::Request& op);
void start_receive(const DataView& data, int source, int tag, Comm& comm, tern::Request& op);

}  // namespace tern::mpi
