// shm/fabric.cc - contact, messages and large copies between processes of one host; see fabric.h.
#include "shm/fabric.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "core/check.h"
#include "core/clock.h"
#include "shm/inbox.h"

namespace tern::shm {

namespace {

// Measured with tern-perf. Between cores that share no cache, one copy by the kernel beats two
// through the ring beyond 6 KiB; where they share one, beyond 24 KiB.
constexpr std::size_t kEagerMaxBytes = 6144;
constexpr std::size_t kEagerMaxWhenNear = 24576;

}  // namespace

struct ShmFabric::ShmLink final : Link {
  ShmLink(Peer& to, Segment their_inboxes, Segment own_ring)
      : peer(&to),
        inboxes(std::move(their_inboxes)),
        ring(std::move(own_ring)),
        producer(ring.as<Ring>()),
        bell(&inboxes.as<Inboxes>().bell()) {}
  bool can_get() const override { return single_copy; }
  bool prefers_eager(std::size_t bytes) override {
    // A pair that has moved together since finds out by a message that is tried now and then.
    constexpr std::uint32_t kTryOneIn = 64;
    return bytes <= kEagerMaxWhenNear && (producer.near() || ++asked % kTryOneIn == 0);
  }

  Peer* peer;
  Segment inboxes;
  Segment ring;
  Producer producer;
  DoorbellWord* bell;
  RingOffer offer{};
  std::uint32_t pid = 0;
  std::uint32_t inbox_fd = 0;  // Of the peer, and the inode behind it.
  std::uint64_t inbox_inode = 0;
  std::uint64_t offered_at_us = 0;
  bool offered = false;
  bool settled = false;  // The peer has mapped the ring.
  bool single_copy = false;
  bool suspect = false;              // Its process was not there when looked at last.
  std::uint32_t asked = 0;           // Messages that prefers_eager() was asked about while far.
  std::uint32_t tickets_in_use = 0;  // Bit per ticket of this ring.
};

struct ShmFabric::Incoming {
  Incoming(Segment ring_segment, std::uint32_t producer_pid)
      : segment(std::move(ring_segment)), consumer(segment.as<Ring>()), pid(producer_pid) {}
  Segment segment;
  Consumer consumer;
  std::uint32_t pid;
  Peer* peer = nullptr;
  bool broken = false;
  bool over = false;  // Its producer has said goodbye.
};

struct ShmFabric::Job {
  ShmLink* link;
  std::byte* to;
  std::uint64_t from;
  std::size_t size;
  std::uint32_t op;
  std::uint32_t ticket;
  std::uint32_t generation;
  std::uint32_t done = 0;  // Chunks copied by this side.
  bool failed = false;
  bool abandoned = false;  // The source was killed: the operation fails with the peer.
};

struct ShmFabric::Help {
  Incoming* incoming;
  HelpRequest request;
};

namespace {

// What an address says: "PID.FD.NONCE.INBOXES.INODE" in hexadecimal; INBOXES is the address of the
// inboxes in their owner's memory, for trying whether single-copy works; INODE is the memfd's, for
// telling later whether the process still has it open.
struct Address {
  std::uint64_t pid, fd, nonce, inboxes, inode;
};

bool parse_address(std::string_view text, Address& address) {
  for (std::uint64_t* field :
       {&address.pid, &address.fd, &address.nonce, &address.inboxes, &address.inode}) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *field, 16);
    if (error != std::errc()) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.starts_with('.')) text.remove_prefix(1);
  }
  return text.empty();
}

std::string format_address(const Address& address) {
  char text[96];
  std::snprintf(text, sizeof text, "%lx.%lx.%lx.%lx.%lx", address.pid, address.fd, address.nonce,
                address.inboxes, address.inode);
  return text;
}

// Whether the processes at the other ends live is looked at so often, whenever a process waits (a
// poll takes some 50 ns), and for so many of them at a time (some 2 us each).
constexpr std::uint64_t kLookEveryMs = 100;
constexpr std::uint32_t kPollsPerLook = 4096;
constexpr std::size_t kLooksAtOnce = 64;

