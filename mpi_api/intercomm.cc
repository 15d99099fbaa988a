// mpi_api/intercomm.cc - how two groups agree on what lies between them; see intercomm.h.
#include "mpi_api/intercomm.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "mpi_api/coll/internal.h"
#include "mpi_api/comm_create.h"
#include "mpi_api/errhandler.h"
#include "mpi_api/errors.h"
#include "mpi_api/request.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

// Of the leaders' messages inside an existing intercommunicator. MPI_Intercomm_create over it uses
// the tags from 0 on.
constexpr int kExchangeTag = -3;

// --- plain bytes ---

template <class T>
void append(Bytes& bytes, const T* items, std::size_t count) {
  const auto* const first = reinterpret_cast<const std::byte*>(items);
  bytes.insert(bytes.end(), first, first + count * sizeof(T));
}

// Takes count items off the front; false when there are not so many.
template <class T>
bool take(std::span<const std::byte>& bytes, T* items, std::size_t count) {
  if (bytes.size() / sizeof(T) < count) return false;
  if (count > 0) std::memcpy(items, bytes.data(), count * sizeof(T));
  bytes = bytes.subspan(count * sizeof(T));
  return true;
}

int refuse_answer() {
  return fail(MPI_ERR_INTERN, "the leader of the other group answered with something else");
}

// --- messages of leaders ---

int swap_fixed(Peer& peer, const Envelope& out, const Envelope& in, const DataView& mine,
               const DataView& theirs) {
  tern::Request receiving;
  tern::Request sending;
  engine().receive(in, theirs, receiving);
  engine().send(peer, out, mine, SendMode::kStandard, sending);
  const int error = wait_internal(sending);
  if (error != MPI_SUCCESS) engine().cancel_receive(receiving);  // Nobody is there to answer.
  const int in_error = wait_internal(receiving);
  return error != MPI_SUCCESS ? error : in_error;
}

// Brings what the root has (an error with its sentence, or bytes) to all members, and returns the
// error at each.
int share(Comm& comm, int root, int error, Bytes& bytes) {
  struct {
    std::uint64_t size;
    int error;
  } head{};
  if (comm.rank() == root) {
    if (error != MPI_SUCCESS) {
      const std::string_view sentence = last_failure(error);
      bytes.clear();
      append(bytes, sentence.data(), sentence.size());
    }
    head = {bytes.size(), error};
  }
  if (const int lost = coll::bcast_bytes(comm, &head, sizeof head, root)) return lost;
  bytes.resize(head.size);
  if (head.size > 0) {
    if (const int lost = coll::bcast_bytes(comm, bytes.data(), bytes.size(), root)) return lost;
  }
  if (head.error == MPI_SUCCESS) return MPI_SUCCESS;
  const std::string sentence(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return fail(head.error, "{}", sentence);
}

// --- what leaders say about their groups ---

struct Offer {
  std::uint64_t context;  // That of the smaller leader is used.
  ProcessId leader;
};

// What a group learns from its leader, followed by the members of the other group.
struct Introduction {
  InterContexts contexts;
  std::uint64_t first;
  std::uint64_t members;
};

// At the leader: the bytes that introduce the other group to this one.
int meet(Comm& local_comm, const LeaderExchange& exchange, Bytes& introduction) {
  const Group& group = local_comm.group();
  const Offer mine{new_context(), group.member(local_comm.rank())};
  std::vector<ProcessId> members;
  members.reserve(static_cast<std::size_t>(group.size()));
  for (int rank = 0; rank < group.size(); ++rank) members.push_back(group.member(rank));
  Bytes out;
  append(out, &mine, 1);
  append(out, members.data(), members.size());
  Bytes in;
  if (const int error = exchange(out, in)) return error;

  std::span<const std::byte> rest(in);
  Offer theirs{};
  if (!take(rest, &theirs, 1) || rest.empty() || rest.size() % sizeof(ProcessId) != 0) {
    return refuse_answer();
  }
  const bool first = mine.leader < theirs.leader;
  const Introduction said{{first ? mine.context : theirs.context, new_context()},
                          static_cast<std::uint64_t>(first),
                          rest.size() / sizeof(ProcessId)};
  append(introduction, &said, 1);
  append(introduction, rest.data(), rest.size());
  return MPI_SUCCESS;
}

int check_disjoint(const Group& local, const std::vector<ProcessId>& remote) {
  const auto at = std::ranges::find_if(
      remote, [&local](const ProcessId& id) { return local.find(id) != MPI_UNDEFINED; });
  if (at == remote.end()) return MPI_SUCCESS;
  return fail(MPI_ERR_COMM,
              "rank {} of the remote group is rank {} of the local group; the two groups of an "
              "intercommunicator must not have a process in common",
              at - remote.begin(), local.find(*at));
}

int make_between(const InterContexts& contexts, bool first, Group* local, Group* remote,
                 Errhandler* errhandler, Comm** newcomm) {
  if (local == nullptr || remote == nullptr) {
    if (local != nullptr) local->release();
    if (remote != nullptr) remote->release();
    return fail_no_memory("an intercommunicator");
  }
  Comm* const made = make_intercomm(contexts, first, local, remote);
  if (made == nullptr) return fail_no_memory("an intercommunicator");
  set_errhandler(*made, errhandler);
  *newcomm = made;
  return MPI_SUCCESS;
}

}  // namespace

