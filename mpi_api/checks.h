// mpi_api/checks.h - the argument checks of the generated entry points.
//
// Each check returns MPI_SUCCESS, or the error class of what is wrong after fail() has kept a
// sentence that names the argument, its value and what is allowed. The tests that pass are inline
// and short; what happens when one fails is out of line (checks.cc) and may be slow.
// Threading: none needed; objects are only read. `argument` is the name of the parameter in the
// standard.
#pragma once
#include <climits>
#include <cstdint>

#include "mpi_api/comm.h"
#include "mpi_api/datatype.h"
#include "mpi_api/entry.h"

namespace tern::mpi {

// The failing halves of the checks below.
[[gnu::cold]] int refuse_pointer(const char* argument);
[[gnu::cold]] int refuse_array(MPI_Count length, const char* argument);
[[gnu::cold]] int refuse_negative(int error_class, MPI_Count value, const char* argument);
[[gnu::cold]] int refuse_dest(int dest, const Comm& comm, const char* argument);
[[gnu::cold]] int refuse_source(int source, const Comm& comm, const char* argument);
[[gnu::cold]] int refuse_root(int root, const Comm& comm, const char* argument);
[[gnu::cold]] int refuse_tag(int tag, bool receive, const char* argument);
[[gnu::cold]] int refuse_color(int color, const char* argument);
[[gnu::cold]] int refuse_datatype(const Datatype& datatype, const char* argument);
[[gnu::cold]] int refuse_in_place(const Comm& comm, const char* argument);
[[gnu::cold]] int refuse_same(const char* argument, const char* other);
[[gnu::cold]] int refuse_status(const char* argument);
[[gnu::cold]] int refuse_handle(std::uintptr_t handle, Kind wanted, const char* argument);
[[gnu::cold]] int refuse_comm_type(bool wants_inter, const char* argument);
[[gnu::cold]] int refuse_rma_op(MPI_Op op, const char* argument);

// Not inline: their arguments are arrays and strings, or they are rarely called.
int check_counts(IntArray counts, MPI_Count length, const char* argument);
// Datatypes for communication; those of counts that are zero mean nothing.
int check_datatypes(const MPI_Datatype* datatypes, IntArray counts, int length,
                    const char* argument);
int check_info_key(const char* key, const char* argument);
int check_info_value(const char* value, const char* argument);
int check_attach_buffer(const void* buffer, MPI_Count size, const char* argument);
// Null requests are allowed in the first, not in the second.
int check_requests(const MPI_Request* requests, int length, const char* argument);
int check_started_requests(const MPI_Request* requests, int length, const char* argument);
// For the addresses 0 to 2 (MPI_BOTTOM, MPI_IN_PLACE, MPI_BUFFER_AUTOMATIC) as a buffer of data.
int check_special_buffer(const void* buffer, MPI_Count count, const Datatype& datatype,
                         const char* argument);

// --- Numbers ---

inline int check_count(MPI_Count count, const char* argument) {
  return count >= 0 ? MPI_SUCCESS : refuse_negative(MPI_ERR_COUNT, count, argument);
}

// The length of an array.
inline int check_length(int length, const char* argument) {
  return length >= 0 ? MPI_SUCCESS : refuse_negative(MPI_ERR_ARG, length, argument);
}

// A number of bytes.
inline int check_size(MPI_Count size, const char* argument) {
  return size >= 0 ? MPI_SUCCESS : refuse_negative(MPI_ERR_ARG, size, argument);
}

inline int check_dest(int dest, const Comm& comm, const char* argument) {
  const bool good = static_cast<unsigned>(dest) < static_cast<unsigned>(comm.remote_size()) ||
                    dest == MPI_PROC_NULL;
  return good ? MPI_SUCCESS : refuse_dest(dest, comm, argument);
}

inline int check_source(int source, const Comm& comm, const char* argument) {
  const bool good = static_cast<unsigned>(source) < static_cast<unsigned>(comm.remote_size()) ||
                    (source == MPI_ANY_SOURCE && !comm.no_any_source) || source == MPI_PROC_NULL;
  return good ? MPI_SUCCESS : refuse_source(source, comm, argument);
}

inline int check_send_tag(int tag, const char* argument) {
  const bool good = static_cast<unsigned>(tag) <= static_cast<unsigned>(kTagUb);
  return good ? MPI_SUCCESS : refuse_tag(tag, false, argument);
}

inline int check_recv_tag(int tag, const Comm& comm, const char* argument) {
  const bool good = static_cast<unsigned>(tag) <= static_cast<unsigned>(kTagUb) ||
                    (tag == MPI_ANY_TAG && !comm.no_any_tag);
  return good ? MPI_SUCCESS : refuse_tag(tag, true, argument);
}

inline int check_root(int root, const Comm& comm, const char* argument) {
  const bool good = static_cast<unsigned>(root) < static_cast<unsigned>(comm.remote_size()) ||
                    (comm.is_inter() && (root == MPI_ROOT || root == MPI_PROC_NULL));
  return good ? MPI_SUCCESS : refuse_root(root, comm, argument);
}

inline int check_color(int color, const char* argument) {
  return color >= 0 || color == MPI_UNDEFINED ? MPI_SUCCESS : refuse_color(color, argument);
}

// --- Pointers ---

inline int check_pointer(const void* pointer, const char* argument) {
  return pointer != nullptr ? MPI_SUCCESS : refuse_pointer(argument);
}

inline int check_string(const char* string, const char* argument) {
  return check_pointer(string, argument);
}

template <class Function>
int check_callback(Function* function, const char* argument) {
  return function != nullptr ? MPI_SUCCESS : refuse_pointer(argument);
}

// An array may be null when it is empty.
inline int check_array(const void* array, MPI_Count length, const char* argument) {
  return array != nullptr || length <= 0 ? MPI_SUCCESS : refuse_array(length, argument);
}

inline int check_displs(IntArray displs, MPI_Count length, const char* argument) {
  return check_array(displs.data, length, argument);
}

// MPI_STATUS_IGNORE is the null pointer.
inline int check_status(const MPI_Status* status, const char* argument) {
  return status != nullptr ? MPI_SUCCESS : refuse_status(argument);
}

// --- Buffers ---

// No memory: null, MPI_IN_PLACE and the like.
inline bool is_special_buffer(const void* buffer) {
  return reinterpret_cast<std::uintptr_t>(buffer) <= 2;
}

// datatype has been checked before. A null pointer is MPI_BOTTOM: fine for derived datatypes, which
// may hold addresses, and for empty messages.
inline int check_buffer(const void* buffer, MPI_Count count, const Datatype* datatype,
                        const char* argument) {
  if (!is_special_buffer(buffer) || count == 0) [[likely]]
    return MPI_SUCCESS;
  return check_special_buffer(buffer, count, *datatype, argument);
}

// The buffer of a v collective: `length` counts.
int check_buffer(const void* buffer, IntArray counts, int length, const Datatype* datatype,
                 const char* argument);
// The same with a datatype for each.
int check_buffer(const void* buffer, IntArray counts, int length, const MPI_Datatype* datatypes,
                 const char* argument);

// How many neighbours the topology of a communicator gives this process; 0 without one.
int source_count(const Comm& comm);
int destination_count(const Comm& comm);

// The argument is MPI_IN_PLACE; here: false where only the root may pass it and this is another.
inline int check_in_place(const Comm& comm, bool here, const char* argument) {
  return here && !comm.is_inter() ? MPI_SUCCESS : refuse_in_place(comm, argument);
}

// A collective's two buffers of `count` elements of one datatype must not be the same memory.
inline int check_distinct(const void* buffer, const void* other, MPI_Count count,
                          const char* argument, const char* other_argument) {
  const bool good = buffer != other || buffer == MPI_BOTTOM || count == 0;
  return good ? MPI_SUCCESS : refuse_same(argument, other_argument);
}

// --- Handles ---

// is_comm(object, handle): whether the object that to_comm(handle) gave may be looked at.
// Predefined handles, the most frequent ones, are checked without a call.
// check_comm_object(object, handle): the same as a check.
// check_comm_or_null(object, handle): MPI_COMM_NULL is allowed too.
// check_comm_inout(address), check_comm_inout_or_null(address): of a handle that is changed.

// NOLINTBEGIN(bugprone-macro-parentheses): the arguments are types and names.
#define TERN_CHECK_HANDLE(Type, Handle, lower, wanted, null_handle)                                \
  inline bool is_##lower(const Type* object, Handle handle) {                                      \
    const auto value = reinterpret_cast<std::uintptr_t>(handle);                                   \
    if (value >= 4096) return find_object(value, wanted) != nullptr;                               \
    return object != nullptr && reinterpret_cast<const Object*>(object)->kind() == wanted;         \
  }                                                                                                \
  inline int bad_##lower(Handle handle, const char* argument) {                                    \
    return refuse_handle(reinterpret_cast<std::uintptr_t>(handle), wanted, argument);              \
  }                                                                                                \
  inline int check_##lower##_object(const Type* object, Handle handle, const char* argument) {     \
    return is_##lower(object, handle) ? MPI_SUCCESS : bad_##lower(handle, argument);               \
  }                                                                                                \
  inline int check_##lower##_or_null(const Type* object, Handle handle, const char* argument) {    \
    return handle == null_handle ? MPI_SUCCESS : check_##lower##_object(object, handle, argument); \
  }                                                                                                \
  inline int check_##lower##_inout(const Handle* handle, const char* argument) {                   \
    if (handle == nullptr) return refuse_pointer(argument);                                        \
    return check_##lower##_object(to_##lower(*handle), *handle, argument);                         \
  }                                                                                                \
  inline int check_##lower##_inout_or_null(const Handle* handle, const char* argument) {           \
    if (handle == nullptr) return refuse_pointer(argument);                                        \
    return check_##lower##_or_null(to_##lower(*handle), *handle, argument);                        \
  }

