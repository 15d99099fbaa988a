// core/pool.h - recycled objects of one type: no allocation on the message path after warm-up.
// Threading: one thread at a time.
#pragma once
#include <cstddef>
#include <memory>
#include <new>
#include <vector>

namespace tern {

template <class T>
class Pool {
 public:
  // A default-constructed-looking object: the caller resets what it uses. nullptr: no memory.
  T* get() {
    if (free_.empty() && !grow()) return nullptr;
    T* const object = free_.back();
    free_.pop_back();
    return object;
  }
  void put(T* object) { free_.push_back(object); }  // Capacity is reserved by grow().

 private:
  bool grow() {
    auto chunk = std::unique_ptr<T[]>(new (std::nothrow) T[kChunk]);
    if (chunk == nullptr) return false;
    free_.reserve((chunks_.size() + 1) * kChunk);
    for (std::size_t i = kChunk; i-- > 0;) free_.push_back(&chunk[i]);
    chunks_.push_back(std::move(chunk));
    return true;
  }

  static constexpr std::size_t kChunk = 64;
  std::vector<T*> free_;
  std::vector<std::unique_ptr<T[]>> chunks_;
};

}  // namespace tern
