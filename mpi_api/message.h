// mpi_api/message.h - a message that MPI_Mprobe took out of matching (MPI-5.0 section 3.8.2).
#pragma once
#include "core/match.h"
#include "mpi_api/object.h"

namespace tern::mpi {

class Message final : public Object {
 public:
  Message() : Object(Kind::kMessage) {}  // MPI_MESSAGE_NO_PROC
  Message(UnexpectedMessage& taken, Comm& comm);
  ~Message() override;

  UnexpectedMessage* taken() const { return taken_; }  // nullptr: from MPI_PROC_NULL.
  Comm& comm() const { return *comm_; }

 private:
  UnexpectedMessage* taken_ = nullptr;
  Comm* comm_ = nullptr;
};

void make_predefined_messages();

}  // namespace tern::mpi