std::uint64_t random_nonce() {
  std::uint64_t nonce = 0;
  if (getrandom(&nonce, sizeof nonce, 0) != sizeof nonce) {
    nonce = static_cast<std::uint64_t>(getpid()) * 0x9E3779B97F4A7C15ULL;
  }
  return nonce;
}

}  // namespace

std::unique_ptr<ShmFabric> ShmFabric::create(const ProcessId& self, const HostIdentity& host,
                                             const ShmOptions& options, std::string& why) {
  Segment created = Segment::create("inbox", sizeof(Inboxes), why);
  if (!created) return nullptr;
  auto inboxes = std::make_shared<Segment>(std::move(created));
  const std::uint64_t nonce = random_nonce();
  inbox_init(inboxes->as<Inboxes>().lanes[0].inbox, nonce);
  std::unique_ptr<ShmFabric> fabric(
      new ShmFabric(self, host, options, std::move(inboxes), nonce, 0));
  fabric->own_doorbell_ = std::make_shared<Doorbell>(fabric->inboxes_->as<Inboxes>().bell());
  fabric->doorbell_ = fabric->own_doorbell_.get();
  fabric->doorbell_->enable();
  return fabric;
}

void ShmFabric::open_lanes(unsigned count) {
  CHECK(count < kLanes);
  for (unsigned lane = 1; lane <= count; ++lane) {
    inbox_init(inboxes_->as<Inboxes>().lanes[lane].inbox, nonce_);
  }
}

std::unique_ptr<ShmFabric> ShmFabric::make_lane(unsigned number) const {
  CHECK(number > 0 && number < kLanes);
  std::unique_ptr<ShmFabric> fabric(
      new ShmFabric(self_, host_, options_, inboxes_, nonce_, number));
  fabric->doorbell_ = doorbell_;
  return fabric;
}

ShmFabric::ShmFabric(const ProcessId& self, const HostIdentity& host, const ShmOptions& options,
                     std::shared_ptr<Segment> inboxes, std::uint64_t nonce, unsigned lane)
    : self_(self),
      host_(host),
      options_(options),
      inboxes_(std::move(inboxes)),
      nonce_(nonce),
      lane_(lane),
      counters_(counters::of_fabric(name())) {
  if (options_.single_copy) allow_single_copy();
}

ShmFabric::~ShmFabric() { counters_.memory_bytes.subtract_shared(links_.size() * sizeof(Ring)); }

FabricLimits ShmFabric::limits() const {
  // Measured with bench/micro: from 4 KiB on two fragments, whose copies overlap, beat one.
  constexpr std::size_t kMaxBody = 3072;
  constexpr std::size_t kFragmentBytes = 2048;
  static_assert(kMaxBody <= kMaxBodyBytes && kFragmentBytes <= kMaxBody);
  return {kMaxHeadBytes, kMaxBody, kFragmentBytes, kEagerMaxBytes};
}

std::string ShmFabric::address() const {
  return format_address(
      {static_cast<std::uint64_t>(getpid()), static_cast<std::uint64_t>(inboxes_->fd()), nonce_,
       reinterpret_cast<std::uint64_t>(&inboxes_->as<Inboxes>()), inboxes_->inode()});
}

std::string ShmFabric::why_unreachable(const Card& card) const {
  if (card.id == self_) return "it is this process";
  if (card.host.boot_id != host_.boot_id) {
    return "it runs on another host (" + card.host.host_name + ")";
  }
  if (card.host.pid_space != host_.pid_space || card.host.user_space != host_.user_space) {
    return "it runs in another container of this host (other pid or user namespace); share the "
           "namespaces to use shared memory";
  }
  if (!card.addresses.contains(name())) return "it has shm turned off (its TERN_FABRIC?)";
  return {};
}

