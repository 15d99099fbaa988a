// tests/mpi/errors_handlers.cc - error handlers, and error classes, codes and strings of the user.
//
// Errors are provoked by receives that truncate and by wrong ranks; handlers record on which
// communicator and with which class they were called.
#include "check.h"

namespace {

struct Call {
  MPI_Comm comm;
  int error;
};
std::vector<Call> calls[2];

void first_handler(MPI_Comm* comm, int* error, ...) { calls[0].push_back({*comm, *error}); }
void second_handler(MPI_Comm* comm, int* error, ...) { calls[1].push_back({*comm, *error}); }

int provoke(MPI_Comm comm) {
  int value = 0, size = 0;
  MPI_Comm_size(comm, &size);
  return MPI_Send(&value, 1, MPI_INT, size, 0, comm);
}

void expect_one_call(int which, MPI_Comm comm) {
  EXPECT_EQ(calls[which].size(), std::size_t{1});
  EXPECT_EQ(calls[1 - which].size(), std::size_t{0});
  if (calls[which].size() == 1) {
    EXPECT(calls[which][0].comm == comm);
    EXPECT_CLASS(calls[which][0].error, MPI_ERR_RANK);
  }
  calls[0].clear();
  calls[1].clear();
}

void called_with_its_communicator() {
  MPI_Errhandler first, second;
  EXPECT_OK(MPI_Comm_create_errhandler(first_handler, &first));
  EXPECT_OK(MPI_Comm_create_errhandler(second_handler, &second));
  MPI_Comm one, two, child;
  MPI_Comm_dup(MPI_COMM_WORLD, &one);
  MPI_Comm_dup(MPI_COMM_WORLD, &two);
  EXPECT_OK(MPI_Comm_set_errhandler(one, first));
  EXPECT_OK(MPI_Comm_set_errhandler(two, second));
  EXPECT_CLASS(provoke(one), MPI_ERR_RANK);  // A handler that returns: the call returns the error.
  expect_one_call(0, one);
  EXPECT_CLASS(provoke(two), MPI_ERR_RANK);
  expect_one_call(1, two);
  EXPECT_OK(MPI_Comm_dup(one, &child));  // A new communicator inherits the handler.
  provoke(child);
  expect_one_call(0, child);
  EXPECT_OK(MPI_Comm_set_errhandler(child, second));
  provoke(child);
  expect_one_call(1, child);
  provoke(one);
  expect_one_call(0, one);
  for (MPI_Comm* comm : {&one, &two, &child}) MPI_Comm_free(comm);
  EXPECT_OK(MPI_Errhandler_free(&first));
  EXPECT_OK(MPI_Errhandler_free(&second));
  EXPECT(first == MPI_ERRHANDLER_NULL);
}

void errors_of_requests_reach_the_handler() {
  if (check::library_is("MPICH")) return;  // 4.0 has forgotten the communicator by then.
  MPI_Errhandler handler;
  MPI_Comm comm;
  MPI_Comm_create_errhandler(first_handler, &handler);
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  MPI_Comm_set_errhandler(comm, handler);
  int out[4] = {1, 2, 3, 4}, in = 0;
  int to = (check::rank + 1) % check::size, from = (check::rank + check::size - 1) % check::size;
  MPI_Request receive, send;
  MPI_Status status;
  MPI_Irecv(&in, 1, MPI_INT, from, 0, comm, &receive);
  MPI_Isend(out, 4, MPI_INT, to, 0, comm, &send);
  EXPECT_CLASS(MPI_Wait(&receive, &status), MPI_ERR_TRUNCATE);
  EXPECT_EQ(calls[0].size(), std::size_t{1});
  if (!calls[0].empty()) {
    EXPECT(calls[0][0].comm == comm);
    EXPECT_CLASS(calls[0][0].error, MPI_ERR_TRUNCATE);
  }
  calls[0].clear();
  EXPECT_OK(MPI_Wait(&send, &status));
  MPI_Comm_free(&comm);
  MPI_Errhandler_free(&handler);
}

// Freed handlers live on while a communicator or a get_errhandler handle uses them.
void get_set_and_free() {
  MPI_Errhandler handler, again;
  MPI_Comm comm;
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  EXPECT_OK(MPI_Comm_get_errhandler(comm, &again));
  EXPECT(again == MPI_ERRORS_ARE_FATAL);
  EXPECT_OK(MPI_Errhandler_free(&again));
  EXPECT(again == MPI_ERRHANDLER_NULL);
  MPI_Comm_create_errhandler(first_handler, &handler);
  MPI_Comm_set_errhandler(comm, handler);
  EXPECT_OK(MPI_Errhandler_free(&handler));
  provoke(comm);
  expect_one_call(0, comm);
  EXPECT_OK(MPI_Comm_get_errhandler(comm, &again));
  EXPECT_OK(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN));
  provoke(comm);
  EXPECT(calls[0].empty());
  EXPECT_OK(MPI_Comm_set_errhandler(comm, again));
  EXPECT_OK(MPI_Errhandler_free(&again));
  provoke(comm);
  expect_one_call(0, comm);
  MPI_Comm_free(&comm);
}