TERN_CHECK_HANDLE(Comm, MPI_Comm, comm, Kind::kComm, MPI_COMM_NULL)
TERN_CHECK_HANDLE(Group, MPI_Group, group, Kind::kGroup, MPI_GROUP_NULL)
TERN_CHECK_HANDLE(Datatype, MPI_Datatype, datatype, Kind::kDatatype, MPI_DATATYPE_NULL)
TERN_CHECK_HANDLE(Op, MPI_Op, op, Kind::kOp, MPI_OP_NULL)
TERN_CHECK_HANDLE(Info, MPI_Info, info, Kind::kInfo, MPI_INFO_NULL)
TERN_CHECK_HANDLE(Errhandler, MPI_Errhandler, errhandler, Kind::kErrhandler, MPI_ERRHANDLER_NULL)
TERN_CHECK_HANDLE(Request, MPI_Request, request, Kind::kRequest, MPI_REQUEST_NULL)
TERN_CHECK_HANDLE(Message, MPI_Message, message, Kind::kMessage, MPI_MESSAGE_NULL)
TERN_CHECK_HANDLE(Session, MPI_Session, session, Kind::kSession, MPI_SESSION_NULL)
#undef TERN_CHECK_HANDLE
// NOLINTEND(bugprone-macro-parentheses)

