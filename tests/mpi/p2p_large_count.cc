// tests/mpi/p2p_large_count.cc - the _c variants: the same calls with MPI_Count.
//
// Small counts through every _c function of point-to-point and collectives (they must do what the
// int forms do, also mixed with them); real counts beyond an int are in p2p_huge. MPI 4.0 and
// newer.
#include "buffer.h"

#if MPI_AT_LEAST(4, 0)
namespace {

int to() { return (check::rank + 1) % check::size; }
int from() { return (check::rank + check::size - 1) % check::size; }
MPI_Comm world() { return MPI_COMM_WORLD; }

constexpr MPI_Count kCount = 1000;

struct Data {
  std::vector<int> out, in;
  Data() : out(kCount), in(kCount + 1, -1) {
    for (int i = 0; i < kCount; ++i) out[i] = check::rank * 10000 + i;
  }
  void expect_from(int source, const char* what) {
    for (int i = 0; i < kCount; ++i) {
      if (!EXPECT_MSG(in[i] == source * 10000 + i, "%s: element %d is %d", what, i, in[i])) return;
    }
    EXPECT_EQ(in[kCount], -1);
  }
};

void expect_count(const MPI_Status& status) {
  MPI_Count wide = -1;
  int narrow = -1;
  EXPECT_OK(MPI_Get_count_c(&status, MPI_INT, &wide));
  EXPECT_EQ(wide, kCount);
  EXPECT_OK(MPI_Get_count(&status, MPI_INT, &narrow));
  EXPECT_EQ(narrow, static_cast<int>(kCount));
}

void sends_and_receives() {
  std::vector<char> memory(40 * kCount);
  EXPECT_OK(MPI_Buffer_attach_c(memory.data(), static_cast<MPI_Count>(memory.size())));
  for (auto send : {MPI_Isend_c, MPI_Ibsend_c, MPI_Issend_c, MPI_Irsend_c}) {
    Data data;
    MPI_Request requests[2];
    MPI_Status statuses[2];
    EXPECT_OK(MPI_Irecv_c(data.in.data(), kCount + 1, MPI_INT, from(), 1, world(), &requests[0]));
    MPI_Barrier(world());  // Ready sends need it.
    EXPECT_OK(send(data.out.data(), kCount, MPI_INT, to(), 1, world(), &requests[1]));
    EXPECT_OK(MPI_Waitall(2, requests, statuses));
    expect_count(statuses[0]);
    data.expect_from(from(), "nonblocking _c");
  }
  for (auto send : {MPI_Send_c, MPI_Bsend_c, MPI_Ssend_c, MPI_Rsend_c}) {
    Data data;
    MPI_Request request;
    MPI_Status status;
    EXPECT_OK(MPI_Irecv(data.in.data(), kCount, MPI_INT, from(), 1, world(), &request));
    MPI_Barrier(world());
    EXPECT_OK(send(data.out.data(), kCount, MPI_INT, to(), 1, world()));
    EXPECT_OK(MPI_Wait(&request, &status));
    expect_count(status);
    data.expect_from(from(), "blocking _c");
  }
  for (auto init : {MPI_Send_init_c, MPI_Bsend_init_c, MPI_Ssend_init_c, MPI_Rsend_init_c}) {
    Data data;
    MPI_Request requests[2];
    EXPECT_OK(MPI_Recv_init_c(data.in.data(), kCount, MPI_INT, from(), 1, world(), &requests[0]));
    EXPECT_OK(init(data.out.data(), kCount, MPI_INT, to(), 1, world(), &requests[1]));
    for (int round = 0; round < 2; ++round) {
      EXPECT_OK(MPI_Start(&requests[0]));
      MPI_Barrier(world());
      EXPECT_OK(MPI_Start(&requests[1]));
      EXPECT_OK(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE));
      data.expect_from(from(), "persistent _c");
    }
    MPI_Request_free(&requests[0]);
    MPI_Request_free(&requests[1]);
  }
  void* address = nullptr;
  MPI_Count size = 0;
  EXPECT_OK(MPI_Buffer_detach_c(&address, &size));
  EXPECT(address == memory.data());
  EXPECT_EQ(size, static_cast<MPI_Count>(memory.size()));
}

