// mpi_api/object.h - what all MPI objects have in common, and how handles lead to them.
//
// A handle of the standard ABI is as wide as a pointer. Values 1..4095 are the predefined handles;
// they index a table. Every other valid handle is the address of an Object inside one reserved
// range of address space (the arena), so that a wrong handle (freed, of another kind, or garbage)
// is recognised without touching memory that may not be there.
// Threading: creation and destruction under the entry lock; objects of functions that may be called
// at any time from any thread (MPI_Info_create) derive from SharedObject and need no lock for it.
// Failure: make() gives nullptr when memory is exhausted.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

#include "mpi.h"

namespace tern::mpi {

// Random-looking, so that stale or foreign memory does not pass for an object.
enum class Kind : std::uint32_t {
  kFreed = 0,
  kComm = 0x7e4a0001,
  kGroup = 0x7e4a0002,
  kDatatype = 0x7e4a0003,
  kOp = 0x7e4a0004,
  kInfo = 0x7e4a0005,
  kErrhandler = 0x7e4a0006,
  kRequest = 0x7e4a0007,
  kMessage = 0x7e4a0008,
  kSession = 0x7e4a0009,
};

namespace arena {
// Memory for an object of up to kMaxObjectBytes, 64-byte aligned; nullptr when none is left. Freed
// memory stays readable, and is given to objects of the same size only: a stale handle leads to a
// freed object or to another one, never to foreign memory.
inline constexpr std::size_t kMaxObjectBytes = 2048;
void* allocate(std::size_t size);
void deallocate(void* object, std::size_t size) noexcept;
// The same from a second set of free lists, for any thread at any time.
void* allocate_shared(std::size_t size);
void deallocate_shared(void* object, std::size_t size) noexcept;
// True when handle is the address of a slot that has been handed out at least once.
bool contains(std::uintptr_t handle);
// A positive int that names this object for as long as it lives (MPI_*_toint), and back (0 if
// none).
int to_int(const void* object);
std::uintptr_t from_int(int value);
}  // namespace arena

// Reference counted: the user's handle holds one reference, every operation in flight another.
class Object {
 public:
  explicit Object(Kind kind) : kind_(kind) {}
  virtual ~Object() {
    // volatile: the compiler may not drop this store as dead. Stale handles are recognised by it.
    *static_cast<volatile Kind*>(&kind_) = Kind::kFreed;
  }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  // May be asked of a freed object, whose virtual table is gone: no sanitizer shall look at it.
  __attribute__((no_sanitize("vptr"))) Kind kind() const { return kind_; }
  void retain() { ++references_; }
  // Destroys the object with the last reference. Predefined objects are never destroyed by this.
  void release() {
    if (drop_reference()) delete this;
  }
  bool predefined() const { return handle_ != 0; }
  // The ABI value of a predefined object's handle; 0 for user objects.
  std::uintptr_t predefined_handle() const { return handle_; }
  // Makes this the object behind a predefined handle value (1..4095).
  void make_predefined(std::uintptr_t handle);
  // Takes it back (MPI_Finalize): from now on the last release() destroys the object.
  void retire_predefined();

  // `delete object` gives the slot back to the arena, where make() got it.
  static void operator delete(void* object, std::size_t size) { arena::deallocate(object, size); }

 protected:
  // True when that was the last one of an object that can be destroyed.
  bool drop_reference() { return --references_ == 0 && !predefined(); }
  bool has_references() const { return references_ != 0; }

  // Where an object is used again instead of being destroyed and made anew: to handles it is a
  // freed one in between.
  void set_aside() { kind_ = Kind::kFreed; }
  void take_up(Kind kind) { kind_ = kind; }

 private:
  friend class SharedObject;
  Kind kind_;  // Near the front: the arena overwrites the first word of freed objects only.
  std::uint32_t references_ = 1;
  std::uintptr_t handle_ = 0;
};

// An object that is created, retained and released by any thread at any time, without a lock.
class SharedObject : public Object {
 public:
  explicit SharedObject(Kind kind) : Object(kind) {}

