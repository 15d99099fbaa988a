// mpi_api/sendrecv.cc - combined send and receive (MPI-5.0 section 3.11).
#include <memory>
#include <new>

#include "impl.h"
#include "mpi_api/errors.h"
#include "mpi_api/p2p.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

// MPI_Isendrecv(_replace): one request, done when both halves are. Its result is the receive's.
class SendrecvRequest final : public Request {
 public:
  SendrecvRequest(Comm& communicator, Datatype& send_type, Datatype& receive_type,
                  std::unique_ptr<std::byte[]> copy)
      : send_type_(&send_type), receive_type_(&receive_type), copy_(std::move(copy)) {
    comm = &communicator;
    lane = communicator.lane();
    communicator.retain();
    send_type.retain();
    receive_type.retain();
    for (Half* const half : {&send_, &receive_}) {
      half->whole = this;
      half->on_done = half_done;
    }
  }
  ~SendrecvRequest() override {
    send_type_->release();
    receive_type_->release();
  }

  void begin(const DataView& out, int dest, int send_tag, const DataView& in, int source,
             int receive_tag) {
    start_receive(in, source, receive_tag, *comm, receive_);
    start_send(out, dest, send_tag, *comm, SendMode::kStandard, send_);
  }

  int result(MPI_Status& status) override {
    set_receive_status(status, receive_);
    const int error = error_of(send_);
    return error != MPI_SUCCESS ? error : error_of(receive_);
  }

 private:
  struct Half : tern::Request {
    SendrecvRequest* whole = nullptr;
  };
  static void half_done(tern::Request& op) {
    SendrecvRequest& whole = *static_cast<Half&>(op).whole;
    if (--whole.open_halves_ > 0) return;
    whole.op.set_done();
    if (whole.op.on_done != nullptr) whole.op.on_done(whole.op);
  }

  Half send_;
  Half receive_;
  int open_halves_ = 2;
  Datatype* send_type_;
  Datatype* receive_type_;
  std::unique_ptr<std::byte[]> copy_;  // What is sent, where the receive overwrites the original.
};

// A packed copy of the data; nullptr without memory (the sentence is kept).
std::unique_ptr<std::byte[]> packed_copy(const DataView& data) {
  const std::size_t bytes = data.bytes();
  std::unique_ptr<std::byte[]> copy(new (std::nothrow) std::byte[bytes]);
  if (copy != nullptr) pack(data, 0, {copy.get(), bytes});
  return copy;
}

int no_memory(std::size_t bytes) {
  return fail(MPI_ERR_NO_MEM, "no memory is left for a copy of {} bytes", bytes);
}

int exchange(const DataView& out, int dest, int send_tag, const DataView& in, int source,
             int receive_tag, Comm& comm, MPI_Status* status) {
  tern::Request receive;
  tern::Request send;
  start_receive(in, source, receive_tag, comm, receive);
  start_send(out, dest, send_tag, comm, SendMode::kStandard, send);
  engine().wait_until([&] { return receive.done && send.done; });
  if (status != MPI_STATUS_IGNORE) set_receive_status(*status, receive);
  const int error = error_of(send);
  return error != MPI_SUCCESS ? error : error_of(receive);
}

}  // namespace

namespace impl {

int sendrecv(const void* sendbuf, MPI_Count sendcount, Datatype* sendtype, int dest, int sendtag,
             void* recvbuf, MPI_Count recvcount, Datatype* recvtype, int source, int recvtag,
             Comm* comm, MPI_Status* status) {
  return exchange(view(sendbuf, sendcount, *sendtype), dest, sendtag,
                  view(recvbuf, recvcount, *recvtype), source, recvtag, *comm, status);
}

int sendrecv_replace(void* buf, MPI_Count count, Datatype* datatype, int dest, int sendtag,
                     int source, int recvtag, Comm* comm, MPI_Status* status) {
  const DataView data = view(buf, count, *datatype);
  const std::unique_ptr<std::byte[]> copy = packed_copy(data);
  if (copy == nullptr) return no_memory(data.bytes());
  return exchange(DataView::bytes_at(copy.get(), data.bytes()), dest, sendtag, data, source,
                  recvtag, *comm, status);
}

int isendrecv(const void* sendbuf, MPI_Count sendcount, Datatype* sendtype, int dest, int sendtag,
              void* recvbuf, MPI_Count recvcount, Datatype* recvtype, int source, int recvtag,
              Comm* comm, Request** request) {
  auto* const made = make<SendrecvRequest>(*comm, *sendtype, *recvtype, nullptr);
  if (made == nullptr) return no_memory(sizeof(SendrecvRequest));
  made->begin(view(sendbuf, sendcount, *sendtype), dest, sendtag,
              view(recvbuf, recvcount, *recvtype), source, recvtag);
  *request = made;
  return MPI_SUCCESS;
}

int isendrecv_replace(void* buf, MPI_Count count, Datatype* datatype, int dest, int sendtag,
                      int source, int recvtag, Comm* comm, Request** request) {
  const DataView data = view(buf, count, *datatype);
  std::unique_ptr<std::byte[]> copy = packed_copy(data);
  if (copy == nullptr) return no_memory(data.bytes());
  const DataView out = DataView::bytes_at(copy.get(), data.bytes());
  auto* const made = make<SendrecvRequest>(*comm, *datatype, *datatype, std::move(copy));
  if (made == nullptr) return no_memory(sizeof(SendrecvRequest));
  made->begin(out, dest, sendtag, data, source, recvtag);
  *request = made;
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
