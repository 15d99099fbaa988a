// ucx/datapath.cc - messages on their way through UCX; see fabric.h.
#include <cstring>
#include <optional>

#include "core/clock.h"
#include "ucx/fabric.h"

namespace tern::ucx {
namespace {

// Sends per link that UCX may have in hand. The kernel's buffers hold megabytes beside that.
constexpr std::uint32_t kInFlightMax = 16;
// Empty polls after which only one in so many looks: each is a system call, which messages inside
// the host would pay for.
constexpr std::uint32_t kIdlePolls = 1024;
constexpr std::uint32_t kIdlePollsPerLook = 16;
// Polls after which the clock is read, for new sockets.
constexpr std::uint32_t kPollsPerClock = 64;

// memcpy() must not be given a null pointer, which an empty span may have.
std::byte* append(std::byte* to, std::span<const std::byte> bytes) {
  if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
  return to + bytes.size();
}

std::size_t pack(std::byte* to, std::uint64_t token, Kind kind, std::span<const std::byte> head,
                 std::span<const std::byte> body) {
  const MessageHead prefix{token, kind, static_cast<std::uint8_t>(head.size()), {}};
  std::memcpy(to, &prefix, sizeof prefix);
  return static_cast<std::size_t>(append(append(to + sizeof prefix, head), body) - to);
}

// Who asks before on_peer_down() has said why waits for that.
Post ended(const UcxLink& link) {
  return link.state == UcxLink::State::kFailing ? Post::kNoCredit : Post::kPeerDown;
}

// A parcel that is on its way is a copy.
Post at_once_or_copied(Post posted) { return posted == Post::kPending ? Post::kDone : posted; }

}  // namespace

FabricLimits UcxFabric::limits() const {
  constexpr std::size_t kEagerBytesMax = 256 * 1024;
  constexpr std::size_t kHeads = sizeof(MessageHead) + wire::kMaxHeadBytes;
  return {wire::kMaxHeadBytes, kBodyBytesMax, kBodyBytesMax, kEagerBytesMax,
          kCopiedBytesMax - kHeads};
}

Post UcxFabric::send(Link& link, std::span<const std::byte> head, std::span<const std::byte> body) {
  return post(static_cast<UcxLink&>(link), Kind::kMessage, head, body);
}

Post UcxFabric::post(UcxLink& link, Kind kind, std::span<const std::byte> head,
                     std::span<const std::byte> body) {
  if (link.state != UcxLink::State::kOpen) return ended(link);
  const std::size_t bytes = sizeof(MessageHead) + head.size() + body.size();
  const bool is_small = bytes <= kCopiedBytesMax;
  // Behind one that waits, others wait: UCX keeps the order of what it has accepted.
  if (is_small && link.in_flight == 0) {
    pack(scratch_.data(), link.token, kind, head, body);
    ucp_request_param_t at_once{};
    at_once.op_attr_mask = UCP_OP_ATTR_FLAG_FORCE_IMM_CMPL | UCP_OP_ATTR_FIELD_FLAGS;
    at_once.flags = UCP_AM_SEND_FLAG_EAGER;
    void* const sent =
        table_.am_send_nbx(link.ep, kActiveMessageId, nullptr, 0, scratch_.data(), bytes, &at_once);
    if (sent == nullptr) return Post::kDone;
    if (UCS_PTR_STATUS(sent) != UCS_ERR_NO_RESOURCE) return refused(link, UCS_PTR_STATUS(sent));
  }
  if (link.in_flight >= kInFlightMax) return Post::kNoCredit;
  if (is_small) {
    SmallParcel* const parcel = small_parcels_.get();
    if (parcel == nullptr) return Post::kNoCredit;
    static_cast<Parcel&>(*parcel) = {&link, 0, Parcel::Size::kSmall, kind == Kind::kHello};
    pack(parcel->bytes.data(), link.token, kind, head, body);
    return at_once_or_copied(post_parcel(link, *parcel, {}, {parcel->bytes.data(), bytes}));
  }
  LargeParcel* const parcel = large_parcels_.get();
  if (parcel == nullptr) return Post::kNoCredit;
  static_cast<Parcel&>(*parcel) = {&link, 0, Parcel::Size::kLarge, false};
  pack(parcel->bytes.data(), link.token, kind, head, body);
  return at_once_or_copied(post_parcel(link, *parcel, {}, {parcel->bytes.data(), bytes}));
}

Post UcxFabric::lend(Link& lent_to, std::span<const std::byte> head,
                     std::span<const std::byte> body, std::uint32_t op) {
  auto& link = static_cast<UcxLink&>(lent_to);
  if (link.state != UcxLink::State::kOpen) return ended(link);
  if (link.in_flight >= kInFlightMax) return Post::kNoCredit;
  HeadParcel* const parcel = head_parcels_.get();
  if (parcel == nullptr) return Post::kNoCredit;
  static_cast<Parcel&>(*parcel) = {&link, op, Parcel::Size::kHeads, false};
  const std::size_t bytes = pack(parcel->bytes.data(), link.token, Kind::kMessage, head, {});
  return post_parcel(link, *parcel, {parcel->bytes.data(), bytes}, body);
}

// kDone when UCX has copied or sent it, kPending when it will. On any other answer the parcel is
// free again.
Post UcxFabric::post_parcel(UcxLink& link, Parcel& parcel, std::span<const std::byte> head,
                            std::span<const std::byte> body) {
  ucp_request_param_t param{};
  param.op_attr_mask =
      UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  param.flags = UCP_AM_SEND_FLAG_EAGER;
  param.cb.send = on_sent;
  param.user_data = &parcel;
  void* const sent = table_.am_send_nbx(link.ep, kActiveMessageId, head.data(), head.size(),
                                        body.data(), body.size(), &param);
  if (UCS_PTR_IS_PTR(sent)) {
    ++link.in_flight;
    ++in_flight_;
    return Post::kPending;
  }
  free_parcel(parcel);
  return sent == nullptr ? Post::kDone : refused(link, UCS_PTR_STATUS(sent));
}

Post UcxFabric::refused(UcxLink& link, ucs_status_t status) {
  if (status != UCS_ERR_NO_RESOURCE && status != UCS_ERR_NO_MEMORY) fail(link, status);
  return Post::kNoCredit;
}

void UcxFabric::free_parcel(Parcel& parcel) {
  switch (parcel.size) {
    case Parcel::Size::kHeads:
      return head_parcels_.put(static_cast<HeadParcel*>(&parcel));
    case Parcel::Size::kSmall:
      return small_parcels_.put(static_cast<SmallParcel*>(&parcel));
    case Parcel::Size::kLarge:
      return large_parcels_.put(static_cast<LargeParcel*>(&parcel));
  }
}

void UcxFabric::on_sent(void* request, ucs_status_t status, void* parcel_pointer) {
  Parcel& parcel = *static_cast<Parcel*>(parcel_pointer);
  UcxLink& link = *parcel.link;
  UcxFabric& fabric = link.fabric;
  fabric.table_.request_free(request);
  --link.in_flight;
  --fabric.in_flight_;
  ++fabric.events_;
  if (parcel.is_hello && status == UCS_OK) {
    fabric.counters_.count_opened(fine_us() - link.begun_us);
  }
  if (parcel.size == Parcel::Size::kHeads) {
    fabric.returned_.emplace_back(parcel.op, status == UCS_OK);
  }
  fabric.free_parcel(parcel);
}

// Whatever the sink does about one may return others.
int UcxFabric::report_returned(FabricSink& sink) {
  reporting_.swap(returned_);
  for (const auto& [op, ok] : reporting_) sink.on_complete(op, ok);
  const int count = static_cast<int>(reporting_.size());
  reporting_.clear();
  return count;
}

int UcxFabric::poll(FabricSink& sink) {
  if (idle_polls_ >= kIdlePolls && in_flight_ == 0 && unsettled_.empty() &&
      idle_polls_++ % kIdlePollsPerLook != 0) {
    return 0;
  }
  sink_ = &sink;
  events_ = 0;
  const unsigned moved = table_.worker_progress(worker_->handle());
  if (!returned_.empty()) events_ += report_returned(sink);
  if (!unsettled_.empty()) [[unlikely]]
    events_ += settle(sink);
  sink_ = nullptr;
  idle_polls_ = events_ > 0 || moved > 0 ? 0 : idle_polls_ + 1;
  if (++polls_ % kPollsPerClock == 0) look_after_sockets();
  return events_ + static_cast<int>(moved > 0);
}

ucs_status_t UcxFabric::on_active_message(void* fabric, const void* header,
                                          std::size_t header_bytes, void* data, std::size_t bytes,
                                          const ucp_am_recv_param_t* param) {
  // Ours never come by UCX's rendezvous, for which `data` would be no data.
  if ((param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0) return UCS_OK;
  static_cast<UcxFabric*>(fabric)->on_arrival({static_cast<const std::byte*>(header), header_bytes},
                                              {static_cast<const std::byte*>(data), bytes});
  return UCS_OK;  // The data is UCX's again.
}

// A lent message has its heads in the active message's header, all others are in one piece.
void UcxFabric::on_arrival(std::span<const std::byte> header, std::span<const std::byte> data) {
  if (sink_ == nullptr) return;  // At the end, when nobody listens any more.
  const bool lent = !header.empty();
  std::span<const std::byte> heads = lent ? header : data;
  MessageHead prefix;
  if (heads.size() < sizeof prefix) return;
  std::memcpy(&prefix, heads.data(), sizeof prefix);
  heads = heads.subspan(sizeof prefix);
  if (heads.size() < prefix.head_bytes) return;
  const auto head = heads.first(prefix.head_bytes);
  const auto body = lent ? data : heads.subspan(prefix.head_bytes);
  ++events_;
  if (prefix.kind == Kind::kHello) return on_hello(prefix.token, body);
  const auto from = incoming_.find(prefix.token);
  if (from == incoming_.end()) return;
  if (prefix.kind == Kind::kMessage) {
    sink_->on_message(*from->second.peer, head, body);
  } else if (prefix.kind == Kind::kGoodbye) {
    incoming_.erase(from);
  }
}

void UcxFabric::on_hello(std::uint64_t token, std::span<const std::byte> text) {
  const std::string card(reinterpret_cast<const char*>(text.data()), text.size());
  std::string why;
  const std::optional<Card> sender = Card::decode(card, why);
  Peer* const peer = sender ? sink_->on_contact(card) : nullptr;
  expect_sockets();
  if (peer != nullptr) incoming_.insert_or_assign(token, Incoming{peer, sender->id});
}

}  // namespace tern::ucx
