// mpi_api/handle_ints.cc - handles as integers, for Fortran and other languages (MPI-5.0
// section 20.3).
//
// A predefined handle is its own value; the others are numbered by their place in the arena. The
// functions check nothing: like a handle, an integer is only as good as where it came from.
#include <cstdint>

#include "impl.h"
#include "mpi_api/object.h"

namespace tern::mpi::impl {
namespace {

constexpr std::uintptr_t kPredefinedEnd = 4096;

template <class Handle>
int to_int(Handle handle) {
  const auto value = reinterpret_cast<std::uintptr_t>(handle);
  return value < kPredefinedEnd ? static_cast<int>(value) : arena::to_int(handle);
}

template <class Handle>
Handle from_int(int value) {
  const auto predefined = static_cast<std::uintptr_t>(value);
  return reinterpret_cast<Handle>(
      value >= 0 && predefined < kPredefinedEnd ? predefined : arena::from_int(value));
}

}  // namespace

int comm_toint(MPI_Comm comm) { return to_int(comm); }
MPI_Comm comm_fromint(int comm) { return from_int<MPI_Comm>(comm); }

int errhandler_toint(MPI_Errhandler errhandler) { return to_int(errhandler); }
MPI_Errhandler errhandler_fromint(int errhandler) { return from_int<MPI_Errhandler>(errhandler); }

int file_toint(MPI_File file) { return to_int(file); }
MPI_File file_fromint(int file) { return from_int<MPI_File>(file); }

int group_toint(MPI_Group group) { return to_int(group); }
MPI_Group group_fromint(int group) { return from_int<MPI_Group>(group); }

int info_toint(MPI_Info info) { return to_int(info); }
MPI_Info info_fromint(int info) { return from_int<MPI_Info>(info); }

int message_toint(MPI_Message message) { return to_int(message); }
MPI_Message message_fromint(int message) { return from_int<MPI_Message>(message); }

int op_toint(MPI_Op op) { return to_int(op); }
MPI_Op op_fromint(int op) { return from_int<MPI_Op>(op); }

int request_toint(MPI_Request request) { return to_int(request); }
MPI_Request request_fromint(int request) { return from_int<MPI_Request>(request); }

int session_toint(MPI_Session session) { return to_int(session); }
MPI_Session session_fromint(int session) { return from_int<MPI_Session>(session); }

int type_toint(MPI_Datatype datatype) { return to_int(datatype); }
MPI_Datatype type_fromint(int datatype) { return from_int<MPI_Datatype>(datatype); }

int win_toint(MPI_Win win) { return to_int(win); }
MPI_Win win_fromint(int win) { return from_int<MPI_Win>(win); }

}  // namespace tern::mpi::impl
