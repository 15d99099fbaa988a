// tests/mpi/coll_forms.cc - every collective in every form: blocking, nonblocking, persistent; with
// int and with large counts; inside a communicator and between two groups.
//
// Operations are objects that fill their input, start, and check their output, so that any number
// of them can be in flight at once. What member a gives to member b in run `run` of operation `id`
// is a pure function of all four. The forms with sizes, types and operations in depth: coll_data,
// coll_reduce, coll_userop.
#include <memory>

#include "coll_forms_data.h"

namespace {

using namespace forms;

enum class Reduction { kReduce, kAllreduce, kBlock, kScatter, kScan, kExscan };
constexpr const char* kReductionNames[] = {"reduce",         "allreduce", "reduce_scatter_block",
                                           "reduce_scatter", "scan",      "exscan"};

template <bool L, Reduction kWhich>
class Reduce final : public Operation {
 public:
  Reduce(int id, Place& place) : Operation(id, place) {
    total_ = 2 * length(0, 0);
    if (kWhich == Reduction::kBlock) {
      // Both groups divide the same number of elements into equal blocks.
      total_ = 2 * length(0, 0) * place.size() * (place.inter ? place.others() : 1);
      mine_ = total_ / place.size();
      begin_ = mine_ * place.me;
    } else if (kWhich == Reduction::kScatter) {
      divide();
    } else {
      mine_ = total_;
    }
    in_.resize(total_);
    out_.resize(in_place_ ? total_ : mine_);
  }
  const char* name() const override { return kReductionNames[static_cast<int>(kWhich)]; }
  void fill(int run) override {
    std::fill(out_.begin(), out_.end(), 0);
    put(in_place() ? out_ : in_, 0, total_, run, me(), -1);
  }
  int call(Form form, MPI_Request* request) override {
    const MPI_Op op = this->op();
    const MPI_Datatype type = this->type();
    [[maybe_unused]] const int total = elements(total_), mine = elements(mine_);
    const void* const from = in_place() ? MPI_IN_PLACE : in_.data();
    if constexpr (kWhich == Reduction::kReduce) {
      CALL(Reduce, reduce, from, at_root() ? out_.data() : nullptr, total, type, op,
           root_argument(), place_.comm)
    } else if constexpr (kWhich == Reduction::kAllreduce) {
      CALL(Allreduce, allreduce, from, out_.data(), total, type, op, place_.comm)
    } else if constexpr (kWhich == Reduction::kBlock) {
      CALL(Reduce_scatter_block, reduce_scatter_block, from, out_.data(), mine, type, op,
           place_.comm)
    } else if constexpr (kWhich == Reduction::kScatter) {
      CALL(Reduce_scatter, reduce_scatter, from, out_.data(), counts_.data(), type, op, place_.comm)
    } else if constexpr (kWhich == Reduction::kScan) {
      CALL(Scan, scan, from, out_.data(), total, type, op, place_.comm)
    } else {
      CALL(Exscan, exscan, from, out_.data(), total, type, op, place_.comm)
    }
  }
  void verify(int run) override {
    int last = place_.others();
    if (kWhich == Reduction::kReduce && !at_root()) return;
    if (kWhich == Reduction::kScan) last = place_.me + 1;
    if (kWhich == Reduction::kExscan) last = place_.me;
    if (last == 0) return;  // Exscan at the first member: nothing is said of the result.
    expect_reduced(out_, reduced(place_.remote, 0, last, begin_, mine_, run), run);
  }

