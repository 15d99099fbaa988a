// mpi_api/coll/blocks.h - a buffer that holds one block of elements for each member.
//
// One view for the plain, the v and the w forms of a collective, so that they share algorithms.
// Borrows everything it is made of. Threading: immutable.
#pragma once
#include <cstddef>

#include "mpi_api/datatype.h"
#include "mpi_api/entry.h"

namespace tern::mpi::coll {

class Blocks {
 public:
  Blocks() = default;
  // Equal blocks, one after another.
  Blocks(const void* base, MPI_Count count, const Datatype& type)
      : base_(bytes(base)), count_(count), type_(&type) {}
  // counts[i] elements, displs[i] elements from the base.
  Blocks(const void* base, IntArray counts, IntArray displs, const Datatype& type)
      : base_(bytes(base)), counts_(counts), displs_(displs), type_(&type) {}
  // counts[i] elements of types[i], displs[i] bytes from the base.
  Blocks(const void* base, IntArray counts, IntArray displs, const MPI_Datatype* types)
      : base_(bytes(base)), counts_(counts), displs_(displs), types_(types) {}

  DataView operator[](int i) const {
    if (counts_.is_null()) return view(base_ + count_ * type_->extent() * i, count_, *type_);
    if (types_ == nullptr) return view(base_ + displs_[i] * type_->extent(), counts_[i], *type_);
    if (counts_[i] == 0) return {};  // Its datatype means nothing.
    return view(base_ + displs_[i], counts_[i], *to_datatype(types_[i]));
  }
  std::size_t bytes(int i) const { return (*this)[i].bytes(); }

  // Where the blocks begin when all together are one run of bytes, in order; else nullptr.
  std::byte* run() const {
    return counts_.is_null() && type_ != nullptr && type_->layout().is_dense() ? base_ : nullptr;
  }

 private:
  static std::byte* bytes(const void* base) {
    return static_cast<std::byte*>(const_cast<void*>(base));
  }

  std::byte* base_ = nullptr;
  MPI_Count count_ = 0;
  IntArray counts_;
  IntArray displs_;
  const Datatype* type_ = nullptr;
  const MPI_Datatype* types_ = nullptr;
};

}  // namespace tern::mpi::coll
