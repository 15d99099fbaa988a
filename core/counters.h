// core/counters.h - what this process counts: connections, handshakes, messages and bytes by
// protocol, registered memory.
//
// One table serves tern-info, TERN_REPORT and, through MPI_T, tools. The counters are the
// process's: they are there before MPI_Init and after MPI_Finalize, and nothing sets them back.
// Threading: any thread reads at any time, without a lock. A counter has one writer at a time (the
// engines' locks and the fabrics see to that), so that counting is a load, an addition and a store.
// What several engines may count at once says so and pays for it.
// Failure: none.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tern::counters {

class Counter {
 public:
  void add(std::uint64_t amount) { set(get() + amount); }
  void subtract(std::uint64_t amount) { set(get() - amount); }
  // The same where there may be several writers.
  void add_shared(std::uint64_t amount) { value_.fetch_add(amount, std::memory_order_relaxed); }
  void subtract_shared(std::uint64_t amount) {
    value_.fetch_sub(amount, std::memory_order_relaxed);
  }
  void set(std::uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// One kind of traffic with one peer: how many messages, how many bytes of the program's.
struct Volume {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;

  Volume operator+(const Volume& other) const {
    return {messages + other.messages, bytes + other.bytes};
  }
  Volume operator-(const Volume& other) const {
    return {messages - other.messages, bytes - other.bytes};
  }
};

enum class Protocol : std::uint8_t {
  kEager,       // Sent: copied on its way, in one piece or several.
  kRendezvous,  // Sent: announced; its receiver then gets it in one of the next two ways.
  kFetched,     // Received: moved straight from the sender's memory, by either side.
  kStreamed,    // Received: sent in pieces after the receive was there.
};
inline constexpr std::size_t kProtocols = 4;

using Volumes = std::array<Volume, kProtocols>;

// The traffic with one peer: one cache line, which the path of a message touches.
class alignas(64) Traffic {
 public:
  void count(Protocol protocol, std::uint64_t bytes) {
    Pair& pair = pairs_[static_cast<std::size_t>(protocol)];
    pair.messages.add(1);
    pair.bytes.add(bytes);
  }
  Volumes read() const;

 private:
  struct Pair {
    Counter messages;
    Counter bytes;
  };
  std::array<Pair, kProtocols> pairs_;
};
static_assert(sizeof(Traffic) == 64);

// The Traffic of all peers of a fabric. What is given back may be taken again, with what it has
// counted: who takes one remembers what it began with. So the sum only grows.
class TrafficPool {
 public:
  TrafficPool() = default;
  TrafficPool(const TrafficPool&) = delete;
  TrafficPool& operator=(const TrafficPool&) = delete;
  ~TrafficPool();
  Traffic& take();
  void give_back(Traffic& traffic);
  Volumes total() const;

 private:
  struct Chunk {
    std::array<Traffic, 15> traffic;
    Chunk* next = nullptr;
  };
  std::mutex mutex_;                     // Of those who take and give back; not of readers.
  std::atomic<Chunk*> chunks_{nullptr};  // Grows only.
  std::vector<Traffic*> free_;
};

// What a fabric counts of its connections.
struct FabricCounters {
  Counter opened;    // Connections that came up, those that came up again included.
  Counter closed;    // Ended in agreement, to make room for others or because jobs parted.
  Counter replayed;  // Came up again after they had broken: what was lost was sent again.
  Counter failed;    // Given up.
  Counter handshake_us_min;
  Counter handshake_us_max;
  Counter handshake_us_total;
  Counter setup_bytes;   // Sent to make connections.
  Counter memory_bytes;  // Held for connections now.
  TrafficPool traffic;

  // By any thread.
  void count_opened(std::uint64_t handshake_us);

 private:
  std::mutex mutex_;
};

// The counters of a fabric by its name; those of unknown names share one entry.
FabricCounters& of_fabric(std::string_view name);
std::span<const std::string_view> fabric_names();

struct RegistrationCounters {
  Counter registered;    // Times that memory was registered with a network device.
  Counter deregistered;  // Times that this was undone.
  Counter bytes;         // Registered now.
};
RegistrationCounters& registrations();

// --- the table ---

enum class Kind : std::uint8_t { kCounter, kTotal, kLevel, kHighest, kLowest, kMean };
enum class Unit : std::uint8_t { kCount, kBytes, kMicroseconds };

struct Row {
  std::string name;
  Kind kind;
  Unit unit;
  std::string meaning;
};
// Always the same rows, in the same order.
std::span<const Row> table();
// Precondition: index < table().size(). A mean, a lowest or a highest of nothing is 0.
std::uint64_t read(std::size_t index);

std::string_view name(Kind kind);
std::string_view name(Unit unit);

}  // namespace tern::counters
