/* wrong_calls.c - every implemented function refuses every kind of wrong argument.
 *
 * The calls themselves are made from the description of the API (wrong_calls.py); this file runs
 * them. Each must return the error class of the standard, invoke the error handler in force exactly
 * once with that code, and have a text that names the function and the argument. Before MPI_Init
 * and after MPI_Finalize all functions that need MPI must say so; for that, run with
 * `-initial-errhandler mpi_errors_return`.
 */
#include <mpi.h>
#include <stdio.h>
#include <string.h>

enum { kRanks = 64 };

static int me = 0, size = 1, other = 0;
static int checked = 0, failed = 0;

/* What the calls are made with. Wrong calls change none of it. */
static int data[kRanks] = {1, 2, 3}, room[kRanks];
static int ones[kRanks], zeros[kRanks], minus_ones[kRanks], ranks[1], list[1], ranges[1][3];
static MPI_Count ones_wide[kRanks], minus_ones_wide[kRanks], count;
static MPI_Count zeros_wide[kRanks], wide_list[1];
static MPI_Aint zeros_aint[kRanks], address, addresses[1];
static MPI_Datatype many_types[kRanks], bad_types[kRanks];
static int number, keyval = MPI_TAG_UB;
static void* pointer;
/* A compiler that sees the address 10 itself warns of reading there. */
extern int* unweighted;
int* unweighted = MPI_UNWEIGHTED;
static char text[MPI_MAX_LIBRARY_VERSION_STRING];
static char too_long_key[MPI_MAX_INFO_KEY + 1], too_long_value[MPI_MAX_INFO_VAL + 1];
static MPI_Group group = MPI_GROUP_EMPTY, new_group;
static MPI_Info info = MPI_INFO_NULL, new_info;
static MPI_Request request = MPI_REQUEST_NULL, new_request, requests[1], bad_requests[1];
static MPI_Request good_request = MPI_REQUEST_NULL;
static MPI_Request null_requests[1] = {MPI_REQUEST_NULL};
static MPI_Status status, statuses[1];
static char command[] = "name", *commands[1] = {command};
static MPI_Info infos[1] = {MPI_INFO_NULL};
static MPI_Datatype types[1] = {MPI_INT}, types_out[1], new_datatype;
static MPI_Comm new_comm, ring = MPI_COMM_NULL;
static MPI_Op new_op;
static MPI_Errhandler new_errhandler;
static MPI_Message new_message, good_message = MPI_MESSAGE_NO_PROC;

static void user_function(void* in, void* inout, int* length, MPI_Datatype* datatype) {
  (void)in, (void)inout, (void)length, (void)datatype;
}

static void user_function_c(void* in, void* inout, MPI_Count* length, MPI_Datatype* datatype) {
  (void)in, (void)inout, (void)length, (void)datatype;
}

static MPI_Session session = MPI_SESSION_NULL, new_session;

/* What these lead to is gone. */
static MPI_Comm freed_comm = MPI_COMM_NULL;
static MPI_Group freed_group = MPI_GROUP_NULL;
static MPI_Info freed_info = MPI_INFO_NULL;
static MPI_Errhandler freed_errhandler = MPI_ERRHANDLER_NULL;
static MPI_Request freed_request = MPI_REQUEST_NULL;
static MPI_Datatype freed_datatype = MPI_DATATYPE_NULL;
static MPI_Op freed_op = MPI_OP_NULL;
static MPI_Session freed_session = MPI_SESSION_NULL;

static void user_session_handler(MPI_Session* heard, int* code, ...) { (void)heard, (void)code; }

static void user_handler(MPI_Comm* comm, int* code, ...) { (void)comm, (void)code; }

/* What the error handler of MPI_COMM_WORLD and MPI_COMM_SELF has heard. */
static int calls_heard, code_heard;
static MPI_Comm comm_heard;

static void listen(MPI_Comm* comm, int* code, ...) {
  ++calls_heard;
  code_heard = *code;
  comm_heard = *comm;
}

/* A session is told from the communicators by its address. */
#define SESSION ((MPI_Comm)session)
/* No handler is called. */
#define NOBODY ((MPI_Comm)&new_session)
static void listen_session(MPI_Session* heard, int* code, ...) {
  ++calls_heard;
  code_heard = *code;
  comm_heard = (MPI_Comm)*heard;
}

static void complain(const char* call, const char* what, const char* found) {
  if (++failed <= 50) fprintf(stderr, "rank %d: %s: %s (%s)\n", me, call, what, found);
}

/* Whether words hold the word; `name` must not be found inside `newname`. */
static int has_word(const char* words, const char* word) {
  const size_t length = strlen(word);
  for (const char* at = strstr(words, word); at; at = strstr(at + 1, word)) {
    const char before = at == words ? ' ' : at[-1], after = at[length];
    if (!strchr("abcdefghijklmnopqrstuvwxyz_", before) &&
        (after == '\0' || !strchr("abcdefghijklmnopqrstuvwxyz_", after))) {
      return 1;
    }
  }
  return 0;
}

static void check_text(const char* call, int code, const char* argument) {
  char words[MPI_MAX_ERROR_STRING], function[64];
  int length = 0;
  snprintf(function, sizeof function, "%.*s: ", (int)strcspn(call, "("), call);
  words[0] = '\0';
  if (MPI_Error_string(code, words, &length) != MPI_SUCCESS) complain(call, "no text", "");
  if (!strstr(words, function)) complain(call, "the text does not name the function", words);
  if (argument && !has_word(words, argument)) {
    complain(call, "the text does not name the argument", words);
  }
}

