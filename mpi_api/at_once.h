// mpi_api/at_once.h - the short way of MPI_Send, MPI_Isend and MPI_Irecv.
//
// Between two cores that share no cache a message costs what its cache line takes to change hands,
// unless the processor can have several on their way; it can when few other stores lie between two
// messages, because stores reach the cache in their order. So the most frequent send, a small and
// dense one to a peer that is connected, is tried first, in a handful of instructions that write
// little but the message. Whatever is not quite so simple, wrong arguments included, takes the long
// way, which finds out again what is the matter and says so. The receive has its short way because
// the rate of small messages is what the receiver's instructions allow.
//
// Threading: never taken with MPI_THREAD_MULTIPLE, which has lanes.h. Failure: false, and nothing
// has happened.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/engine.h"
#include "mpi_api/checks.h"
#include "mpi_api/comm.h"
#include "mpi_api/datatype.h"
#include "mpi_api/entry.h"
#include "mpi_api/p2p.h"
#include "mpi_api/request.h"

namespace tern::mpi::at_once {

// The communicator of the latest send that took the long way, which has checked the handle; nullptr
// when it has been freed since.
inline Comm* latest = nullptr;
// Of completed_send(), once a send has taken the long way.
inline MPI_Request completed = nullptr;

// False with MPI_THREAD_MULTIPLE, where only the long way takes the lock: nothing else here may be
// read then.
inline bool allowed() { return is_initialized() && !entry_state.threaded; }

// By the long way, which makes the short one possible for the sends that follow.
inline void prepare(Comm& comm) {
  latest = comm.lane() == nullptr ? &comm : nullptr;
  completed = to_handle(completed_send());
}

// Handles below are predefined, and to look them up takes no call.
inline constexpr std::uintptr_t kPredefined = 4096;

inline Comm* comm_of(MPI_Comm handle) {
  Comm* const comm = to_comm(handle);
  if (reinterpret_cast<std::uintptr_t>(handle) >= kPredefined) {
    return comm == latest ? comm : nullptr;
  }
  return is_comm(comm, handle) ? comm : nullptr;
}

inline Datatype* datatype_of(MPI_Datatype handle) {
  if (reinterpret_cast<std::uintptr_t>(handle) >= kPredefined) return nullptr;
  Datatype* const datatype = to_datatype(handle);
  return is_datatype(datatype, handle) ? datatype : nullptr;
}

// Precondition: allowed().
[[gnu::always_inline]] inline bool try_send(const void* buf, MPI_Count count, MPI_Datatype datatype,
                                            int dest, int tag, MPI_Comm comm) {
  constexpr std::uint64_t kMostElements = 1 << 16;  // Also keeps their bytes from overflowing.
  Comm* const to = comm_of(comm);
  const Datatype* const type = datatype_of(datatype);
  if (to == nullptr || type == nullptr || !type->layout().is_dense() || !type->supported() ||
      static_cast<std::uint64_t>(count) > kMostElements ||
      static_cast<unsigned>(dest) >= static_cast<unsigned>(to->remote_size()) ||
      static_cast<unsigned>(tag) > static_cast<unsigned>(kTagUb) || is_special_buffer(buf)) {
    return false;
  }
  Peer* const peer = to->known_peer(dest);
  return peer != nullptr &&
         Engine::send_now(*peer, {to->context(), to->rank(), tag},
                          static_cast<const std::byte*>(buf),
                          type->layout().size() * static_cast<std::size_t>(count));
}

// True when the message has left: the send is complete.
[[gnu::always_inline]] inline bool send(const void* buf, MPI_Count count, MPI_Datatype datatype,
                                        int dest, int tag, MPI_Comm comm) {
  return allowed() && try_send(buf, count, datatype, dest, tag, comm);
}

[[gnu::always_inline]] inline bool isend(const void* buf, MPI_Count count, MPI_Datatype datatype,
                                         int dest, int tag, MPI_Comm comm, MPI_Request* request) {
  if (!allowed() || request == nullptr || completed == nullptr ||
      !try_send(buf, count, datatype, dest, tag, comm)) {
    return false;
  }
  *request = completed;
  return true;
}

// Also when the message is not there yet.
[[gnu::always_inline]] inline bool irecv(void* buf, MPI_Count count, MPI_Datatype datatype,
                                         int source, int tag, MPI_Comm comm, MPI_Request* request) {
  constexpr std::uint64_t kMostReceived = std::uint64_t{1} << 32;
  if (!allowed() || request == nullptr) return false;
  Comm* const from = comm_of(comm);
  Datatype* const type = datatype_of(datatype);
  if (from == nullptr || type == nullptr || !type->supported() ||
      static_cast<std::uint64_t>(count) > kMostReceived ||
      (static_cast<unsigned>(source) >= static_cast<unsigned>(from->remote_size()) &&
       (source != MPI_ANY_SOURCE || from->no_any_source)) ||
      (static_cast<unsigned>(tag) > static_cast<unsigned>(kTagUb) &&
       (tag != MPI_ANY_TAG || from->no_any_tag)) ||
      is_special_buffer(buf)) {
    return false;
  }
  P2pRequest* const made =
      P2pRequest::start_again(view(buf, count, *type), *type, source, tag, *from);
  if (made == nullptr) return false;
  *request = reinterpret_cast<MPI_Request>(made);
  return true;
}

}  // namespace tern::mpi::at_once
