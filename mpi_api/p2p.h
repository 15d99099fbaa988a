// mpi_api/p2p.h - point-to-point requests (MPI-5.0 chapter 3).
#pragma once
#include "core/engine.h"
#include "mpi_api/comm.h"
#include "mpi_api/datatype.h"
#include "mpi_api/request.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {

enum class Transfer : std::uint8_t { kSend, kSynchronousSend, kBufferedSend, kReceive };

// A non-blocking or persistent send or receive. Keeps its communicator and datatype alive.
//
// To make and to destroy one costs as much as the rest of a small message's way, so receives of
// predefined datatypes are set aside when they have ended (recycle), and used again (start_again).
class P2pRequest : public Request {
 public:
  P2pRequest(Transfer transfer, const void* buffer, MPI_Count count, Datatype& datatype, int rank,
             int tag, Comm& communicator);
  ~P2pRequest() override;

  int start() override;
  int result(MPI_Status& status) override;
  void cancel() override;

  // Starts a receive with a request that was set aside; nullptr when there is none. Preconditions:
  // the datatype is predefined, source is not MPI_PROC_NULL.
  static P2pRequest* start_again(const DataView& data, Datatype& datatype, int source, int tag,
                                 Comm& comm) {
    P2pRequest* const made = first_set_aside;
    if (made == nullptr) [[unlikely]]
      return nullptr;
    first_set_aside = made->next_set_aside_;
    made->take_up(Kind::kRequest);
    made->datatype_ = &datatype;
    made->comm = &comm;
    comm.retain();
    engine().receive({comm.context(), source, tag}, data, made->op);
    return made;
  }
  // Instead of release(), when `reusable` says so and the receive has ended well.
  void recycle() {
    comm->release();
    Object::set_aside();
    next_set_aside_ = first_set_aside;
    first_set_aside = this;
  }

 private:
  int start_buffered();

  static inline P2pRequest* first_set_aside = nullptr;
  P2pRequest* next_set_aside_ = nullptr;
  Datatype* datatype_;
  int rank_;
  int tag_;
  Transfer transfer_;
};

// The end of a finished, plain request that is neither persistent nor shared (see request.h) and
// whose outcome was kOk: the user's handle is gone.
inline void end_plain(Request& request) {
  if (request.reusable) [[likely]]
    return static_cast<P2pRequest&>(request).recycle();
  request.release();
}

// Blocking operations with their request on the stack. All return an MPI error class.
int send_blocking(const void* buffer, MPI_Count count, Datatype& datatype, int dest, int tag,
                  Comm& comm, SendMode mode);

// rank may be MPI_PROC_NULL: then the operation is complete at once.
void start_send(const DataView& data, int dest, int tag, Comm& comm, SendMode mode,
                tern::Request& op);
void start_receive(const DataView& data, int source, int tag, Comm& comm, tern::Request& op);

}  // namespace tern::mpi