void called_by_the_program() {
  MPI_Errhandler handler;
  MPI_Comm comm;
  MPI_Comm_create_errhandler(second_handler, &handler);
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  MPI_Comm_set_errhandler(comm, handler);
  EXPECT_OK(MPI_Comm_call_errhandler(comm, MPI_ERR_RANK));
  expect_one_call(1, comm);
  MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
  EXPECT_OK(MPI_Comm_call_errhandler(comm, MPI_ERR_RANK));
  MPI_Comm_free(&comm);
  MPI_Errhandler_free(&handler);
}

// Errors without a communicator go to MPI_COMM_SELF's handler (MPI 4), formerly to the world's.
void errors_without_communicator() {
  MPI_Errhandler handler;
  MPI_Comm_create_errhandler(first_handler, &handler);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, handler);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  int size = 0;
  EXPECT_CLASS(MPI_Comm_size(MPI_COMM_NULL, &size), MPI_ERR_COMM);
  if (check::library_is_tern()) {
    EXPECT_EQ(calls[0].size(), std::size_t{1});
    if (!calls[0].empty()) EXPECT(calls[0][0].comm == MPI_COMM_SELF);
  }
  calls[0].clear();
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_ARE_FATAL);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
  MPI_Errhandler_free(&handler);
}

void predefined_classes_have_texts() {
  for (int error : {MPI_SUCCESS,        MPI_ERR_BUFFER, MPI_ERR_COUNT,     MPI_ERR_TYPE,
                    MPI_ERR_TAG,        MPI_ERR_COMM,   MPI_ERR_RANK,      MPI_ERR_REQUEST,
                    MPI_ERR_ROOT,       MPI_ERR_GROUP,  MPI_ERR_OP,        MPI_ERR_TOPOLOGY,
                    MPI_ERR_DIMS,       MPI_ERR_ARG,    MPI_ERR_UNKNOWN,   MPI_ERR_TRUNCATE,
                    MPI_ERR_OTHER,      MPI_ERR_INTERN, MPI_ERR_IN_STATUS, MPI_ERR_PENDING,
                    MPI_ERR_KEYVAL,     MPI_ERR_NO_MEM, MPI_ERR_INFO_KEY,  MPI_ERR_INFO_VALUE,
                    MPI_ERR_INFO_NOKEY, MPI_ERR_INFO,   MPI_ERR_SPAWN,     MPI_ERR_PORT,
                    MPI_ERR_SERVICE,    MPI_ERR_NAME,   MPI_ERR_WIN,       MPI_ERR_FILE,
                    MPI_ERR_IO}) {
    int actual = -1, length = -1;
    char text[MPI_MAX_ERROR_STRING + 1];
    std::memset(text, '?', sizeof text);
    EXPECT_OK(MPI_Error_class(error, &actual));
    EXPECT_EQ(actual, error);
    EXPECT_OK(MPI_Error_string(error, text, &length));
    EXPECT_MSG(length > 0 && length < MPI_MAX_ERROR_STRING && text[length] == '\0',
               "text of class %d has length %d", error, length);
  }
}