 private:
  bool in_place() const { return in_place_ && (kWhich != Reduction::kReduce || at_root()); }
  void divide() {
    // Even lengths, so that no pair of a composition is divided.
    int rest = total_;
    for (int i = 0; i < place_.size(); ++i) {
      const bool last = i == place_.size() - 1;
      const int part = last ? rest : 2 * (Random(16, id_, place_.side, i).below(rest / 2 + 1));
      if (i == place_.me) {
        begin_ = total_ - rest;
        mine_ = part;
      }
      counts_.push_back(elements(part));
      rest -= part;
    }
  }
  int total_ = 0, mine_ = 0, begin_ = 0;
  std::vector<typename Numbers<L>::Count> counts_;
  Words in_, out_;
};

constexpr int kKinds = 16;

template <bool L>
std::unique_ptr<Operation> make_as(int kind, int id, Place& place) {
  switch (kind) {
    case 0:
      return std::make_unique<Barrier<L>>(id, place);
    case 1:
      return std::make_unique<Bcast<L>>(id, place);
    case 2:
      return std::make_unique<Rooted<L, true>>(id, place);
    case 3:
      return std::make_unique<Rooted<L, false>>(id, place);
    case 4:
      return std::make_unique<RootedV<L, true>>(id, place);
    case 5:
      return std::make_unique<RootedV<L, false>>(id, place);
    case 6:
      return std::make_unique<Allgather<L>>(id, place);
    case 7:
      return std::make_unique<Allgatherv<L>>(id, place);
    case 8:
      return std::make_unique<Alltoall<L>>(id, place);
    case 9:
      return std::make_unique<AlltoallV<L, false>>(id, place);
    case 10:
      return std::make_unique<AlltoallV<L, true>>(id, place);
    case 11:
      return std::make_unique<Reduce<L, Reduction::kReduce>>(id, place);
    case 12:
      return std::make_unique<Reduce<L, Reduction::kAllreduce>>(id, place);
    case 13:
      return std::make_unique<Reduce<L, Reduction::kBlock>>(id, place);
    case 14:
      return std::make_unique<Reduce<L, Reduction::kScatter>>(id, place);
    default:
      // Scans are defined inside a group only.
      if (place.inter) return std::make_unique<Barrier<L>>(id, place);
      if (id % 2 == 0) return std::make_unique<Reduce<L, Reduction::kScan>>(id, place);
      return std::make_unique<Reduce<L, Reduction::kExscan>>(id, place);
  }
}

std::unique_ptr<Operation> make(bool large, int kind, int id, Place& place) {
#if MPI_AT_LEAST(4, 0)
  if (large) return make_as<true>(kind, id, place);
#endif
  (void)large;
  return make_as<false>(kind, id, place);
}

void every_form_of_every_collective() {
  const ReductionObjects objects;
  Places places;
  int id = 0;
  for (int kind = 0; kind < kKinds; ++kind) {
    for (int form = 0; form < form_count(); ++form) {
      for (int p = 0; p < places.count(); ++p) {
        for (bool large : {false, true}) {
          auto operation = make(large, kind, ++id, places[p]);
          MPI_Request request = MPI_REQUEST_NULL;
          operation->fill(0);
          EXPECT_OK(operation->call(static_cast<Form>(form), &request));
          const bool persistent = static_cast<Form>(form) == Form::kPersistent;
          for (int run = 0; run < (persistent ? 3 : 1); ++run) {
            if (run > 0) operation->fill(run);
            if (persistent) EXPECT_OK(MPI_Start(&request));
            EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
            operation->verify(run);
          }
          if (persistent) EXPECT_OK(MPI_Request_free(&request));
          EXPECT(request == MPI_REQUEST_NULL);
        }
      }
    }
  }
}

// A batch in flight on several communicators, completed in an order of each rank's own.
void many_at_once() {
  const ReductionObjects objects;
  Places places;
  for (int round = 0; round < 6; ++round) {
    Random random(20, round);
    const Form form = static_cast<Form>(1 + round % (form_count() - 1));
    std::vector<std::unique_ptr<Operation>> operations;
    std::vector<MPI_Request> requests;
    for (int i = 0; i < 24; ++i) {
      const int kind = random.below(kKinds), place = random.below(places.count());
      operations.push_back(make(random.chance(50), kind, 10000 + 100 * round + i, places[place]));
      operations.back()->fill(0);
      requests.push_back(MPI_REQUEST_NULL);
      EXPECT_OK(operations.back()->call(form, &requests.back()));
    }
    const int n = static_cast<int>(requests.size());
    for (int run = 0; run < (form == Form::kPersistent ? 3 : 1); ++run) {
      if (run > 0) {
        for (auto& operation : operations) operation->fill(run);
      }
      if (form == Form::kPersistent) EXPECT_OK(MPI_Startall(n, requests.data()));
      Random own(21, round, run, check::rank);
      for (int left = n; left > 0;) {
        int index = MPI_UNDEFINED, done = 1;
        switch (own.below(3)) {
          case 0:
            EXPECT_OK(MPI_Waitany(n, requests.data(), &index, MPI_STATUS_IGNORE));
            break;
          case 1:
            EXPECT_OK(MPI_Testany(n, requests.data(), &index, &done, MPI_STATUS_IGNORE));
            break;
          default: {
            const int first = own.below(n);
            EXPECT_OK(MPI_Test(&requests[first], &done, MPI_STATUS_IGNORE));
            continue;  // Perhaps one that is complete or inactive; the others count it.
          }
        }
        if (done && index == MPI_UNDEFINED) break;
      }
      EXPECT_OK(MPI_Waitall(n, requests.data(), MPI_STATUSES_IGNORE));
      for (auto& operation : operations) operation->verify(run);
    }
    for (MPI_Request& request : requests) {
      if (request != MPI_REQUEST_NULL) EXPECT_OK(MPI_Request_free(&request));
    }
  }
}

// Objects may be freed while an operation uses them.
void objects_outlive_their_handles() {
  const ReductionObjects objects;
  MPI_Comm comm;
  EXPECT_OK(MPI_Comm_dup(MPI_COMM_WORLD, &comm));
  MPI_Op op;
  EXPECT_OK(MPI_Op_create(compose, 0, &op));
  MPI_Datatype type;
  EXPECT_OK(MPI_Type_dup(pair_type, &type));
  std::vector<Word> in = {2, Word(check::rank)}, out(2), expected = {1, 0};
  for (int r = check::size - 1; r >= 0; --r) {
    expected[1] = 2 * expected[1] + Word(r);
    expected[0] *= 2;
  }
  MPI_Request request;
  EXPECT_OK(MPI_Iallreduce(in.data(), out.data(), 1, type, op, comm, &request));
  EXPECT_OK(MPI_Op_free(&op));
  EXPECT_OK(MPI_Type_free(&type));
  EXPECT_OK(MPI_Comm_free(&comm));
  EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
  EXPECT(out == expected);
}

// What a program may not do with the request of a collective; afterwards all is as before.
void requests_are_guarded() {
  if (!check::library_is_tern()) return;  // The standard leaves open what happens.
  MPI_Comm comm;
  EXPECT_OK(MPI_Comm_dup(MPI_COMM_WORLD, &comm));
  EXPECT_OK(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN));
  MPI_Request request;
  EXPECT_OK(MPI_Ibarrier(comm, &request));
  EXPECT_CLASS(MPI_Request_free(&request), MPI_ERR_REQUEST);
  EXPECT_CLASS(MPI_Cancel(&request), MPI_ERR_REQUEST);
  EXPECT_CLASS(MPI_Start(&request), MPI_ERR_REQUEST);
  EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
#if MPI_AT_LEAST(4, 0)
  EXPECT_OK(MPI_Barrier_init(comm, MPI_INFO_NULL, &request));
  EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));  // Inactive: complete.
  EXPECT_OK(MPI_Start(&request));
  EXPECT_CLASS(MPI_Start(&request), MPI_ERR_REQUEST);
  EXPECT_CLASS(MPI_Request_free(&request), MPI_ERR_REQUEST);
  EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
  EXPECT_OK(MPI_Request_free(&request));
