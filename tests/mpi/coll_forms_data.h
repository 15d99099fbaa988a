// tests/mpi/coll_forms_data.h - the operations of coll_forms that move data.
#pragma once

#include "coll_forms.h"

namespace forms {
template <bool L>
struct Numbers {
  using Count = std::conditional_t<L, MPI_Count, int>;
  using Displ = std::conditional_t<L, MPI_Aint, int>;
};

// Blocks for or from several members: lengths, and places in shuffled order with gaps.
template <bool L>
struct Blocks {
  std::vector<typename Numbers<L>::Count> counts;
  std::vector<typename Numbers<L>::Displ> places;
  int total = 0;

  void add_all(const std::vector<int>& lengths, Random& random) {
    const int n = static_cast<int>(lengths.size());
    std::vector<int> order(n);
    for (int i = 0; i < n; ++i) order[i] = i;
    random.shuffle(order);
    counts.assign(lengths.begin(), lengths.end());
    places.resize(n);
    for (int i : order) {
      total += random.below(3);
      places[i] = total;
      total += lengths[i];
    }
  }
};

template <bool L>
class Barrier final : public Operation {
 public:
  using Operation::Operation;
  const char* name() const override { return "barrier"; }
  void fill(int) override {}
  int call(Form form, MPI_Request* request) override {
    switch (form) {
      case Form::kBlocking:
        return MPI_Barrier(place_.comm);
      case Form::kNonblocking:
        return MPI_Ibarrier(place_.comm, request);
      default:
        return PERSISTENT(MPI_Barrier_init(place_.comm, MPI_INFO_NULL, request));
    }
  }
  void verify(int) override {}
};

template <bool L>
class Bcast final : public Operation {
 public:
  Bcast(int id, Place& place) : Operation(id, place), shared_(13, id), data_(size() + 1) {}
  const char* name() const override { return "bcast"; }
  void fill(int run) override {
    std::fill(data_.begin(), data_.end(), 0);
    if (at_root()) put(data_, 0, size(), run, me(), 0);
  }
  int call(Form form, MPI_Request* request) override {
    CALL(Bcast, bcast, data_.data(), size(), MPI_UINT64_T, root_argument(), place_.comm)
  }
  void verify(int run) override {
    if (is_member()) expect(data_, 0, size(), run, root_world(), 0);
    EXPECT_EQ(data_.back(), Word{0});
  }

 private:
  int size() const { return length(0, 0); }
  Random shared_;
  Words data_;
};

// Equal blocks to the root (Gather) or from it.
template <bool L, bool kToRoot>
class Rooted final : public Operation {
 public:
  Rooted(int id, Place& place)
      : Operation(id, place), each_(length(0, 0)), one_(each_), all_(each_ * place.others()) {}
  const char* name() const override { return kToRoot ? "gather" : "scatter"; }
  void fill(int run) override {
    std::fill(one_.begin(), one_.end(), 0);
    std::fill(all_.begin(), all_.end(), 0);
    if (kToRoot) {
      if (in_place()) put(all_, each_ * root_, each_, run, me(), 0);
      put(one_, 0, each_, run, me(), 0);
    } else if (at_root()) {
      for (int i = 0; i < place_.others(); ++i) put(all_, each_ * i, each_, run, me(), i);
    }
  }
  int call(Form form, MPI_Request* request) override {
    void* const one = in_place() ? MPI_IN_PLACE : one_.data();
    if constexpr (kToRoot) {
      CALL(Gather, gather, one, each_, MPI_UINT64_T, all_.data(), each_, MPI_UINT64_T,
           root_argument(), place_.comm)
    } else {
      CALL(Scatter, scatter, all_.data(), each_, MPI_UINT64_T, one, each_, MPI_UINT64_T,
           root_argument(), place_.comm)
    }
  }
  void verify(int run) override {
    if (kToRoot && at_root()) {
      for (int i = 0; i < place_.others(); ++i) {
        expect(all_, each_ * i, each_, run, place_.remote[i], 0);
      }
    } else if (!kToRoot && is_member() && !in_place()) {
      expect(one_, 0, each_, run, root_world(), place_.me);
    }
  }

