// tests/mpi/errors_arguments.cc - every kind of wrong argument gives the right error class.
//
// A table of calls with one thing wrong in each. Under MPI_ERRORS_RETURN the call must return the
// class, leave the process able to communicate, and (Tern) say in the error's text which call it
// was. Several classes are accepted only where versions of the standard differ or it leaves a
// choice.
#include <climits>
#include <functional>

#include "check.h"

// The tables below are one case per line.
// clang-format off

namespace {

#if MPI_AT_LEAST(4, 1)
constexpr int kErrhandlerClass = MPI_ERR_ERRHANDLER;
#else
constexpr int kErrhandlerClass = MPI_ERR_ARG;
#endif

struct Wrong {
  const char* call;  // The function's name, which Tern's text must contain.
  const char* what;
  std::vector<int> classes;
  std::function<int()> run;
  bool only_tern = false;  // Known to be accepted by, or to crash, MPICH 4.0.
};

int buffer[64], values[64], flag, number;
MPI_Status status;
MPI_Request request;
MPI_Comm comm;
MPI_Message message;
MPI_Comm world() { return MPI_COMM_WORLD; }

// Handles of the wrong kind, as they come out of a mixed-up argument list.
template <typename To, typename From>
To mistaken(From handle) {
  return (To)handle;
}

std::vector<Wrong> sends() {
  std::vector<Wrong> table;
  struct Blocking { const char* name; decltype(&MPI_Send) call; };
  struct Nonblocking { const char* name; decltype(&MPI_Isend) call; };
  for (auto [name, call] : {Blocking{"MPI_Send", MPI_Send}, Blocking{"MPI_Bsend", MPI_Bsend},
                            Blocking{"MPI_Ssend", MPI_Ssend}, Blocking{"MPI_Rsend", MPI_Rsend}}) {
    auto f = call;
    table.push_back({name, "count -1", {MPI_ERR_COUNT}, [=] { return f(buffer, -1, MPI_INT, 0, 0, world()); }});
    table.push_back({name, "null type", {MPI_ERR_TYPE}, [=] { return f(buffer, 1, MPI_DATATYPE_NULL, 0, 0, world()); }});
    table.push_back({name, "rank = size", {MPI_ERR_RANK}, [=] { return f(buffer, 1, MPI_INT, check::size, 0, world()); }});
    table.push_back({name, "rank -77", {MPI_ERR_RANK}, [=] { return f(buffer, 1, MPI_INT, -77, 0, world()); }});
    table.push_back({name, "any source", {MPI_ERR_RANK}, [=] { return f(buffer, 1, MPI_INT, MPI_ANY_SOURCE, 0, world()); }});
    table.push_back({name, "tag -77", {MPI_ERR_TAG}, [=] { return f(buffer, 1, MPI_INT, 0, -77, world()); }});
    table.push_back({name, "any tag", {MPI_ERR_TAG}, [=] { return f(buffer, 1, MPI_INT, 0, MPI_ANY_TAG, world()); }});
    table.push_back({name, "tag above MPI_TAG_UB", {MPI_ERR_TAG}, [=] { return f(buffer, 1, MPI_INT, check::rank, INT_MAX, world()); }});
    table.push_back({name, "null comm", {MPI_ERR_COMM}, [=] { return f(buffer, 1, MPI_INT, 0, 0, MPI_COMM_NULL); }});
    table.push_back({name, "null buffer", {MPI_ERR_BUFFER}, [=] { return f(nullptr, 1, MPI_INT, 0, 0, world()); }});
  }
  for (auto [name, call] :
       {Nonblocking{"MPI_Isend", MPI_Isend}, Nonblocking{"MPI_Ibsend", MPI_Ibsend},
        Nonblocking{"MPI_Issend", MPI_Issend}, Nonblocking{"MPI_Irsend", MPI_Irsend},
        Nonblocking{"MPI_Send_init", MPI_Send_init}, Nonblocking{"MPI_Bsend_init", MPI_Bsend_init},
        Nonblocking{"MPI_Ssend_init", MPI_Ssend_init}, Nonblocking{"MPI_Rsend_init", MPI_Rsend_init}}) {
    auto f = call;
    table.push_back({name, "count -1", {MPI_ERR_COUNT}, [=] { return f(buffer, -1, MPI_INT, 0, 0, world(), &request); }});
    table.push_back({name, "null type", {MPI_ERR_TYPE}, [=] { return f(buffer, 1, MPI_DATATYPE_NULL, 0, 0, world(), &request); }});
    table.push_back({name, "rank = size", {MPI_ERR_RANK}, [=] { return f(buffer, 1, MPI_INT, check::size, 0, world(), &request); }});
    table.push_back({name, "tag -77", {MPI_ERR_TAG}, [=] { return f(buffer, 1, MPI_INT, 0, -77, world(), &request); }});
    table.push_back({name, "null comm", {MPI_ERR_COMM}, [=] { return f(buffer, 1, MPI_INT, 0, 0, MPI_COMM_NULL, &request); }});
    table.push_back({name, "null request", {MPI_ERR_ARG, MPI_ERR_REQUEST}, [=] { return f(buffer, 1, MPI_INT, 0, 0, world(), nullptr); }});
  }
  return table;
}

std::vector<Wrong> receives() {
  return {
      {"MPI_Recv", "count -1", {MPI_ERR_COUNT}, [] { return MPI_Recv(buffer, -1, MPI_INT, 0, 0, world(), &status); }},
      {"MPI_Recv", "null type", {MPI_ERR_TYPE}, [] { return MPI_Recv(buffer, 1, MPI_DATATYPE_NULL, 0, 0, world(), &status); }},
      {"MPI_Recv", "rank = size", {MPI_ERR_RANK}, [] { return MPI_Recv(buffer, 1, MPI_INT, check::size, 0, world(), &status); }},
      {"MPI_Recv", "tag -77", {MPI_ERR_TAG}, [] { return MPI_Recv(buffer, 1, MPI_INT, 0, -77, world(), &status); }},
      {"MPI_Recv", "null comm", {MPI_ERR_COMM}, [] { return MPI_Recv(buffer, 1, MPI_INT, 0, 0, MPI_COMM_NULL, &status); }},
      {"MPI_Recv", "null buffer", {MPI_ERR_BUFFER}, [] { return MPI_Recv(nullptr, 1, MPI_INT, 0, 0, world(), &status); }},
      {"MPI_Irecv", "rank -77", {MPI_ERR_RANK}, [] { return MPI_Irecv(buffer, 1, MPI_INT, -77, 0, world(), &request); }},
      {"MPI_Irecv", "count -1", {MPI_ERR_COUNT}, [] { return MPI_Irecv(buffer, -1, MPI_INT, 0, 0, world(), &request); }},
      {"MPI_Irecv", "null request", {MPI_ERR_ARG, MPI_ERR_REQUEST}, [] { return MPI_Irecv(buffer, 1, MPI_INT, 0, 0, world(), nullptr); }},
      {"MPI_Recv_init", "tag -77", {MPI_ERR_TAG}, [] { return MPI_Recv_init(buffer, 1, MPI_INT, 0, -77, world(), &request); }},
      {"MPI_Probe", "rank = size", {MPI_ERR_RANK}, [] { return MPI_Probe(check::size, 0, world(), &status); }},
      {"MPI_Iprobe", "tag -77", {MPI_ERR_TAG}, [] { return MPI_Iprobe(0, -77, world(), &flag, &status); }},
      {"MPI_Iprobe", "null flag", {MPI_ERR_ARG}, [] { return MPI_Iprobe(0, 0, world(), nullptr, &status); }},
      {"MPI_Mprobe", "null comm", {MPI_ERR_COMM}, [] { return MPI_Mprobe(0, 0, MPI_COMM_NULL, &message, &status); }},
      {"MPI_Improbe", "rank = size", {MPI_ERR_RANK}, [] { return MPI_Improbe(check::size, 0, world(), &flag, &message, &status); }},
      {"MPI_Mrecv", "null message", {MPI_ERR_REQUEST, MPI_ERR_ARG}, [] { message = MPI_MESSAGE_NULL; return MPI_Mrecv(buffer, 1, MPI_INT, &message, &status); }},
      {"MPI_Sendrecv", "send count -1", {MPI_ERR_COUNT}, [] { return MPI_Sendrecv(buffer, -1, MPI_INT, 0, 0, values, 1, MPI_INT, 0, 0, world(), &status); }},
      {"MPI_Sendrecv", "receive type", {MPI_ERR_TYPE}, [] { return MPI_Sendrecv(buffer, 1, MPI_INT, 0, 0, values, 1, MPI_DATATYPE_NULL, 0, 0, world(), &status); }},
      {"MPI_Sendrecv", "destination", {MPI_ERR_RANK}, [] { return MPI_Sendrecv(buffer, 1, MPI_INT, check::size, 0, values, 1, MPI_INT, 0, 0, world(), &status); }},
      {"MPI_Sendrecv_replace", "source", {MPI_ERR_RANK}, [] { return MPI_Sendrecv_replace(buffer, 1, MPI_INT, 0, 0, check::size, 0, world(), &status); }},
  };
}

std::vector<Wrong> requests() {
  return {
      {"MPI_Start", "null request", {MPI_ERR_REQUEST}, [] { request = MPI_REQUEST_NULL; return MPI_Start(&request); }},
      {"MPI_Start", "not persistent", {MPI_ERR_REQUEST}, [] {
         MPI_Request plain;
         MPI_Irecv(buffer, 1, MPI_INT, 0, 0, MPI_COMM_SELF, &plain);
         int error = MPI_Start(&plain);
         MPI_Cancel(&plain);
         MPI_Wait(&plain, MPI_STATUS_IGNORE);
         return error;
       }},
      {"MPI_Cancel", "null request", {MPI_ERR_REQUEST}, [] { request = MPI_REQUEST_NULL; return MPI_Cancel(&request); }},
      {"MPI_Request_free", "null request", {MPI_ERR_REQUEST}, [] { request = MPI_REQUEST_NULL; return MPI_Request_free(&request); }},
      {"MPI_Wait", "null pointer", {MPI_ERR_ARG, MPI_ERR_REQUEST}, [] { return MPI_Wait(nullptr, &status); }},
      {"MPI_Waitall", "count -1", {MPI_ERR_COUNT, MPI_ERR_ARG}, [] { return MPI_Waitall(-1, &request, &status); }},
      {"MPI_Waitany", "null index", {MPI_ERR_ARG}, [] { request = MPI_REQUEST_NULL; return MPI_Waitany(1, &request, nullptr, &status); }},
      {"MPI_Test", "null flag", {MPI_ERR_ARG}, [] { request = MPI_REQUEST_NULL; return MPI_Test(&request, nullptr, &status); }},
      {"MPI_Get_count", "null type", {MPI_ERR_TYPE}, [] { return MPI_Get_count(&status, MPI_DATATYPE_NULL, &number); }},
      {"MPI_Get_count", "null count", {MPI_ERR_ARG}, [] { return MPI_Get_count(&status, MPI_INT, nullptr); }},
      {"MPI_Buffer_attach", "size -1", {MPI_ERR_ARG, MPI_ERR_BUFFER, MPI_ERR_SIZE, MPI_ERR_COUNT}, [] { return MPI_Buffer_attach(buffer, -1); }},
  };
}

std::vector<Wrong> communicators() {
  return {
      {"MPI_Comm_size", "null comm", {MPI_ERR_COMM}, [] { return MPI_Comm_size(MPI_COMM_NULL, &number); }},
      {"MPI_Comm_size", "a datatype", {MPI_ERR_COMM}, [] { return MPI_Comm_size(mistaken<MPI_Comm>(MPI_INT), &number); }},
      {"MPI_Comm_rank", "null pointer", {MPI_ERR_ARG}, [] { return MPI_Comm_rank(world(), nullptr); }},
      {"MPI_Comm_dup", "null comm", {MPI_ERR_COMM}, [] { return MPI_Comm_dup(MPI_COMM_NULL, &comm); }},
      {"MPI_Comm_split", "color -5", {MPI_ERR_ARG}, [] { return MPI_Comm_split(MPI_COMM_SELF, -5, 0, &comm); }, true},
      {"MPI_Comm_split_type", "type", {MPI_ERR_ARG}, [] { return MPI_Comm_split_type(MPI_COMM_SELF, -5, 0, MPI_INFO_NULL, &comm); }},
      {"MPI_Comm_create", "null group", {MPI_ERR_GROUP}, [] { return MPI_Comm_create(MPI_COMM_SELF, MPI_GROUP_NULL, &comm); }},
      {"MPI_Comm_compare", "null comm", {MPI_ERR_COMM}, [] { return MPI_Comm_compare(world(), MPI_COMM_NULL, &number); }},
      {"MPI_Comm_free", "null comm", {MPI_ERR_COMM}, [] { comm = MPI_COMM_NULL; return MPI_Comm_free(&comm); }},
      {"MPI_Comm_free", "MPI_COMM_WORLD", {MPI_ERR_COMM}, [] { comm = MPI_COMM_WORLD; return MPI_Comm_free(&comm); }},
      {"MPI_Comm_set_name", "null comm", {MPI_ERR_COMM}, [] { return MPI_Comm_set_name(MPI_COMM_NULL, "x"); }},
      {"MPI_Comm_get_attr", "invalid keyval", {MPI_ERR_KEYVAL}, [] { void* value; return MPI_Comm_get_attr(world(), MPI_KEYVAL_INVALID, &value, &flag); }},
      {"MPI_Comm_set_attr", "invalid keyval", {MPI_ERR_KEYVAL}, [] { return MPI_Comm_set_attr(world(), MPI_KEYVAL_INVALID, buffer); }},
      {"MPI_Comm_free_keyval", "invalid keyval", {MPI_ERR_KEYVAL}, [] { number = MPI_KEYVAL_INVALID; return MPI_Comm_free_keyval(&number); }},
      {"MPI_Comm_set_errhandler", "null handler", {MPI_ERR_ARG, kErrhandlerClass}, [] { return MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRHANDLER_NULL); }},
      {"MPI_Errhandler_free", "null handler", {MPI_ERR_ARG, kErrhandlerClass}, [] { MPI_Errhandler none = MPI_ERRHANDLER_NULL; return MPI_Errhandler_free(&none); }},
  };
}

