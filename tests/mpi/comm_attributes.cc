// tests/mpi/comm_attributes.cc - cached attributes, predefined attributes and info on
// communicators.
//
// Callbacks record what they were asked; order, veto, deferred freeing of keyvals and the
// deprecated MPI-1 names are checked on every rank.
#include <string>

#include "check.h"

namespace {

using check::Random;

struct Log {
  std::vector<std::string> copies, deletes;
  bool veto_copy = false, veto_delete = false;
};
Log calls;

// The extra state of each keyval is its name.
int copy(MPI_Comm, int, void* extra, void* value, void* out, int* flag) {
  if (calls.veto_copy) return MPI_ERR_OTHER;
  calls.copies.push_back(static_cast<const char*>(extra));
  *static_cast<void**>(out) = static_cast<char*>(value) + 1;
  *flag = 1;
  return MPI_SUCCESS;
}
int copy_nothing(MPI_Comm, int, void* extra, void*, void*, int* flag) {
  calls.copies.push_back(static_cast<const char*>(extra));
  *flag = 0;
  return MPI_SUCCESS;
}
int remove(MPI_Comm, int, void*, void* extra) {
  if (calls.veto_delete) return MPI_ERR_OTHER;
  calls.deletes.push_back(static_cast<const char*>(extra));
  return MPI_SUCCESS;
}

char names[3][2] = {"a", "b", "c"};
char storage[16];

// The value stored under the key, or nullptr with found = false.
void* value_of(MPI_Comm comm, int key, bool* found) {
  void* value = nullptr;
  int flag = -1;
  EXPECT_OK(MPI_Comm_get_attr(comm, key, &value, &flag));
  *found = flag != 0;
  return flag ? value : nullptr;
}

void set_get_delete() {
  calls = Log();
  int key = MPI_KEYVAL_INVALID;
  bool found = true;
  EXPECT_OK(MPI_Comm_create_keyval(copy, remove, &key, names[0]));
  EXPECT(key != MPI_KEYVAL_INVALID);
  for (MPI_Comm comm : {MPI_COMM_WORLD, MPI_COMM_SELF}) {
    calls.deletes.clear();
    value_of(comm, key, &found);
    EXPECT(!found);
    EXPECT_OK(MPI_Comm_set_attr(comm, key, &storage[1]));
    EXPECT(value_of(comm, key, &found) == &storage[1] && found);
    EXPECT_OK(MPI_Comm_set_attr(comm, key, &storage[2]));  // Replacing deletes the old value.
    EXPECT_EQ(calls.deletes.size(), std::size_t{1});
    EXPECT(value_of(comm, key, &found) == &storage[2]);
    EXPECT_OK(MPI_Comm_delete_attr(comm, key));
    EXPECT_EQ(calls.deletes.size(), std::size_t{2});
    value_of(comm, key, &found);
    EXPECT(!found);
    EXPECT_OK(MPI_Comm_set_attr(comm, key, nullptr));  // A null value is a value.
    EXPECT(value_of(comm, key, &found) == nullptr && found);
    EXPECT_OK(MPI_Comm_delete_attr(comm, key));
  }
  EXPECT_OK(MPI_Comm_free_keyval(&key));
  EXPECT_EQ(key, MPI_KEYVAL_INVALID);
}

void copied_by_dup_and_deleted_by_free() {
  int keys[3];
  MPI_Comm_create_keyval(copy, remove, &keys[0], names[0]);
  MPI_Comm_create_keyval(copy_nothing, remove, &keys[1], names[1]);
  MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, remove, &keys[2], names[2]);
  MPI_Comm base, dup, split;
  MPI_Comm_dup(MPI_COMM_WORLD, &base);
  for (int key : keys) MPI_Comm_set_attr(base, key, &storage[4]);
  calls = Log();
  bool found = false;
  EXPECT_OK(MPI_Comm_dup(base, &dup));
  EXPECT_EQ(calls.copies.size(), std::size_t{2});  // a and b; c has no copy function.
  EXPECT(value_of(dup, keys[0], &found) == &storage[5] && found);  // As the callback returned it.
  value_of(dup, keys[1], &found);
  EXPECT(!found);
  value_of(dup, keys[2], &found);
  EXPECT(!found);
  EXPECT_OK(MPI_Comm_split(base, 0, 0, &split));  // Only the dup functions copy attributes.
  value_of(split, keys[0], &found);
  EXPECT(!found);
  calls = Log();
  EXPECT_OK(MPI_Comm_free(&dup));
  EXPECT(calls.deletes == std::vector<std::string>{"a"});
  calls = Log();
  EXPECT_OK(MPI_Comm_free(&base));
  EXPECT_EQ(calls.deletes.size(), std::size_t{3});
  EXPECT_OK(MPI_Comm_free(&split));
  for (int& key : keys) MPI_Comm_free_keyval(&key);
}

