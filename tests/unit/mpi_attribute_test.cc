// Attribute caching on communicators by the rules of MPI-5.0 section 7.7.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "impl.h"
#include "mpi_api/attributes.h"
#include "mpi_api/comm.h"
#include "mpi_api/errors.h"

namespace tern::mpi {
namespace {

// What the callbacks have seen, in order: "copy 5", "delete 5".
std::vector<std::string> seen;
int next_result = MPI_SUCCESS;

void note(const char* what, void* value) {
  seen.push_back(what + std::to_string(reinterpret_cast<std::intptr_t>(value)));
}

void* number(std::intptr_t value) { return reinterpret_cast<void*>(value); }

// Copies value + extra_state; values above 1000 are not copied.
int copy_plus(MPI_Comm, int, void* extra_state, void* value, void* result, int* flag) {
  note("copy ", value);
  *static_cast<void**>(result) =
      number(reinterpret_cast<std::intptr_t>(value) + reinterpret_cast<std::intptr_t>(extra_state));
  *flag = reinterpret_cast<std::intptr_t>(value) <= 1000;
  return next_result;
}

int note_delete(MPI_Comm, int, void* value, void*) {
  note("delete ", value);
  return next_result;
}

class AttributeTest : public testing::Test {
 protected:
  void SetUp() override {
    make_predefined_groups();
    seen.clear();
    next_result = MPI_SUCCESS;
    comm_ = new_comm(100);
    ASSERT_EQ(impl::comm_create_keyval(copy_plus, note_delete, &key_, number(10)), MPI_SUCCESS);
  }
  void TearDown() override {
    next_result = MPI_SUCCESS;
    for (Comm* const comm : comms_) {
      delete_attributes(*comm);
      comm->release();
    }
    if (key_ != MPI_KEYVAL_INVALID) impl::comm_free_keyval(&key_);
  }

  Comm* new_comm(std::uint64_t context) {
    comms_.push_back(make_comm(context, make_group({{1, 0}}, ProcessId{1, 0})));
    return comms_.back();
  }
  static std::intptr_t value_of(Comm* comm, int key) {
    void* value = nullptr;
    int flag = -1;
    EXPECT_EQ(impl::comm_get_attr(comm, key, &value, &flag), MPI_SUCCESS);
    return flag == 1 ? reinterpret_cast<std::intptr_t>(value) : -1;
  }
  // What MPI_Comm_dup does once the new communicator is there.
  int copy(Comm* from, Comm* to) {
    return to->attributes.copy_from(from->attributes, to_handle(from));
  }