 private:
  bool in_place() const { return in_place_ && at_root(); }
  int each_;
  Words one_, all_;
};

// The same with a length for each member.
template <bool L, bool kToRoot>
class RootedV final : public Operation {
 public:
  RootedV(int id, Place& place) : Operation(id, place), mine_(length(check::rank, 0)), one_(mine_) {
    std::vector<int> lengths;
    for (int member : place.remote) lengths.push_back(length(member, 0));
    blocks_.add_all(lengths, random_);
    all_.resize(blocks_.total);
  }
  const char* name() const override { return kToRoot ? "gatherv" : "scatterv"; }
  void fill(int run) override {
    std::fill(one_.begin(), one_.end(), 0);
    std::fill(all_.begin(), all_.end(), 0);
    if (kToRoot) {
      if (in_place()) put(all_, blocks_.places[root_], mine_, run, me(), 0);
      put(one_, 0, mine_, run, me(), 0);
    } else if (at_root()) {
      for (int i = 0; i < place_.others(); ++i) {
        put(all_, blocks_.places[i], static_cast<int>(blocks_.counts[i]), run, me(), i);
      }
    }
  }
  int call(Form form, MPI_Request* request) override {
    void* const one = in_place() ? MPI_IN_PLACE : one_.data();
    auto* const counts = at_root() ? blocks_.counts.data() : nullptr;
    auto* const places = at_root() ? blocks_.places.data() : nullptr;
    if constexpr (kToRoot) {
      CALL(Gatherv, gatherv, one, mine_, MPI_UINT64_T, all_.data(), counts, places, MPI_UINT64_T,
           root_argument(), place_.comm)
    } else {
      CALL(Scatterv, scatterv, all_.data(), counts, places, MPI_UINT64_T, one, mine_, MPI_UINT64_T,
           root_argument(), place_.comm)
    }
  }
  void verify(int run) override {
    if (kToRoot && at_root()) {
      for (int i = 0; i < place_.others(); ++i) {
        expect(all_, blocks_.places[i], static_cast<int>(blocks_.counts[i]), run, place_.remote[i],
               0);
      }
    } else if (!kToRoot && is_member() && !in_place()) {
      expect(one_, 0, mine_, run, root_world(), place_.me);
    }
  }

 private:
  bool in_place() const { return in_place_ && at_root(); }
  int mine_;
  Blocks<L> blocks_;
  Words one_, all_;
};

// Each group contributes blocks of its own size.
template <bool L>
class Allgather final : public Operation {
 public:
  Allgather(int id, Place& place)
      : Operation(id, place),
        mine_(length(place.side, 0)),
        theirs_(length(place.inter ? 1 - place.side : place.side, 0)),
        in_(mine_),
        out_(theirs_ * place.others()) {}
  const char* name() const override { return "allgather"; }
  void fill(int run) override {
    std::fill(out_.begin(), out_.end(), 0);
    if (in_place_) {
      put(out_, mine_ * place_.me, mine_, run, me(), 0);
    } else {
      put(in_, 0, mine_, run, me(), 0);
    }
  }
  int call(Form form, MPI_Request* request) override {
    const void* const from = in_place_ ? MPI_IN_PLACE : in_.data();
    CALL(Allgather, allgather, from, mine_, MPI_UINT64_T, out_.data(), theirs_, MPI_UINT64_T,
         place_.comm)
  }
  void verify(int run) override {
    for (int i = 0; i < place_.others(); ++i) {
      expect(out_, theirs_ * i, theirs_, run, place_.remote[i], 0);
    }
  }

 private:
  int mine_, theirs_;
  Words in_, out_;
};

template <bool L>
class Allgatherv final : public Operation {
 public:
  Allgatherv(int id, Place& place)
      : Operation(id, place), mine_(length(check::rank, 0)), in_(mine_) {
    std::vector<int> lengths;
    for (int member : place.remote) lengths.push_back(length(member, 0));
    Random own(14, id, check::rank);
    blocks_.add_all(lengths, own);
    out_.resize(blocks_.total);
  }
  const char* name() const override { return "allgatherv"; }
  void fill(int run) override {
    std::fill(out_.begin(), out_.end(), 0);
    if (in_place_) {
      put(out_, blocks_.places[place_.me], mine_, run, me(), 0);
    } else {
      put(in_, 0, mine_, run, me(), 0);
    }
  }
  int call(Form form, MPI_Request* request) override {
    const void* const from = in_place_ ? MPI_IN_PLACE : in_.data();
    CALL(Allgatherv, allgatherv, from, mine_, MPI_UINT64_T, out_.data(), blocks_.counts.data(),
         blocks_.places.data(), MPI_UINT64_T, place_.comm)
  }
  void verify(int run) override {
    if (place_.size() == 1 && check::library_is("MPICH")) return;  // 4.0 ignores the displacement.
    for (int i = 0; i < place_.others(); ++i) {
      expect(out_, blocks_.places[i], static_cast<int>(blocks_.counts[i]), run, place_.remote[i],
             0);
    }
  }