int swap_bytes(Peer& peer, const Envelope& out, const Envelope& in, std::span<const std::byte> mine,
               Bytes& theirs) {
  const std::uint64_t size = mine.size();
  std::uint64_t their_size = 0;
  if (const int error = swap_fixed(peer, out, in, DataView::bytes_at(&size, sizeof size),
                                   DataView::bytes_at(&their_size, sizeof their_size))) {
    return error;
  }
  theirs.resize(their_size);
  return swap_fixed(peer, out, in, DataView::bytes_at(mine.data(), mine.size()),
                    DataView::bytes_at(theirs.data(), theirs.size()));
}

int swap_bytes(Comm& via, int rank, int tag, std::span<const std::byte> mine, Bytes& theirs) {
  return swap_bytes(via.peer(rank), {via.creation_context(), via.rank(), tag},
                    {via.creation_context(), rank, tag}, mine, theirs);
}

int connect_groups(Comm& local_comm, int leader, const LeaderExchange& exchange, Comm** newcomm) {
  Bytes bytes;
  int error = MPI_SUCCESS;
  if (local_comm.rank() == leader) error = meet(local_comm, exchange, bytes);
  if ((error = share(local_comm, leader, error, bytes)) != MPI_SUCCESS) return error;

  std::span<const std::byte> rest(bytes);
  Introduction said{};
  if (!take(rest, &said, 1)) return refuse_answer();
  std::vector<ProcessId> members(said.members);
  if (!take(rest, members.data(), members.size())) return refuse_answer();
  Group& local = local_comm.group();
  if ((error = check_disjoint(local, members)) != MPI_SUCCESS) return error;
  local.retain();
  return make_between(said.contexts, said.first != 0, &local, make_group(std::move(members), {}),
                      local_comm.errhandler, newcomm);
}

int exchange_groups(Comm& inter, int error, std::span<const std::byte> mine, Bytes& theirs) {
  struct Verdict {
    int error;
  };
  theirs.clear();
  if (inter.rank() == 0) {
    // First whether each side has something to say: a group that failed says nothing else.
    Verdict ours{error};
    const std::string sentence(last_failure(error));
    Bytes answer;
    int failed = swap_bytes(inter, 0, kExchangeTag, std::as_bytes(std::span(&ours, 1)), answer);
    Verdict verdict{MPI_SUCCESS};
    std::span<const std::byte> rest(answer);
    if (failed == MPI_SUCCESS && !take(rest, &verdict, 1)) failed = refuse_answer();
    if (error != MPI_SUCCESS) {
      failed = fail(error, "{}", sentence);
    } else if (failed == MPI_SUCCESS && verdict.error != MPI_SUCCESS) {
      failed = fail(verdict.error, "the remote group of comm passed wrong arguments: {}",
                    error_text(verdict.error));
    }
    if (failed == MPI_SUCCESS) failed = swap_bytes(inter, 0, kExchangeTag, mine, theirs);
    error = failed;
  }
  return share(inter.local_comm(), 0, error, theirs);
}

