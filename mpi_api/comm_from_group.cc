// mpi_api/comm_from_group.cc - communicators without a parent: MPI_Comm_create_from_group and
// MPI_Intercomm_create_from_groups (MPI-5.0 sections 7.4.2 and 7.6.2).
//
// The members find each other in a context that is worked out from the string tag and the group, so
// that different uses do not meet. Errors go to the handler that the new communicator would get.
#include <string_view>

#include "impl.h"
#include "mpi_api/checks.h"
#include "mpi_api/comm_create.h"
#include "mpi_api/comm_hints.h"
#include "mpi_api/errhandler.h"
#include "mpi_api/errors.h"
#include "mpi_api/intercomm.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

// What a tag is used for: the same one may serve both functions.
enum class Use : std::uint64_t { kIntra = 1, kInter, kLeaders };

std::uint64_t plane_of(Use use, std::string_view tag) {
  std::uint64_t hash = mix(static_cast<std::uint64_t>(use));
  for (const char c : tag) hash = mix(hash ^ static_cast<unsigned char>(c));
  return hash;
}

int check_tag(const char* stringtag) {
  const std::size_t length = strnlen(stringtag, MPI_MAX_STRINGTAG_LEN);
  if (length < MPI_MAX_STRINGTAG_LEN) return MPI_SUCCESS;
  return fail(MPI_ERR_ARG, "stringtag has {} characters or more; it may have {} (without the NUL)",
              length, static_cast<int>(MPI_MAX_STRINGTAG_LEN) - 1);
}

int check_fit(const Errhandler& errhandler) {
  if (errhandler.fits(Errhandler::Action::kCallComm)) return MPI_SUCCESS;
  return fail(MPI_ERR_ERRHANDLER,
              "errhandler was made for another kind of object than communicators");
}

int check_member(const Group& group, const char* argument) {
  if (group.rank() != MPI_UNDEFINED) return MPI_SUCCESS;
  return fail(MPI_ERR_GROUP, "this process is not in {}; only its members may make the call",
              argument);
}

// Precondition: this process is a member.
int make_from_group(Group& group, std::uint64_t plane, Errhandler& errhandler, Comm** newcomm) {
  std::uint64_t context = 0;
  if (const int error = share_context(group, plane, 0, context)) return error;
  group.retain();
  Comm* const made = make_comm(context, &group);
  if (made == nullptr) return fail_no_memory("a communicator");
  set_errhandler(*made, &errhandler);
  *newcomm = made;
  return MPI_SUCCESS;
}

int from_group(Group& group, const char* stringtag, const Info* info, Errhandler& errhandler,
               Comm** newcomm) {
  if (group.size() == 0) return MPI_SUCCESS;
  if (const int error = check_tag(stringtag)) return error;
  if (const int error = check_fit(errhandler)) return error;
  if (const int error = check_member(group, "group")) return error;
  const std::uint64_t plane = plane_of(Use::kIntra, stringtag);
  if (const int error = make_from_group(group, plane, errhandler, newcomm)) return error;
  take_hints(**newcomm, info);
  return MPI_SUCCESS;
}

// At the local leader: swaps bytes with the other one.
int meet_leader(const Group& local, MPI_Group remote_group, int remote_leader,
                const char* stringtag, std::span<const std::byte> mine, Bytes& theirs) {
  const Group* const remote = to_group(remote_group);
  if (!is_group(remote, remote_group)) return bad_group(remote_group, "remote_group");
  if (remote_leader < 0 || remote_leader >= remote->size()) {
    return fail(MPI_ERR_RANK, "remote_leader is {}; remote_group has {} processes, from rank 0 on",
                remote_leader, remote->size());
  }
  const ProcessId me = local.member(local.rank());
  const ProcessId other = remote->member(remote_leader);
  if (me == other) return fail(MPI_ERR_RANK, "remote_leader is the local leader itself");
  const auto number = [](const ProcessId& id) { return mix(id.job) + id.rank; };
  const std::uint64_t plane = plane_of(Use::kLeaders, stringtag) ^ (number(me) + number(other));
  // Which of the two speaks is told by their order, since their ranks say nothing here.
  const Envelope out{plane | 3U, me < other ? 0 : 1, 0};
  const Envelope in{plane | 3U, me < other ? 1 : 0, 0};
  return swap_bytes(engine().peer(other), out, in, mine, theirs);
}

int from_groups(Group& local_group, int local_leader, MPI_Group remote_group, int remote_leader,
                const char* stringtag, const Info* info, Errhandler& errhandler, Comm** newcomm) {
  if (local_group.size() == 0) return MPI_SUCCESS;
  if (const int error = check_tag(stringtag)) return error;
  if (const int error = check_fit(errhandler)) return error;
  if (const int error = check_member(local_group, "local_group")) return error;
  if (local_leader < 0 || local_leader >= local_group.size()) {
    return fail(MPI_ERR_RANK, "local_leader is {}; local_group has ranks 0 to {}", local_leader,
                local_group.size() - 1);
  }
  Comm* local = nullptr;
  const std::uint64_t plane = plane_of(Use::kInter, stringtag);
  if (const int error = make_from_group(local_group, plane, errhandler, &local)) return error;
  const auto exchange = [&](std::span<const std::byte> mine, Bytes& theirs) {
    return meet_leader(local_group, remote_group, remote_leader, stringtag, mine, theirs);
  };
  const int error = connect_groups(*local, local_leader, exchange, newcomm);
  local->release();
  if (error == MPI_SUCCESS) take_hints(**newcomm, info);
  return error;
}

}  // namespace

namespace impl {

int comm_create_from_group(Group* group, const char* stringtag, Info* info, Errhandler* errhandler,
                           Comm** newcomm) {
  return from_group(*group, stringtag, info, *errhandler, newcomm);
}

int intercomm_create_from_groups(Group* local_group, int local_leader, MPI_Group remote_group,
                                 int remote_leader, const char* stringtag, Info* info,
                                 Errhandler* errhandler, Comm** newintercomm) {
  return from_groups(*local_group, local_leader, remote_group, remote_leader, stringtag, info,
                     *errhandler, newintercomm);
}

}  // namespace impl
}  // namespace tern::mpi
