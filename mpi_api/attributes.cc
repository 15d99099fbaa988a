// mpi_api/attributes.cc - keyvals and the rules of attribute caching (MPI-5.0 section 7.7).
//
// A keyval that is freed while attributes use it goes on working for them, and its number is reused
// only after the last of them is gone. The program's functions may call MPI, also for the very
// object they are called for, so nothing here holds on to places in a list across such a call.
#include "mpi_api/attributes.h"

#include <algorithm>
#include <deque>
#include <vector>

#include "impl.h"
#include "mpi_api/comm.h"
#include "mpi_api/datatype.h"
#include "mpi_api/entry.h"
#include "mpi_api/errors.h"
#include "mpi_api/predefined_attributes.h"

namespace tern::mpi {
namespace {

using Owner = Attributes::Owner;
using AnyFunction = void (*)();

// The functions of a keyval by kind of object. They differ in the handle only.
template <class Handle>
struct Functions;

template <>
struct Functions<MPI_Comm> {
  using Copy = MPI_Comm_copy_attr_function;
  using Delete = MPI_Comm_delete_attr_function;
  static constexpr Owner kOwner = Owner::kComm;
};

template <>
struct Functions<MPI_Datatype> {
  using Copy = MPI_Type_copy_attr_function;
  using Delete = MPI_Type_delete_attr_function;
  static constexpr Owner kOwner = Owner::kDatatype;
};

struct Keyval {
  Owner owner = Owner::kComm;
  AnyFunction copy = nullptr;   // 0 and 1: the predefined functions.
  AnyFunction erase = nullptr;  // 0: nothing to do.
  void* extra_state = nullptr;
  int uses = 0;       // Attributes that are set, plus one until the program frees the keyval.
  bool freed = true;  // By the program.
};

// Integer constants up to 16384 are the ABI's; the first key of ours is well above.
constexpr int kFirstKeyval = 0x10000;

// By keyval - kFirstKeyval. A deque: elements stay where they are while callbacks create more.
std::deque<Keyval> keyvals;
std::vector<int> unused_keyvals;

// nullptr after fail() when there is no such keyval for this kind of object.
Keyval* find_keyval(int keyval, Owner owner, const char* argument) {
  const auto index = static_cast<std::size_t>(keyval) - kFirstKeyval;
  if (keyval >= kFirstKeyval && index < keyvals.size() && keyvals[index].uses > 0) {
    if (keyvals[index].owner == owner) return &keyvals[index];
    fail(MPI_ERR_KEYVAL, "{} is {}, a key for another kind of object", argument, keyval);
  } else if (keyval == MPI_KEYVAL_INVALID) {
    fail(MPI_ERR_KEYVAL, "{} is MPI_KEYVAL_INVALID", argument);
  } else {
    fail(MPI_ERR_KEYVAL, "{} is {}, which is not a key that was created and not yet freed",
         argument, keyval);
  }
  return nullptr;
}

Keyval& in_use(int keyval) { return keyvals[static_cast<std::size_t>(keyval - kFirstKeyval)]; }

void drop_use(int keyval) {
  if (--in_use(keyval).uses == 0) unused_keyvals.push_back(keyval);
}

// Keyvals may be made and freed at any time, also before MPI_Init has said whether there are
// threads.
class KeyvalLock {
 public:
  KeyvalLock() { lock_entry(); }
  ~KeyvalLock() { unlock_entry(); }
  KeyvalLock(const KeyvalLock&) = delete;
  KeyvalLock& operator=(const KeyvalLock&) = delete;
};

int create_keyval(Owner owner, AnyFunction copy, AnyFunction erase, void* extra_state) {
  const KeyvalLock lock;
  const Keyval created{owner, copy, erase, extra_state, 1, false};
  if (unused_keyvals.empty()) {
    keyvals.push_back(created);
    return kFirstKeyval + static_cast<int>(keyvals.size()) - 1;
  }
  const int keyval = unused_keyvals.back();
  unused_keyvals.pop_back();
  in_use(keyval) = created;
  return keyval;
}

int free_keyval(Owner owner, int* keyval, const char* argument) {
  const KeyvalLock lock;
  Keyval* const found = find_keyval(*keyval, owner, argument);
  if (found == nullptr) return MPI_ERR_KEYVAL;
  if (found->freed) {
    return fail(MPI_ERR_KEYVAL, "{} is {}, a key that is freed already", argument, *keyval);
  }
  found->freed = true;
  drop_use(*keyval);
  *keyval = MPI_KEYVAL_INVALID;
  return MPI_SUCCESS;
}

template <class Handle>
int call_delete(Handle handle, int keyval, void* value) {
  const Keyval called = in_use(keyval);
  if (called.erase == nullptr) return MPI_SUCCESS;
  auto* const function = reinterpret_cast<typename Functions<Handle>::Delete*>(called.erase);
  const int error = function(handle, keyval, value, called.extra_state);
  if (error == MPI_SUCCESS) return MPI_SUCCESS;
  return fail(error, "the attribute delete function of key {} returned {}", keyval, error);
}

// Sets copied to whether the new object gets the attribute, with which value.
template <class Handle>
int call_copy(Handle handle, int keyval, void*& value, bool& copied) {
  const Keyval called = in_use(keyval);
  const auto which = reinterpret_cast<std::uintptr_t>(called.copy);
  copied = which == reinterpret_cast<std::uintptr_t>(MPI_COMM_DUP_FN);
  if (copied || which == reinterpret_cast<std::uintptr_t>(MPI_COMM_NULL_COPY_FN)) {
    return MPI_SUCCESS;
  }
  auto* const function = reinterpret_cast<typename Functions<Handle>::Copy*>(called.copy);
  void* result = nullptr;
  int flag = 0;
  const int error = function(handle, keyval, called.extra_state, value, &result, &flag);
  if (error != MPI_SUCCESS) {
    return fail(error, "the attribute copy function of key {} returned {}", keyval, error);
  }
  value = result;
  copied = flag != 0;
  return MPI_SUCCESS;
}

}  // namespace

Attributes::Value* Attributes::find(int keyval) {
  const auto at = std::find_if(values_.begin(), values_.end(),
                               [keyval](const Value& value) { return value.keyval == keyval; });
  return at == values_.end() ? nullptr : &*at;
}

template <class Handle>
int Attributes::set(Handle handle, int keyval, void* value) {
  if (const Value* const former = find(keyval)) {
    if (const int error = call_delete(handle, keyval, former->value)) return error;
  }
  if (Value* const place = find(keyval)) {
    place->value = value;
    return MPI_SUCCESS;
  }
  values_.push_back({keyval, value});
  ++in_use(keyval).uses;
  return MPI_SUCCESS;
}

template <class Handle>
int Attributes::remove(Handle handle, int keyval) {
  const Value* const value = find(keyval);
  if (value == nullptr) return MPI_SUCCESS;
  if (const int error = call_delete(handle, keyval, value->value)) return error;
  erase(keyval);
  return MPI_SUCCESS;
}

template <class Handle>
int Attributes::remove_all(Handle handle) {
  while (!values_.empty()) {
    if (const int error = remove(handle, values_.back().keyval)) return error;
  }
  return MPI_SUCCESS;
}

template <class Handle>
int Attributes::copy_from(Attributes& from, Handle from_handle) {
  const std::vector<Value> originals = from.values_;
  for (Value value : originals) {
    if (from.find(value.keyval) == nullptr) continue;  // A copy function has deleted it.
    bool copied = false;
    if (const int error = call_copy(from_handle, value.keyval, value.value, copied)) return error;
    if (!copied) continue;
    values_.push_back(value);
    ++in_use(value.keyval).uses;
  }
  return MPI_SUCCESS;
}

void Attributes::erase(int keyval) {
  const auto removed =
      std::erase_if(values_, [keyval](const Value& value) { return value.keyval == keyval; });
  if (removed > 0) drop_use(keyval);
}

template int Attributes::set(MPI_Comm, int, void*);
template int Attributes::remove(MPI_Comm, int);
template int Attributes::remove_all(MPI_Comm);
template int Attributes::copy_from(Attributes&, MPI_Comm);
template int Attributes::set(MPI_Datatype, int, void*);
template int Attributes::remove(MPI_Datatype, int);
template int Attributes::remove_all(MPI_Datatype);
template int Attributes::copy_from(Attributes&, MPI_Datatype);

namespace impl {
namespace {

int refuse_predefined(int keyval) {
  if (!is_predefined_attribute(keyval)) return MPI_SUCCESS;
  return fail(MPI_ERR_KEYVAL, "comm_keyval is {}, a predefined attribute, which cannot be changed",
              predefined_attribute_name(keyval));
}

// Whether comm_keyval may be set and deleted on communicators.
int check_settable(int keyval) {
  if (const int error = refuse_predefined(keyval)) return error;
  return find_keyval(keyval, Owner::kComm, "comm_keyval") != nullptr ? MPI_SUCCESS : MPI_ERR_KEYVAL;
}

}  // namespace

int comm_create_keyval(MPI_Comm_copy_attr_function* comm_copy_attr_fn,
                       MPI_Comm_delete_attr_function* comm_delete_attr_fn, int* comm_keyval,
                       void* extra_state) {
  *comm_keyval = create_keyval(Owner::kComm, reinterpret_cast<AnyFunction>(comm_copy_attr_fn),
                               reinterpret_cast<AnyFunction>(comm_delete_attr_fn), extra_state);
  return MPI_SUCCESS;
}

int comm_free_keyval(int* comm_keyval) {
  if (const int error = refuse_predefined(*comm_keyval)) return error;
  return free_keyval(Owner::kComm, comm_keyval, "comm_keyval");
}

int comm_set_attr(Comm* comm, int comm_keyval, void* attribute_val) {
  if (const int error = check_settable(comm_keyval)) return error;
  return comm->attributes.set(to_handle(comm), comm_keyval, attribute_val);
}

int comm_get_attr(Comm* comm, int comm_keyval, void* attribute_val, int* flag) {
  auto* const result = static_cast<void**>(attribute_val);
  if (is_predefined_attribute(comm_keyval)) {
    const int* const value = predefined_attribute(comm_keyval);
    *flag = value != nullptr;
    if (value != nullptr) *result = const_cast<int*>(value);
    return MPI_SUCCESS;
  }
  if (find_keyval(comm_keyval, Owner::kComm, "comm_keyval") == nullptr) return MPI_ERR_KEYVAL;
  const Attributes::Value* const value = comm->attributes.find(comm_keyval);
  *flag = value != nullptr;
  if (value != nullptr) *result = value->value;
  return MPI_SUCCESS;
}

int comm_delete_attr(Comm* comm, int comm_keyval) {
  if (const int error = check_settable(comm_keyval)) return error;
  return comm->attributes.remove(to_handle(comm), comm_keyval);
}

int type_create_keyval(MPI_Type_copy_attr_function* type_copy_attr_fn,
                       MPI_Type_delete_attr_function* type_delete_attr_fn, int* type_keyval,
                       void* extra_state) {
  *type_keyval = create_keyval(Owner::kDatatype, reinterpret_cast<AnyFunction>(type_copy_attr_fn),
                               reinterpret_cast<AnyFunction>(type_delete_attr_fn), extra_state);
  return MPI_SUCCESS;
}

int type_free_keyval(int* type_keyval) {
  return free_keyval(Owner::kDatatype, type_keyval, "type_keyval");
}

int type_set_attr(Datatype* datatype, int type_keyval, void* attribute_val) {
  if (find_keyval(type_keyval, Owner::kDatatype, "type_keyval") == nullptr) return MPI_ERR_KEYVAL;
  return datatype->attributes.set(to_handle(datatype), type_keyval, attribute_val);
}

int type_get_attr(Datatype* datatype, int type_keyval, void* attribute_val, int* flag) {
  if (find_keyval(type_keyval, Owner::kDatatype, "type_keyval") == nullptr) return MPI_ERR_KEYVAL;
  const Attributes::Value* const value = datatype->attributes.find(type_keyval);
  *flag = value != nullptr;
  if (value != nullptr) *static_cast<void**>(attribute_val) = value->value;
  return MPI_SUCCESS;
}

int type_delete_attr(Datatype* datatype, int type_keyval) {
  if (find_keyval(type_keyval, Owner::kDatatype, "type_keyval") == nullptr) return MPI_ERR_KEYVAL;
  return datatype->attributes.remove(to_handle(datatype), type_keyval);
}

}  // namespace impl
}  // namespace tern::mpi