static void check_bad(int class, MPI_Comm handler, const char* argument, const char* call,
                      int code) {
  char found[64];
  int class_found = -1;
  ++checked;
  MPI_Error_class(code, &class_found);
  snprintf(found, sizeof found, "class %d, expected %d, for %s", class_found, class, argument);
  if (class_found != class) complain(call, "wrong error class", found);
  if (code == MPI_SUCCESS) return;
  snprintf(found, sizeof found, "%d calls", calls_heard);
  if (handler == NOBODY) {
    if (calls_heard != 0) complain(call, "an error handler was called", found);
    return check_text(call, code, argument);
  }
  if (calls_heard != 1) complain(call, "the error handler was not called once", found);
  if (comm_heard != handler || code_heard != code) {
    complain(call, "the error handler heard of another communicator or code", found);
  }
  check_text(call, code, argument);
}

static void check_out_of_time(const char* call, int code) {
  ++checked;
  if (code == MPI_SUCCESS) {
    complain(call, "succeeds outside of MPI_Init and MPI_Finalize", "");
    return;
  }
  check_text(call, code, NULL);
}

#define BAD(class, handler, argument, call)             \
  do {                                                  \
    calls_heard = 0;                                    \
    check_bad(class, handler, argument, #call, (call)); \
  } while (0)
#define OUT_OF_TIME(call) check_out_of_time(#call, (call))

#include "wrong_calls.inc"

/* Last of all preparations, so that nothing takes the place of what is freed. */
static void free_some(void) {
  MPI_Group one;
  MPI_Comm_dup(MPI_COMM_SELF, &freed_comm);
  MPI_Comm_group(MPI_COMM_WORLD, &one);
  MPI_Group_incl(one, 1, zeros, &freed_group);
  MPI_Group_free(&one);
  MPI_Info_create(&freed_info);
  MPI_Comm_create_errhandler(user_handler, &freed_errhandler);
  MPI_Recv_init(room, 1, MPI_INT, MPI_PROC_NULL, 0, MPI_COMM_WORLD, &freed_request);
  MPI_Type_contiguous(2, MPI_INT, &freed_datatype);
  MPI_Op_create(user_function, 1, &freed_op);
  MPI_Session_init(MPI_INFO_NULL, MPI_ERRORS_RETURN, &freed_session);
  MPI_Session session_copy = freed_session;
  MPI_Op op_copy = freed_op;
  MPI_Datatype datatype_copy = freed_datatype;
  MPI_Request request_copy = freed_request;
  MPI_Errhandler errhandler_copy = freed_errhandler;
  MPI_Info info_copy = freed_info;
  MPI_Group group_copy = freed_group;
  MPI_Comm comm_copy = freed_comm;
  MPI_Session_finalize(&session_copy);
  MPI_Op_free(&op_copy);
  MPI_Type_free(&datatype_copy);
  MPI_Request_free(&request_copy);
  MPI_Errhandler_free(&errhandler_copy);
  MPI_Info_free(&info_copy);
  MPI_Group_free(&group_copy);
  MPI_Comm_free(&comm_copy);
}

static void prepare(void) {
  MPI_Errhandler handler;
  MPI_Comm_create_errhandler(listen, &handler);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, handler);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, handler);
  MPI_Errhandler_free(&handler);
  MPI_Session_create_errhandler(listen_session, &handler);
  MPI_Session_init(MPI_INFO_NULL, handler, &session);
  MPI_Errhandler_free(&handler);
  MPI_Comm_rank(MPI_COMM_WORLD, &me);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  other = (me + 1) % size;
  MPI_Cart_create(MPI_COMM_WORLD, 1, &size, &(int){1}, 0, &ring);
  MPI_Comm_group(MPI_COMM_WORLD, &group);
  MPI_Info_create(&info);
  MPI_Recv_init(room, 1, MPI_INT, MPI_PROC_NULL, 0, MPI_COMM_WORLD, &request);
  good_request = requests[0] = request;
  bad_requests[0] = (MPI_Request)MPI_INT;
  for (int i = 0; i < kRanks; ++i) {
    ones[i] = 1, ones_wide[i] = 1;
    minus_ones[i] = -1, minus_ones_wide[i] = -1;
    many_types[i] = MPI_INT, bad_types[i] = (MPI_Datatype)MPI_COMM_WORLD;
  }
  memset(too_long_key, 'k', sizeof too_long_key - 1);
  memset(too_long_value, 'v', sizeof too_long_value - 1);
}

/* After all the errors MPI still works. */
static void check_sound(void) {
  int sum = 0;
  calls_heard = 0;
  MPI_Allreduce(&ones[0], &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  if (sum != size) complain("MPI_Allreduce", "is wrong after the errors", "");
  MPI_Start(&request);
  MPI_Wait(&request, &status);
  if (calls_heard) complain("good calls", "the error handler was called", "");
}

int main(int argc, char** argv) {
  all_calls_out_of_time();
  if (MPI_Init(&argc, &argv) != MPI_SUCCESS) return 1;
  prepare();
  free_some();
  all_bad_calls();
  check_sound();
  MPI_Request_free(&request);
  MPI_Group_free(&group);
  MPI_Comm_free(&ring);
  MPI_Info_free(&info);
  MPI_Session_finalize(&session);
  MPI_Finalize();
  group = MPI_GROUP_EMPTY;
  all_calls_out_of_time();
  if (me == 0 || failed) printf("rank %d: %d wrong calls, %d failures\n", me, checked, failed);
  return failed || checked == 0 ? 1 : 0;
}
