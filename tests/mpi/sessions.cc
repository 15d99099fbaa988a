// tests/mpi/sessions.cc - MPI without and beside the world model: sessions, process sets,
// communicators from groups, error handlers and buffers of sessions, and what comes after
// MPI_Finalize.
//
// Not the usual frame: MPI_Init comes in the middle, so the checks are counted here and each
// process reports its own. Ranks come from mpi://WORLD.
#include "check.h"

#if MPI_AT_LEAST(4, 1)

namespace {

MPI_Session open_session(const char* level = nullptr) {
  MPI_Session session = MPI_SESSION_NULL;
  MPI_Info info = MPI_INFO_NULL;
  if (level != nullptr) {
    EXPECT_OK(MPI_Info_create(&info));
    EXPECT_OK(MPI_Info_set(info, "thread_level", level));
  }
  EXPECT_OK(MPI_Session_init(info, MPI_ERRORS_RETURN, &session));
  if (level != nullptr) EXPECT_OK(MPI_Info_free(&info));
  EXPECT(session != MPI_SESSION_NULL);
  return session;
}

MPI_Group set_of(MPI_Session session, const char* name) {
  MPI_Group group = MPI_GROUP_NULL;
  EXPECT_OK(MPI_Group_from_session_pset(session, name, &group));
  return group;
}

MPI_Comm comm_of(MPI_Group group, const char* tag) {
  MPI_Comm comm = MPI_COMM_NULL;
  EXPECT_OK(MPI_Comm_create_from_group(group, tag, MPI_INFO_NULL, MPI_ERRORS_RETURN, &comm));
  return comm;
}

MPI_Comm world_of(MPI_Session session, const char* tag) {
  MPI_Group group = set_of(session, "mpi://WORLD");
  MPI_Comm comm = comm_of(group, tag);
  EXPECT_OK(MPI_Group_free(&group));
  return comm;
}

// All members take part and the ranks are those of the group.
void expect_traffic(MPI_Comm comm, int expected_size) {
  int rank = -1, size = -1, sum = -1;
  EXPECT_OK(MPI_Comm_rank(comm, &rank));
  EXPECT_OK(MPI_Comm_size(comm, &size));
  EXPECT_EQ(size, expected_size);
  EXPECT_OK(MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, comm));
  EXPECT_EQ(sum, size * (size - 1) / 2);
  int to = (rank + 1) % size, from = (rank + size - 1) % size, got = -1;
  EXPECT_OK(
      MPI_Sendrecv(&rank, 1, MPI_INT, to, 0, &got, 1, MPI_INT, from, 0, comm, MPI_STATUS_IGNORE));
  EXPECT_EQ(got, from);
}

std::string info_value(MPI_Info info, const char* key) {
  char value[256] = "";
  int length = sizeof value, flag = 0;
  EXPECT_OK(MPI_Info_get_string(info, key, &length, value, &flag));
  return flag ? value : "(none)";
}

// Before anything else: what may be called at any time.
void before_all() {
  int flag = -1;
  EXPECT_OK(MPI_Initialized(&flag));
  EXPECT_EQ(flag, 0);
  MPI_Info info;
  EXPECT_OK(MPI_Info_create(&info));
  EXPECT_OK(MPI_Info_free(&info));
}

