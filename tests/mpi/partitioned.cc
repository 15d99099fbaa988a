// tests/mpi/partitioned.cc - partitioned sends and receives: different divisions on both sides, any
// order of readiness, several runs, data that is used before all has arrived, misuse.
#include "check.h"

#if MPI_AT_LEAST(4, 0)
namespace {

using check::Random;
using Words = std::vector<std::uint64_t>;

std::uint64_t word(int round, int run, int from, int k) {
  return check::mix(check::mix(check::seed + round * 100 + run) + from * 1000003 + k);
}

// Whether the words first..last are what the sender put there.
bool is_right(const Words& words, int stride, int round, int run, int from, int first, int last) {
  for (int k = first; k < last; ++k) {
    if (words[k * stride] != word(round, run, from, k)) return false;
  }
  return true;
}

// Around a ring. `stride` > 1: the receiver's words lie apart.
void exchange(int round) {
  Random random(60, round);
  const int unit = random.below(3) == 0 ? 1000 : random.between(0, 20);
  const int send_parts = random.between(1, 6), receive_parts = random.between(1, 6);
  const int total = send_parts * receive_parts * unit;
  const int stride = random.between(1, 2);
  const int next = (check::rank + 1) % check::size;
  const int previous = (check::rank + check::size - 1) % check::size;
  MPI_Datatype apart;
  EXPECT_OK(MPI_Type_create_resized(MPI_UINT64_T, 0, 8 * stride, &apart));
  EXPECT_OK(MPI_Type_commit(&apart));
  Words out(total), in(total * stride);
  MPI_Request send, receive;
  EXPECT_OK(MPI_Psend_init(out.data(), send_parts, receive_parts * unit, MPI_UINT64_T, next, 3,
                           MPI_COMM_WORLD, MPI_INFO_NULL, &send));
  EXPECT_OK(MPI_Precv_init(in.data(), receive_parts, send_parts * unit, apart, previous, 3,
                           MPI_COMM_WORLD, MPI_INFO_NULL, &receive));
  for (int run = 0; run < 3; ++run) {
    std::fill(in.begin(), in.end(), 0);
    for (int k = 0; k < total; ++k) out[k] = word(round, run, check::rank, k);
    MPI_Request both[2] = {send, receive};
    EXPECT_OK(MPI_Startall(2, both));
    std::vector<int> order(send_parts);
    for (int i = 0; i < send_parts; ++i) order[i] = i;
    Random own(61, round, run, check::rank);
    own.shuffle(order);
    switch (own.below(3)) {
      case 0:
        EXPECT_OK(MPI_Pready_range(0, send_parts - 1, send));
        break;
      case 1:
        EXPECT_OK(MPI_Pready_list(send_parts, order.data(), send));
        break;
      default:
        for (int i : order) EXPECT_OK(MPI_Pready(i, send));
    }
    // Each partition is whole when it is said to be there.
    const int each = send_parts * unit;
    for (int i = 0; i < receive_parts; ++i) {
      for (int flag = 0; !flag;) EXPECT_OK(MPI_Parrived(receive, i, &flag));
      EXPECT_MSG(is_right(in, stride, round, run, previous, i * each, (i + 1) * each),
                 "partition %d of %d, sent as %d, is wrong (round %d, run %d, stride %d)", i,
                 receive_parts, send_parts, round, run, stride);
    }
    MPI_Status statuses[2];
    EXPECT_OK(MPI_Waitall(2, both, statuses));
    int count = -1;
    EXPECT_OK(MPI_Get_count(&statuses[1], MPI_UINT64_T, &count));
    if (check::library_is_tern()) EXPECT_EQ(count, total);
    EXPECT_EQ(statuses[1].MPI_SOURCE, previous);
  }
  EXPECT_OK(MPI_Request_free(&send));
  EXPECT_OK(MPI_Request_free(&receive));
  EXPECT_OK(MPI_Type_free(&apart));
}

void random_divisions() {
  for (int round = 0; round < 20; ++round) exchange(round);
}

// What is ready arrives while the rest is not. MPI only allows that; others wait for all of it.
void partitions_travel_alone() {
  if (!check::library_is_tern()) return;
  const int next = (check::rank + 1) % check::size;
  const int previous = (check::rank + check::size - 1) % check::size;
  int out[2] = {check::rank, check::rank + 100}, in[2] = {-1, -1};
  MPI_Request send, receive;
  EXPECT_OK(MPI_Psend_init(out, 2, 1, MPI_INT, next, 0, MPI_COMM_WORLD, MPI_INFO_NULL, &send));
  EXPECT_OK(
      MPI_Precv_init(in, 2, 1, MPI_INT, previous, 0, MPI_COMM_WORLD, MPI_INFO_NULL, &receive));
  EXPECT_OK(MPI_Start(&receive));
  EXPECT_OK(MPI_Start(&send));
  EXPECT_OK(MPI_Pready(1, send));
  for (int flag = 0; !flag;) EXPECT_OK(MPI_Parrived(receive, 1, &flag));
  EXPECT_EQ(in[1], previous + 100);
  int flag = -1;
  EXPECT_OK(MPI_Test(&receive, &flag, MPI_STATUS_IGNORE));
  // The neighbour sends its other partition only after everybody has looked.
  EXPECT_EQ(flag, 0);
  EXPECT_OK(MPI_Barrier(MPI_COMM_WORLD));
  EXPECT_OK(MPI_Pready(0, send));
  EXPECT_OK(MPI_Wait(&send, MPI_STATUS_IGNORE));
  EXPECT_OK(MPI_Wait(&receive, MPI_STATUS_IGNORE));
  EXPECT_EQ(in[0], previous);
  EXPECT_OK(MPI_Request_free(&send));
  EXPECT_OK(MPI_Request_free(&receive));
}

void nobody() {
  if (check::library_is("MPICH")) return;  // 4.0.2 waits for ever.
  int data = 7;
  MPI_Request request;
  MPI_Status status;
  EXPECT_OK(MPI_Precv_init(&data, 1, 1, MPI_INT, MPI_PROC_NULL, 0, MPI_COMM_WORLD, MPI_INFO_NULL,
                           &request));
  EXPECT_OK(MPI_Start(&request));
  EXPECT_OK(MPI_Wait(&request, &status));
  EXPECT_EQ(status.MPI_SOURCE, MPI_PROC_NULL);
  EXPECT_OK(MPI_Request_free(&request));
  EXPECT_EQ(data, 7);
}

void misuse() {
  if (!check::library_is_tern()) return;
  MPI_Comm comm;
  EXPECT_OK(MPI_Comm_dup(MPI_COMM_SELF, &comm));
  EXPECT_OK(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN));
  EXPECT_OK(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN));
  int out[2] = {1, 2}, in[2] = {0, 0}, flag = 0;
  MPI_Request send, receive;
  EXPECT_CLASS(MPI_Precv_init(in, 2, 1, MPI_INT, MPI_ANY_SOURCE, 0, comm, MPI_INFO_NULL, &receive),
               MPI_ERR_RANK);
  EXPECT_CLASS(MPI_Precv_init(in, 2, 1, MPI_INT, 0, MPI_ANY_TAG, comm, MPI_INFO_NULL, &receive),
               MPI_ERR_TAG);
  EXPECT_OK(MPI_Psend_init(out, 2, 1, MPI_INT, 0, 0, comm, MPI_INFO_NULL, &send));
  EXPECT_OK(MPI_Precv_init(in, 2, 1, MPI_INT, 0, 0, comm, MPI_INFO_NULL, &receive));
  EXPECT_CLASS(MPI_Pready(0, send), MPI_ERR_REQUEST);  // Not started.
  EXPECT_OK(MPI_Start(&send));
  EXPECT_OK(MPI_Start(&receive));
  EXPECT_CLASS(MPI_Pready(2, send), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Pready(-1, send), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Pready_range(1, 0, send), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Pready(0, receive), MPI_ERR_REQUEST);
  EXPECT_CLASS(MPI_Parrived(send, 0, &flag), MPI_ERR_REQUEST);
  EXPECT_CLASS(MPI_Parrived(receive, 2, &flag), MPI_ERR_ARG);
  EXPECT_OK(MPI_Pready(0, send));
  EXPECT_CLASS(MPI_Pready(0, send), MPI_ERR_ARG);  // Twice.
  EXPECT_OK(MPI_Pready(1, send));
  EXPECT_OK(MPI_Wait(&send, MPI_STATUS_IGNORE));
  EXPECT_OK(MPI_Wait(&receive, MPI_STATUS_IGNORE));
  EXPECT_EQ(in[0], 1);
  EXPECT_EQ(in[1], 2);
  EXPECT_OK(MPI_Request_free(&send));
  EXPECT_OK(MPI_Request_free(&receive));
  EXPECT_OK(MPI_Comm_free(&comm));
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv,
                     {{"random_divisions", random_divisions},
                      {"partitions_travel_alone", partitions_travel_alone},
                      {"nobody", nobody},
                      {"misuse", misuse}});
}
#else
int main() { return check::kSkip; }
#endif