  Comm* comm_ = nullptr;
  int key_ = MPI_KEYVAL_INVALID;
  std::vector<Comm*> comms_;
};

TEST_F(AttributeTest, ReplacingAndDeletingCallTheDeleteFunctionOnce) {
  EXPECT_EQ(value_of(comm_, key_), -1);
  EXPECT_EQ(impl::comm_set_attr(comm_, key_, number(5)), MPI_SUCCESS);
  EXPECT_EQ(impl::comm_set_attr(comm_, key_, number(6)), MPI_SUCCESS);
  EXPECT_EQ(value_of(comm_, key_), 6);
  EXPECT_EQ(impl::comm_delete_attr(comm_, key_), MPI_SUCCESS);
  EXPECT_EQ(value_of(comm_, key_), -1);
  EXPECT_EQ(impl::comm_delete_attr(comm_, key_), MPI_SUCCESS);
  EXPECT_EQ(seen, (std::vector<std::string>{"delete 5", "delete 6"}));
}

TEST_F(AttributeTest, CopyFunctionsDecideWhatADuplicateGets) {
  int dup_key = 0;
  int null_key = 0;
  impl::comm_create_keyval(MPI_COMM_DUP_FN, MPI_COMM_NULL_DELETE_FN, &dup_key, nullptr);
  impl::comm_create_keyval(MPI_COMM_NULL_COPY_FN, MPI_COMM_NULL_DELETE_FN, &null_key, nullptr);
  int big_key = 0;
  impl::comm_create_keyval(copy_plus, note_delete, &big_key, nullptr);
  impl::comm_set_attr(comm_, key_, number(5));
  impl::comm_set_attr(comm_, dup_key, number(7));
  impl::comm_set_attr(comm_, null_key, number(8));
  impl::comm_set_attr(comm_, big_key, number(2000));
  Comm* const twin = new_comm(102);
  ASSERT_EQ(copy(comm_, twin), MPI_SUCCESS);
  EXPECT_EQ(value_of(twin, key_), 15);
  EXPECT_EQ(value_of(twin, dup_key), 7);
  EXPECT_EQ(value_of(twin, null_key), -1);
  EXPECT_EQ(value_of(twin, big_key), -1);
  EXPECT_EQ(seen, (std::vector<std::string>{"copy 5", "copy 2000"}));
  for (int* key : {&dup_key, &null_key, &big_key}) impl::comm_free_keyval(key);
}

TEST_F(AttributeTest, FreeingDeletesLatestFirst) {
  int second = 0;
  impl::comm_create_keyval(copy_plus, note_delete, &second, nullptr);
  impl::comm_set_attr(comm_, key_, number(1));
  impl::comm_set_attr(comm_, second, number(2));
  MPI_Comm handle = to_handle(comm_);
  ASSERT_EQ(impl::comm_free(&handle), MPI_SUCCESS);
  comms_.clear();
  EXPECT_EQ(handle, MPI_COMM_NULL);
  EXPECT_EQ(seen, (std::vector<std::string>{"delete 2", "delete 1"}));
  impl::comm_free_keyval(&second);
}

TEST_F(AttributeTest, AFailingDeleteFunctionKeepsAttributeAndCommunicator) {
  impl::comm_set_attr(comm_, key_, number(5));
  next_result = 77;
  EXPECT_EQ(impl::comm_delete_attr(comm_, key_), 77);
  EXPECT_EQ(impl::comm_set_attr(comm_, key_, number(6)), 77);
  MPI_Comm handle = to_handle(comm_);
  EXPECT_EQ(impl::comm_free(&handle), 77);
  EXPECT_EQ(handle, to_handle(comm_));
  EXPECT_NE(find_comm(handle), nullptr);
  next_result = MPI_SUCCESS;
  EXPECT_EQ(value_of(comm_, key_), 5);
}

TEST_F(AttributeTest, AFailingCopyFunctionFailsTheDuplicationWithItsCode) {
  impl::comm_set_attr(comm_, key_, number(5));
  Comm* const twin = new_comm(102);
  next_result = 78;
  EXPECT_EQ(copy(comm_, twin), 78);
  EXPECT_NE(last_failure(78).find("returned 78"), std::string_view::npos);
  EXPECT_EQ(value_of(twin, key_), -1);
}

TEST_F(AttributeTest, AFreedKeyWorksForItsAttributesUntilTheLastIsGone) {
  impl::comm_set_attr(comm_, key_, number(5));
  const int key = key_;
  ASSERT_EQ(impl::comm_free_keyval(&key_), MPI_SUCCESS);
  EXPECT_EQ(key_, MPI_KEYVAL_INVALID);
  EXPECT_EQ(value_of(comm_, key), 5);
  int again = key;
  EXPECT_EQ(impl::comm_free_keyval(&again), MPI_ERR_KEYVAL);
  Comm* const twin = new_comm(102);
  ASSERT_EQ(copy(comm_, twin), MPI_SUCCESS);
  EXPECT_EQ(value_of(twin, key), 15);
  ASSERT_EQ(impl::comm_delete_attr(comm_, key), MPI_SUCCESS);
  int other = 0;
  impl::comm_create_keyval(copy_plus, note_delete, &other, nullptr);
  EXPECT_NE(other, key) << "still used by the twin";
  ASSERT_EQ(impl::comm_delete_attr(twin, key), MPI_SUCCESS);
  EXPECT_EQ(seen, (std::vector<std::string>{"copy 5", "delete 5", "delete 15"}));
  void* value = nullptr;
  int flag = 0;
  EXPECT_EQ(impl::comm_get_attr(comm_, key, &value, &flag), MPI_ERR_KEYVAL);
  impl::comm_free_keyval(&other);
}

TEST_F(AttributeTest, KeysThatAreNoneAreErrors) {
  void* value = nullptr;
  int flag = 0;
  for (int key : {static_cast<int>(MPI_KEYVAL_INVALID), -1, 500, 508, key_ + 1, 1 << 30}) {
    EXPECT_EQ(impl::comm_get_attr(comm_, key, &value, &flag), MPI_ERR_KEYVAL) << key;
    EXPECT_EQ(impl::comm_set_attr(comm_, key, value), MPI_ERR_KEYVAL) << key;
    EXPECT_EQ(impl::comm_delete_attr(comm_, key), MPI_ERR_KEYVAL) << key;
    EXPECT_EQ(impl::comm_free_keyval(&key), MPI_ERR_KEYVAL) << key;
  }
}

TEST_F(AttributeTest, PredefinedAttributesAreReadOnly) {
  const auto value_at = [this](int key) {
    return *reinterpret_cast<const int*>(value_of(comm_, key));
  };
  EXPECT_EQ(value_at(MPI_TAG_UB), kTagUb);
  EXPECT_EQ(value_at(MPI_IO), MPI_ANY_SOURCE);
  EXPECT_EQ(value_at(MPI_HOST), MPI_PROC_NULL);
  EXPECT_EQ(value_at(MPI_WTIME_IS_GLOBAL), 0);
  const auto* const last_code = reinterpret_cast<const int*>(value_of(comm_, MPI_LASTUSEDCODE));
  int added = 0;
  impl::add_error_class(&added);
  EXPECT_EQ(*last_code, added) << "follows without being asked again";
  impl::remove_error_class(added);
  for (int key : {static_cast<int>(MPI_TAG_UB), static_cast<int>(MPI_LASTUSEDCODE)}) {
    EXPECT_EQ(impl::comm_set_attr(comm_, key, number(1)), MPI_ERR_KEYVAL);
    EXPECT_EQ(impl::comm_delete_attr(comm_, key), MPI_ERR_KEYVAL);
    EXPECT_EQ(impl::comm_free_keyval(&key), MPI_ERR_KEYVAL);
  }
}

// --- Callbacks that change what they are called for
// -------------------------------------------------

Comm* meddled_with = nullptr;
int other_key = 0;

int delete_and_set_another(MPI_Comm, int, void*, void*) {
  return impl::comm_set_attr(meddled_with, other_key, number(99));
}

int copy_and_delete_another(MPI_Comm, int, void*, void* value, void* result, int* flag) {
  *static_cast<void**>(result) = value;
  *flag = 1;
  return impl::comm_delete_attr(meddled_with, other_key);
}

TEST_F(AttributeTest, CallbacksMayChangeTheAttributesOfTheSameCommunicator) {
  int meddling = 0;
  impl::comm_create_keyval(copy_and_delete_another, delete_and_set_another, &meddling, nullptr);
  meddled_with = comm_;
  other_key = key_;
  impl::comm_set_attr(comm_, meddling, number(1));
  impl::comm_set_attr(comm_, key_, number(2));
  Comm* const twin = new_comm(102);
  ASSERT_EQ(copy(comm_, twin), MPI_SUCCESS);
  EXPECT_EQ(value_of(twin, meddling), 1);
  EXPECT_EQ(value_of(twin, key_), -1) << "it was deleted before its turn";
  ASSERT_EQ(impl::comm_delete_attr(comm_, meddling), MPI_SUCCESS);
  EXPECT_EQ(value_of(comm_, key_), 99);
  ASSERT_EQ(delete_attributes(*twin), MPI_SUCCESS);
  // Also while everything is being deleted: what the callback adds goes too.
  impl::comm_set_attr(comm_, meddling, number(1));
  ASSERT_EQ(delete_attributes(*comm_), MPI_SUCCESS);
  EXPECT_EQ(value_of(comm_, key_), -1);
  EXPECT_EQ(value_of(comm_, meddling), -1);
  impl::comm_free_keyval(&meddling);
}

}  // namespace
}  // namespace tern::mpi