void process_sets() {
  MPI_Session session = open_session();
  MPI_Group world = set_of(session, "mpi://WORLD"), self = set_of(session, "mpi://SELF");
  EXPECT_OK(MPI_Group_rank(world, &check::rank));
  EXPECT_OK(MPI_Group_size(world, &check::size));
  int size = -1, rank = -1, sets = -1;
  EXPECT_OK(MPI_Group_size(self, &size));
  EXPECT_OK(MPI_Group_rank(self, &rank));
  EXPECT_EQ(size, 1);
  EXPECT_EQ(rank, 0);
  EXPECT_OK(MPI_Session_get_num_psets(session, MPI_INFO_NULL, &sets));
  EXPECT(sets >= 2);
  bool has_world = false, has_self = false;
  for (int n = 0; n < sets; ++n) {
    char name[MPI_MAX_PSET_NAME_LEN] = "unchanged", cut[4] = "xxx";
    int length = 0, full = sizeof name, few = 3;
    EXPECT_OK(MPI_Session_get_nth_pset(session, MPI_INFO_NULL, n, &length, name));
    EXPECT_EQ(std::string(name), std::string("unchanged"));
    EXPECT_OK(MPI_Session_get_nth_pset(session, MPI_INFO_NULL, n, &full, name));
    EXPECT_EQ(length, static_cast<int>(std::strlen(name)) + 1);
    EXPECT_OK(MPI_Session_get_nth_pset(session, MPI_INFO_NULL, n, &few, cut));
    if (check::library_is_tern()) EXPECT_EQ(std::string(cut), std::string(name).substr(0, 2));
    has_world |= std::string(name) == "mpi://WORLD";
    has_self |= std::string(name) == "mpi://SELF";
    MPI_Info info;
    EXPECT_OK(MPI_Session_get_pset_info(session, name, &info));
    MPI_Group group = set_of(session, name);
    EXPECT_OK(MPI_Group_size(group, &size));
    EXPECT_EQ(info_value(info, "mpi_size"), std::to_string(size));
    EXPECT_OK(MPI_Group_free(&group));
    EXPECT_OK(MPI_Info_free(&info));
  }
  EXPECT(has_world && has_self);
  MPI_Info used;
  EXPECT_OK(MPI_Session_get_info(session, &used));
  EXPECT(info_value(used, "thread_level").rfind("MPI_THREAD_", 0) == 0);
  EXPECT_OK(MPI_Info_free(&used));

  MPI_Comm everybody = comm_of(world, "org.test.all"), alone = comm_of(self, "org.test.alone");
  expect_traffic(everybody, check::size);
  expect_traffic(alone, 1);
  EXPECT_OK(MPI_Comm_free(&everybody));
  EXPECT_OK(MPI_Comm_free(&alone));
  EXPECT_OK(MPI_Group_free(&world));
  EXPECT_OK(MPI_Group_free(&self));
  EXPECT_OK(MPI_Session_finalize(&session));
  EXPECT(session == MPI_SESSION_NULL);
}

// Groups that overlap, with the same tag one after the other; different tags in different orders.
void communicators_from_groups() {
  MPI_Session session = open_session();
  MPI_Group world = set_of(session, "mpi://WORLD");
  for (int round = 0; round < 20; ++round) {
    check::Random random(1, round);
    std::vector<int> members(check::size);
    for (int i = 0; i < check::size; ++i) members[i] = i;
    random.shuffle(members);
    members.resize(random.between(1, check::size));
    const auto at = std::find(members.begin(), members.end(), check::rank);
    if (at == members.end()) continue;
    MPI_Group group;
    EXPECT_OK(MPI_Group_incl(world, static_cast<int>(members.size()), members.data(), &group));
    MPI_Comm comm = comm_of(group, "the same tag");
    int rank = -1;
    EXPECT_OK(MPI_Comm_rank(comm, &rank));
    EXPECT_EQ(rank, static_cast<int>(at - members.begin()));
    expect_traffic(comm, static_cast<int>(members.size()));
    MPI_Comm copy;
    EXPECT_OK(MPI_Comm_dup(comm, &copy));
    EXPECT_OK(MPI_Comm_free(&comm));
    expect_traffic(copy, static_cast<int>(members.size()));
    EXPECT_OK(MPI_Comm_free(&copy));
    EXPECT_OK(MPI_Group_free(&group));
  }
  MPI_Comm none = MPI_COMM_WORLD;
  EXPECT_OK(
      MPI_Comm_create_from_group(MPI_GROUP_EMPTY, "none", MPI_INFO_NULL, MPI_ERRORS_RETURN, &none));
  EXPECT(none == MPI_COMM_NULL);
  EXPECT_OK(MPI_Group_free(&world));
  EXPECT_OK(MPI_Session_finalize(&session));
}

