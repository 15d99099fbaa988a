// mpi_api/coll/schedule.cc - building and running graphs of steps; see schedule.h.
#include "mpi_api/coll/schedule.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#include "core/check.h"
#include "mpi_api/datatype.h"
#include "mpi_api/op.h"

namespace tern::mpi::coll {
namespace {

constexpr std::size_t kAlignment = 64;

std::size_t rounded(std::size_t size_bytes) {
  return (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

Schedule::Schedule() = default;
Schedule::~Schedule() = default;

// --- building ---

void Schedule::reset(int rank, int size, Channel& channel) {
  CHECK(in_flight_ == 0);
  rank_ = rank;
  size_ = size;
  channel_ = &channel;
  nodes_.clear();
  edges_.clear();
  layouts_.clear();
  messages_ = 0;
  op_ = nullptr;
  type_ = nullptr;
  hosts_ = nullptr;
  done_ = out_of_memory_ = stopped_ = started_ = false;
  on_done = on_drained = nullptr;
  // The largest chunk serves the next graph; it would have been enough for this one.
  if (chunks_.size() > 1) chunks_.erase(chunks_.begin(), chunks_.end() - 1);
  used_bytes_ = 0;
  inline_used_bytes_ = 0;
}

void Schedule::set_reduction(const Op& op, const Datatype& type) {
  op_ = &op;
  type_ = &type;
}

Step Schedule::add(Kind kind, int peer, int sub, After after) {
  const auto step = static_cast<Step>(nodes_.size());
  Node& node = nodes_.emplace_back();
  node.kind = kind;
  node.sub = static_cast<std::uint8_t>(sub % kSubTags);
  node.peer = part_ != nullptr && peer >= 0 ? part_[peer] : peer;
  for (const Step before : after) order(before, step);
  if (gate_ != kNoStep && nodes_[step].predecessors == 0) order(gate_, step);
  return step;
}

void Schedule::order(Step before, Step step) {
  if (before == kNoStep) return;
  Node& first = nodes_[before];
  const auto edge = static_cast<std::uint32_t>(edges_.size());
  edges_.push_back({step, kNoStep});
  (first.last_edge == kNoStep ? first.first_edge : edges_[first.last_edge].next) = edge;
  first.last_edge = edge;
  Node& second = nodes_[step];
  second.unfinished = ++second.predecessors;
}

Step Schedule::send(int to, int sub, const DataView& data, After after) {
  const Step step = add(Kind::kSend, to, sub, after);
  nodes_[step].from = data;
  nodes_[step].message = static_cast<std::uint32_t>(messages_++);
  return step;
}

Step Schedule::receive(int from, int sub, const DataView& data, After after) {
  const Step step = add(Kind::kReceive, from, sub, after);
  nodes_[step].to = data;
  nodes_[step].message = static_cast<std::uint32_t>(messages_++);
  return step;
}

Step Schedule::reduce(const std::byte* in, std::byte* inout, std::size_t count, After after) {
  const Step step = add(Kind::kReduce, -1, 0, after);
  nodes_[step].from.base = const_cast<std::byte*>(in);
  nodes_[step].to.base = inout;
  nodes_[step].to.count = count;
  return step;
}

Step Schedule::copy(const DataView& from, const DataView& to, After after) {
  const Step step = add(Kind::kCopy, -1, 0, after);
  nodes_[step].from = from;
  nodes_[step].to = to;
  return step;
}

Step Schedule::join(After after) { return add(Kind::kJoin, -1, 0, after); }

Schedule::Part::Part(Schedule& schedule, std::span<const int> members, int own_place, Step after)
    : schedule_(schedule),
      rank_(schedule.rank_),
      size_(schedule.size_),
      first_(static_cast<Step>(schedule.nodes_.size())) {
  CHECK(schedule.part_ == nullptr);
  schedule.part_ = members.data();
  schedule.gate_ = after;
  schedule.rank_ = own_place;
  schedule.size_ = static_cast<int>(members.size());
}

Schedule::Part::~Part() {
  schedule_.part_ = nullptr;
  schedule_.gate_ = kNoStep;
  schedule_.rank_ = rank_;
  schedule_.size_ = size_;
}

Step Schedule::Part::end() {
  const auto last = static_cast<Step>(schedule_.nodes_.size());
  const Step all = schedule_.join();
  for (Step step = first_; step < last; ++step) {
    if (schedule_.nodes_[step].first_edge == kNoStep) schedule_.order(step, all);
  }
  return all;
}

std::byte* Schedule::scratch(std::size_t size_bytes) {
  const std::size_t size = rounded(size_bytes);
  if (size <= kInlineBytes - inline_used_bytes_) {
    std::byte* const place = inline_ + inline_used_bytes_;
    inline_used_bytes_ += size;
    return place;
  }
  if (chunks_.empty() || size > chunks_.back().size_bytes - used_bytes_) {
    // Twice the last one, so that the next graph like this one needs a single chunk.
    const std::size_t least = chunks_.empty() ? 0 : 2 * chunks_.back().size_bytes;
    const std::size_t chunk = std::max(size, least);
    Memory memory(static_cast<std::byte*>(std::aligned_alloc(kAlignment, chunk)), &std::free);
    if (memory == nullptr) {
      out_of_memory_ = true;
      return nullptr;
    }
    chunks_.push_back({std::move(memory), chunk});
    used_bytes_ = 0;
  }
  std::byte* const place = chunks_.back().memory.get() + used_bytes_;
  used_bytes_ += size;
  return place;
}

std::byte* Schedule::scratch_elements(std::size_t count) {
  if (count == 0) return scratch(0);
  const auto [begin, size_bytes] = reach(type_->layout(), count);
  std::byte* const place = scratch(size_bytes);
  return place == nullptr ? nullptr : place - begin;
}

const Layout& Schedule::keep(Layout layout) { return layouts_.emplace_back(std::move(layout)); }

std::size_t Schedule::memory_bytes() const {
  std::size_t total = nodes_.capacity() * sizeof(Node) + edges_.capacity() * sizeof(Edge) +
                      requests_capacity_ * sizeof(StepRequest);
  for (const Chunk& chunk : chunks_) total += chunk.size_bytes;
  return total;
}

void Schedule::release_memory() {
  CHECK(in_flight_ == 0);
  chunks_.clear();
  std::vector<Node>().swap(nodes_);
  std::vector<Edge>().swap(edges_);
  requests_.reset();
  requests_capacity_ = 0;
}

// --- running ---

void Schedule::start() {
  CHECK(!out_of_memory_ && in_flight_ == 0);
  if (started_) {
    for (Node& node : nodes_) node.unfinished = node.predecessors;
  }
  started_ = true;
  done_ = stopped_ = false;
  outcome_ = Outcome::kOk;
  failed_rank_ = -1;
  first_ready_ = last_ready_ = kNoStep;
  unfinished_ = nodes_.size();
  draining_ = true;
  if (messages_ > requests_capacity_ && !grow_requests()) {
    fail(Outcome::kNoMemory, -1);
  }
  for (Step step = 0; step < nodes_.size() && !stopped_; ++step) {
    if (nodes_[step].predecessors == 0) run(step);
  }
  drain();
}

bool Schedule::grow_requests() {
  const std::size_t capacity = std::max<std::size_t>(16, messages_);
  requests_.reset(new (std::nothrow) StepRequest[capacity]);
  requests_capacity_ = requests_ == nullptr ? 0 : capacity;
  return requests_ != nullptr;
}

void Schedule::run(Step step) {
  Node& node = nodes_[step];
  switch (node.kind) {
    case Kind::kSend:
    case Kind::kReceive:
      return run_message(node, step);
    case Kind::kReduce:
      op_->apply(node.from.base, node.to.base, static_cast<MPI_Count>(node.to.count), *type_);
      break;
    case Kind::kCopy:
      tern::copy(node.from, node.to);
      break;
    case Kind::kJoin:
      break;
  }
  finish(step);
}

void Schedule::run_message(const Node& node, Step step) {
  StepRequest& request = requests_[node.message];
  request.on_done = &Schedule::on_request_done;
  request.schedule = this;
  request.step = step;
  request.started = true;
  ++in_flight_;
  if (node.kind == Kind::kReceive) {
    ++receiving_;
    channel_->receive(node.peer, node.sub, node.to, request);
  } else if (channel_->send(node.peer, node.sub, node.from, request)) {
    request.started = false;
    --in_flight_;
    finish(step);
  }
}

void Schedule::on_request_done(tern::Request& base) {
  auto& request = static_cast<StepRequest&>(base);
  Schedule& schedule = *request.schedule;
  const Node& node = schedule.nodes_[request.step];
  request.started = false;
  --schedule.in_flight_;
  if (node.kind == Kind::kReceive) --schedule.receiving_;
  if (request.outcome != Outcome::kOk) [[unlikely]]
    schedule.fail(request.outcome, node.peer);
  schedule.finish(request.step);
  if (!schedule.draining_) schedule.drain();
}

void Schedule::finish(Step step) {
  --unfinished_;
  if (stopped_) [[unlikely]]
    return;
  for (std::uint32_t edge = nodes_[step].first_edge; edge != kNoStep; edge = edges_[edge].next) {
    const Step next = edges_[edge].to;
    if (--nodes_[next].unfinished != 0) continue;
    nodes_[next].next_ready = kNoStep;
    (last_ready_ == kNoStep ? first_ready_ : nodes_[last_ready_].next_ready) = next;
    last_ready_ = next;
  }
}

// Runs what has become ready. The last thing it does is to tell the owner, who may reuse *this.
void Schedule::drain() {
  draining_ = true;
  while (first_ready_ != kNoStep && !stopped_) {
    const Step step = first_ready_;
    first_ready_ = nodes_[step].next_ready;
    if (first_ready_ == kNoStep) last_ready_ = kNoStep;
    run(step);
  }
  draining_ = false;
  if (done_) {
    if (in_flight_ == 0 && on_drained != nullptr) on_drained(*this);
  } else if (unfinished_ == 0 || (stopped_ && receiving_ == 0)) {
    done_ = true;
    if (on_done != nullptr) on_done(*this);
  }
}

void Schedule::stop() {
  fail(Outcome::kPeerLost, -1);
  if (!draining_) drain();
}

void Schedule::fail(Outcome outcome, int rank) {
  if (outcome_ == Outcome::kOk && !stopped_) {
    outcome_ = outcome;
    failed_rank_ = rank;
  }
  // A message that was too long has arrived all the same: the other members rely on what follows.
  if (outcome == Outcome::kTruncated || stopped_) return;
  stopped_ = true;
  const bool outer = std::exchange(draining_, true);
  for (const Node& node : nodes_) {
    if (node.kind != Kind::kReceive) continue;
    if (requests_ != nullptr && requests_[node.message].started) {
      channel_->cancel_receive(requests_[node.message]);
    }
  }
  draining_ = outer;
}

}  // namespace tern::mpi::coll
