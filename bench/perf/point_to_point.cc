// bench/perf/point_to_point.cc - latency, bandwidth, bidirectional bandwidth, message rate.
//
// In each pair communicator rank 0 leads (it sends first and holds the clock), rank 1 answers.
// Nothing here but the calls under test happens between two readings of the clock.
#include <algorithm>
#include <vector>

#include "buffer.h"
#include "workload.h"

namespace tern::perf {
namespace {

constexpr int kLeader = 0;
constexpr int kTag = 1;
constexpr int kAckTag = 2;

class Pair : public Workload {
 protected:
  explicit Pair(const Setup& setup)
      : comm_(setup.comm), bytes_(setup.bytes), count_(static_cast<int>(setup.bytes)) {
    MPI_Comm_rank(comm_, &rank_);
    other_ = 1 - rank_;
  }

  bool leads() const { return rank_ == kLeader; }
  std::uint32_t outgoing(std::uint32_t seed) const { return stream_of(seed, rank_, other_); }
  std::uint32_t incoming(std::uint32_t seed) const { return stream_of(seed, other_, rank_); }

  void send(const std::byte* data) { MPI_Send(data, count_, MPI_BYTE, other_, kTag, comm_); }
  void receive(std::byte* data) {
    MPI_Recv(data, count_, MPI_BYTE, other_, kTag, comm_, MPI_STATUS_IGNORE);
  }

  MPI_Comm comm_;
  std::size_t bytes_;
  int count_;
  int rank_ = 0;
  int other_ = 0;
};

class Latency final : public Pair {
 public:
  explicit Latency(const Setup& setup) : Pair(setup), out_(bytes_), in_(bytes_) {}

  double run(int iterations) override {
    if (!leads()) {
      for (int i = 0; i < iterations; ++i) {
        receive(in_.data());
        send(out_.data());
      }
      return 0;
    }
    const double start = MPI_Wtime();
    for (int i = 0; i < iterations; ++i) {
      send(out_.data());
      receive(in_.data());
    }
    return MPI_Wtime() - start;
  }

  std::int64_t run_checked(std::uint32_t seed) override {
    fill(out_.slice(0, bytes_), outgoing(seed));
    spoil(in_.slice(0, bytes_), incoming(seed));
    run(1);
    return count_wrong(in_.slice(0, bytes_), incoming(seed));
  }

 private:
  Buffer out_;
  Buffer in_;
};

// A window of messages without waiting for each; every message uses the same memory, as the user's
// own buffers would be warm, except where the data is checked.
class Windowed : public Pair {
 protected:
  explicit Windowed(const Setup& setup)
      : Pair(setup), window_(setup.window), out_(bytes_), in_(bytes_) {
    requests_.resize(2 * static_cast<std::size_t>(window_), MPI_REQUEST_NULL);
  }

  void start_sends(std::byte* data, std::size_t stride, int count, MPI_Request* requests) {
    for (int i = 0; i < count; ++i) {
      MPI_Isend(data + static_cast<std::size_t>(i) * stride, count_, MPI_BYTE, other_, kTag, comm_,
                &requests[i]);
    }
  }
  void start_receives(std::byte* data, std::size_t stride, int count, MPI_Request* requests) {
    for (int i = 0; i < count; ++i) {
      MPI_Irecv(data + static_cast<std::size_t>(i) * stride, count_, MPI_BYTE, other_, kTag, comm_,
                &requests[i]);
    }
  }
  void wait(int count, MPI_Request* requests) { MPI_Waitall(count, requests, MPI_STATUSES_IGNORE); }