Link* ShmFabric::connect(Peer& peer, const Card& card, std::string& why) {
  Address address{};
  if (!parse_address(card.addresses.find(name())->second, address)) {
    why = "its shm address is damaged";
    return nullptr;
  }
  const auto pid = static_cast<std::uint32_t>(address.pid);
  Segment inboxes =
      Segment::open(pid, static_cast<std::uint32_t>(address.fd), sizeof(Inboxes), why);
  if (!inboxes) return nullptr;
  const Inbox& theirs = inboxes.as<Inboxes>().lanes[lane_].inbox;
  if (theirs.magic != kInboxMagic || theirs.nonce != address.nonce) {
    why = "process " + std::to_string(pid) + " is not the one that its card describes (it ended?)";
    return nullptr;
  }
  Segment segment = Segment::create("ring", sizeof(Ring), why);
  if (!segment) return nullptr;
  CHECK(own_card_.size() <= kCardBytes);
  Ring& ring = segment.as<Ring>();  // A new memfd is all zero, which is a valid empty ring.
  ring.magic = kRingMagic;
  ring.nonce = random_nonce();
  ring.card_bytes = static_cast<std::uint32_t>(own_card_.size());
  std::memcpy(ring.card, own_card_.data(), own_card_.size());

  auto link = std::make_unique<ShmLink>(peer, std::move(inboxes), std::move(segment));
  link->pid = pid;
  link->inbox_fd = static_cast<std::uint32_t>(address.fd);
  link->inbox_inode = address.inode;
  link->offer = {static_cast<std::uint32_t>(getpid()), static_cast<std::uint32_t>(link->ring.fd()),
                 ring.nonce};
  std::uint64_t probe = 0;
  link->single_copy =
      options_.single_copy &&
      copy_from_process(pid, reinterpret_cast<std::byte*>(&probe),
                        address.inboxes + offsetof(Inbox, nonce), sizeof probe) == 0 &&
      probe == address.nonce;
  link->offered_at_us = fine_us();
  link->offered = offer(*link);
  Doorbell::ring_if_armed(*link->bell);
  counters_.setup_bytes.add_shared(sizeof link->offer + own_card_.size());
  counters_.memory_bytes.add_shared(sizeof(Ring));
  unsettled_.push_back(link.get());
  links_.push_back(std::move(link));
  return links_.back().get();
}

bool ShmFabric::offer(ShmLink& link) const {
  return inbox_push(link.inboxes.as<Inboxes>().lanes[lane_].inbox, link.offer);
}

Post ShmFabric::send(Link& link, std::span<const std::byte> head, std::span<const std::byte> body) {
  auto& to = static_cast<ShmLink&>(link);
  if (!to.producer.push(CellKind::kMessage, head, body)) return Post::kNoCredit;
  Doorbell::ring_if_armed(*to.bell);
  return Post::kDone;
}

Post ShmFabric::send_eager(Link& link, std::uint64_t context, std::uint64_t source_and_tag,
                           const std::byte* body, std::size_t body_bytes) {
  auto& to = static_cast<ShmLink&>(link);
  if (!to.producer.push_eager(context, source_and_tag, body, body_bytes)) return Post::kNoCredit;
  Doorbell::ring_if_armed(*to.bell);
  return Post::kDone;
}

// Copying from a process that has been killed fails, maybe before it can be seen that it has ended.
bool ShmFabric::was_killed(const ShmLink& link, int copy_error) {
  return copy_error == ESRCH && !has_left(link);
}

// What waits for one that was killed fails when that is certain (has_ended()), and then has a
// reason.
Post ShmFabric::outcome_of_copy(const ShmLink& from, int error) {
  if (error == 0) return Post::kDone;
  return was_killed(from, error) ? Post::kPending : Post::kPeerDown;
}

