// mpi_api/partitioned.h - partitioned point-to-point communication (MPI-5.0 chapter 4).
//
// The two sides may divide the data differently. The sender's partitions are the messages: each
// leaves when it is marked ready, under a tag of its own. How many there are, and how long, the
// sender tells once when it makes its request; requests are matched in the order in which they are
// made. Until that has arrived, a receiver that was started only waits for it.
// Threading: under the entry lock. Failure: MPI error classes after fail(); operations end with an
// Outcome.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/request.h"
#include "mpi_api/comm.h"
#include "mpi_api/datatype.h"
#include "mpi_api/request.h"

namespace tern::mpi {

// What the arguments of both functions say.
struct PartitionedData {
  void* buffer;
  int partitions;
  MPI_Count count;  // Of each partition.
  Datatype* type;
  int rank;
  int tag;
  Comm* comm;
};

class PartitionedRequest : public Request {
 public:
  ~PartitionedRequest() override;
  int partitions() const { return data_.partitions; }
  // For error messages, and because no other request may be asked for its partitions.
  virtual bool is_sender() const = 0;

 protected:
  explicit PartitionedRequest(const PartitionedData& data);

  // One message. on_piece_done() is called when it is finished.
  struct Piece : tern::Request {
    PartitionedRequest* owner = nullptr;
  };
  // False when there is no memory.
  bool make_pieces(std::size_t count);
  std::size_t index_of(const Piece& piece) const {
    return static_cast<std::size_t>(&piece - pieces_.get());
  }
  virtual void piece_arrived(const Piece& piece) = 0;
  // A new run of `count` messages.
  void begin_run(std::size_t count);
  static void on_piece_done(tern::Request& base);
  void finish_if_complete();
  void finish();

  DataView all() const { return view(data_.buffer, data_.count * data_.partitions, *data_.type); }
  std::size_t partition_bytes() const {
    return static_cast<std::size_t>(data_.count) * data_.type->layout().size();
  }
  // The tag of message i of the request with that number.
  static int message_tag(std::uint32_t number, std::size_t i) {
    const std::uint32_t place = number + static_cast<std::uint32_t>(i);
    return static_cast<int>(kPartitionTags | (place & (kPartitionTags - 1)));
  }

  PartitionedData data_;
  std::unique_ptr<Piece[]> pieces_;
  std::size_t piece_count_ = 0;
  std::size_t unfinished_ = 0;
};

class PartitionedSend final : public PartitionedRequest {
 public:
  explicit PartitionedSend(const PartitionedData& data);
  // Tells the receiver what will come. An MPI error class.
  int prepare();

  bool is_sender() const override { return true; }
  int start() override;
  int result(MPI_Status& status) override;
  // Marks one partition; the caller has checked its number.
  int ready(int partition);

 private:
  void piece_arrived(const Piece&) override {}

  std::uint32_t number_ = 0;
  std::vector<bool> ready_;
};

class PartitionedReceive final : public PartitionedRequest {
 public:
  explicit PartitionedReceive(const PartitionedData& data);
  ~PartitionedReceive() override;
  // Awaits what the sender will tell. An MPI error class.
  int prepare();

  bool is_sender() const override { return false; }
  int start() override;
  int result(MPI_Status& status) override;
  // Whether all data of one partition are there; the caller has checked its number.
  bool arrived(int partition) const;

 private:
  struct Announcement;
  static void on_announced(tern::Request& base);
  void piece_arrived(const Piece& piece) override;
  void post();
  DataView place_of(std::size_t piece);

  Announcement* announcement_ = nullptr;
  std::size_t piece_bytes_ = 0;    // Of the sender's partitions.
  bool posted_ = false;            // In this run.
  std::vector<bool> arrived_;      // Pieces.
  std::vector<std::byte> staged_;  // Where the sender's partitions divide elements that have gaps.
};

}  // namespace tern::mpi