inline int check_intra_comm(const Comm* comm, MPI_Comm handle, const char* argument) {
  if (!is_comm(comm, handle)) return bad_comm(handle, argument);
  return comm->is_inter() ? refuse_comm_type(false, argument) : MPI_SUCCESS;
}

inline int check_inter_comm(const Comm* comm, MPI_Comm handle, const char* argument) {
  if (!is_comm(comm, handle)) return bad_comm(handle, argument);
  return comm->is_inter() ? MPI_SUCCESS : refuse_comm_type(true, argument);
}

// A datatype for communication.
inline int check_datatype(const Datatype* datatype, MPI_Datatype handle, const char* argument) {
  if (!is_datatype(datatype, handle)) return bad_datatype(handle, argument);
  const bool good = datatype->committed() && datatype->supported();
  return good ? MPI_SUCCESS : refuse_datatype(*datatype, argument);
}

// An operation for reductions.
inline int check_op(const Op* op, MPI_Op handle, const char* argument) {
  if (handle == MPI_REPLACE || handle == MPI_NO_OP) return refuse_rma_op(handle, argument);
  return check_op_object(op, handle, argument);
}

// --- What else the entry points need ---

// What a rooted collective asks of this process.
struct Role {
  bool root;    // The root's side: what MPI_Gather receives, what MPI_Scatter sends.
  bool member;  // The other side, which an intracommunicator's root has too.
};

inline Role role_of(int root, const Comm& comm) {
  if (comm.is_inter()) [[unlikely]]
    return {root == MPI_ROOT, root >= 0};
  return {root == comm.rank(), true};
}

// Hands a count back to an int or, in the large-count variants, to a 64-bit number.
inline void store_count(int* place, MPI_Count count) {
  *place = count > INT_MAX || count < INT_MIN ? MPI_UNDEFINED : static_cast<int>(count);
}
template <class Wide>
void store_count(Wide* place, MPI_Count count) {
  *place = count;
}

}  // namespace tern::mpi