Post ShmFabric::get(Link& link, const DataView& target, RemoteSpan from, std::size_t size,
                    std::uint32_t op) {
  auto& source = static_cast<ShmLink&>(link);
  std::byte* const to = target.run();
  if (to == nullptr) return Post::kNoCredit;
  if (size < kShareFromBytes || !options_.shared_copy) {
    return outcome_of_copy(source, copy_from_process(source.pid, to, from.address, size));
  }
  const auto ticket = static_cast<std::uint32_t>(__builtin_ctz(~source.tickets_in_use));
  if (ticket >= kTickets) {
    // Enough copies are shared already; do this one alone, later ones wait for it.
    return outcome_of_copy(source, copy_from_process(source.pid, to, from.address, size));
  }
  source.tickets_in_use |= 1U << ticket;
  const std::uint32_t generation = open_ticket(source.producer.ring().tickets[ticket]);
  jobs_.push_back({&source, to, from.address, size, op, ticket, generation});
  const HelpRequest help{from.address, reinterpret_cast<std::uint64_t>(to), size, ticket,
                         generation};
  // A full ring means a busy peer: no invitation then.
  if (source.producer.push(CellKind::kHelp, {}, std::as_bytes(std::span(&help, 1)))) {
    Doorbell::ring_if_armed(*source.bell);
  }
  return Post::kPending;
}

int ShmFabric::poll(FabricSink& sink) {
  int events = accept_offers(sink);
  // Rings may be added while messages are handled, but only at the end: indices stay valid.
  for (std::size_t i = 0; i < incoming_.size(); ++i) {
    Incoming& incoming = *incoming_[i];
    if (incoming.consumer.ready()) events += receive(sink, incoming);
  }
  if (goodbyes_) [[unlikely]] {
    std::erase_if(incoming_, [](const auto& incoming) { return incoming->over; });
    goodbyes_ = false;
  }
  if (!unsettled_.empty()) [[unlikely]]
    events += settle_links(sink);
  if (!jobs_.empty() || !helps_.empty()) [[unlikely]]
    events += copy_turn(sink);
  if (--polls_until_look_ == 0) [[unlikely]]
    events += look_for_ended(sink);
  return events;
}

int ShmFabric::receive(FabricSink& sink, Incoming& incoming) {
  // Bounded, so that one fast sender does not keep others waiting.
  constexpr int kBatch = 32;
  if (incoming.broken) return 0;
  int count = 0;
  do {
    Consumer::Message message;
    if (!incoming.consumer.read(message)) {
      incoming.broken = true;
      sink.on_peer_down(*incoming.peer, "its messages in shared memory are damaged");
      return count;
    }
    if (message.kind == CellKind::kMessage) [[likely]] {
      sink.on_message(*incoming.peer, message.head, message.body);
    } else if (message.kind == CellKind::kHelp) {
      begin_help(incoming, message.body);
    } else if (message.kind == CellKind::kGoodbye) {
      incoming.over = goodbyes_ = true;
      return count + 1;
    }
    incoming.consumer.pop();
    ++count;
  } while (count < kBatch && incoming.consumer.ready());
  return count;
}

int ShmFabric::accept_offers(FabricSink& sink) {
  int count = 0;
  while (const std::optional<RingOffer> offer = inbox_pop(inbox(), inbox_position_)) {
    attach(sink, *offer);
    ++count;
  }
  return count;
}

void ShmFabric::attach(FabricSink& sink, const RingOffer& offer) {
  std::string why;
  Segment segment = Segment::open(offer.pid, offer.fd, sizeof(Ring), why);
  if (!segment) return;  // Its maker is gone, or never was: nobody waits for an answer.
  Ring& ring = segment.as<Ring>();
  const std::size_t card_bytes = ring.card_bytes;
  const bool sound =
      ring.magic == kRingMagic && ring.nonce == offer.nonce && card_bytes <= kCardBytes;
  Peer* const peer = sound ? sink.on_contact(std::string(ring.card, card_bytes)) : nullptr;
  const Attachment answer = peer != nullptr ? Attachment::kAttached : Attachment::kRefused;
  ring.consumed.attachment.store(static_cast<std::uint32_t>(answer), std::memory_order_release);
  if (peer == nullptr) return;
  incoming_.push_back(std::make_unique<Incoming>(std::move(segment), offer.pid));
  incoming_.back()->peer = peer;
}

