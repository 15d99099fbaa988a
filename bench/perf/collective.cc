// bench/perf/collective.cc - barrier and the basic blocking collectives.
//
// Each call is timed by itself after a barrier, as the familiar OSU benchmarks do: calls timed back
// to back would pipeline, and the root of a broadcast would look finished before anyone has the
// data. A call's time differs between ranks; measure.h combines them.
#include <vector>

#include "buffer.h"
#include "workload.h"

namespace tern::perf {
namespace {

class Barrier final : public Workload {
 public:
  explicit Barrier(const Setup& setup) : comm_(setup.comm) {}

  double run(int iterations) override {
    const double start = MPI_Wtime();
    for (int i = 0; i < iterations; ++i) MPI_Barrier(comm_);
    return MPI_Wtime() - start;
  }

  std::int64_t run_checked(std::uint32_t) override { return 0; }

 private:
  MPI_Comm comm_;
};

// What all collectives with data share. Memory is `out_blocks` and `in_blocks` times the size.
class Collective : public Workload {
 public:
  double run(int iterations) final {
    double seconds = 0;
    for (int i = 0; i < iterations; ++i) {
      MPI_Barrier(comm_);
      const double start = MPI_Wtime();
      call();
      seconds += MPI_Wtime() - start;
    }
    return seconds;
  }

  std::int64_t run_checked(std::uint32_t seed) final {
    prepare(seed);
    call();
    return verify(seed);
  }

 protected:
  static constexpr int kRoot = 0;
  enum class Blocks { kNone, kOne, kPerRank, kPerRankAtRoot };

  Collective(const Setup& setup, Blocks out, Blocks in)
      : comm_(setup.comm),
        bytes_(setup.bytes),
        count_(static_cast<int>(setup.bytes)),
        rank_(rank_in(setup.comm)),
        size_(size_of(setup.comm)),
        out_(blocks(out) * bytes_),
        in_(blocks(in) * bytes_) {}

  virtual void call() = 0;
  virtual void prepare(std::uint32_t seed) = 0;
  virtual std::int64_t verify(std::uint32_t seed) = 0;

  bool is_root() const { return rank_ == kRoot; }
  std::span<std::byte> out(int block = 0) { return out_.slice(offset(block), bytes_); }
  std::span<std::byte> in(int block = 0) { return in_.slice(offset(block), bytes_); }

  MPI_Comm comm_;
  std::size_t bytes_;
  int count_;
  int rank_;
  int size_;
  Buffer out_;
  Buffer in_;

 private:
  static int rank_in(MPI_Comm comm) {
    int rank;
    MPI_Comm_rank(comm, &rank);
    return rank;
  }
  static int size_of(MPI_Comm comm) {
    int size;
    MPI_Comm_size(comm, &size);
    return size;
  }
  std::size_t blocks(Blocks kind) const {
    if (kind == Blocks::kNone) return 0;
    const bool many = kind == Blocks::kPerRank || (kind == Blocks::kPerRankAtRoot && is_root());
    return many ? static_cast<std::size_t>(size_) : 1;
  }
  std::size_t offset(int block) const { return static_cast<std::size_t>(block) * bytes_; }
};

class Bcast final : public Collective {
 public:
  explicit Bcast(const Setup& setup) : Collective(setup, Blocks::kNone, Blocks::kOne) {}

 private:
  void call() override { MPI_Bcast(in_.data(), count_, MPI_BYTE, kRoot, comm_); }
  void prepare(std::uint32_t seed) override {
    const std::uint32_t stream = stream_of(seed, kRoot, kRoot);
    is_root() ? fill(in(), stream) : spoil(in(), stream);
  }
  std::int64_t verify(std::uint32_t seed) override {
    return count_wrong(in(), stream_of(seed, kRoot, kRoot));
  }
};

class Gather final : public Collective {
 public:
  explicit Gather(const Setup& setup) : Collective(setup, Blocks::kOne, Blocks::kPerRankAtRoot) {}

 private:
  void call() override {
    MPI_Gather(out_.data(), count_, MPI_BYTE, in_.data(), count_, MPI_BYTE, kRoot, comm_);
  }
  void prepare(std::uint32_t seed) override {
    fill(out(), stream_of(seed, rank_, kRoot));
    for (int source = 0; is_root() && source < size_; ++source) {
      spoil(in(source), stream_of(seed, source, kRoot));
    }
  }
  std::int64_t verify(std::uint32_t seed) override {
    std::int64_t wrong = 0;
    for (int source = 0; is_root() && source < size_; ++source) {
      wrong += count_wrong(in(source), stream_of(seed, source, kRoot));
    }
    return wrong;
  }
};

class Scatter final : public Collective {
 public:
  explicit Scatter(const Setup& setup) : Collective(setup, Blocks::kPerRankAtRoot, Blocks::kOne) {}

 private:
  void call() override {
    MPI_Scatter(out_.data(), count_, MPI_BYTE, in_.data(), count_, MPI_BYTE, kRoot, comm_);
  }
  void prepare(std::uint32_t seed) override {
    spoil(in(), stream_of(seed, kRoot, rank_));
    for (int target = 0; is_root() && target < size_; ++target) {
      fill(out(target), stream_of(seed, kRoot, target));
    }
  }
  std::int64_t verify(std::uint32_t seed) override {
    return count_wrong(in(), stream_of(seed, kRoot, rank_));
  }
};

class Allgather final : public Collective {
 public:
  explicit Allgather(const Setup& setup) : Collective(setup, Blocks::kOne, Blocks::kPerRank) {}