#endif
  EXPECT_OK(MPI_Comm_free(&comm));
}

// Rank 0 sends more than the others expect: who hears it from rank 0 says so where it completes the
// request, on the error handler of the communicator. Rank 1 does in every algorithm; others may get
// from somebody else what that one expected.
void truncation_is_reported() {
  if (check::size < 2 || !check::library_is_tern()) return;
  MPI_Comm comm;
  EXPECT_OK(MPI_Comm_dup(MPI_COMM_WORLD, &comm));
  EXPECT_OK(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN));
  int data[8] = {}, after = check::rank == 0 ? 5 : 0;
  const int count = check::rank == 0 ? 8 : 4;
  MPI_Request requests[2];
  MPI_Status statuses[2];
  EXPECT_OK(MPI_Ibcast(data, count, MPI_INT, 0, comm, &requests[0]));
  EXPECT_OK(MPI_Ibcast(&after, 1, MPI_INT, 0, comm, &requests[1]));
  const int error = MPI_Waitall(2, requests, statuses);
  EXPECT_EQ(after, 5);
  if (check::rank == 0) {
    EXPECT_OK(error);
  } else if (check::rank == 1 || error != MPI_SUCCESS) {
    EXPECT_CLASS(error, MPI_ERR_IN_STATUS);
    EXPECT_CLASS(statuses[0].MPI_ERROR, MPI_ERR_TRUNCATE);
    EXPECT_OK(statuses[1].MPI_ERROR);
  }
  EXPECT_OK(MPI_Comm_free(&comm));
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv,
                     {{"every_form_of_every_collective", every_form_of_every_collective},
                      {"many_at_once", many_at_once},
                      {"objects_outlive_their_handles", objects_outlive_their_handles},
                      {"requests_are_guarded", requests_are_guarded},
                      {"truncation_is_reported", truncation_is_reported}});
}