// Looks after links whose peer has not mapped the ring yet.
int ShmFabric::settle_links(FabricSink& sink) {
  int events = 0;
  for (std::size_t i = 0; i < unsettled_.size();) {
    ShmLink& link = *unsettled_[i];
    if (!link.offered) {
      link.offered = offer(link);
      if (link.offered) Doorbell::ring_if_armed(*link.bell);
    }
    const auto state = static_cast<Attachment>(
        link.producer.ring().consumed.attachment.load(std::memory_order_acquire));
    if (state == Attachment::kOffered) {
      ++i;
      continue;
    }
    link.ring.close_descriptor();
    unsettled_[i] = unsettled_.back();
    unsettled_.pop_back();
    ++events;
    if (state == Attachment::kAttached) {
      link.settled = true;
      counters_.count_opened(fine_us() - link.offered_at_us);
    } else {
      counters_.failed.add_shared(1);
      sink.on_peer_down(*link.peer, "it refused the connection (another Tern release?)");
    }
  }
  return events;
}

std::uint32_t ShmFabric::before_sleep() {
  if (links_.empty()) return UINT32_MAX;
  polls_until_look_ = 1;
  return static_cast<std::uint32_t>(kLookEveryMs) * 1000;
}

// One that left in good order is awaited by nobody; but a ring that it has not mapped stays so.
bool ShmFabric::has_left(const ShmLink& link) {
  return link.settled &&
         link.inboxes.as<Inboxes>().lanes[0].inbox.left.load(std::memory_order_relaxed) != 0;
}

// Two looks in a row must find it gone, so that everything that it sent has been read between them.
bool ShmFabric::has_ended(ShmLink& link) const {
  if (Segment::is_open(link.pid, link.inbox_fd, link.inbox_inode)) return link.suspect = false;
  if (has_left(link)) return false;
  if (!std::exchange(link.suspect, true)) return false;
  return std::ranges::none_of(incoming_, [&link](const auto& incoming) {
    return incoming->peer == link.peer && !incoming->broken && incoming->consumer.ready();
  });
}

// Whoever waits for a process that has been killed would do so for ever.
int ShmFabric::look_for_ended(FabricSink& sink) {
  polls_until_look_ = kPollsPerLook;
  const std::uint64_t now = coarse_ms();
  if (now < next_look_ms_) return 0;
  next_look_ms_ = now + kLookEveryMs;
  std::vector<Peer*> ended;
  std::size_t first_suspect = SIZE_MAX;
  for (std::size_t i = std::min(links_.size(), kLooksAtOnce); i > 0; --i) {
    const std::size_t index = next_looked_at_++ % links_.size();
    ShmLink& link = *links_[index];
    if (has_ended(link)) {
      ended.push_back(link.peer);
      if (!link.settled) counters_.failed.add_shared(1);
    }
    if (link.suspect) first_suspect = std::min(first_suspect, index);
  }
  // The second look at these comes next.
  if (ended.empty() && first_suspect != SIZE_MAX) next_looked_at_ = first_suspect;
  for (Peer* const peer : ended) {
    sink.on_peer_ended(*peer, "its process has ended");
    (void)release(*peer, true);
  }
  return static_cast<int>(ended.size());
}

void ShmFabric::leave() {
  inboxes_->as<Inboxes>().lanes[0].inbox.left.store(1, std::memory_order_relaxed);
}

void ShmFabric::begin_help(Incoming& incoming, std::span<const std::byte> body) {
  Help help{&incoming, {}};
  if (body.size() != sizeof help.request) return;
  std::memcpy(&help.request, body.data(), sizeof help.request);
  if (help.request.ticket < kTickets && help.request.size > 0) helps_.push_back(help);
}

// One chunk of one copy per poll, so that small messages are not kept waiting.
int ShmFabric::copy_turn(FabricSink& sink) {
  int events = 0;
  if (!jobs_.empty()) {
    const std::uint32_t before = jobs_.front().done;
    if (advance_job(jobs_.front())) {
      const Job job = jobs_.front();
      jobs_.erase(jobs_.begin());
      job.link->tickets_in_use &= ~(1U << job.ticket);
      if (!job.abandoned) sink.on_complete(job.op, !job.failed);
      ++events;
    } else if (jobs_.front().done != before) {
      ++events;
    }
  }
  if (!helps_.empty()) {
    if (!advance_help(helps_.front())) helps_.erase(helps_.begin());
    ++events;
  }
  return events;
}