void intercommunicators_from_groups() {
  if (check::size < 2) return;
  MPI_Session session = open_session();
  MPI_Group world = set_of(session, "mpi://WORLD"), groups[2];
  const int cut = check::size / 2, side = check::rank < cut ? 0 : 1;
  int ranges[2][1][3] = {{{0, cut - 1, 1}}, {{cut, check::size - 1, 1}}};
  const int sizes[2] = {cut, check::size - cut};
  for (int s = 0; s < 2; ++s) EXPECT_OK(MPI_Group_range_incl(world, 1, ranges[s], &groups[s]));
  const int leaders[2] = {cut - 1, 0};
  MPI_Comm inter = MPI_COMM_NULL, merged = MPI_COMM_NULL;
  EXPECT_OK(MPI_Intercomm_create_from_groups(groups[side], leaders[side], groups[1 - side],
                                             leaders[1 - side], "inter", MPI_INFO_NULL,
                                             MPI_ERRORS_RETURN, &inter));
  int size = -1, remote = -1;
  EXPECT_OK(MPI_Comm_size(inter, &size));
  EXPECT_OK(MPI_Comm_remote_size(inter, &remote));
  EXPECT_EQ(size, sizes[side]);
  EXPECT_EQ(remote, sizes[1 - side]);
  EXPECT_OK(MPI_Intercomm_merge(inter, side, &merged));
  int rank = -1;
  EXPECT_OK(MPI_Comm_rank(merged, &rank));
  EXPECT_EQ(rank, check::rank);
  expect_traffic(merged, check::size);
  EXPECT_OK(MPI_Comm_free(&inter));
  EXPECT_OK(MPI_Comm_free(&merged));
  for (MPI_Group* group : {&world, &groups[0], &groups[1]}) EXPECT_OK(MPI_Group_free(group));
  EXPECT_OK(MPI_Session_finalize(&session));
}

// One process may use sessions more often than another one.
void again_and_again() {
  for (int round = 0; round < 10; ++round) {
    MPI_Session session = open_session(round % 2 ? "MPI_THREAD_SINGLE" : nullptr);
    MPI_Comm comm = world_of(session, "again");
    expect_traffic(comm, check::size);
    EXPECT_OK(MPI_Comm_free(&comm));
    EXPECT_OK(MPI_Session_finalize(&session));
    for (int i = 0; i < check::rank % 3; ++i) {
      MPI_Session own = open_session();
      EXPECT_OK(MPI_Session_finalize(&own));
    }
  }
}

void several_at_once() {
  MPI_Session sessions[3];
  MPI_Comm comms[3];
  for (int i = 0; i < 3; ++i) {
    sessions[i] = open_session();
    const std::string tag = "at once " + std::to_string(i);
    comms[i] = world_of(sessions[i], tag.c_str());
  }
  EXPECT(sessions[0] != sessions[1] && sessions[1] != sessions[2]);
  EXPECT_OK(MPI_Comm_free(&comms[1]));
  EXPECT_OK(MPI_Session_finalize(&sessions[1]));
  for (int i : {0, 2}) {
    expect_traffic(comms[i], check::size);
    EXPECT_OK(MPI_Comm_free(&comms[i]));
    EXPECT_OK(MPI_Session_finalize(&sessions[i]));
  }
}

MPI_Session session_heard = MPI_SESSION_NULL;
int code_heard = -1, calls_heard = 0;
void listen(MPI_Session* session, int* code, ...) {
  session_heard = *session;
  code_heard = *code;
  ++calls_heard;
}