void combined_and_matched() {
  MPI_Status status;
  MPI_Message message;
  MPI_Request request;
  {
    Data data;
    EXPECT_OK(MPI_Sendrecv_c(data.out.data(), kCount, MPI_INT, to(), 1, data.in.data(), kCount,
                             MPI_INT, from(), 1, world(), &status));
    expect_count(status);
    data.expect_from(from(), "sendrecv_c");
  }
  {
    Data data;
    std::copy(data.out.begin(), data.out.end(), data.in.begin());
    EXPECT_OK(MPI_Sendrecv_replace_c(data.in.data(), kCount, MPI_INT, to(), 1, from(), 1, world(),
                                     &status));
    data.expect_from(from(), "sendrecv_replace_c");
  }
  for (bool nonblocking : {false, true}) {
    Data data;
    MPI_Request send;
    MPI_Isend(data.out.data(), kCount, MPI_INT, to(), 1, world(), &send);
    EXPECT_OK(MPI_Mprobe(from(), 1, world(), &message, &status));
    expect_count(status);
    if (nonblocking) {
      EXPECT_OK(MPI_Imrecv_c(data.in.data(), kCount, MPI_INT, &message, &request));
      EXPECT_OK(MPI_Wait(&request, &status));
    } else {
      EXPECT_OK(MPI_Mrecv_c(data.in.data(), kCount, MPI_INT, &message, &status));
    }
    data.expect_from(from(), "matched receive _c");
    MPI_Wait(&send, MPI_STATUS_IGNORE);
  }
  if (check::library_is("MPICH")) return;  // Its isendrecv returns no status.
  Data data;
  EXPECT_OK(MPI_Isendrecv_c(data.out.data(), kCount, MPI_INT, to(), 1, data.in.data(), kCount,
                            MPI_INT, from(), 1, world(), &request));
  EXPECT_OK(MPI_Wait(&request, &status));
  expect_count(status);
  data.expect_from(from(), "isendrecv_c");
  std::copy(data.out.begin(), data.out.end(), data.in.begin());
  EXPECT_OK(MPI_Isendrecv_replace_c(data.in.data(), kCount, MPI_INT, to(), 1, from(), 1, world(),
                                    &request));
  EXPECT_OK(MPI_Wait(&request, &status));
  data.expect_from(from(), "isendrecv_replace_c");
}