// True when the copy is finished, or abandoned because its source has ended.
bool ShmFabric::advance_job(Job& job) {
  CopyTicket& ticket = job.link->producer.ring().tickets[job.ticket];
  const std::uint32_t chunks = chunk_count(job.size);
  const std::int64_t chunk = claim_chunk(ticket, job.generation, chunks);
  if (chunk >= 0) {
    const std::size_t start = static_cast<std::size_t>(chunk) * chunk_bytes(job.size);
    const std::size_t size = std::min(chunk_bytes(job.size), job.size - start);
    const int error = copy_from_process(job.link->pid, job.to + start, job.from + start, size);
    job.failed = job.failed || error != 0;
    job.abandoned = was_killed(*job.link, error);
    ++job.done;
  }
  if (job.abandoned) return true;
  if (job.done + ticket.helper_done.load(std::memory_order_acquire) < chunks) return false;
  job.failed = job.failed || ticket.helper_failed.load(std::memory_order_relaxed) != 0;
  return true;
}

// False when nothing is left to help with.
bool ShmFabric::advance_help(Help& help) {
  const HelpRequest& request = help.request;
  CopyTicket& ticket = help.incoming->segment.as<Ring>().tickets[request.ticket];
  const std::int64_t chunk = claim_chunk(ticket, request.generation, chunk_count(request.size));
  if (chunk < 0) return false;
  const std::size_t start = static_cast<std::size_t>(chunk) * chunk_bytes(request.size);
  const std::size_t size = std::min(chunk_bytes(request.size), request.size - start);
  const int error =
      copy_to_process(help.incoming->pid, request.destination + start,
                      reinterpret_cast<const std::byte*>(request.source) + start, size);
  if (error != 0) ticket.helper_failed.store(1, std::memory_order_relaxed);
  ticket.helper_done.fetch_add(1, std::memory_order_release);
  return true;
}

std::string ShmFabric::why_gone(const Card& card) const {
  Address address{};
  const auto text = card.addresses.find(name());
  if (!why_unreachable(card).empty() || !parse_address(text->second, address)) return {};
  // A process that has ended has no descriptors, a zombie included, and whoever gets its number
  // later does not have its inbox.
  const auto pid = static_cast<std::uint32_t>(address.pid);
  if (Segment::is_open(pid, static_cast<std::uint32_t>(address.fd), address.inode)) return {};
  return "process " + std::to_string(pid) + " on this host has ended";
}

bool ShmFabric::close(Link& link) {
  auto& to = static_cast<ShmLink&>(link);
  const auto copies = [&to](const Job& job) { return job.link == &to; };
  if (std::ranges::find(unsettled_, &to) != unsettled_.end() ||
      std::ranges::any_of(jobs_, copies) || !to.producer.push(CellKind::kGoodbye, {}, {})) {
    return false;
  }
  Doorbell::ring_if_armed(*to.bell);
  destroy(to);
  return true;
}

void ShmFabric::destroy(ShmLink& link) {
  if (link.settled) counters_.closed.add_shared(1);
  counters_.memory_bytes.subtract_shared(sizeof(Ring));
  std::erase(unsettled_, &link);
  std::erase_if(jobs_, [&link](const Job& job) { return job.link == &link; });
  std::erase_if(links_, [&link](const auto& owned) { return owned.get() == &link; });
}

bool ShmFabric::release(const Peer& peer, bool gone) {
  const auto from_peer = [&peer](const auto& entry) { return entry->peer == &peer; };
  if (!gone) return std::ranges::none_of(incoming_, from_peer);
  std::erase_if(helps_, [&peer](const Help& help) { return help.incoming->peer == &peer; });
  std::erase_if(incoming_, from_peer);
  while (true) {
    const auto link = std::ranges::find_if(links_, from_peer);
    if (link == links_.end()) return true;
    destroy(**link);
  }
}

DoorbellWord* ShmFabric::bell_of(Link& link) { return static_cast<ShmLink&>(link).bell; }

bool ShmFabric::drained() const { return unsettled_.empty() && jobs_.empty() && helps_.empty(); }

}  // namespace tern::shm
