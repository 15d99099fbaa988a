// tests/mpi/mixture.h - one thread's share of everything that point-to-point communication offers.
//
// A Mixture is one message in each direction around a ring of ranks, in a way drawn from (id,
// round) and of a content drawn from (id, round, rank), so both ends know it. Threading: any number
// of them at once, each on a communicator of its own. Failure: as check.h says.
#pragma once
#include "buffer.h"

class Mixture {
 public:
  Mixture(MPI_Comm comm, int id, int round)
      : comm_(comm),
        choice_(30, id, round),
        sent_(31, id, round, check::rank),
        coming_(31, id, round, from_),
        bytes_out_(size_from(sent_)),
        bytes_in_(size_from(coming_)),
        out_(bytes_out_),
        in_(bytes_in_) {
    out_.fill(sent_.next());
  }

  bool run() {
    const int way = choice_.below(7);  // The same on all ranks.
    MPI_Request send = MPI_REQUEST_NULL;
    if (way == 0) {
      EXPECT_OK(MPI_Sendrecv(out_.data(), bytes_out_, MPI_BYTE, to_, kTag, in_.data(), bytes_in_,
                             MPI_BYTE, choice_.chance(50) ? from_ : MPI_ANY_SOURCE, kTag, comm_,
                             MPI_STATUS_IGNORE));
    } else if (way == 1) {
      persistent();
    } else {
      start_send(&send);
      if (way == 2) probed(false);
      if (way == 3) probed(true);
      if (way == 4) {
        EXPECT_OK(MPI_Recv(in_.data(), bytes_in_, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG, comm_,
                           MPI_STATUS_IGNORE));
      }
      if (way >= 5) posted(way == 5);
      EXPECT_OK(MPI_Wait(&send, MPI_STATUS_IGNORE));
    }
    return in_.holds(coming_.next(), static_cast<std::size_t>(bytes_in_), "message of a mixture");
  }

 private:
  static constexpr int kTag = 3;

  static int size_from(check::Random& random) {
    return random.chance(70) ? random.below(200) : check::random_size(random, 1) % 200000;
  }

  void start_send(MPI_Request* request) {
    check::Random mine(32, sent_.next());
    const int way = mine.below(4);
    if (way == 0) {
      EXPECT_OK(MPI_Issend(out_.data(), bytes_out_, MPI_BYTE, to_, kTag, comm_, request));
    } else if (way == 1) {
      // The same bytes as a type of its own.
      MPI_Datatype type;
      EXPECT_OK(MPI_Type_contiguous(bytes_out_, MPI_BYTE, &type));
      EXPECT_OK(MPI_Type_commit(&type));
      EXPECT_OK(MPI_Isend(out_.data(), 1, type, to_, kTag, comm_, request));
      EXPECT_OK(MPI_Type_free(&type));
    } else {
      EXPECT_OK(MPI_Isend(out_.data(), bytes_out_, MPI_BYTE, to_, kTag, comm_, request));
    }
  }

  void persistent() {
    MPI_Request requests[2];
    EXPECT_OK(MPI_Recv_init(in_.data(), bytes_in_, MPI_BYTE, from_, kTag, comm_, &requests[0]));
    EXPECT_OK(MPI_Send_init(out_.data(), bytes_out_, MPI_BYTE, to_, kTag, comm_, &requests[1]));
    for (int again = 0; again < 2; ++again) {
      EXPECT_OK(MPI_Startall(2, requests));
      EXPECT_OK(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE));
    }
    for (MPI_Request& request : requests) EXPECT_OK(MPI_Request_free(&request));
  }

  void probed(bool matched) {
    MPI_Status status;
    MPI_Message message;
    int count = -1;
    if (matched) {
      EXPECT_OK(MPI_Mprobe(MPI_ANY_SOURCE, kTag, comm_, &message, &status));
      EXPECT_OK(MPI_Mrecv(in_.data(), bytes_in_, MPI_BYTE, &message, &status));
    } else {
      EXPECT_OK(MPI_Probe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm_, &status));
      EXPECT_OK(MPI_Recv(in_.data(), bytes_in_, MPI_BYTE, status.MPI_SOURCE, status.MPI_TAG, comm_,
                         &status));
    }
    EXPECT_EQ(status.MPI_SOURCE, from_);
    MPI_Get_count(&status, MPI_BYTE, &count);
    EXPECT_EQ(count, bytes_in_);
  }

  // Beside a receive that nobody answers, which is cancelled.
  void posted(bool test) {
    MPI_Request requests[2];
    int unused = 0, cancelled = 0, done = 0;
    MPI_Status status;
    EXPECT_OK(MPI_Irecv(&unused, 1, MPI_INT, from_, kTag + 1, comm_, &requests[0]));
    EXPECT_OK(
        MPI_Irecv(in_.data(), bytes_in_, MPI_BYTE, MPI_ANY_SOURCE, kTag, comm_, &requests[1]));
    if (test) {
      while (!done) EXPECT_OK(MPI_Test(&requests[1], &done, &status));
    } else {
      int index = -1;
      EXPECT_OK(MPI_Waitany(2, requests, &index, &status));
      EXPECT_EQ(index, 1);
    }
    EXPECT_EQ(status.MPI_SOURCE, from_);
    EXPECT_OK(MPI_Cancel(&requests[0]));
    EXPECT_OK(MPI_Wait(&requests[0], &status));
    EXPECT_OK(MPI_Test_cancelled(&status, &cancelled));
    EXPECT_EQ(cancelled, 1);
  }

  MPI_Comm comm_;
  int to_ = (check::rank + 1) % check::size;
  int from_ = (check::rank + check::size - 1) % check::size;
  check::Random choice_, sent_, coming_;
  int bytes_out_, bytes_in_;
  check::Buffer out_, in_;
};