 private:
  int mine_;
  Blocks<L> blocks_;
  Words in_, out_;
};

template <bool L>
class Alltoall final : public Operation {
 public:
  Alltoall(int id, Place& place)
      : Operation(id, place), each_(length(0, 0)), in_(each_ * place.others()), out_(in_.size()) {}
  const char* name() const override { return "alltoall"; }
  void fill(int run) override {
    std::fill(out_.begin(), out_.end(), 0);
    Words& from = in_place_ ? out_ : in_;
    for (int i = 0; i < place_.others(); ++i) {
      put(from, each_ * i, each_, run, me(), place_.remote[i]);
    }
  }
  int call(Form form, MPI_Request* request) override {
    const void* const from = in_place_ ? MPI_IN_PLACE : in_.data();
    CALL(Alltoall, alltoall, from, each_, MPI_UINT64_T, out_.data(), each_, MPI_UINT64_T,
         place_.comm)
  }
  void verify(int run) override {
    for (int i = 0; i < place_.others(); ++i) {
      expect(out_, each_ * i, each_, run, place_.remote[i], me());
    }
  }

 private:
  int each_;
  Words in_, out_;
};

// kTyped: the w form, with places in bytes and a datatype for each member.
template <bool L, bool kTyped>
class AlltoallV final : public Operation {
 public:
  AlltoallV(int id, Place& place) : Operation(id, place) {
    std::vector<int> sent, received;
    for (int other : place.remote) {
      // In place both directions of a pair have one length.
      const int mine = check::rank;
      sent.push_back(in_place_ ? length(std::min(mine, other), std::max(mine, other))
                               : length(mine, other));
      received.push_back(in_place_ ? sent.back() : length(other, mine));
    }
    Random own(15, id, check::rank);
    give_.add_all(sent, own);
    get_.add_all(received, own);
    in_.resize(give_.total);
    out_.resize(get_.total);
    describe(give_, wide_give_);
    describe(get_, wide_get_);
  }
  const char* name() const override { return kTyped ? "alltoallw" : "alltoallv"; }
  void fill(int run) override {
    std::fill(out_.begin(), out_.end(), 0);
    for (int i = 0; i < place_.others(); ++i) {
      const Blocks<L>& blocks = in_place_ ? get_ : give_;
      put(in_place_ ? out_ : in_, blocks.places[i], static_cast<int>(blocks.counts[i]), run, me(),
          place_.remote[i]);
    }
  }
  int call(Form form, MPI_Request* request) override {
    const void* const from = in_place_ ? MPI_IN_PLACE : in_.data();
    if constexpr (kTyped) {
      CALL(Alltoallw, alltoallw, from, wide_give_.counts.data(), wide_give_.places.data(),
           wide_give_.types.data(), out_.data(), wide_get_.counts.data(), wide_get_.places.data(),
           wide_get_.types.data(), place_.comm)
    } else {
      CALL(Alltoallv, alltoallv, from, give_.counts.data(), give_.places.data(), MPI_UINT64_T,
           out_.data(), get_.counts.data(), get_.places.data(), MPI_UINT64_T, place_.comm)
    }
  }
  void verify(int run) override {
    if (kTyped && in_place_ && check::library_is("Open MPI")) return;  // 4.1 gets it wrong.
    for (int i = 0; i < place_.others(); ++i) {
      expect(out_, get_.places[i], static_cast<int>(get_.counts[i]), run, place_.remote[i], me());
    }
  }

 private:
  struct Typed : Blocks<L> {
    std::vector<MPI_Datatype> types;
  };
  // Some blocks are described as bytes.
  void describe(const Blocks<L>& words, Typed& typed) {
    typed.counts = words.counts;
    typed.places = words.places;
    for (std::size_t i = 0; i < words.counts.size(); ++i) {
      typed.places[i] *= static_cast<int>(sizeof(Word));
      const bool as_bytes = !place_.inter && i % 2 == 1 && place_.size() > 8;
      typed.types.push_back(as_bytes ? MPI_BYTE : MPI_UINT64_T);
      if (as_bytes) typed.counts[i] *= static_cast<int>(sizeof(Word));
    }
  }
  Blocks<L> give_, get_;
  Typed wide_give_, wide_get_;
  Words in_, out_;
};

}  // namespace forms