// On MPI_COMM_SELF, since an error that only some ranks see must not leave others waiting.
std::vector<Wrong> collectives() {
  MPI_Comm self = MPI_COMM_SELF;
  return {
      {"MPI_Barrier", "null comm", {MPI_ERR_COMM}, [] { return MPI_Barrier(MPI_COMM_NULL); }},
      {"MPI_Bcast", "root 1", {MPI_ERR_ROOT}, [=] { return MPI_Bcast(buffer, 1, MPI_INT, 1, self); }},
      {"MPI_Bcast", "root -1", {MPI_ERR_ROOT}, [=] { return MPI_Bcast(buffer, 1, MPI_INT, -1, self); }},
      {"MPI_Bcast", "count -1", {MPI_ERR_COUNT}, [=] { return MPI_Bcast(buffer, -1, MPI_INT, 0, self); }},
      {"MPI_Bcast", "null type", {MPI_ERR_TYPE}, [=] { return MPI_Bcast(buffer, 1, MPI_DATATYPE_NULL, 0, self); }},
      {"MPI_Gather", "root 1", {MPI_ERR_ROOT}, [=] { return MPI_Gather(buffer, 1, MPI_INT, values, 1, MPI_INT, 1, self); }},
      {"MPI_Gather", "receive count", {MPI_ERR_COUNT}, [=] { return MPI_Gather(buffer, 1, MPI_INT, values, -1, MPI_INT, 0, self); }},
      {"MPI_Scatter", "send type", {MPI_ERR_TYPE}, [=] { return MPI_Scatter(buffer, 1, MPI_DATATYPE_NULL, values, 1, MPI_INT, 0, self); }},
      {"MPI_Allgather", "send count", {MPI_ERR_COUNT}, [=] { return MPI_Allgather(buffer, -1, MPI_INT, values, 1, MPI_INT, self); }},
      {"MPI_Alltoall", "receive type", {MPI_ERR_TYPE}, [=] { return MPI_Alltoall(buffer, 1, MPI_INT, values, 1, MPI_DATATYPE_NULL, self); }},
      {"MPI_Reduce", "root 1", {MPI_ERR_ROOT}, [=] { return MPI_Reduce(buffer, values, 1, MPI_INT, MPI_SUM, 1, self); }},
      {"MPI_Allreduce", "null op", {MPI_ERR_OP}, [=] { return MPI_Allreduce(buffer, values, 1, MPI_INT, MPI_OP_NULL, self); }},
      {"MPI_Allreduce", "op on chars", {MPI_ERR_OP}, [=] { return MPI_Allreduce(buffer, values, 1, MPI_CHAR, MPI_MINLOC, self); }},
      {"MPI_Allreduce", "count -1", {MPI_ERR_COUNT}, [=] { return MPI_Allreduce(buffer, values, -1, MPI_INT, MPI_SUM, self); }, true},
      {"MPI_Scan", "null type", {MPI_ERR_TYPE}, [=] { return MPI_Scan(buffer, values, 1, MPI_DATATYPE_NULL, MPI_SUM, self); }, true},
      {"MPI_Exscan", "null comm", {MPI_ERR_COMM}, [] { return MPI_Exscan(buffer, values, 1, MPI_INT, MPI_SUM, MPI_COMM_NULL); }},
      {"MPI_Reduce_local", "null op", {MPI_ERR_OP}, [] { return MPI_Reduce_local(buffer, values, 1, MPI_INT, MPI_OP_NULL); }},
      {"MPI_Ibcast", "root 1", {MPI_ERR_ROOT}, [=] { return MPI_Ibcast(buffer, 1, MPI_INT, 1, self, &request); }},
      {"MPI_Ibarrier", "null comm", {MPI_ERR_COMM}, [] { return MPI_Ibarrier(MPI_COMM_NULL, &request); }},
      {"MPI_Iallreduce", "null op", {MPI_ERR_OP}, [=] { return MPI_Iallreduce(buffer, values, 1, MPI_INT, MPI_OP_NULL, self, &request); }},
      {"MPI_Op_free", "predefined op", {MPI_ERR_OP, MPI_ERR_ARG}, [] { MPI_Op op = MPI_SUM; return MPI_Op_free(&op); }},
      {"MPI_Op_commutative", "null op", {MPI_ERR_OP}, [] { return MPI_Op_commutative(MPI_OP_NULL, &flag); }, true},
  };
}