void error_handlers() {
  MPI_Errhandler mine = MPI_ERRHANDLER_NULL, got = MPI_ERRHANDLER_NULL;
  EXPECT_OK(MPI_Session_create_errhandler(listen, &mine));  // Before there is a session.
  MPI_Session session = MPI_SESSION_NULL;
  EXPECT_OK(MPI_Session_init(MPI_INFO_NULL, mine, &session));
  EXPECT_OK(MPI_Session_get_errhandler(session, &got));
  EXPECT(got == mine);
  EXPECT_OK(MPI_Errhandler_free(&got));
  MPI_Group group = MPI_GROUP_NULL;
  int n = 0;
  calls_heard = 0;
  EXPECT_CLASS(MPI_Group_from_session_pset(session, "mpi://NOWHERE", &group), MPI_ERR_ARG);
  EXPECT_EQ(calls_heard, 1);
  EXPECT(session_heard == session && check::error_class(code_heard) == MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Session_get_num_psets(session, MPI_INFO_NULL, nullptr), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Session_get_nth_pset(session, MPI_INFO_NULL, -1, &n, nullptr), MPI_ERR_ARG);
  EXPECT_EQ(calls_heard, 3);
  EXPECT_OK(MPI_Session_call_errhandler(session, MPI_ERR_TAG));
  EXPECT_EQ(calls_heard, 4);
  EXPECT_EQ(code_heard, static_cast<int>(MPI_ERR_TAG));
  EXPECT_OK(MPI_Session_set_errhandler(session, MPI_ERRORS_RETURN));
  EXPECT_CLASS(MPI_Group_from_session_pset(session, "", &group), MPI_ERR_ARG);
  EXPECT_EQ(calls_heard, 4);

  // Failures to open one go to the handler that was offered.
  MPI_Info info;
  MPI_Session none = MPI_SESSION_NULL;
  EXPECT_OK(MPI_Info_create(&info));
  EXPECT_OK(MPI_Info_set(info, "thread_level", "as many as you like"));
  EXPECT_CLASS(MPI_Session_init(info, mine, &none), MPI_ERR_INFO_VALUE);
  EXPECT_EQ(calls_heard, 5);
  EXPECT_OK(MPI_Info_free(&info));

  // A session's handler does not fit a communicator.
  MPI_Group self = set_of(session, "mpi://SELF");
  MPI_Comm comm = MPI_COMM_NULL;
  EXPECT_CLASS(MPI_Comm_create_from_group(self, "misfit", MPI_INFO_NULL, mine, &comm),
               MPI_ERR_ERRHANDLER);
  const std::string long_tag(MPI_MAX_STRINGTAG_LEN, 't');
  EXPECT_CLASS(
      MPI_Comm_create_from_group(self, long_tag.c_str(), MPI_INFO_NULL, MPI_ERRORS_RETURN, &comm),
      MPI_ERR_ARG);
  if (check::size > 1) {
    MPI_Group world = set_of(session, "mpi://WORLD"), other;
    const int next = (check::rank + 1) % check::size;
    EXPECT_OK(MPI_Group_incl(world, 1, &next, &other));
    EXPECT_CLASS(
        MPI_Comm_create_from_group(other, "stranger", MPI_INFO_NULL, MPI_ERRORS_RETURN, &comm),
        MPI_ERR_GROUP);
    EXPECT_OK(MPI_Group_free(&world));
    EXPECT_OK(MPI_Group_free(&other));
  }
  EXPECT_OK(MPI_Group_free(&self));
  EXPECT_OK(MPI_Errhandler_free(&mine));
  EXPECT_OK(MPI_Session_finalize(&session));
}