void idup_copies_too() {
  int key;
  MPI_Comm_create_keyval(MPI_COMM_DUP_FN, MPI_COMM_NULL_DELETE_FN, &key, nullptr);
  MPI_Comm base, dup;
  MPI_Request request;
  MPI_Comm_dup(MPI_COMM_WORLD, &base);
  MPI_Comm_set_attr(base, key, &storage[3]);
  bool found = false;
  EXPECT_OK(MPI_Comm_idup(base, &dup, &request));
  EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
  EXPECT(value_of(dup, key, &found) == &storage[3] && found);
  MPI_Comm_free(&dup);
  MPI_Comm_free(&base);
  MPI_Comm_free_keyval(&key);
}

// A callback's error stops the operation, which returns it; the communicator stays usable.
void callbacks_can_veto() {
  MPI_Comm base, dup = MPI_COMM_NULL;
  int key;
  MPI_Comm_dup(MPI_COMM_WORLD, &base);
  MPI_Comm_set_errhandler(base, MPI_ERRORS_RETURN);
  MPI_Comm_create_keyval(copy, remove, &key, names[0]);
  calls = Log();
  MPI_Comm_set_attr(base, key, &storage[1]);
  calls.veto_copy = true;
  EXPECT_CLASS(MPI_Comm_dup(base, &dup), MPI_ERR_OTHER);
  calls.veto_copy = false;
  calls.veto_delete = true;
  bool found = false;
  EXPECT_CLASS(MPI_Comm_delete_attr(base, key), MPI_ERR_OTHER);
  EXPECT(value_of(base, key, &found) == &storage[1] && found);
  MPI_Comm copy_of_handle = base;
  if (!check::library_is("MPICH")) {  // 4.0 asks the wrong error handler and aborts.
    EXPECT_CLASS(MPI_Comm_free(&copy_of_handle), MPI_ERR_OTHER);
  }
  calls.veto_delete = false;
  EXPECT(value_of(base, key, &found) == &storage[1] && found);
  int mine = check::rank, got = -1, to = (check::rank + 1) % check::size;
  EXPECT_OK(MPI_Sendrecv(&mine, 1, MPI_INT, to, 0, &got, 1, MPI_INT, MPI_ANY_SOURCE, 0, base,
                         MPI_STATUS_IGNORE));
  EXPECT_OK(MPI_Comm_free(&base));
  EXPECT(calls.deletes == std::vector<std::string>{"a"});
  MPI_Comm_free_keyval(&key);
}

// Freeing a keyval only forbids new uses of the handle: attributes stay until they are deleted.
void keyval_freed_while_in_use() {
  MPI_Comm base, dup;
  int key;
  bool found = false;
  MPI_Comm_dup(MPI_COMM_WORLD, &base);
  MPI_Comm_create_keyval(copy, remove, &key, names[1]);
  calls = Log();
  MPI_Comm_set_attr(base, key, &storage[1]);
  int number = key;
  EXPECT_OK(MPI_Comm_free_keyval(&key));
  EXPECT_EQ(key, MPI_KEYVAL_INVALID);
  EXPECT(calls.deletes.empty());
  EXPECT_OK(MPI_Comm_dup(base, &dup));
  EXPECT(calls.copies == std::vector<std::string>{"b"});
  EXPECT_OK(MPI_Comm_free(&dup));
  EXPECT(value_of(base, number, &found) == &storage[1] && found);
  EXPECT_OK(MPI_Comm_free(&base));
  EXPECT_EQ(calls.deletes.size(), std::size_t{2});
}