std::vector<Wrong> others() {
  return {
      {"MPI_Error_class", "null pointer", {MPI_ERR_ARG}, [] { return MPI_Error_class(0, nullptr); }},
      {"MPI_Error_string", "unknown code", {MPI_ERR_ARG}, [] { char text[MPI_MAX_ERROR_STRING]; return MPI_Error_string(-5, text, &number); }, true},
      {"MPI_Add_error_string", "predefined code", {MPI_ERR_ARG}, [] { return MPI_Add_error_string(MPI_ERR_TAG, "x"); }},
      {"MPI_Alloc_mem", "size -1", {MPI_ERR_ARG, MPI_ERR_SIZE, MPI_ERR_COUNT}, [] { void* memory; return MPI_Alloc_mem(-1, MPI_INFO_NULL, &memory); }},
      {"MPI_Get_processor_name", "null pointer", {MPI_ERR_ARG}, [] { return MPI_Get_processor_name(nullptr, &number); }},
      {"MPI_Type_size", "null type", {MPI_ERR_TYPE}, [] { return MPI_Type_size(MPI_DATATYPE_NULL, &number); }},
      {"MPI_Type_size", "a communicator", {MPI_ERR_TYPE}, [] { return MPI_Type_size(mistaken<MPI_Datatype>(MPI_COMM_WORLD), &number); }},
  };
}