void buffers() {
  MPI_Session session = open_session();
  MPI_Comm comm = world_of(session, "buffers");
  std::vector<char> memory(4096 + MPI_BSEND_OVERHEAD);
  EXPECT_OK(MPI_Session_attach_buffer(session, memory.data(), static_cast<int>(memory.size())));
  const int to = (check::rank + 1) % check::size;
  const int from = (check::rank + check::size - 1) % check::size;
  int got = -1;
  EXPECT_OK(MPI_Bsend(&check::rank, 1, MPI_INT, to, 0, comm));
  EXPECT_OK(MPI_Recv(&got, 1, MPI_INT, from, 0, comm, MPI_STATUS_IGNORE));
  EXPECT_EQ(got, from);
  MPI_Request request;
  EXPECT_OK(MPI_Session_flush_buffer(session));
  EXPECT_OK(MPI_Session_iflush_buffer(session, &request));
  EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
  void* address = nullptr;
  int size = -1;
  EXPECT_OK(MPI_Session_detach_buffer(session, &address, &size));
  EXPECT(address == memory.data() && size == static_cast<int>(memory.size()));
  EXPECT_CLASS(MPI_Bsend(&check::rank, 1, MPI_INT, to, 0, comm), MPI_ERR_BUFFER);
  EXPECT_OK(MPI_Comm_free(&comm));
  EXPECT_OK(MPI_Session_finalize(&session));
}

void expect_world() {
  int rank = -1, flag = -1;
  EXPECT_OK(MPI_Initialized(&flag));
  EXPECT_EQ(flag, 1);
  EXPECT_OK(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  EXPECT_EQ(rank, check::rank);
  expect_traffic(MPI_COMM_WORLD, check::size);
}

void run(const char* name, void (*test)()) {
  check::test_name = name;
  test();
}

}  // namespace

int main(int argc, char** argv) {
  check::start_hang_guard();
  check::seed = 4711;  // There is no world yet to agree on a random one.
  run("before_all", before_all);
  run("process_sets", process_sets);
  run("communicators_from_groups", communicators_from_groups);
  run("intercommunicators_from_groups", intercommunicators_from_groups);
  run("again_and_again", again_and_again);
  run("several_at_once", several_at_once);
  run("error_handlers", error_handlers);
  run("buffers", buffers);

  // A session beside the world, which ends first, and one that ends last.
  check::test_name = "beside the world";
  MPI_Session early = open_session();
  MPI_Comm early_comm = world_of(early, "early");
  EXPECT_OK(MPI_Init(&argc, &argv));
  expect_world();
  MPI_Session late = open_session();
  MPI_Comm late_comm = world_of(late, "late");
  expect_traffic(early_comm, check::size);
  EXPECT_OK(MPI_Comm_free(&early_comm));
  EXPECT_OK(MPI_Session_finalize(&early));
  run("again_and_again", again_and_again);
  expect_world();
  // A send of a session whose request is freed, and which is received only after MPI_Finalize.
  std::vector<int> sent(300000, 5), received(sent.size());
  const int length = static_cast<int>(sent.size());
  const int next = (check::rank + 1) % check::size;
  const int previous = (check::rank + check::size - 1) % check::size;
  MPI_Request request = MPI_REQUEST_NULL;
  EXPECT_OK(MPI_Isend(sent.data(), length, MPI_INT, next, 7, late_comm, &request));
  EXPECT_OK(MPI_Request_free(&request));
  EXPECT_OK(MPI_Finalize());
  check::test_name = "after the world";
  EXPECT_OK(MPI_Recv(received.data(), length, MPI_INT, previous, 7, late_comm, MPI_STATUS_IGNORE));
  EXPECT(received == sent);
  int flag = -1;
  EXPECT_OK(MPI_Finalized(&flag));
  EXPECT_EQ(flag, 1);
  expect_traffic(late_comm, check::size);
  EXPECT_OK(MPI_Comm_free(&late_comm));
  EXPECT_OK(MPI_Session_finalize(&late));
  run("again_and_again", again_and_again);

  if (check::rank == 0 || check::failures > 0) {
    std::printf("%s: rank %d of %d: %ld checks, %ld failures\n",
                check::failures > 0 ? "FAILED" : "passed", check::rank, check::size,
                check::checks.load(), check::failures.load());
  }
  return check::failures > 0 ? 1 : 0;
}

#else  // The MPI that this is built with has no sessions, or not all of them.
int main() { return check::kSkip; }
#endif
