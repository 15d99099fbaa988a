// verbs/signal.cc - see signal.h.
#include "verbs/signal.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "core/format.h"

namespace tern::verbs {
namespace {

constexpr std::uint64_t kSendTag = 1;  // In wr_id, beside the slot's address: of a send.

std::size_t mtu_bytes(ibv_mtu mtu) { return std::size_t{128} << static_cast<unsigned>(mtu); }

}  // namespace

std::string SignalAddress::encode() const {
  const std::string text = format("{}/{}.{:x}", port.network(), port.encode(), qp_number);
  return cm.port != 0 ? text + "@" + cm.encode() : text;
}

bool SignalAddress::decode(std::string_view text, SignalAddress& address) {
  text.remove_prefix(text.find('/') + 1);  // The network's name, which may be left out.
  const std::size_t at = text.find('@');
  if (at != std::string_view::npos && !CmAddress::decode(text.substr(at + 1), address.cm)) {
    return false;
  }
  text = text.substr(0, at);
  const std::size_t dot = text.rfind('.');
  if (dot == std::string_view::npos) return false;
  const std::string_view digits = text.substr(dot + 1);
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), address.qp_number, 16);
  return error == std::errc() && end == digits.data() + digits.size() &&
         PortAddress::decode(text.substr(0, dot), address.port);
}

SignalQueue::SignalQueue(Port& port, ibv_pd* pd)
    : port_(port),
      table_(port.table()),
      pd_(pd),
      payload_bytes_(std::min<std::size_t>(mtu_bytes(port.attributes().active_mtu), 2048)),
      receive_slots_(table_, pd, 2048 + 64, kReceives, IBV_ACCESS_LOCAL_WRITE),
      send_slots_(table_, pd, 2048, kSends, IBV_ACCESS_LOCAL_WRITE) {}

std::unique_ptr<SignalQueue> SignalQueue::create(Port& port, ibv_pd* pd, const CmTable* cm,
                                                 std::string& why) {
  std::unique_ptr<SignalQueue> queue(new SignalQueue(port, pd));
  if (!queue->open(why) || !queue->start(why)) return nullptr;
  if (cm != nullptr) {
    queue->cm_ = PathFinder::create(*cm, port, queue->qp_->qp_num, why);
    if (queue->cm_ == nullptr) return nullptr;
  }
  return queue;
}

SignalQueue::~SignalQueue() {
  forget_ways();
  if (qp_ != nullptr) table_.destroy_qp(qp_);
  if (cq_ != nullptr) table_.destroy_cq(cq_);
  if (channel_ != nullptr) table_.destroy_comp_channel(channel_);
}

bool SignalQueue::open(std::string& why) {
  const auto failed = [&](const char* what, int error) {
    why = format("{} for connection signalling failed on {} ({})", what, port_.text(),
                 std::strerror(error));
    return false;
  };
  channel_ = table_.create_comp_channel(port_.context());
  if (channel_ == nullptr) return failed("making a completion channel", errno);
  fcntl(channel_->fd, F_SETFL, O_NONBLOCK);
  cq_ = table_.create_cq(port_.context(), kReceives + kSends, nullptr, channel_, 0);
  if (cq_ == nullptr) return failed("making a completion queue", errno);
  ibv_qp_init_attr make{};
  make.send_cq = make.recv_cq = cq_;
  make.cap = {kSends, kReceives, 1, 1, 0};
  make.qp_type = IBV_QPT_UD;
  make.sq_sig_all = 1;
  qp_ = table_.create_qp(pd_, &make);
  if (qp_ == nullptr) return failed("making a queue pair", errno);
  if (!receive_slots_.grow(why) || !send_slots_.grow(why)) return false;
  for (int i = 0; i < kReceives; ++i) receives_.push_back(receive_slots_.get());
  for (int i = 0; i < kSends; ++i) sends_.push_back(send_slots_.get());
  return true;
}

