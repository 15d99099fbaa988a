// mpi_api/probe.cc - probing and matched receives (MPI-5.0 section 3.8).
#include "impl.h"
#include "mpi_api/connections.h"
#include "mpi_api/entry.h"
#include "mpi_api/errors.h"
#include "mpi_api/message.h"
#include "mpi_api/p2p.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

void set_proc_null_status(MPI_Status* status) {
  if (status != MPI_STATUS_IGNORE) set_status(*status, MPI_PROC_NULL, MPI_ANY_TAG, 0, false);
}

void set_message_status(MPI_Status* status, const UnexpectedMessage& message) {
  if (status == MPI_STATUS_IGNORE) return;
  set_status(*status, message.envelope.source, message.envelope.tag,
             static_cast<MPI_Count>(message.total_bytes), false);
}

Envelope pattern_of(int source, int tag, const Comm& comm) { return {comm.context(), source, tag}; }

int make_message(UnexpectedMessage& taken, Comm& comm, Message** message, MPI_Status* status) {
  set_message_status(status, taken);
  return hand_over(make<Message>(taken, comm), "a message", message);
}

// A process of comm has ended, or cannot be reached.
int nobody_is_left(int source) {
  if (source == MPI_ANY_SOURCE) {
    return fail(MPI_ERR_PROC_ABORTED, "no message is there, and a process of comm has ended");
  }
  return fail(MPI_ERR_PROC_ABORTED, "no message is there, and rank {} has ended", source);
}

// MPI_Mrecv and MPI_Imrecv use the message up.
void use_up(MPI_Message* handle) {
  Message* const message = to_message(*handle);
  *handle = MPI_MESSAGE_NULL;
  if (!message->predefined()) message->release();
}

class MatchedReceive final : public Request {
 public:
  MatchedReceive(Comm& communicator, Datatype& datatype) : datatype_(&datatype) {
    comm = &communicator;
    lane = communicator.lane();
    communicator.retain();
    datatype.retain();
  }
  ~MatchedReceive() override { datatype_->release(); }
  int result(MPI_Status& status) override {
    set_receive_status(status, op);
    return error_of(op);
  }

 private:
  Datatype* datatype_;
};

}  // namespace

Message::Message(UnexpectedMessage& taken, Comm& comm)
    : Object(Kind::kMessage), taken_(&taken), comm_(&comm) {
  comm.retain();
}

Message::~Message() {
  if (comm_ != nullptr) comm_->release();
}

void make_predefined_messages() {
  const auto handle = reinterpret_cast<std::uintptr_t>(MPI_MESSAGE_NO_PROC);
  if (predefined_objects[handle] == nullptr) make<Message>()->make_predefined(handle);
}

namespace impl {

int probe(int source, int tag, Comm* comm, MPI_Status* status) {
  if (source == MPI_PROC_NULL) {
    set_proc_null_status(status);
    return MPI_SUCCESS;
  }
  const Envelope pattern = pattern_of(source, tag, *comm);
  const UnexpectedMessage* found = nullptr;
  const Connections::Probing probing(*runtime().connections, pattern);
  engine().wait_until([&] {
    found = comm->p2p_engine().probe(pattern);
    return found != nullptr || runtime().connections->in_vain(*comm, source);
  });
  if (found == nullptr) return nobody_is_left(source);
  set_message_status(status, *found);
  return MPI_SUCCESS;
}

int iprobe(int source, int tag, Comm* comm, int* flag, MPI_Status* status) {
  *flag = 1;
  if (source == MPI_PROC_NULL) {
    set_proc_null_status(status);
    return MPI_SUCCESS;
  }
  const Envelope pattern = pattern_of(source, tag, *comm);
  const UnexpectedMessage* found = comm->p2p_engine().probe(pattern);
  if (found == nullptr) {
    poll_once();
    found = comm->p2p_engine().probe(pattern);
  }
  if (found == nullptr) {
    if (runtime().connections->in_vain(*comm, source)) return nobody_is_left(source);
    *flag = 0;
  } else {
    set_message_status(status, *found);
  }
  return MPI_SUCCESS;
}

int mprobe(int source, int tag, Comm* comm, Message** message, MPI_Status* status) {
  if (source == MPI_PROC_NULL) {
    set_proc_null_status(status);
    *message = to_message(MPI_MESSAGE_NO_PROC);
    return MPI_SUCCESS;
  }
  const Envelope pattern = pattern_of(source, tag, *comm);
  UnexpectedMessage* taken = nullptr;
  const Connections::Probing probing(*runtime().connections, pattern);
  engine().wait_until([&] {
    taken = comm->p2p_engine().take(pattern);
    return taken != nullptr || runtime().connections->in_vain(*comm, source);
  });
  if (taken == nullptr) return nobody_is_left(source);
  return make_message(*taken, *comm, message, status);
}

int improbe(int source, int tag, Comm* comm, int* flag, Message** message, MPI_Status* status) {
  *flag = 1;
  *message = nullptr;
  if (source == MPI_PROC_NULL) {
    set_proc_null_status(status);
    *message = to_message(MPI_MESSAGE_NO_PROC);
    return MPI_SUCCESS;
  }
  const Envelope pattern = pattern_of(source, tag, *comm);
  UnexpectedMessage* taken = comm->p2p_engine().take(pattern);
  if (taken == nullptr) {
    poll_once();
    taken = comm->p2p_engine().take(pattern);
  }
  if (taken != nullptr) return make_message(*taken, *comm, message, status);
  if (runtime().connections->in_vain(*comm, source)) return nobody_is_left(source);
  *flag = 0;
  return MPI_SUCCESS;
}

int mrecv(void* buf, MPI_Count count, Datatype* datatype, MPI_Message* message,
          MPI_Status* status) {
  Message* const source = to_message(*message);
  if (source->taken() == nullptr) {
    use_up(message);
    set_proc_null_status(status);
    return MPI_SUCCESS;
  }
  const LaneHold hold(source->comm().lane());
  tern::Request op;
  source->comm().p2p_engine().receive_taken(*source->taken(), view(buf, count, *datatype), op);
  const int error = wait_internal(op);
  if (status != MPI_STATUS_IGNORE) set_receive_status(*status, op);
  // Errors belong to the communicator that the message came by, which only the message knows.
  const int raised = error == MPI_SUCCESS ? error : raise(&source->comm(), error, "MPI_Mrecv");
  use_up(message);
  return raised;
}

int imrecv(void* buf, MPI_Count count, Datatype* datatype, MPI_Message* message,
           Request** request) {
  Message* const source = to_message(*message);
  if (source->taken() == nullptr) {
    use_up(message);
    *request = completed_proc_null();
    return MPI_SUCCESS;
  }
  auto* const made = make<MatchedReceive>(source->comm(), *datatype);
  if (made == nullptr) {
    return raise(&source->comm(), fail_no_memory("a request"), "MPI_Imrecv");
  }
  const LaneHold hold(source->comm().lane());
  source->comm().p2p_engine().receive_taken(*source->taken(), view(buf, count, *datatype),
                                            made->op);
  use_up(message);
  *request = made;
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