// Many keyvals and attributes, set and deleted at random, against a vector as reference.
void many_attributes() {
  constexpr int kKeys = 60;
  int keys[kKeys];
  std::vector<char*> expected(kKeys, nullptr);
  MPI_Comm base;
  MPI_Comm_dup(MPI_COMM_WORLD, &base);
  for (int& key : keys)
    MPI_Comm_create_keyval(MPI_COMM_DUP_FN, MPI_COMM_NULL_DELETE_FN, &key, nullptr);
  Random random(1, check::rank);
  for (int step = 0; step < 2000; ++step) {
    int i = random.below(kKeys);
    if (random.chance(30) && expected[i]) {
      EXPECT_OK(MPI_Comm_delete_attr(base, keys[i]));
      expected[i] = nullptr;
    } else {
      expected[i] = &storage[random.below(16)];
      EXPECT_OK(MPI_Comm_set_attr(base, keys[i], expected[i]));
    }
    int j = random.below(kKeys);
    bool found = false;
    void* value = value_of(base, keys[j], &found);
    EXPECT(value == expected[j] && found == (expected[j] != nullptr));
  }
  MPI_Comm dup;
  EXPECT_OK(MPI_Comm_dup(base, &dup));
  for (int i = 0; i < kKeys; ++i) {
    bool found = false;
    EXPECT(value_of(dup, keys[i], &found) == expected[i]);
  }
  MPI_Comm_free(&dup);
  MPI_Comm_free(&base);
  for (int& key : keys) MPI_Comm_free_keyval(&key);
}

int* integer_attribute(int key, int* flag) {
  int* value = nullptr;
  EXPECT_OK(MPI_Comm_get_attr(MPI_COMM_WORLD, key, &value, flag));
  return value;
}

void predefined_attributes() {
  int flag = 0;
  int* value = integer_attribute(MPI_TAG_UB, &flag);
  EXPECT(flag && value && *value >= 32767);
  if (flag && value) {  // The promise must hold.
    int tag = *value, mine = check::rank, got = -1, to = (check::rank + 1) % check::size;
    EXPECT_OK(MPI_Sendrecv(&mine, 1, MPI_INT, to, tag, &got, 1, MPI_INT,
                           (check::rank + check::size - 1) % check::size, tag, MPI_COMM_WORLD,
                           MPI_STATUS_IGNORE));
    EXPECT_EQ(got, (check::rank + check::size - 1) % check::size);
  }
  value = integer_attribute(MPI_WTIME_IS_GLOBAL, &flag);
  if (flag) EXPECT(*value == 0 || *value == 1);
  value = integer_attribute(MPI_UNIVERSE_SIZE, &flag);
  EXPECT(flag || !check::library_is_tern());  // Optional for the others.
  if (flag) EXPECT(*value >= check::size);
  value = integer_attribute(MPI_APPNUM, &flag);
  if (flag) EXPECT_EQ(*value, 0);  // One program: the first.
  value = integer_attribute(MPI_LASTUSEDCODE, &flag);
  EXPECT(flag && *value >= MPI_ERR_LASTCODE);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  for (int key : {MPI_TAG_UB, MPI_UNIVERSE_SIZE, MPI_APPNUM}) {
    EXPECT_CLASS(MPI_Comm_set_attr(MPI_COMM_WORLD, key, storage), MPI_ERR_ARG, MPI_ERR_KEYVAL,
                 MPI_ERR_OTHER);
    EXPECT_CLASS(MPI_Comm_delete_attr(MPI_COMM_WORLD, key), MPI_ERR_ARG, MPI_ERR_KEYVAL,
                 MPI_ERR_OTHER);
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
}

void deprecated_names() {
  int key = MPI_KEYVAL_INVALID, flag = 0;
  void* value = nullptr;
  calls = Log();
  EXPECT_OK(MPI_Keyval_create(copy, remove, &key, names[2]));
  EXPECT_OK(MPI_Attr_put(MPI_COMM_WORLD, key, &storage[7]));
  EXPECT_OK(MPI_Attr_get(MPI_COMM_WORLD, key, &value, &flag));
  EXPECT(flag && value == &storage[7]);
  MPI_Comm dup;
  MPI_Comm_dup(MPI_COMM_WORLD, &dup);
  bool found = false;
  EXPECT(value_of(dup, key, &found) == &storage[8] && found);  // Old and new names see the same.
  MPI_Comm_free(&dup);
  EXPECT_OK(MPI_Attr_delete(MPI_COMM_WORLD, key));
  EXPECT_OK(MPI_Attr_get(MPI_COMM_WORLD, key, &value, &flag));
  EXPECT_EQ(flag, 0);
  EXPECT_OK(MPI_Keyval_free(&key));
  EXPECT_EQ(key, MPI_KEYVAL_INVALID);
  EXPECT_EQ(calls.deletes.size(), std::size_t{2});
}

// The communicator's hint says that no receive has MPI_ANY_TAG.
void broken_promises(MPI_Comm comm) {
  EXPECT_OK(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN));
  int got = -1, flag = 0;
  MPI_Request request;
  MPI_Status status;
  const int any = MPI_ANY_TAG;
  EXPECT_EQ(check::error_class(MPI_Recv(&got, 1, MPI_INT, 0, any, comm, &status)), MPI_ERR_TAG);
  EXPECT_EQ(check::error_class(MPI_Irecv(&got, 1, MPI_INT, 0, any, comm, &request)), MPI_ERR_TAG);
  EXPECT_EQ(check::error_class(MPI_Iprobe(0, any, comm, &flag, &status)), MPI_ERR_TAG);
  EXPECT_OK(MPI_Iprobe(MPI_ANY_SOURCE, 3, comm, &flag, &status));
  MPI_Info info;
  EXPECT_OK(MPI_Info_create(&info));
  EXPECT_OK(MPI_Info_set(info, "mpi_assert_no_any_tag", "false"));
  EXPECT_OK(MPI_Info_set(info, "mpi_assert_no_any_source", "true"));
  EXPECT_OK(MPI_Comm_set_info(comm, info));
  EXPECT_OK(MPI_Info_free(&info));
  EXPECT_OK(MPI_Iprobe(0, any, comm, &flag, &status));
  EXPECT_EQ(check::error_class(MPI_Probe(MPI_ANY_SOURCE, 3, comm, &status)), MPI_ERR_RANK);
}

