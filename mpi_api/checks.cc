// mpi_api/checks.cc - what the argument checks say when they fail (see checks.h).
#include "mpi_api/checks.h"

#include <cstring>
#include <string>

#include "core/format.h"
#include "mpi_api/topology.h"

namespace tern::mpi {
namespace {

struct KindName {
  Kind kind;
  const char* name;  // With article.
  const char* null_name;
  std::uintptr_t null_handle;
  int error_class;
};

std::uintptr_t value(const void* handle) { return reinterpret_cast<std::uintptr_t>(handle); }

// The standard has no error class of its own for messages; a message is used like a request.
const KindName kKinds[] = {
    {Kind::kComm, "a communicator", "MPI_COMM_NULL", value(MPI_COMM_NULL), MPI_ERR_COMM},
    {Kind::kGroup, "a group", "MPI_GROUP_NULL", value(MPI_GROUP_NULL), MPI_ERR_GROUP},
    {Kind::kDatatype, "a datatype", "MPI_DATATYPE_NULL", value(MPI_DATATYPE_NULL), MPI_ERR_TYPE},
    {Kind::kOp, "an operation", "MPI_OP_NULL", value(MPI_OP_NULL), MPI_ERR_OP},
    {Kind::kInfo, "an info object", "MPI_INFO_NULL", value(MPI_INFO_NULL), MPI_ERR_INFO},
    {Kind::kErrhandler, "an error handler", "MPI_ERRHANDLER_NULL", value(MPI_ERRHANDLER_NULL),
     MPI_ERR_ERRHANDLER},
    {Kind::kRequest, "a request", "MPI_REQUEST_NULL", value(MPI_REQUEST_NULL), MPI_ERR_REQUEST},
    {Kind::kMessage, "a message", "MPI_MESSAGE_NULL", value(MPI_MESSAGE_NULL), MPI_ERR_REQUEST},
    {Kind::kSession, "a session", "MPI_SESSION_NULL", value(MPI_SESSION_NULL), MPI_ERR_SESSION},
};

const KindName& name_of(Kind kind) {
  for (const KindName& entry : kKinds) {
    if (entry.kind == kind) return entry;
  }
  return kKinds[0];  // Not reached: the table has every kind that checks are generated for.
}

// "ranks 0 to 3", or "the remote group has ranks 0 to 3"
std::string ranks_of(const Comm& comm) {
  const std::string range = comm.remote_size() == 1
                                ? "rank 0 only"
                                : tern::format("ranks 0 to {}", comm.remote_size() - 1);
  return comm.is_inter() ? "the remote group of this intercommunicator has " + range
                         : "this communicator has " + range;
}

const char* special_name(const void* buffer) {
  if (buffer == MPI_IN_PLACE) return "MPI_IN_PLACE";
  if (buffer == MPI_BUFFER_AUTOMATIC) return "MPI_BUFFER_AUTOMATIC";
  return "a null pointer (MPI_BOTTOM)";
}

// Names the wrong thing in a rank's place, where it is a well-known one.
const char* rank_hint(int rank) {
  switch (rank) {
    case MPI_ANY_SOURCE:
      return " (MPI_ANY_SOURCE)";
    case MPI_ANY_TAG:
      return " (MPI_ANY_TAG)";
    case MPI_PROC_NULL:
      return " (MPI_PROC_NULL)";
    case MPI_ROOT:
      return " (MPI_ROOT)";
    case MPI_UNDEFINED:
      return " (MPI_UNDEFINED)";
    default:
      return "";
  }
}

}  // namespace

int refuse_pointer(const char* argument) {
  return fail(MPI_ERR_ARG, "{} is a null pointer; pass the address of a variable", argument);
}

int refuse_array(MPI_Count length, const char* argument) {
  return fail(MPI_ERR_ARG, "{} is a null pointer, but an array of {} element{} is needed", argument,
              length, length == 1 ? "" : "s");
}

// Wildcards that a hint rules out.
constexpr char kPromised[] =
    "{} is {}, but the communicator's hint {} promises that no receive and no probe uses it; take "
    "the promise back with MPI_Comm_set_info";

int refuse_negative(int error_class, MPI_Count number, const char* argument) {
  return fail(error_class, "{} is {}; it must not be negative", argument, number);
}

int refuse_dest(int dest, const Comm& comm, const char* argument) {
  return fail(MPI_ERR_RANK, "{} is {}{}; {}, and MPI_PROC_NULL means that nothing is sent",
              argument, dest, rank_hint(dest), ranks_of(comm));
}

int refuse_source(int source, const Comm& comm, const char* argument) {
  if (source == MPI_ANY_SOURCE) {
    return fail(MPI_ERR_RANK, kPromised, argument, "MPI_ANY_SOURCE", "mpi_assert_no_any_source");
  }
  return fail(MPI_ERR_RANK, "{} is {}{}; {}, and MPI_ANY_SOURCE and MPI_PROC_NULL are allowed too",
              argument, source, rank_hint(source), ranks_of(comm));
}

int refuse_root(int root, const Comm& comm, const char* argument) {
  if (!comm.is_inter()) {
    return fail(MPI_ERR_ROOT, "{} is {}{}; {}", argument, root, rank_hint(root), ranks_of(comm));
  }
  return fail(
      MPI_ERR_ROOT,
      "{} is {}{}; {}, the root itself passes MPI_ROOT, and the other processes of its group "
      "pass MPI_PROC_NULL",
      argument, root, rank_hint(root), ranks_of(comm));
}

int refuse_tag(int tag, bool receive, const char* argument) {
  if (receive && tag == MPI_ANY_TAG) {
    return fail(MPI_ERR_TAG, kPromised, argument, "MPI_ANY_TAG", "mpi_assert_no_any_tag");
  }
  const char* hint = tag == MPI_ANY_TAG ? " (MPI_ANY_TAG, which is for receives)" : "";
  return fail(MPI_ERR_TAG, "{} is {}{}; tags go from 0 to {} (MPI_TAG_UB){}", argument, tag, hint,
              kTagUb, receive ? ", or MPI_ANY_TAG" : "");
}

int refuse_color(int color, const char* argument) {
  return fail(MPI_ERR_ARG,
              "{} is {}; it must not be negative, or MPI_UNDEFINED for a process that gets no "
              "communicator",
              argument, color);
}

int refuse_datatype(const Datatype& datatype, const char* argument) {
  if (!datatype.supported()) {
    return fail(MPI_ERR_TYPE, "{} is {}, for which this library has no type of its own", argument,
                datatype.name);
  }
  return fail(MPI_ERR_TYPE,
              "{} is not committed; call MPI_Type_commit before communicating with it", argument);
}

int refuse_in_place(const Comm& comm, const char* argument) {
  return fail(MPI_ERR_BUFFER, "{} is MPI_IN_PLACE, which {}", argument,
              comm.is_inter() ? "intercommunicators do not have" : "only the root may pass here");
}

int refuse_same(const char* argument, const char* other) {
  return fail(MPI_ERR_BUFFER, "{} and {} are the same address; pass MPI_IN_PLACE to work in place",
              argument, other);
}

int refuse_status(const char* argument) {
  return fail(MPI_ERR_ARG, "{} is a null pointer (MPI_STATUS_IGNORE); a status is needed here",
              argument);
}

int refuse_handle(std::uintptr_t handle, Kind wanted, const char* argument) {
  const KindName& expected = name_of(wanted);
  for (const KindName& entry : kKinds) {
    if (handle == entry.null_handle) {
      return fail(expected.error_class, "{} is {}, but {} is needed", argument, entry.null_name,
                  expected.name);
    }
    if (find_object(handle, entry.kind) != nullptr) {
      return fail(expected.error_class, "{} is {}, but {} is needed", argument, entry.name,
                  expected.name);
    }
  }
  return fail(expected.error_class,
              "{} ({:#x}) is not the handle of {}: it was never set, or it has been freed",
              argument, handle, expected.name);
}

int refuse_comm_type(bool wants_inter, const char* argument) {
  return fail(MPI_ERR_COMM, "{} is an {}communicator, but an {}communicator is needed", argument,
              wants_inter ? "intra" : "inter", wants_inter ? "inter" : "intra");
}

int refuse_rma_op(MPI_Op op, const char* argument) {
  return fail(MPI_ERR_OP, "{} is {}, which is for one-sided accumulates only", argument,
              op == MPI_REPLACE ? "MPI_REPLACE" : "MPI_NO_OP");
}

int check_counts(IntArray counts, MPI_Count length, const char* argument) {
  if (counts.is_null()) return length > 0 ? refuse_array(length, argument) : MPI_SUCCESS;
  for (MPI_Count i = 0; i < length; ++i) {
    if (counts[i] < 0) {
      return fail(MPI_ERR_COUNT, "{}[{}] is {}; it must not be negative", argument, i, counts[i]);
    }
  }
  return MPI_SUCCESS;
}

int check_datatypes(const MPI_Datatype* datatypes, IntArray counts, int length,
                    const char* argument) {
  if (datatypes == nullptr) return length > 0 ? refuse_array(length, argument) : MPI_SUCCESS;
  for (int i = 0; i < length; ++i) {
    if (counts[i] == 0) continue;
    const Datatype* const datatype = to_datatype(datatypes[i]);
    if (is_datatype(datatype, datatypes[i]) && datatype->committed() && datatype->supported()) {
      continue;
    }
    return check_datatype(datatype, datatypes[i], tern::format("{}[{}]", argument, i).c_str());
  }
  return MPI_SUCCESS;
}

int source_count(const Comm& comm) {
  return comm.topology == nullptr ? 0 : static_cast<int>(comm.topology->sources.size());
}

int destination_count(const Comm& comm) {
  return comm.topology == nullptr ? 0 : static_cast<int>(comm.topology->destinations.size());
}

int check_info_key(const char* key, const char* argument) {
  if (key == nullptr) return fail(MPI_ERR_INFO_KEY, "{} is a null pointer", argument);
  if (*key == '\0') return fail(MPI_ERR_INFO_KEY, "{} is empty", argument);
  const std::size_t length = std::strlen(key);
  if (length < MPI_MAX_INFO_KEY) return MPI_SUCCESS;
  return fail(MPI_ERR_INFO_KEY,
              "{} has {} characters; at most {} (MPI_MAX_INFO_KEY - 1) are allowed", argument,
              length, MPI_MAX_INFO_KEY - 1);
}

int check_info_value(const char* text, const char* argument) {
  if (text == nullptr) return fail(MPI_ERR_INFO_VALUE, "{} is a null pointer", argument);
  const std::size_t length = std::strlen(text);
  if (length < MPI_MAX_INFO_VAL) return MPI_SUCCESS;
  return fail(MPI_ERR_INFO_VALUE,
              "{} has {} characters; at most {} (MPI_MAX_INFO_VAL - 1) are allowed", argument,
              length, MPI_MAX_INFO_VAL - 1);
}

int check_attach_buffer(const void* buffer, MPI_Count size, const char* argument) {
  if (buffer == MPI_BUFFER_AUTOMATIC) return MPI_SUCCESS;  // The size means nothing.
  if (size < 0) return refuse_negative(MPI_ERR_ARG, size, "size");
  if (buffer == MPI_IN_PLACE || (buffer == nullptr && size > 0)) {
    return fail(MPI_ERR_BUFFER, "{} is {}; pass memory of {} bytes, or MPI_BUFFER_AUTOMATIC",
                argument, buffer == nullptr ? "a null pointer" : "MPI_IN_PLACE", size);
  }
  return MPI_SUCCESS;
}

int check_requests(const MPI_Request* requests, int length, const char* argument) {
  if (requests == nullptr) return length > 0 ? refuse_array(length, argument) : MPI_SUCCESS;
  const int wrong = find_wrong_request(requests, length);
  if (wrong >= length) return MPI_SUCCESS;  // A negative length has been refused before.
  return bad_request(requests[wrong], tern::format("{}[{}]", argument, wrong).c_str());
}

int check_started_requests(const MPI_Request* requests, int length, const char* argument) {
  if (requests == nullptr) return length > 0 ? refuse_array(length, argument) : MPI_SUCCESS;
  for (int i = 0; i < length; ++i) {
    if (find_request(requests[i]) == nullptr) {
      return bad_request(requests[i], tern::format("{}[{}]", argument, i).c_str());
    }
  }
  return MPI_SUCCESS;
}

int check_special_buffer(const void* buffer, MPI_Count count, const Datatype& datatype,
                         const char* argument) {
  if (buffer == MPI_BOTTOM && (!datatype.predefined() || datatype.size() == 0)) return MPI_SUCCESS;
  return fail(MPI_ERR_BUFFER, "{} is {}, but {} element{} of {} need memory", argument,
              special_name(buffer), count, count == 1 ? "" : "s",
              datatype.name.empty() ? "a datatype" : datatype.name);
}

int check_buffer(const void* buffer, IntArray counts, int length, const Datatype* datatype,
                 const char* argument) {
  if (value(buffer) > 2) return MPI_SUCCESS;
  for (int i = 0; i < length; ++i) {
    if (counts[i] > 0) return check_special_buffer(buffer, counts[i], *datatype, argument);
  }
  return MPI_SUCCESS;
}

int check_buffer(const void* buffer, IntArray counts, int length, const MPI_Datatype* datatypes,
                 const char* argument) {
  if (value(buffer) > 2) return MPI_SUCCESS;
  for (int i = 0; i < length; ++i) {
    if (counts[i] == 0) continue;
    const Datatype& datatype = *to_datatype(datatypes[i]);
    if (const int error = check_special_buffer(buffer, counts[i], datatype, argument)) return error;
  }
  return MPI_SUCCESS;
}

}  // namespace tern::mpi