// From RESET on: nothing is posted or under way.
bool SignalQueue::start(std::string& why) {
  const auto failed = [&](int error) {
    why = format("starting the queue pair for connection signalling failed on {} ({})",
                 port_.text(), std::strerror(error));
    return false;
  };
  arrived_.clear();
  ibv_qp_attr change{};
  change.qp_state = IBV_QPS_INIT;
  change.port_num = port_.number();
  change.qkey = kQkey;
  if (const int error = table_.modify_qp(
          qp_, &change, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY)) {
    return failed(error);
  }
  free_sends_ = sends_;
  for (Slot* const slot : receives_) {
    if (slot != lent_ && !post_receive(*slot)) return failed(errno);
  }
  change.qp_state = IBV_QPS_RTR;
  if (const int error = table_.modify_qp(qp_, &change, IBV_QP_STATE)) return failed(error);
  change.qp_state = IBV_QPS_RTS;
  if (const int error = table_.modify_qp(qp_, &change, IBV_QP_STATE | IBV_QP_SQ_PSN)) {
    return failed(error);
  }
  arm();
  return true;
}

// A send has failed, and with it all that was posted. False: not possible now.
bool SignalQueue::start_again() {
  device_gone_ = device_gone_ || port_.is_gone();
  if (device_gone_) return false;
  ibv_qp_attr change{};
  change.qp_state = IBV_QPS_RESET;
  if (table_.modify_qp(qp_, &change, IBV_QP_STATE) != 0) return false;
  ibv_wc late{};
  while (ibv_poll_cq(cq_, 1, &late) == 1) {
  }
  port_.find_address_again();
  forget_ways();  // The network may have changed.
  std::string why;
  failed_ = !start(why);
  return !failed_;
}

bool SignalQueue::post_receive(Slot& slot) {
  ibv_sge piece{reinterpret_cast<std::uint64_t>(slot.memory),
                static_cast<std::uint32_t>(kGrhBytes + payload_bytes_), slot.local_key};
  ibv_recv_wr request{};
  request.wr_id = reinterpret_cast<std::uint64_t>(&slot);
  request.sg_list = &piece;
  request.num_sge = 1;
  ibv_recv_wr* refused = nullptr;
  return ibv_post_recv(qp_, &request, &refused) == 0;
}

ibv_ah_attr SignalQueue::route_to(const SignalAddress& to) const {
  const Path* const found = cm_ != nullptr && to.cm.port != 0 ? cm_->known(to.cm) : nullptr;
  return port_.route_to(to.port, found != nullptr ? *found : to.path);
}

ibv_ah* SignalQueue::way_to(const PortAddress& port, const Path& path) {
  WayKey key{};
  std::memcpy(key.data(), port.gid.raw, sizeof port.gid.raw);
  std::memcpy(key.data() + sizeof port.gid.raw, &port.lid, sizeof port.lid);
  key[key.size() - 2] = path.service_level;
  key[key.size() - 1] = path.traffic_class;
  const auto known = ways_.find(key);
  if (known != ways_.end()) return known->second;
  ibv_ah_attr attributes = port_.route_to(port, path);
  ibv_ah* const way = table_.create_ah(pd_, &attributes);
  if (way != nullptr) ways_.emplace(key, way);
  return way;
}

void SignalQueue::forget_ways() {
  for (const auto& [port, way] : ways_) table_.destroy_ah(way);
  ways_.clear();
  if (cm_ != nullptr) cm_->forget();
}

void SignalQueue::send_what_waited() {
  for (const auto& [address, one] : std::exchange(waiting_, {})) {
    send(one.to, {one.message, one.card});
  }
}