void info_of_communicators() {
  MPI_Comm dup, none;
  MPI_Info info, used;
  EXPECT_OK(MPI_Info_create(&info));
  EXPECT_OK(MPI_Info_set(info, "mpi_assert_allow_overtaking", "true"));
  EXPECT_OK(MPI_Info_set(info, "a_hint_nobody_knows", "1"));
  EXPECT_OK(MPI_Comm_dup_with_info(MPI_COMM_WORLD, info, &dup));
  EXPECT_OK(MPI_Comm_get_info(dup, &used));
  EXPECT(used != MPI_INFO_NULL);
  int keys = -1;
  EXPECT_OK(MPI_Info_get_nkeys(used, &keys));
  EXPECT(keys >= 0);
  EXPECT_OK(MPI_Info_free(&used));
  EXPECT_OK(MPI_Comm_set_info(dup, info));
  EXPECT_OK(MPI_Comm_dup_with_info(dup, MPI_INFO_NULL, &none));
  EXPECT_OK(MPI_Info_free(&info));  // Not needed any more by anyone.
  int mine = check::rank, got = -1, to = (check::rank + 1) % check::size;
  for (MPI_Comm comm : {dup, none}) {
    EXPECT_OK(MPI_Sendrecv(&mine, 1, MPI_INT, to, 0, &got, 1, MPI_INT, MPI_ANY_SOURCE, 0, comm,
                           MPI_STATUS_IGNORE));
    EXPECT_EQ(got, (check::rank + check::size - 1) % check::size);
  }
#if MPI_AT_LEAST(4, 0)
  MPI_Comm later;
  MPI_Request request;
  EXPECT_OK(MPI_Info_create(&info));
  EXPECT_OK(MPI_Info_set(info, "mpi_assert_no_any_tag", "true"));
  EXPECT_OK(MPI_Comm_idup_with_info(MPI_COMM_WORLD, info, &later, &request));
  EXPECT_OK(MPI_Info_free(&info));
  EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
  if (check::library_is_tern()) broken_promises(later);
  EXPECT_OK(MPI_Comm_free(&later));
#endif
  EXPECT_OK(MPI_Comm_free(&none));
  EXPECT_OK(MPI_Comm_free(&dup));
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv,
                     {{"set_get_delete", set_get_delete},
                      {"copied_by_dup_and_deleted_by_free", copied_by_dup_and_deleted_by_free},
                      {"idup_copies_too", idup_copies_too},
                      {"callbacks_can_veto", callbacks_can_veto},
                      {"keyval_freed_while_in_use", keyval_freed_while_in_use},
                      {"many_attributes", many_attributes},
                      {"predefined_attributes", predefined_attributes},
                      {"deprecated_names", deprecated_names},
                      {"info_of_communicators", info_of_communicators}});
}