int dup_contexts(Comm& inter, InterContexts& contexts) {
  Bytes bytes;
  int error = MPI_SUCCESS;
  if (inter.rank() == 0) {
    InterContexts mine{new_context(), new_context()};
    error = swap_bytes(inter, 0, kExchangeTag, std::as_bytes(std::span(&mine.between, 1)), bytes);
    std::span<const std::byte> rest(bytes);
    std::uint64_t theirs = 0;
    if (error == MPI_SUCCESS && !take(rest, &theirs, 1)) error = refuse_answer();
    if (!inter.is_first()) mine.between = theirs;
    bytes.clear();
    append(bytes, &mine, 1);
  }
  if ((error = share(inter.local_comm(), 0, error, bytes)) != MPI_SUCCESS) return error;
  std::span<const std::byte> rest(bytes);
  return take(rest, &contexts, 1) ? MPI_SUCCESS : refuse_answer();
}

int split_intercomm(Comm& inter, int color, int key, Comm** newcomm) {
  // Everybody offers contexts; those of the new ranks 0 are used.
  struct Choice {
    int color;
    int key;
    InterContexts contexts;
  };
  const Choice mine{color, key, {new_context(), new_context()}};
  std::vector<Choice> here(static_cast<std::size_t>(inter.size()));
  int error = coll::allgather_bytes(inter.local_comm(), &mine, sizeof mine, here.data());
  Bytes bytes;
  error = exchange_groups(inter, error, std::as_bytes(std::span(here)), bytes);
  if (error != MPI_SUCCESS) return error;
  std::vector<Choice> there(static_cast<std::size_t>(inter.remote_size()));
  std::span<const std::byte> rest(bytes);
  if (!take(rest, there.data(), there.size())) return refuse_answer();
  if (color == MPI_UNDEFINED) return MPI_SUCCESS;

  const auto same_color = [color](const std::vector<Choice>& all) {
    std::vector<int> ranks;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].color == color) ranks.push_back(static_cast<int>(i));
    }
    std::ranges::stable_sort(ranks, {},
                             [&all](int rank) { return all[static_cast<std::size_t>(rank)].key; });
    return ranks;
  };
  const std::vector<int> local = same_color(here);
  const std::vector<int> remote = same_color(there);
  if (remote.empty()) return MPI_SUCCESS;
  InterContexts contexts = here[static_cast<std::size_t>(local[0])].contexts;
  if (!inter.is_first()) {
    contexts.between = there[static_cast<std::size_t>(remote[0])].contexts.between;
  }
  return make_between(contexts, inter.is_first(), subgroup(inter.group(), local),
                      subgroup(*inter.remote_group(), remote), inter.errhandler, newcomm);
}

int create_intercomm(Comm& inter, Group& group, Comm** newcomm) {
  struct Vote {
    InterContexts contexts;  // Rank 0's are used.
    int error;
  };
  std::vector<int> members;
  const int wrong = ranks_of_group(inter, group, members);
  const std::string sentence(last_failure(wrong));
  const Vote mine{{new_context(), new_context()}, wrong};
  std::vector<Vote> votes(static_cast<std::size_t>(inter.size()));
  int error = coll::allgather_bytes(inter.local_comm(), &mine, sizeof mine, votes.data());
  if (error != MPI_SUCCESS) return error;
  const auto against = std::ranges::find_if(votes, [](const Vote& v) { return v.error != 0; });
  if (wrong != MPI_SUCCESS) {
    error = fail(wrong, "{}", sentence);
  } else if (against != votes.end()) {
    error = fail(against->error, "rank {} of the local group of comm has passed a wrong group",
                 against - votes.begin());
  }
  InterContexts contexts = votes[0].contexts;
  Bytes out;
  append(out, &contexts.between, 1);
  append(out, members.data(), members.size());
  Bytes in;
  error = exchange_groups(inter, error, out, in);
  if (wrong != MPI_SUCCESS) return fail(wrong, "{}", sentence);
  if (error != MPI_SUCCESS) return error;

  std::span<const std::byte> rest(in);
  std::uint64_t their_context = 0;
  if (!take(rest, &their_context, 1)) return refuse_answer();
  if (!inter.is_first()) contexts.between = their_context;
  std::vector<int> remote(rest.size() / sizeof(int));
  if (!take(rest, remote.data(), remote.size())) return refuse_answer();
  if (group.rank() == MPI_UNDEFINED || remote.empty()) return MPI_SUCCESS;
  return make_between(contexts, inter.is_first(), subgroup(inter.group(), members),
                      subgroup(*inter.remote_group(), remote), inter.errhandler, newcomm);
}

}  // namespace tern::mpi