std::string text_of(int error) {
  char text[MPI_MAX_ERROR_STRING + 1] = "";
  int length = 0;
  EXPECT_OK(MPI_Error_string(error, text, &length));
  EXPECT_EQ(length, static_cast<int>(std::strlen(text)));
  return text;
}

int last_used_code() {
  int *value = nullptr, flag = 0;
  EXPECT_OK(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_LASTUSEDCODE, &value, &flag));
  return flag ? *value : -1;
}

void classes_and_codes_of_the_user() {
  int before = last_used_code(), user_class = 0, code = 0, other = 0, actual = 0;
  EXPECT_OK(MPI_Add_error_class(&user_class));
  EXPECT(user_class > MPI_ERR_LASTCODE);
  EXPECT_OK(MPI_Add_error_code(user_class, &code));
  EXPECT_OK(MPI_Add_error_code(MPI_ERR_TRUNCATE, &other));
  EXPECT(code != user_class && other != code);
  EXPECT(last_used_code() > before);
  if (check::library_is_tern()) EXPECT(last_used_code() >= std::max({user_class, code, other}));
  EXPECT_EQ(text_of(user_class), std::string());  // Empty until set.
  EXPECT_OK(MPI_Add_error_string(user_class, "a class of mine"));
  EXPECT_OK(MPI_Add_error_string(code, "a code of mine"));
  EXPECT_EQ(text_of(user_class), std::string("a class of mine"));
  EXPECT_EQ(text_of(code), std::string("a code of mine"));
  EXPECT_OK(MPI_Add_error_string(code, "renamed"));
  EXPECT_EQ(text_of(code), std::string("renamed"));
  EXPECT_OK(MPI_Error_class(code, &actual));
  EXPECT_EQ(actual, user_class);
  EXPECT_OK(MPI_Error_class(user_class, &actual));
  EXPECT_EQ(actual, user_class);
  EXPECT_OK(MPI_Error_class(other, &actual));
  EXPECT_EQ(actual, MPI_ERR_TRUNCATE);
  MPI_Errhandler handler;
  MPI_Comm comm;
  MPI_Comm_create_errhandler(first_handler, &handler);
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  MPI_Comm_set_errhandler(comm, handler);
  EXPECT_OK(MPI_Comm_call_errhandler(comm, code));
  EXPECT(calls[0].size() == 1 && calls[0][0].error == code);
  calls[0].clear();
  MPI_Comm_free(&comm);
  MPI_Errhandler_free(&handler);
}

#if MPI_AT_LEAST(4, 1)
void removing_classes_and_codes() {
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  int user_class = 0, code = 0;
  MPI_Add_error_class(&user_class);
  MPI_Add_error_code(user_class, &code);
  MPI_Add_error_string(code, "text");
  EXPECT(MPI_Remove_error_class(user_class) != MPI_SUCCESS);  // A code still belongs to it.
  EXPECT(MPI_Remove_error_code(code) != MPI_SUCCESS);         // It still has a text.
  EXPECT_OK(MPI_Remove_error_string(code));
  EXPECT_OK(MPI_Remove_error_code(code));
  EXPECT_OK(MPI_Remove_error_class(user_class));
  EXPECT(MPI_Remove_error_class(user_class) != MPI_SUCCESS);
  EXPECT(MPI_Remove_error_class(MPI_ERR_TAG) != MPI_SUCCESS);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_ARE_FATAL);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
}
#endif

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv, {
    {"called_with_its_communicator", called_with_its_communicator},
        {"errors_of_requests_reach_the_handler", errors_of_requests_reach_the_handler},
        {"get_set_and_free", get_set_and_free}, {"called_by_the_program", called_by_the_program},
        {"errors_without_communicator", errors_without_communicator},
        {"predefined_classes_have_texts", predefined_classes_have_texts},
#if MPI_AT_LEAST(4, 1)
        {"removing_classes_and_codes", removing_classes_and_codes},
#endif
    {
      "classes_and_codes_of_the_user", classes_and_codes_of_the_user
    }
  });
}
