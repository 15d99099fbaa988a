// mpi_api/coll/tree.h - the binomial tree that rooted collectives use.
#pragma once
#include <algorithm>
#include <bit>

namespace tern::mpi::coll {

// A binomial tree over places, which are ranks counted from the root. The subtree of a place is the
// places from it on, so that the blocks of a subtree are neighbours.
class Tree {
 public:
  Tree(int rank, int size, int root)
      : size_(size), root_(root), place_((rank - root + size) % size) {}

  int place() const { return place_; }
  int rank_at(int place) const { return (place + root_) % size_; }
  int parent() const { return place_ - (place_ & -place_); }
  // Members in the subtree of a place, itself included.
  int reach_of(int place) const {
    const int most =
        place == 0 ? static_cast<int>(std::bit_ceil(static_cast<unsigned>(size_))) : place & -place;
    return std::min(most, size_ - place);
  }
  int reach() const { return reach_of(place_); }

  // Calls visit(place) for every child, the one with the largest subtree first.
  template <class Visit>
  void for_each_child(Visit visit) const {
    for (auto half = std::bit_floor(static_cast<unsigned>(reach() - 1)); half > 0; half /= 2) {
      visit(place_ + static_cast<int>(half));
    }
  }

 private:
  int size_;
  int root_;
  int place_;
};

}  // namespace tern::mpi::coll