// Equal blocks of three elements per rank; contents (rank, element).
void collectives() {
  constexpr MPI_Count kEach = 3;
  std::size_t n = check::size;
  std::vector<int> in(kEach * n), out(kEach * n, -1), sum(kEach * n);
  for (std::size_t i = 0; i < in.size(); ++i) {
    in[i] = check::rank * 1000 + static_cast<int>(i);
    sum[i] = check::size * (check::size - 1) / 2 * 1000 + check::size * static_cast<int>(i);
  }
  std::vector<MPI_Count> counts(n, kEach);
  std::vector<MPI_Aint> places(n);
  for (std::size_t i = 0; i < n; ++i) places[i] = static_cast<MPI_Aint>(kEach * i);
  MPI_Count all = static_cast<MPI_Count>(in.size());
  auto gathered = [&](const char* what) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      int expected = static_cast<int>(i / kEach) * 1000 + static_cast<int>(i % kEach);
      if (!EXPECT_MSG(out[i] == expected, "%s: element %zu is %d", what, i, out[i])) break;
    }
    std::fill(out.begin(), out.end(), -1);
  };
  auto transposed = [&](const char* what) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      int expected = static_cast<int>(i / kEach) * 1000 + check::rank * int{kEach} +
                     static_cast<int>(i % kEach);
      if (!EXPECT_MSG(out[i] == expected, "%s: element %zu is %d", what, i, out[i])) break;
    }
    std::fill(out.begin(), out.end(), -1);
  };
  auto root_gets = [&](const char* what) {
    if (check::rank == 0) gathered(what);
  };
  EXPECT_OK(MPI_Gather_c(in.data(), kEach, MPI_INT, out.data(), kEach, MPI_INT, 0, world()));
  root_gets("gather_c");
  EXPECT_OK(MPI_Gatherv_c(in.data(), kEach, MPI_INT, out.data(), counts.data(), places.data(),
                          MPI_INT, 0, world()));
  root_gets("gatherv_c");
  EXPECT_OK(MPI_Allgather_c(in.data(), kEach, MPI_INT, out.data(), kEach, MPI_INT, world()));
  gathered("allgather_c");
  EXPECT_OK(MPI_Allgatherv_c(in.data(), kEach, MPI_INT, out.data(), counts.data(), places.data(),
                             MPI_INT, world()));
  gathered("allgatherv_c");
  EXPECT_OK(MPI_Alltoall_c(in.data(), kEach, MPI_INT, out.data(), kEach, MPI_INT, world()));
  transposed("alltoall_c");
  EXPECT_OK(MPI_Alltoallv_c(in.data(), counts.data(), places.data(), MPI_INT, out.data(),
                            counts.data(), places.data(), MPI_INT, world()));
  transposed("alltoallv_c");
  EXPECT_OK(MPI_Allreduce_c(in.data(), out.data(), all, MPI_INT, MPI_SUM, world()));
  EXPECT(out == sum);
  EXPECT_OK(MPI_Reduce_scatter_block_c(in.data(), out.data(), kEach, MPI_INT, MPI_SUM, world()));
  EXPECT(std::equal(out.begin(), out.begin() + kEach, sum.begin() + kEach * check::rank));
  EXPECT_OK(MPI_Reduce_scatter_c(in.data(), out.data(), counts.data(), MPI_INT, MPI_SUM, world()));
  EXPECT(std::equal(out.begin(), out.begin() + kEach, sum.begin() + kEach * check::rank));
  EXPECT_OK(MPI_Scan_c(in.data(), out.data(), all, MPI_INT, MPI_MAX, world()));
  EXPECT(out == in);
  std::vector<int> copy = in;
  EXPECT_OK(MPI_Bcast_c(copy.data(), all, MPI_INT, 0, world()));
  EXPECT_EQ(copy[1], 1);
  EXPECT_OK(MPI_Scatter_c(in.data(), kEach, MPI_INT, out.data(), kEach, MPI_INT, 0, world()));
  EXPECT_EQ(out[kEach - 1], check::rank * int{kEach} + int{kEach} - 1);
  EXPECT_OK(MPI_Scatterv_c(in.data(), counts.data(), places.data(), MPI_INT, out.data(), kEach,
                           MPI_INT, 0, world()));
  EXPECT_EQ(out[0], check::rank * int{kEach});
  MPI_Request request;
  EXPECT_OK(MPI_Iallreduce_c(in.data(), out.data(), all, MPI_INT, MPI_SUM, world(), &request));
  EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
  EXPECT(out == sum);
  EXPECT_OK(MPI_Ialltoallv_c(in.data(), counts.data(), places.data(), MPI_INT, out.data(),
                             counts.data(), places.data(), MPI_INT, world(), &request));
  // The count arrays must stay: MPI may read them until completion.
  EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
  transposed("ialltoallv_c");
}

void sum_with_counts(void* in, void* inout, MPI_Count* length, MPI_Datatype*) {
  for (MPI_Count i = 0; i < *length; ++i) static_cast<int*>(inout)[i] += static_cast<int*>(in)[i];
}

void user_operation_with_counts() {
  MPI_Op op;
  EXPECT_OK(MPI_Op_create_c(sum_with_counts, 1, &op));
  int in = check::rank + 1, out = 0;
  EXPECT_OK(MPI_Allreduce(&in, &out, 1, MPI_INT, op, world()));
  EXPECT_EQ(out, check::size * (check::size + 1) / 2);
  EXPECT_OK(MPI_Reduce_local_c(&in, &out, 1, MPI_INT, op));
  EXPECT_EQ(out, check::size * (check::size + 1) / 2 + in);
  EXPECT_OK(MPI_Op_free(&op));
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv,
                     {{"sends_and_receives", sends_and_receives},
                      {"combined_and_matched", combined_and_matched},
                      {"collectives", collectives},
                      {"user_operation_with_counts", user_operation_with_counts}});
}
#else
int main() { return check::kSkip; }
#endif