void SignalQueue::send(const SignalAddress& to, const Datagram& datagram) {
  if (failed_ && !start_again()) return;
  if (free_sends_.empty()) reap();  // They raise no event.
  if (datagram.message.size() + datagram.card.size() > bytes_max() || free_sends_.empty()) return;
  Path path = to.path;
  if (cm_ != nullptr && to.cm.port != 0) {
    const Path* const found = cm_->find(to.cm, to.qp_number);
    if (found == nullptr) {
      waiting_[to.cm] = {
          to, {datagram.message.begin(), datagram.message.end()}, std::string(datagram.card)};
      return;
    }
    path = *found;
  }
  ibv_ah* const way = way_to(to.port, path);
  if (way == nullptr) return;
  Slot* const slot = free_sends_.back();
  const PortAddress& own = port_.address();
  const DatagramHead head{kDatagramMagic,
                          static_cast<std::uint16_t>(datagram.message.size()),
                          static_cast<std::uint16_t>(datagram.card.size()),
                          own.gid,
                          qp_->qp_num,
                          own.lid,
                          own.gid_type,
                          static_cast<std::uint8_t>(own.ethernet ? 1 : 0),
                          path.service_level,
                          path.traffic_class,
                          path.hop_limit,
                          {}};
  std::byte* at = slot->memory;
  std::memcpy(at, &head, sizeof head);
  at = std::copy(datagram.message.begin(), datagram.message.end(), at + sizeof head);
  const auto card = std::as_bytes(std::span(datagram.card));
  at = std::copy(card.begin(), card.end(), at);

  ibv_sge piece{reinterpret_cast<std::uint64_t>(slot->memory),
                static_cast<std::uint32_t>(at - slot->memory), slot->local_key};
  ibv_send_wr request{};
  request.wr_id = reinterpret_cast<std::uint64_t>(slot) | kSendTag;
  request.sg_list = &piece;
  request.num_sge = 1;
  request.opcode = IBV_WR_SEND;
  request.send_flags = IBV_SEND_SOLICITED;
  request.wr.ud.ah = way;
  request.wr.ud.remote_qpn = to.qp_number;
  request.wr.ud.remote_qkey = kQkey;
  ibv_send_wr* refused = nullptr;
  if (ibv_post_send(qp_, &request, &refused) == 0) free_sends_.pop_back();
}

// Takes what the device has finished.
void SignalQueue::reap() {
  ibv_wc done{};
  while (ibv_poll_cq(cq_, 1, &done) == 1) {
    if (done.status != IBV_WC_SUCCESS) {
      failed_ = true;
    } else if ((done.wr_id & kSendTag) != 0) {
      free_sends_.push_back(reinterpret_cast<Slot*>(done.wr_id & ~kSendTag));
    } else {
      arrived_.push_back(done);
    }
  }
}

bool SignalQueue::receive(Datagram& datagram, Slot*& slot) {
  if (cm_ != nullptr && cm_->poll()) send_what_waited();
  reap();
  while (!arrived_.empty()) {
    const ibv_wc done = arrived_.front();
    arrived_.pop_front();
    slot = reinterpret_cast<Slot*>(done.wr_id);
    DatagramHead head{};
    const std::size_t size = done.byte_len > kGrhBytes ? done.byte_len - kGrhBytes : 0;
    const std::byte* const bytes = slot->memory + kGrhBytes;
    if (size >= sizeof head) std::memcpy(&head, bytes, sizeof head);
    if (head.magic != kDatagramMagic ||
        sizeof head + head.message_bytes + head.card_bytes != size) {
      release(*slot);
      continue;
    }
    datagram.message = {bytes + sizeof head, head.message_bytes};
    datagram.card = {reinterpret_cast<const char*>(bytes) + sizeof head + head.message_bytes,
                     head.card_bytes};
    datagram.from.port = PortAddress{head.ethernet != 0, head.gid_type, head.lid, head.gid};
    datagram.from.qp_number = head.qp_number;
    datagram.from.path = {head.service_level, head.traffic_class, head.hop_limit};
    lent_ = slot;
    return true;
  }
  if (failed_) (void)start_again();
  return false;
}

void SignalQueue::release(Slot& slot) {
  lent_ = nullptr;
  // Refused by a queue pair in error: it is posted when that is started again.
  if (!post_receive(slot)) failed_ = true;
}

void SignalQueue::read_event() {
  ibv_cq* cq = nullptr;
  void* context = nullptr;
  if (table_.get_cq_event(channel_, &cq, &context) == 0) table_.ack_cq_events(cq, 1);
}

}  // namespace tern::verbs