  void retain() { counter().fetch_add(1, std::memory_order_relaxed); }
  void release() {
    if (counter().fetch_sub(1, std::memory_order_acq_rel) == 1 && !predefined()) delete this;
  }
  static void operator delete(void* object, std::size_t size) {
    arena::deallocate_shared(object, size);
  }

 private:
  std::atomic_ref<std::uint32_t> counter() { return std::atomic_ref<std::uint32_t>(references_); }
};

// The object behind a predefined handle value, nullptr when there is none.
extern Object* predefined_objects[4096];

// Creates an object in the arena; nullptr when memory is exhausted.
template <class T, class... Args>
T* make(Args&&... args) {
  static_assert(sizeof(T) <= arena::kMaxObjectBytes);
  void* const place = std::is_base_of_v<SharedObject, T> ? arena::allocate_shared(sizeof(T))
                                                         : arena::allocate(sizeof(T));
  return place == nullptr ? nullptr : ::new (place) T(std::forward<Args>(args)...);
}

class Comm;
class Group;
class Datatype;
class Op;
class Info;
class Errhandler;
class Request;
class Message;
class Session;
class Lane;  // No object: lanes.h.

// Unchecked: the caller knows that the handle is valid (generated code after its checks, or with
// TERN_CHECKS=0). The NULL handles give nullptr.
inline Object* to_object(std::uintptr_t handle) {
  return handle < 4096 ? predefined_objects[handle] : reinterpret_cast<Object*>(handle);
}
// Checked: nullptr unless handle names a living object of that kind.
Object* find_object(std::uintptr_t handle, Kind kind);
// The index of the first of `count` handles that is neither MPI_REQUEST_NULL nor of a living
// request; count when there is none.
int find_wrong_request(const MPI_Request handles[], int count);

// NOLINTBEGIN(bugprone-macro-parentheses): the parameters are types, which take no parentheses.
#define TERN_HANDLE(Type, Handle, lower, kind_value, null_handle)                        \
  inline Type* to_##lower(Handle handle) {                                               \
    return reinterpret_cast<Type*>(to_object(reinterpret_cast<std::uintptr_t>(handle))); \
  }                                                                                      \
  inline Type* find_##lower(Handle handle) {                                             \
    return reinterpret_cast<Type*>(                                                      \
        find_object(reinterpret_cast<std::uintptr_t>(handle), kind_value));              \
  }                                                                                      \
  inline Handle to_handle(const Type* object) {                                          \
    if (object == nullptr) return null_handle;                                           \
    const auto* base = reinterpret_cast<const Object*>(object);                          \
    return base->predefined() ? reinterpret_cast<Handle>(base->predefined_handle())      \
                              : reinterpret_cast<Handle>(const_cast<Type*>(object));     \
  }
// NOLINTEND(bugprone-macro-parentheses)

// One line per handle type; the classes derive from Object first and only, so that the
// reinterpret_casts above (the classes are incomplete here) are exact.
TERN_HANDLE(Comm, MPI_Comm, comm, Kind::kComm, MPI_COMM_NULL)
TERN_HANDLE(Group, MPI_Group, group, Kind::kGroup, MPI_GROUP_NULL)
TERN_HANDLE(Datatype, MPI_Datatype, datatype, Kind::kDatatype, MPI_DATATYPE_NULL)
TERN_HANDLE(Op, MPI_Op, op, Kind::kOp, MPI_OP_NULL)
TERN_HANDLE(Info, MPI_Info, info, Kind::kInfo, MPI_INFO_NULL)
TERN_HANDLE(Errhandler, MPI_Errhandler, errhandler, Kind::kErrhandler, MPI_ERRHANDLER_NULL)
TERN_HANDLE(Request, MPI_Request, request, Kind::kRequest, MPI_REQUEST_NULL)
TERN_HANDLE(Message, MPI_Message, message, Kind::kMessage, MPI_MESSAGE_NULL)
TERN_HANDLE(Session, MPI_Session, session, Kind::kSession, MPI_SESSION_NULL)
#undef TERN_HANDLE

}  // namespace tern::mpi