// clang-format on

void run_table(const std::vector<Wrong>& table) {
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  for (const Wrong& wrong : table) {
    if (wrong.only_tern && !check::library_is_tern()) continue;
    int error = wrong.run(), actual = check::error_class(error);
    bool right =
        std::find(wrong.classes.begin(), wrong.classes.end(), actual) != wrong.classes.end();
    EXPECT_MSG(right, "%s, %s: class %d (%s), expected %d", wrong.call, wrong.what, actual,
               check::error_name(error).c_str(), wrong.classes[0]);
    if (error == MPI_SUCCESS || !check::library_is_tern()) continue;
    std::string text = check::error_name(error);
    EXPECT_MSG(text.find(wrong.call) != std::string::npos,
               "%s, %s: the text does not name the call: %s", wrong.call, wrong.what, text.c_str());
  }
  int to = (check::rank + 1) % check::size, from = (check::rank + check::size - 1) % check::size,
      got = -1;
  EXPECT_OK(
      MPI_Sendrecv(&check::rank, 1, MPI_INT, to, 5, &got, 1, MPI_INT, from, 5, world(), &status));
  EXPECT_EQ(got, from);  // Nothing of the above was sent or broke anything.
  MPI_Barrier(world());
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_ARE_FATAL);
}

void wrong_sends() { run_table(sends()); }
// An implementation may send differently, and check differently, to whom it has sent before.
void wrong_sends_after_right_ones() {
  MPI_Request pending[4];
  for (int i = 0; i < 2; ++i) {
    MPI_Irecv(&values[i], 1, MPI_INT, check::rank, i, world(), &pending[i]);
    MPI_Send(buffer, 1, MPI_INT, check::rank, i, world());
  }
  MPI_Waitall(2, pending, MPI_STATUSES_IGNORE);
  for (int i = 0; i < 2; ++i) {
    MPI_Irecv(&values[i], 1, MPI_INT, check::rank, i, world(), &pending[i]);
    MPI_Isend(buffer, 1, MPI_INT, check::rank, i, world(), &pending[2 + i]);
  }
  MPI_Waitall(4, pending, MPI_STATUSES_IGNORE);
  run_table(sends());
}
void wrong_receives() { run_table(receives()); }
void wrong_requests() { run_table(requests()); }
void wrong_communicators() { run_table(communicators()); }
void wrong_collectives() { run_table(collectives()); }

