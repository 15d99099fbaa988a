// tests/mpi/p2p_sendrecv.cc - the four combined send-receive calls.
//
// Random exchange patterns (every rank sends one message and receives one, a random permutation),
// different sizes in the two directions, MPI_PROC_NULL at either end, large both ways at once, and
// the replace forms, whose single buffer must be sent before it is overwritten.
#include "buffer.h"

namespace {

using check::Buffer;
using check::Random;

enum class Form { kSendrecv, kReplace, kIsendrecv, kIsendrecvReplace };

// MPICH 4.0's nonblocking forms return no status and hang on MPI_PROC_NULL.
int forms() { return MPI_AT_LEAST(4, 0) && !check::library_is("MPICH") ? 4 : 2; }

// One step of a random permutation: whom this rank sends to and receives from, and the sizes.
struct Step {
  int to, from, out_size, in_size;
  std::uint64_t out_key, in_key;

  Step(int round, bool same_size, int large_percent) {
    Random random(1, round);
    std::vector<int> next(check::size);
    for (int i = 0; i < check::size; ++i) next[i] = i;
    random.shuffle(next);
    to = next[check::rank];
    from = static_cast<int>(std::find(next.begin(), next.end(), check::rank) - next.begin());
    auto size_of = [&](int rank) {
      Random sizes(2, round, same_size ? -1 : rank);
      return check::random_size(sizes, large_percent);
    };
    out_size = size_of(check::rank);
    in_size = size_of(from);
    out_key = Random(3, round, check::rank).next();
    in_key = Random(3, round, from).next();
    // An open end here and there: both its neighbours know it from the seed.
    if (Random(4, round, check::rank).chance(15)) to = MPI_PROC_NULL;
    if (Random(4, round, from).chance(15)) from = MPI_PROC_NULL;
  }
};

void expect_status(const MPI_Status& status, const Step& step, int tag) {
  int count = -1;
  MPI_Get_count(&status, MPI_BYTE, &count);
  EXPECT_EQ(status.MPI_SOURCE, step.from);
  EXPECT_EQ(status.MPI_TAG, step.from == MPI_PROC_NULL ? MPI_ANY_TAG : tag);
  EXPECT_EQ(count, step.from == MPI_PROC_NULL ? 0 : step.in_size);
}

void exchange(Form form, int round, int large_percent) {
  bool replace = form == Form::kReplace || form == Form::kIsendrecvReplace;
  Step step(round, replace, large_percent);
  Random random(5, round, check::rank);
  int tag = round % 1000, any = random.chance(50) ? MPI_ANY_TAG : tag;
  Buffer out(step.out_size, random.below(9)), in(step.in_size, random.below(9));
  Buffer& target = replace ? out : in;
  out.fill(step.out_key);
  MPI_Status status;
  MPI_Comm comm = MPI_COMM_WORLD;
  if (form == Form::kSendrecv) {
    EXPECT_OK(MPI_Sendrecv(out.data(), step.out_size, MPI_BYTE, step.to, tag, in.data(),
                           step.in_size, MPI_BYTE, step.from, any, comm, &status));
  } else if (form == Form::kReplace) {
    EXPECT_OK(MPI_Sendrecv_replace(out.data(), step.out_size, MPI_BYTE, step.to, tag, step.from,
                                   any, comm, &status));
#if MPI_AT_LEAST(4, 0)
  } else {
    MPI_Request request;
    if (form == Form::kIsendrecv) {
      EXPECT_OK(MPI_Isendrecv(out.data(), step.out_size, MPI_BYTE, step.to, tag, in.data(),
                              step.in_size, MPI_BYTE, step.from, any, comm, &request));
    } else {
      EXPECT_OK(MPI_Isendrecv_replace(out.data(), step.out_size, MPI_BYTE, step.to, tag, step.from,
                                      any, comm, &request));
    }
    EXPECT_OK(MPI_Wait(&request, &status));
    EXPECT(request == MPI_REQUEST_NULL);
#endif
  }
  expect_status(status, step, tag);
  if (step.from != MPI_PROC_NULL) target.holds(step.in_key, step.in_size, "exchanged message");
  if (!replace) out.holds(step.out_key, step.out_size, "send buffer after the exchange");
}

void random_permutations() {
  for (int round = 0; round < 160; ++round) {
    exchange(static_cast<Form>(Random(6, round).below(forms())), round, 2);
    // MPI_ANY_TAG in one round must not see the next round's message of a rank that ran ahead.
    MPI_Barrier(MPI_COMM_WORLD);
  }
}

// 4 MB both ways between all neighbours at once: no call may wait for the other direction.
void large_both_ways() {
  int to = (check::rank + 1) % check::size, from = (check::rank + check::size - 1) % check::size;
  constexpr int kSize = 4 << 20;
  Buffer out(kSize), in(kSize);
  out.fill(check::rank);
  MPI_Status status;
  EXPECT_OK(MPI_Sendrecv(out.data(), kSize, MPI_BYTE, to, 1, in.data(), kSize, MPI_BYTE, from, 1,
                         MPI_COMM_WORLD, &status));
  in.holds(from, kSize, "large exchange");
  EXPECT_OK(
      MPI_Sendrecv_replace(out.data(), kSize, MPI_BYTE, to, 1, from, 1, MPI_COMM_WORLD, &status));
  out.holds(from, kSize, "large exchange in place");
}

// Different types of the same signature length, and the two sides on different tags.
void types_and_tags_differ_by_side() {
  int to = (check::rank + 1) % check::size, from = (check::rank + check::size - 1) % check::size;
  double out[3] = {check::rank + .25, check::rank + .5, check::rank + .75}, in[5] = {};
  MPI_Status status;
  EXPECT_OK(MPI_Sendrecv(out, 3, MPI_DOUBLE, to, check::rank + 10, in, 5, MPI_DOUBLE, from,
                         from + 10, MPI_COMM_WORLD, &status));
  int count = 0;
  MPI_Get_count(&status, MPI_DOUBLE, &count);
  EXPECT_EQ(count, 3);
  EXPECT_EQ(status.MPI_TAG, from + 10);
  EXPECT_EQ(in[2], from + .75);
  EXPECT_EQ(in[3], 0.0);
}

void truncation_is_reported() {
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  int to = (check::rank + 1) % check::size, from = (check::rank + check::size - 1) % check::size;
  for (int size : {8, 3000, 200000}) {
    Buffer out(size), in(size - 1);
    EXPECT_CLASS(MPI_Sendrecv(out.data(), size, MPI_BYTE, to, 1, in.data(), size - 1, MPI_BYTE,
                              from, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE),
                 MPI_ERR_TRUNCATE);
    in.untouched_outside(size - 1, "truncated exchange");
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
}

#if MPI_AT_LEAST(4, 0)
// Many in flight with every neighbour, completed in random order.
void many_in_flight() {
  constexpr int kCount = 30;
  std::vector<Buffer> out, in;
  std::vector<MPI_Request> requests;
  std::vector<int> order;
  Random random(7, check::rank);
  for (int i = 0; i < kCount * check::size; ++i) {
    int peer = i % check::size;
    Random sent(8, check::rank, peer, i / check::size),
        coming(8, peer, check::rank, i / check::size);
    bool replace = Random(9, i / check::size).chance(50);
    int out_size = check::random_size(sent, 1), in_size = check::random_size(coming, 1);
    if (replace) out_size = in_size = 100 + i / check::size;
    out.emplace_back(out_size);
    in.emplace_back(replace ? 0 : in_size);
    out.back().fill(sent.next());
    order.push_back(i);
  }
  for (int i = 0; i < kCount * check::size; ++i) {
    int peer = i % check::size, tag = i / check::size;
    requests.emplace_back();
    if (Random(9, tag).chance(50)) {
      EXPECT_OK(MPI_Isendrecv_replace(out[i].data(), static_cast<int>(out[i].size()), MPI_BYTE,
                                      peer, tag, peer, tag, MPI_COMM_WORLD, &requests.back()));
    } else {
      EXPECT_OK(MPI_Isendrecv(out[i].data(), static_cast<int>(out[i].size()), MPI_BYTE, peer, tag,
                              in[i].data(), static_cast<int>(in[i].size()), MPI_BYTE, peer, tag,
                              MPI_COMM_WORLD, &requests.back()));
    }
  }
  random.shuffle(order);
  for (int i : order) EXPECT_OK(MPI_Wait(&requests[i], MPI_STATUS_IGNORE));
  for (int i = 0; i < kCount * check::size; ++i) {
    Random coming(8, i % check::size, check::rank, i / check::size);
    check::random_size(coming, 1);
    Buffer& target = Random(9, i / check::size).chance(50) ? out[i] : in[i];
    target.holds(coming.next(), target.size(), "one of many exchanges");
  }
}
#endif

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv, {
    {"random_permutations", random_permutations}, {"large_both_ways", large_both_ways},
        {"types_and_tags_differ_by_side", types_and_tags_differ_by_side},
#if MPI_AT_LEAST(4, 0)
        {"many_in_flight", many_in_flight},
#endif
    {
      "truncation_is_reported", truncation_is_reported
    }
  });
}
