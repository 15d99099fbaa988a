// ucx/fabric.cc - links: how they begin, fail and end; see fabric.h.
#include "ucx/fabric.h"

#include <sys/random.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/clock.h"
#include "core/format.h"
#include "ucx/address.h"

namespace tern::ucx {
namespace {

constexpr std::uint64_t kLookAtSocketsMs = 1000;
// At the end: for what is still in UCX's hands, which the peers may not read any more.
constexpr std::uint64_t kFarewellMs = 200;

std::uint64_t random_token(const ProcessId& self) {
  std::uint64_t token = 0;
  if (getrandom(&token, sizeof token, 0) != sizeof token) token = fine_ns() ^ self.rank << 48;
  return token;
}

std::string_view likely_cause(ucs_status_t status) {
  switch (status) {
    case UCS_ERR_CONNECTION_RESET:
      return "its process has ended";
    case UCS_ERR_REJECTED:
    case UCS_ERR_NOT_CONNECTED:
      return "its process has ended, or a firewall refuses the connection";
    case UCS_ERR_UNREACHABLE:
    case UCS_ERR_TIMED_OUT:
      return "its host is down or cut off, or a firewall drops what is sent to it";
    default:
      return "its process or host has ended, or nothing has come from there for as long as "
             "TERN_PEER_TIMEOUT says, as when the network is interrupted";
  }
}

}  // namespace

std::unique_ptr<UcxFabric> UcxFabric::create(const UcpTable& table, const ProcessId& self,
                                             const UcxOptions& options, std::string& why) {
  std::unique_ptr<Worker> worker = Worker::open(table, options.worker, why);
  if (worker == nullptr) return nullptr;
  std::unique_ptr<UcxFabric> fabric(new UcxFabric(std::move(worker), self, options));
  if (!fabric->start(why)) fabric.reset();
  return fabric;
}

UcxFabric::UcxFabric(std::unique_ptr<Worker> worker, const ProcessId& self,
                     const UcxOptions& options)
    : worker_(std::move(worker)),
      table_(worker_->table()),
      counters_(counters::of_fabric(name())),
      self_(self),
      options_(options) {}

bool UcxFabric::start(std::string& why) {
  ucp_am_handler_param_t handler{};
  handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB |
                       UCP_AM_HANDLER_PARAM_FIELD_ARG;
  handler.id = kActiveMessageId;
  handler.cb = on_active_message;
  handler.arg = this;
  const ucs_status_t status = table_.worker_set_am_recv_handler(worker_->handle(), &handler);
  if (status == UCS_OK) return true;
  why = format("UCX does not take active messages ({})", table_.status_string(status));
  return false;
}

UcxFabric::~UcxFabric() {
  bell_.reset();
  for (const auto& link : links_) close_endpoint(*link, link->state == UcxLink::State::kFailing);
  const std::uint64_t end_ms = coarse_ms() + kFarewellMs;
  const auto closed = [this](const auto& link) { return is_closed(*link); };
  while (!std::ranges::all_of(links_, closed) && coarse_ms() < end_ms) {
    table_.worker_progress(worker_->handle());
  }
  // Whatever does not end, ends with the worker, which wants its requests back before.
  for (const auto& link : links_) {
    if (link->closing != nullptr) table_.request_free(link->closing);
  }
  worker_.reset();
}

std::string UcxFabric::text() const {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  table_.get_version(&major, &minor, &release);
  const std::string& devices = options_.worker.devices;
  return format("networks between hosts, TCP among them, by UCX {}.{}.{}{}", major, minor, release,
                devices.empty() ? "" : " on " + devices);
}

std::string UcxFabric::why_unreachable(const Card& card) const {
  if (card.id == self_) return "it is this process";
  const auto found = card.addresses.find(name());
  if (found == card.addresses.end()) return "it has no UCX, or ucx turned off (its TERN_FABRIC?)";
  if (decode_address(found->second).empty()) return "its ucx address is damaged";
  return {};
}

Link* UcxFabric::connect(Peer& peer, const Card& card, std::string& why) {
  for (const auto& link : links_) {
    if (link->id == card.id && link->state == UcxLink::State::kOpen) {
      link->record = &peer;
      return link.get();
    }
  }
  auto link = std::make_unique<UcxLink>(*this);
  link->record = &peer;
  link->id = card.id;
  link->host = card.host.host_name;
  link->token = random_token(self_);
  link->begun_us = fine_us();
  if (!open_endpoint(*link, card, why)) return nullptr;
  UcxLink& opened = *links_.emplace_back(std::move(link));
  counters_.setup_bytes.add(own_card_.size());
  expect_sockets();
  // The first message of a link is taken at once: nothing is on its way.
  if (post(opened, Kind::kHello, {}, std::as_bytes(std::span(own_card_))) != Post::kDone) {
    why = opened.status != UCS_OK ? table_.status_string(opened.status) : "no memory is left";
    opened.record = nullptr;
    fail(opened, UCS_ERR_CANCELED);
    return nullptr;
  }
  return &opened;
}

bool UcxFabric::open_endpoint(UcxLink& link, const Card& card, std::string& why) {
  const std::vector<std::byte> address = decode_address(card.addresses.find(name())->second);
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(address.data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler.cb = on_endpoint_error;
  params.err_handler.arg = &link;
  const ucs_status_t status = table_.ep_create(worker_->handle(), &params, &link.ep);
  if (status == UCS_OK) return true;
  link.ep = nullptr;
  counters_.failed.add(1);
  why = format(
      "UCX does not reach it ({}); do the hosts have a network in common, and do "
      "TERN_UCX_NET_DEVICES and TERN_UCX_TLS allow it?",
      table_.status_string(status));
  return false;
}

void UcxFabric::on_endpoint_error(void* link_pointer, ucp_ep_h, ucs_status_t status) {
  UcxLink& link = *static_cast<UcxLink*>(link_pointer);
  link.fabric.fail(link, status);
}

void UcxFabric::fail(UcxLink& link, ucs_status_t status) {
  if (link.state == UcxLink::State::kFailing || link.state == UcxLink::State::kFailed) return;
  link.status = status;
  if (link.state == UcxLink::State::kOpen) unsettled_.push_back(&link);
  link.state = UcxLink::State::kFailing;
}

void UcxFabric::close_endpoint(UcxLink& link, bool force) {
  if (link.ep == nullptr || link.closing != nullptr) return;
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = force ? UCP_EP_CLOSE_FLAG_FORCE : 0;
  void* const closing = table_.ep_close_nbx(link.ep, &param);
  if (UCS_PTR_IS_PTR(closing)) {
    link.closing = closing;
  } else {
    link.ep = nullptr;
  }
}

bool UcxFabric::is_closed(UcxLink& link) {
  if (link.closing != nullptr && table_.request_check_status(link.closing) != UCS_INPROGRESS) {
    table_.request_free(std::exchange(link.closing, nullptr));
    link.ep = nullptr;
  }
  return link.ep == nullptr;
}

// Takes the links that end one step further.
int UcxFabric::settle(FabricSink& sink) {
  int events = 0;
  for (std::size_t i = 0; i < unsettled_.size();) {
    if (!settle(sink, *unsettled_[i])) {
      ++i;
      continue;
    }
    ++events;
    unsettled_[i] = unsettled_.back();
    unsettled_.pop_back();
  }
  const auto is_over = [this](const auto& link) {
    return link->record == nullptr && link->ep == nullptr && link->in_flight == 0 &&
           std::ranges::find(unsettled_, link.get()) == unsettled_.end();
  };
  if (events > 0) std::erase_if(links_, is_over);
  return events;
}

// True when nothing is left to be done for it.
bool UcxFabric::settle(FabricSink& sink, UcxLink& link) {
  if (link.state == UcxLink::State::kFailing) {
    close_endpoint(link, true);
    // What was lent comes back before the peer is down.
    if (!is_closed(link) || link.in_flight > 0 || !returned_.empty()) return false;
    link.state = UcxLink::State::kFailed;
    if (link.record == nullptr) {
      // Nobody says goodbye any more, unless the process has come again.
      const auto is_open = [&link](const auto& other) {
        return other->id == link.id && other->state == UcxLink::State::kOpen;
      };
      if (std::ranges::none_of(links_, is_open)) forget_incoming(link.id);
    } else {
      counters_.failed.add(1);
      sink.on_peer_down(*link.record, describe_failure(link));
    }
    return true;
  }
  // Closing: the peer may still send on the same connection.
  if (link.in_flight == 0 && !is_heard(link.id)) close_endpoint(link, false);
  return is_closed(link);
}

std::string UcxFabric::describe_failure(const UcxLink& link) const {
  return format("rank {} on host {} is lost over ucx: `{}`: {}", link.id.rank, link.host,
                table_.status_string(link.status), likely_cause(link.status));
}

bool UcxFabric::is_heard(const ProcessId& id) const {
  return std::ranges::any_of(incoming_, [&id](const auto& entry) { return entry.second.id == id; });
}

void UcxFabric::forget_incoming(const ProcessId& id) {
  std::erase_if(incoming_, [&id](const auto& entry) { return entry.second.id == id; });
}

bool UcxFabric::close(Link& closed) {
  auto& link = static_cast<UcxLink&>(closed);
  if (link.in_flight > 0) return false;
  if (link.state == UcxLink::State::kOpen) {
    if (post(link, Kind::kGoodbye, {}, {}) != Post::kDone) return false;
    link.state = UcxLink::State::kClosing;
    counters_.closed.add(1);
    unsettled_.push_back(&link);
  }
  link.record = nullptr;
  return true;
}

bool UcxFabric::release(const Peer& peer, bool gone) {
  const auto from_peer = [&peer](const auto& entry) { return entry.second.peer == &peer; };
  if (!gone) return std::ranges::none_of(incoming_, from_peer);
  std::erase_if(incoming_, from_peer);
  for (const auto& link : links_) {
    if (link->record != &peer) continue;
    link->record = nullptr;
    fail(*link, UCS_ERR_CANCELED);
    close_endpoint(*link, true);
  }
  return true;
}

// UCX opens them when it gets round to it, in either direction.
void UcxFabric::expect_sockets() {
  constexpr int kLooks = 5;
  looks_left_ = kLooks;
  next_look_ms_ = 0;
}

void UcxFabric::look_after_sockets() {
  if (looks_left_ == 0) return;
  const std::uint64_t now_ms = coarse_ms();
  if (now_ms < next_look_ms_) return;
  --looks_left_;
  next_look_ms_ = now_ms + kLookAtSocketsMs;
  worker_->sockets().limit();
}

std::uint32_t UcxFabric::before_sleep() {
  constexpr std::uint32_t kLookAgainUs = 1000;
  constexpr std::uint32_t kAtOnceUs = 1;
  idle_polls_ = 0;
  look_after_sockets();
  if (bell_ == nullptr && options_.thread && bell_word_ != nullptr) {
    bell_ = std::make_unique<EventBell>(worker_->event_fd(), *bell_word_);
    if (!bell_->start()) {
      bell_.reset();
      options_.thread = false;
    }
  }
  if (!worker_->arm()) return kAtOnceUs;
  if (bell_ == nullptr) return kLookAgainUs;
  bell_->watch();
  return UINT32_MAX;
}

}  // namespace tern::ucx