// Undefined by the standard, and fatal to others.
void requests_given_twice() {
  if (!check::library_is_tern()) return;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  const int tag = 77;
  int in[2] = {-1, -1}, out = check::rank, done = 0, indices[3];
  MPI_Request given[3];
  MPI_Irecv(&in[0], 1, MPI_INT, check::rank, tag, world(), &given[0]);
  MPI_Irecv(&in[1], 1, MPI_INT, check::rank, tag, world(), &given[1]);
  given[2] = given[0];
  EXPECT_EQ(check::error_class(MPI_Waitall(3, given, MPI_STATUSES_IGNORE)), MPI_ERR_REQUEST);
  EXPECT_EQ(check::error_class(MPI_Testall(3, given, &done, MPI_STATUSES_IGNORE)), MPI_ERR_REQUEST);
  EXPECT_EQ(check::error_class(MPI_Waitsome(3, given, &done, indices, MPI_STATUSES_IGNORE)),
            MPI_ERR_REQUEST);
  EXPECT_EQ(check::error_class(MPI_Testsome(3, given, &done, indices, MPI_STATUSES_IGNORE)),
            MPI_ERR_REQUEST);
  for (int i = 0; i < 2; ++i) MPI_Send(&out, 1, MPI_INT, check::rank, tag, world());
  EXPECT_OK(MPI_Waitall(2, given, MPI_STATUSES_IGNORE));  // Nothing has happened to them.
  EXPECT_EQ(in[0], check::rank);
  EXPECT_EQ(in[1], check::rank);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
}
void wrong_others() { run_table(others()); }

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv,
                     {{"wrong_sends", wrong_sends},
                      {"wrong_sends_after_right_ones", wrong_sends_after_right_ones},
                      {"wrong_receives", wrong_receives},
                      {"wrong_requests", wrong_requests},
                      {"wrong_communicators", wrong_communicators},
                      {"wrong_collectives", wrong_collectives},
                      {"requests_given_twice", requests_given_twice},
                      {"wrong_others", wrong_others}});
}