 private:
  void call() override {
    MPI_Allgather(out_.data(), count_, MPI_BYTE, in_.data(), count_, MPI_BYTE, comm_);
  }
  void prepare(std::uint32_t seed) override {
    fill(out(), stream_of(seed, rank_, 0));
    for (int source = 0; source < size_; ++source) spoil(in(source), stream_of(seed, source, 0));
  }
  std::int64_t verify(std::uint32_t seed) override {
    std::int64_t wrong = 0;
    for (int source = 0; source < size_; ++source) {
      wrong += count_wrong(in(source), stream_of(seed, source, 0));
    }
    return wrong;
  }
};

class Alltoall final : public Collective {
 public:
  explicit Alltoall(const Setup& setup) : Collective(setup, Blocks::kPerRank, Blocks::kPerRank) {}

 private:
  void call() override {
    MPI_Alltoall(out_.data(), count_, MPI_BYTE, in_.data(), count_, MPI_BYTE, comm_);
  }
  void prepare(std::uint32_t seed) override {
    for (int other = 0; other < size_; ++other) {
      fill(out(other), stream_of(seed, rank_, other));
      spoil(in(other), stream_of(seed, other, rank_));
    }
  }
  std::int64_t verify(std::uint32_t seed) override {
    std::int64_t wrong = 0;
    for (int source = 0; source < size_; ++source) {
      wrong += count_wrong(in(source), stream_of(seed, source, rank_));
    }
    return wrong;
  }
};

// Sums of float, the OSU benchmarks' choice. The numbers checked are small integers, whose sums are
// exact in every order of addition.
class Reduction : public Collective {
 protected:
  explicit Reduction(const Setup& setup)
      : Collective(setup, Blocks::kOne, Blocks::kOne),
        numbers_(static_cast<int>(setup.bytes / sizeof(float))) {}

  float* send_numbers() { return reinterpret_cast<float*>(out_.data()); }
  float* receive_numbers() { return reinterpret_cast<float*>(in_.data()); }

  void prepare(std::uint32_t seed) override {
    for (int i = 0; i < numbers_; ++i) {
      send_numbers()[i] = term(seed, rank_, i);
      receive_numbers()[i] = -1;
    }
  }

  std::int64_t count_wrong_sums(std::uint32_t seed) {
    float sums[kPeriod] = {};
    for (int i = 0; i < kPeriod; ++i) {
      for (int rank = 0; rank < size_; ++rank) sums[i] += term(seed, rank, i);
    }
    std::int64_t wrong = 0;
    for (int i = 0; i < numbers_; ++i) wrong += receive_numbers()[i] != sums[i % kPeriod];
    return wrong;
  }

  int numbers_;

 private:
  static constexpr int kPeriod = 17;
  static float term(std::uint32_t seed, int rank, int index) {
    const std::uint32_t mixed = 7 * seed + 3 * static_cast<std::uint32_t>(rank);
    return static_cast<float>((mixed + static_cast<std::uint32_t>(index % kPeriod)) % kPeriod);
  }
};

class Reduce final : public Reduction {
 public:
  explicit Reduce(const Setup& setup) : Reduction(setup) {}

 private:
  void call() override {
    MPI_Reduce(send_numbers(), receive_numbers(), numbers_, MPI_FLOAT, MPI_SUM, kRoot, comm_);
  }
  std::int64_t verify(std::uint32_t seed) override {
    return is_root() ? count_wrong_sums(seed) : 0;
  }
};

class Allreduce final : public Reduction {
 public:
  explicit Allreduce(const Setup& setup) : Reduction(setup) {}

 private:
  void call() override {
    MPI_Allreduce(send_numbers(), receive_numbers(), numbers_, MPI_FLOAT, MPI_SUM, comm_);
  }
  std::int64_t verify(std::uint32_t seed) override { return count_wrong_sums(seed); }
};

template <typename T>
std::unique_ptr<Workload> make(const Setup& setup) {
  return std::make_unique<T>(setup);
}

constexpr std::size_t kBytesMax = std::size_t{1} << 20;

constexpr Test kTests[] = {
    {"barrier", "Barrier", "MPI_Barrier", Metric::kDuration, false, false, 1, 0, false, false,
     &make<Barrier>},
    {"bcast", "Broadcast", "MPI_Bcast", Metric::kDuration, false, true, 1, kBytesMax, false, true,
     &make<Bcast>},
    {"reduce", "Reduce (sum of float)", "MPI_Reduce", Metric::kDuration, false, true, sizeof(float),
     kBytesMax, false, true, &make<Reduce>},
    {"allreduce", "Allreduce (sum of float)", "MPI_Allreduce", Metric::kDuration, false, true,
     sizeof(float), kBytesMax, false, true, &make<Allreduce>},
    {"gather", "Gather", "MPI_Gather", Metric::kDuration, false, true, 1, kBytesMax, true, true,
     &make<Gather>},
    {"scatter", "Scatter", "MPI_Scatter", Metric::kDuration, false, true, 1, kBytesMax, true, true,
     &make<Scatter>},
    {"allgather", "Allgather", "MPI_Allgather", Metric::kDuration, false, true, 1, kBytesMax, true,
     true, &make<Allgather>},
    {"alltoall", "All-to-all", "MPI_Alltoall", Metric::kDuration, false, true, 1, kBytesMax, true,
     true, &make<Alltoall>},
};

}  // namespace

std::span<const Test> collective_tests() { return kTests; }

}  // namespace tern::perf
