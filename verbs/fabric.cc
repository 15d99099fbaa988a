// verbs/fabric.cc - set-up, and the calls of core/fabric.h that are not the path of a message.
#include "verbs/fabric.h"

#include <fcntl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/check.h"
#include "core/clock.h"
#include "core/format.h"
#include "verbs/constants.h"
#include "verbs/memory_hooks.h"

namespace tern::verbs {

connect::Micros VerbsFabric::now() { return fine_us(); }

std::unique_ptr<VerbsFabric> VerbsFabric::create(const IbvTable& table, const ProcessId& self,
                                                 const VerbsOptions& options, std::string& why) {
  std::unique_ptr<Port> port = Port::open(table, options.port, why);
  if (port == nullptr) return nullptr;
  std::unique_ptr<VerbsFabric> fabric(new VerbsFabric(std::move(port), self, options));
  if (!fabric->start(why)) fabric.reset();
  return fabric;
}

VerbsFabric::VerbsFabric(std::unique_ptr<Port> port, const ProcessId& self,
                         const VerbsOptions& options)
    : port_(std::move(port)),
      table_(port_->table()),
      counters_(counters::of_fabric(name())),
      self_(self),
      options_(options) {}

bool VerbsFabric::start(std::string& why) {
  pd_ = table_.alloc_pd(port_->context());
  if (pd_ == nullptr) {
    why =
        format("a protection domain of {} cannot be had ({})", port_->text(), std::strerror(errno));
    return false;
  }
  rail_ = Rail::create(table_, options_.port, *port_, why_no_rail_);
  fcntl(port_->context()->async_fd, F_SETFL, O_NONBLOCK);
  signal_ = SignalQueue::create(*port_, pd_, options_.cm, why);
  if (signal_ == nullptr) return false;
  timer_fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (timer_fd_ < 0) {
    why = format("a timer descriptor cannot be had ({})", std::strerror(errno));
    return false;
  }
  connect::Options connect_options;
  connect_options.self = self_;
  connect_options.incarnation = wall_ns();
  connect_options.seed = fine_ns() ^ self_.rank;
  connect_options.connections_max = options_.connections_max;
  connect_options.give_up_us = static_cast<connect::Micros>(options_.peer_timeout_s * 1e6);
  connect_options.probe_us =
      std::clamp(connect_options.give_up_us / kProbesPerTimeout, kProbeUsMin, kProbeUsMax);
  connect::Driver& driver = *this;
  connector_ = std::make_unique<connect::Connector>(connect_options, driver);
  return true;
}

VerbsFabric::~VerbsFabric() {
  stopping_.store(true, std::memory_order_release);
  {
    const Turnstile::Owner inside(turnstile_);
    wake_thread();
  }
  if (thread_.joinable()) thread_.join();
  for (const auto& link : links_) {
    connector_->detach(*link, now());
    fail_transfers(*link);
  }
  for (Region* const region : exposed_) memory_->release(*region);
  if (memory_ != nullptr) unwatch_memory(*memory_);
  memory_.reset();
  rail_.reset();
  if (srq_ != nullptr) table_.destroy_srq(srq_);
  if (cq_ != nullptr) table_.destroy_cq(cq_);
  if (channel_ != nullptr) table_.destroy_comp_channel(channel_);
  receive_slots_.reset();
  small_slots_.reset();
  large_slots_.reset();
  mailboxes_.reset();
  signal_.reset();
  if (pd_ != nullptr) table_.dealloc_pd(pd_);
  if (timer_fd_ >= 0) ::close(timer_fd_);
}

FabricLimits VerbsFabric::limits() const {
  return {wire::kMaxHeadBytes, kBodyBytesMax, kBodyBytesMax, kEagerBytesMax};
}

bool VerbsFabric::is_soft() const {
  constexpr std::uint32_t kVendorOfRxe = 0xffffff;
  return port_->device_attributes().vendor_id == kVendorOfRxe ||
         (rail_ != nullptr && rail_->port().device_attributes().vendor_id == kVendorOfRxe);
}

std::string VerbsFabric::second_port_text() const {
  if (rail_ != nullptr) return "; a part of large messages goes over " + rail_->port().text();
  return why_no_rail_.empty() ? "" : "; of the others that are named: " + why_no_rail_;
}

std::string VerbsFabric::address() const { return signal_->address().encode(); }

void VerbsFabric::set_own_card(std::string_view card) {
  own_card_ = card;
  // From now on connection requests can be answered.
  has_thread_ = options_.connect_thread;
  if (has_thread_) thread_ = std::thread([this] { serve(); });
}

std::string VerbsFabric::why_unreachable(const Card& card) const {
  const auto found = card.addresses.find(name());
  if (found == card.addresses.end()) {
    return "it has no RDMA device, or verbs turned off (its TERN_FABRIC?)";
  }
  SignalAddress address;
  if (!SignalAddress::decode(found->second, address)) return "its verbs address is damaged";
  if ((options_.cm != nullptr) != (address.cm.port != 0)) {
    return format(
        "it connects by {}, this process by {}; TERN_VERBS_CM has to be the same for both",
        address.cm.port != 0 ? "rdmacm" : "ud", options_.cm != nullptr ? "rdmacm" : "ud");
  }
  return why_unreachable(address);
}

std::string VerbsFabric::why_unreachable(const SignalAddress& address) const {
  const PortAddress& own = port_->address();
  const PortAddress& its = address.port;
  if (own.ethernet != its.ethernet) {
    return format("it is on {}, this process on {}",
                  its.ethernet ? "Ethernet (RoCE)" : "InfiniBand",
                  own.ethernet ? "Ethernet (RoCE)" : "InfiniBand");
  }
  if (own.ethernet && own.gid_type != its.gid_type) {
    return "one side uses RoCE v1 and the other RoCE v2; TERN_VERBS_GID_INDEX chooses";
  }
  if (!own.ethernet && own.gid.global.subnet_prefix != its.gid.global.subnet_prefix) {
    return "it is on another InfiniBand subnet";
  }
  return {};
}

Link* VerbsFabric::connect(Peer& peer, const Card& card, std::string& why) {
  const Turnstile::Owner inside(turnstile_);
  if (connect::Connection* const known = connector_->find(card.id)) {
    auto& link = static_cast<VerbsLink&>(*known);
    link.record = &peer;
    return &link;
  }
  if (device_lost_) {
    why = problem_;
    return nullptr;
  }
  SignalAddress address;
  if (!SignalAddress::decode(card.addresses.find(name())->second, address)) {
    why = "its verbs address is damaged";
    return nullptr;
  }
  if (own_card_.size() + connect::Message::kBytesMax > signal_->bytes_max()) {
    why = format("the business card does not fit a datagram of {} bytes (the MTU of {})",
                 signal_->bytes_max(), port_->text());
    return nullptr;
  }
  VerbsLink& link = add_link(card.id, address, card.encode());
  link.record = &peer;
  return &link;
}

VerbsLink& VerbsFabric::add_link(const ProcessId& id, const SignalAddress& where,
                                 std::string_view card) {
  VerbsLink& link =
      *links_.emplace_back(std::make_unique<VerbsLink>(where, std::string(card), reads()));
  link.index = static_cast<std::uint32_t>(links_.size() - 1);
  connector_->attach(link, id);
  return link;
}

void* VerbsFabric::expose(std::span<const std::byte> memory, std::uint64_t& key) {
  const Turnstile::Owner inside(turnstile_);
  std::string why;
  if (!open_queues(why)) return nullptr;
  Region* const region = this->memory().acquire(memory.data(), memory.size(), why);
  if (region == nullptr) return nullptr;
  key = std::uint64_t{region->second_remote_key} << kSecondKeyShift | region->remote_key;
  exposed_.insert(region);
  return region;
}

void VerbsFabric::conceal(void* exposure) {
  const Turnstile::Owner inside(turnstile_);
  auto* const region = static_cast<Region*>(exposure);
  exposed_.erase(region);
  memory_->release(*region);
}

// The hooks cost a library of some size: it is loaded by those who send large messages.
RegistrationCache& VerbsFabric::memory() {
  if (memory_ != nullptr) return *memory_;
  RegistrationOptions options = options_.registration;
  options.self_check = options.self_check && VerbsRegistrar::may_see_frames();
  registrar_ = std::make_unique<VerbsRegistrar>(
      table_, pd_, rail_ != nullptr ? rail_->pd() : nullptr, options.self_check);
  memory_ = std::make_unique<RegistrationCache>(options, *registrar_);
  std::string why;
  if (options.hooks && !watch_memory(*memory_, why)) {
    options.hooks = false;  // Right, and slower: nothing is kept.
    memory_ = std::make_unique<RegistrationCache>(options, *registrar_);
  }
  return *memory_;
}

int VerbsFabric::poll(FabricSink& sink) {
  const Turnstile::Owner inside(turnstile_);
  int events = 0;
  if (!contacts_.empty() || !failed_.empty() || !finished_transfers_.empty()) [[unlikely]]
    events += report(sink);
  if (cq_ != nullptr) events += reap(sink);
  if (rail_ != nullptr) events += reap_rail(sink);
  if (events == 0)
    idle_turn();
  else
    idle_polls_ = 0;
  return events;
}

bool VerbsFabric::drained() const {
  const Turnstile::Owner inside(turnstile_);
  for (const auto& link : links_) {
    if (link->state() == connect::State::kFailed) continue;
    if (!link->out.empty() || !link->lane.reads.empty() || !link->lane.writes.empty()) return false;
    if (link->sends && link->in.has_unannounced()) return false;
  }
  return true;
}

bool VerbsFabric::release(const Peer& peer, bool gone) {
  if (!gone) return false;
  const Turnstile::Owner inside(turnstile_);
  for (const auto& link : links_) {
    if (link->record != &peer) continue;
    connector_->refuse(*link, now());
    link->record = nullptr;
  }
  return true;
}

std::uint32_t VerbsFabric::before_sleep() {
  const Turnstile::Owner inside(turnstile_);
  flush_acks();
  watch_all();
  // Now, rather than when the channel was made: it would only have waited for us to finish.
  if (has_thread_ && channel_ != nullptr && !thread_sees_completions_) wake_thread();
  if (cq_ != nullptr) ibv_req_notify_cq(cq_, 0);
  // A peer's acknowledgement can come without an event, and so can everything without a thread.
  constexpr std::uint32_t kLookAgainUs = 1000;
  // So can the end of what a second port does.
  const bool second = rail_ != nullptr && std::ranges::any_of(links_, [](const auto& link) {
                        return link->rail_lane.reads_posted + link->rail_lane.writes_posted > 0;
                      });
  const bool by_itself = second || !has_thread_ || !awaiting_.empty();
  return by_itself ? kLookAgainUs : UINT32_MAX;
}

// Tells the engine what happened outside poll().
int VerbsFabric::report(FabricSink& sink) {
  int events = 0;
  // The sink may cause more of each: take them one by one.
  while (!contacts_.empty()) {
    VerbsLink* const link = contacts_.back();
    contacts_.pop_back();
    if (link->record == nullptr) report_contact(sink, *link);
    ++events;
  }
  while (!finished_transfers_.empty()) {
    const auto [op, ok] = finished_transfers_.back();
    finished_transfers_.pop_back();
    sink.on_complete(op, ok);
    ++events;
  }
  while (!failed_.empty()) {
    VerbsLink* const link = failed_.back();
    failed_.pop_back();
    if (link->record != nullptr) sink.on_peer_down(*link->record, link->why);
    ++events;
  }
  return events;
}

bool VerbsFabric::report_contact(FabricSink& sink, VerbsLink& link) {
  std::string why;
  const std::optional<Card> card = Card::decode(link.card, why);
  if (!card || card->id != link.peer()) return false;
  // The engine calls connect(), unless it reaches that process otherwise already.
  Peer* const peer = sink.on_contact(link.card);
  if (peer != nullptr) link.record = peer;
  return peer != nullptr;
}

connect::Counters VerbsFabric::counters() {
  const Turnstile::Owner inside(turnstile_);  // The service thread counts, too.
  return connector_->counters();
}

bool VerbsFabric::break_link(Link& link) {
  const Turnstile::Owner inside(turnstile_);
  ibv_qp* const qp = static_cast<VerbsLink&>(link).qp;
  if (qp == nullptr) return false;
  ibv_qp_attr change{};
  change.qp_state = IBV_QPS_ERR;
  return table_.modify_qp(qp, &change, IBV_QP_STATE) == 0;
}

}  // namespace tern::verbs