  // One window in which every message has memory and contents of its own. Checks fewer messages
  // than a window holds where they are large: what matters is that several are in flight.
  std::int64_t check_window(std::uint32_t seed, bool sends, bool receives) {
    constexpr std::size_t kMemory = std::size_t{32} << 20;
    const auto fitting = static_cast<int>(kMemory / std::max<std::size_t>(bytes_, 1));
    const int count = std::min(window_, std::max(2, fitting));
    const std::size_t all = static_cast<std::size_t>(count) * bytes_;
    Buffer out(sends ? all : 0);
    Buffer in(receives ? all : 0);
    for (int i = 0; i < count; ++i) {
      const std::size_t offset = static_cast<std::size_t>(i) * bytes_;
      const std::uint32_t round = seed * 4099 + static_cast<std::uint32_t>(i);
      if (sends) fill(out.slice(offset, bytes_), outgoing(round));
      if (receives) spoil(in.slice(offset, bytes_), incoming(round));
    }
    int pending = 0;
    if (receives) {
      start_receives(in.data(), bytes_, count, requests_.data());
      pending += count;
    }
    if (sends) {
      start_sends(out.data(), bytes_, count, requests_.data() + pending);
      pending += count;
    }
    wait(pending, requests_.data());
    std::int64_t wrong = 0;
    for (int i = 0; receives && i < count; ++i) {
      const std::uint32_t round = seed * 4099 + static_cast<std::uint32_t>(i);
      const std::size_t offset = static_cast<std::size_t>(i) * bytes_;
      wrong += count_wrong(in.slice(offset, bytes_), incoming(round));
    }
    return wrong;
  }

  int window_;
  std::vector<MPI_Request> requests_;
  Buffer out_;
  Buffer in_;
};

// The answerer acknowledges each window, so that the clock stops when the data has arrived and not
// when the last send was accepted.
class Bandwidth final : public Windowed {
 public:
  explicit Bandwidth(const Setup& setup) : Windowed(setup) {}

  double run(int iterations) override {
    if (!leads()) {
      for (int i = 0; i < iterations; ++i) {
        start_receives(in_.data(), 0, window_, requests_.data());
        wait(window_, requests_.data());
        MPI_Send(nullptr, 0, MPI_BYTE, other_, kAckTag, comm_);
      }
      return 0;
    }
    const double start = MPI_Wtime();
    for (int i = 0; i < iterations; ++i) {
      start_sends(out_.data(), 0, window_, requests_.data());
      wait(window_, requests_.data());
      MPI_Recv(nullptr, 0, MPI_BYTE, other_, kAckTag, comm_, MPI_STATUS_IGNORE);
    }
    return MPI_Wtime() - start;
  }

  std::int64_t run_checked(std::uint32_t seed) override {
    return check_window(seed, leads(), !leads());
  }
};

class BidirectionalBandwidth final : public Windowed {
 public:
  explicit BidirectionalBandwidth(const Setup& setup) : Windowed(setup) {}

  double run(int iterations) override {
    const double start = MPI_Wtime();
    for (int i = 0; i < iterations; ++i) {
      start_receives(in_.data(), 0, window_, requests_.data());
      start_sends(out_.data(), 0, window_, requests_.data() + window_);
      wait(2 * window_, requests_.data());
    }
    return leads() ? MPI_Wtime() - start : 0;
  }

  std::int64_t run_checked(std::uint32_t seed) override { return check_window(seed, true, true); }
};

template <typename T>
std::unique_ptr<Workload> make(const Setup& setup) {
  return std::make_unique<T>(setup);
}

constexpr std::size_t kBytesMax = std::size_t{4} << 20;

constexpr Test kTests[] = {
    {"latency", "Latency (half round trip)", "half the round trip of a message",
     Metric::kHalfRoundTrip, true, true, 1, kBytesMax, false, true, &make<Latency>},
    {"bandwidth", "Bandwidth", "a window of messages in one direction", Metric::kBandwidth, true,
     true, 1, kBytesMax, false, true, &make<Bandwidth>},
    {"bibw", "Bidirectional bandwidth", "a window of messages in both directions at once",
     Metric::kBidirectionalBandwidth, true, true, 1, kBytesMax, false, true,
     &make<BidirectionalBandwidth>},
    {"rate", "Message rate", "messages per second, all pairs together", Metric::kRate, true, true,
     1, kBytesMax, false, true, &make<Bandwidth>},
};

}  // namespace

std::span<const Test> point_to_point_tests() { return kTests; }

}  // namespace tern::perf
