// bench/perf/workload.h - what tern-perf can measure: one communication pattern at one size.
//
// A workload knows how to run its pattern and how to verify the data; how often it runs, for how
// long and what becomes of the figures is measure.h's business. Implemented in point_to_point.cc
// and collective.cc. Every member that communicates is collective over the workload's communicator.
// Failure: MPI errors end the program through MPI_ERRORS_ARE_FATAL, the default handler.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace tern::perf {

class Workload {
 public:
  virtual ~Workload() = default;

  // Runs the pattern `iterations` times and returns the seconds they took on this rank, without any
  // synchronisation around them. Ranks that only serve others (a ping's answerer) return 0.
  virtual double run(int iterations) = 0;

  // Runs the pattern once with data derived from `seed` and returns how many bytes (or numbers, for
  // reductions) arrived wrong on this rank.
  virtual std::int64_t run_checked(std::uint32_t seed) = 0;
};

struct Setup {
  std::size_t bytes;  // Per message, or per rank pair for collectives.
  int window;         // Messages in flight in the bandwidth tests.
  MPI_Comm comm;      // Exactly two ranks for pairs, all ranks for collectives.
};

// What the seconds of one iteration mean.
enum class Metric {
  kHalfRoundTrip,           // A round trip: half of it is the latency.
  kDuration,                // One call.
  kBandwidth,               // A window of messages in one direction.
  kBidirectionalBandwidth,  // A window in each direction.
  kRate,                    // A window in one direction, counted in messages.
};

struct Test {
  std::string_view name;   // The subcommand.
  std::string_view title;  // Heads the table.
  std::string_view help;
  Metric metric;
  bool between_pairs;     // Ranks i and i + n/2 talk; else one call of all ranks.
  bool has_sizes;         // False for the barrier.
  std::size_t element;    // Sizes are multiples of it: 4 where numbers are added.
  std::size_t bytes_max;  // Largest size unless the user names others.
  bool buffers_grow;      // Memory per rank is sizes times ranks.
  bool can_check;
  std::unique_ptr<Workload> (*make)(const Setup& setup);
};

// The tests of point_to_point.cc and of collective.cc; static storage.
std::span<const Test> point_to_point_tests();
std::span<const Test> collective_tests();

}  // namespace tern::perf
