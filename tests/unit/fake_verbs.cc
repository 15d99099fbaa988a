// tests/unit/fake_verbs.cc - see fake_verbs.h.
#include "tests/unit/fake_verbs.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <random>

namespace tern::test {
namespace {

struct FakeCq : ibv_cq {
  std::deque<ibv_wc> done;
  bool armed = false;
};
struct Receive {
  std::uint64_t id;
  ibv_sge piece;
};
struct FakeSrq : ibv_srq {
  std::uint32_t entries = 0;
  std::deque<Receive> receives;
};
struct FakeQp : ibv_qp {
  std::deque<Receive> receives;
  std::uint32_t dest = 0;
  int segments_max = 0;
};
struct FakeAh : ibv_ah {};

std::recursive_mutex mutex;
using Lock = std::lock_guard<std::recursive_mutex>;
std::map<std::uint32_t, FakeQp*> qps;
std::map<std::uint32_t, ibv_mr*> regions;
std::uint32_t next_number = 16;
FakeFaults faults;
bool happened = false;
bool network_down = false;
bool devices_gone = false;
std::vector<ibv_context*> contexts;
int rules_broken = 0;
int alive = 0;
int address_handles = 0;
std::uint8_t address_level = 0;
std::uint8_t queue_pair_level = 0;
std::minstd_rand random_bits(7);
ibv_device both[2];
ibv_device* devices[] = {&both[0], &both[1], nullptr};
std::uint64_t moved_bytes[2] = {};

bool fails(const char* call) {
  const Lock lock(mutex);
  if (happened || faults.call != call || faults.after-- > 0) return false;
  happened = true;
  errno = ENOMEM;
  return true;
}

void complete(ibv_cq* queue, const ibv_wc& done) {
  auto& cq = static_cast<FakeCq&>(*queue);
  if (cq.done.size() >= static_cast<std::size_t>(cq.cqe)) ++rules_broken;
  cq.done.push_back(done);
  if (cq.armed && cq.channel != nullptr) {
    const std::uint64_t one = 1;
    (void)!write(cq.channel->fd, &one, sizeof one);
  }
  cq.armed = false;
}

int device_of(const ibv_qp& qp) { return qp.context->device == &both[0] ? 0 : 1; }

// A key is good for queue pairs of the protection domain that it was made in.
bool permitted(const ibv_qp& qp, std::uint32_t key, std::uint64_t address, std::size_t size) {
  const auto found = regions.find(key);
  if (found == regions.end() || found->second->pd != qp.pd) return false;
  const auto begin = reinterpret_cast<std::uint64_t>(found->second->addr);
  return begin <= address && address + size <= begin + found->second->length;
}

// As devices do: what was posted comes back, and nothing is taken any more.
void fail_qp(FakeQp& qp) {
  qp.state = IBV_QPS_ERR;
  for (; !qp.receives.empty(); qp.receives.pop_front()) {
    ibv_wc done{};
    done.wr_id = qp.receives.front().id;
    done.status = IBV_WC_WR_FLUSH_ERR;
    done.qp_num = qp.qp_num;
    complete(qp.recv_cq, done);
  }
}

void finish(FakeQp& qp, const ibv_send_wr& request, ibv_wc_status status) {
  if (status != IBV_WC_SUCCESS) fail_qp(qp);
  if (status == IBV_WC_SUCCESS && (request.send_flags & IBV_SEND_SIGNALED) == 0 &&
      qp.qp_type == IBV_QPT_RC) {
    return;
  }
  ibv_wc done{};
  done.wr_id = request.wr_id;
  done.status = status;
  done.qp_num = qp.qp_num;
  complete(qp.send_cq, done);
}

// Between memory of this side, in pieces, and of the other.
ibv_wc_status transfer(const FakeQp& to, const ibv_send_wr& request) {
  std::uint64_t remote = request.wr.rdma.remote_addr;
  for (int i = 0; i < request.num_sge; ++i) {
    const ibv_sge& piece = request.sg_list[i];
    if (!permitted(to, request.wr.rdma.rkey, remote, piece.length)) return IBV_WC_REM_ACCESS_ERR;
    moved_bytes[device_of(to)] += piece.length;
    auto* const here = reinterpret_cast<std::byte*>(piece.addr);
    auto* const there = reinterpret_cast<std::byte*>(remote);
    if (request.opcode == IBV_WR_RDMA_READ) {
      std::memcpy(here, there, piece.length);
    } else if (piece.length == sizeof(std::uint64_t) && remote % sizeof(std::uint64_t) == 0) {
      std::uint64_t word = 0;  // As a device does, not torn.
      std::memcpy(&word, here, sizeof word);
      __atomic_store_n(reinterpret_cast<std::uint64_t*>(there), word, __ATOMIC_RELEASE);
    } else {
      std::memcpy(there, here, piece.length);
    }
    remote += piece.length;
  }
  return IBV_WC_SUCCESS;
}

ibv_wc_status deliver(FakeQp& qp, const ibv_send_wr& request) {
  const ibv_sge& piece = *request.sg_list;
  const auto* const from = reinterpret_cast<const std::byte*>(piece.addr);
  for (int i = 0; i < request.num_sge; ++i) {
    const ibv_sge& one = request.sg_list[i];
    if ((request.send_flags & IBV_SEND_INLINE) == 0 &&
        !permitted(qp, one.lkey, one.addr, one.length)) {
      return IBV_WC_LOC_PROT_ERR;
    }
  }
  if (request.num_sge > qp.segments_max) ++rules_broken;
  const bool datagram = qp.qp_type == IBV_QPT_UD;
  const bool is_down = network_down || (faults.second_device_down && device_of(qp) == 1);
  if (is_down) return datagram ? IBV_WC_LOC_QP_OP_ERR : IBV_WC_RETRY_EXC_ERR;
  const auto found = qps.find(datagram ? request.wr.ud.remote_qpn : qp.dest);
  FakeQp* const to = found == qps.end() ? nullptr : found->second;
  const bool listens = to != nullptr && to->qp_type == qp.qp_type &&
                       (to->state == IBV_QPS_RTR || to->state == IBV_QPS_RTS);
  if (datagram) {
    const bool lost = std::uniform_real_distribution<>()(random_bits) < faults.datagram_loss;
    if (!listens || lost || to->receives.empty()) return IBV_WC_SUCCESS;
  } else if (!listens || to->dest != qp.qp_num) {
    return IBV_WC_RETRY_EXC_ERR;
  }
  if (request.opcode == IBV_WR_RDMA_READ &&
      std::uniform_real_distribution<>()(random_bits) < faults.false_reads) {
    fail_qp(qp);
    return IBV_WC_SUCCESS;
  }
  if (request.opcode == IBV_WR_RDMA_READ || request.opcode == IBV_WR_RDMA_WRITE) {
    return transfer(*to, request);
  }
  auto& receives = datagram ? to->receives : static_cast<FakeSrq*>(to->srq)->receives;
  if (receives.empty()) {
    ++rules_broken;
    return IBV_WC_RNR_RETRY_EXC_ERR;
  }
  const Receive receive = receives.front();
  receives.pop_front();
  const std::size_t grh = datagram ? 40 : 0;
  ibv_wc done{};
  done.wr_id = receive.id;
  done.opcode = IBV_WC_RECV;
  done.qp_num = to->qp_num;
  done.byte_len = static_cast<std::uint32_t>(piece.length + grh);
  if (done.byte_len > receive.piece.length)
    done.status = IBV_WC_LOC_LEN_ERR;
  else
    std::memcpy(reinterpret_cast<std::byte*>(receive.piece.addr) + grh, from, piece.length);
  complete(to->recv_cq, done);
  return IBV_WC_SUCCESS;
}

int post_send(ibv_qp* which, ibv_send_wr* request, ibv_send_wr** refused) {
  const Lock lock(mutex);
  auto& qp = static_cast<FakeQp&>(*which);
  if (fails("post_send")) {
    *refused = request;
    return ENOMEM;
  }
  for (; request != nullptr; request = request->next) {
    finish(qp, *request, qp.state == IBV_QPS_ERR ? IBV_WC_WR_FLUSH_ERR : deliver(qp, *request));
  }
  return 0;
}

int post_recv(ibv_qp* which, ibv_recv_wr* request, ibv_recv_wr**) {
  const Lock lock(mutex);
  auto& qp = static_cast<FakeQp&>(*which);
  qp.receives.push_back({request->wr_id, *request->sg_list});
  if (qp.state == IBV_QPS_ERR) fail_qp(qp);
  return 0;
}

int post_srq_recv(ibv_srq* srq, ibv_recv_wr* request, ibv_recv_wr** refused) {
  const Lock lock(mutex);
  if (fails("post_srq_recv")) {
    *refused = request;
    return ENOMEM;
  }
  for (; request != nullptr; request = request->next) {
    auto& queue = static_cast<FakeSrq&>(*srq);
    if (queue.receives.size() >= queue.entries) ++rules_broken;
    queue.receives.push_back({request->wr_id, *request->sg_list});
  }
  return 0;
}

int poll_cq(ibv_cq* which, int count, ibv_wc* done) {
  const Lock lock(mutex);
  auto& queue = static_cast<FakeCq*>(which)->done;
  int taken = 0;
  for (; taken < count && !queue.empty(); ++taken) {
    done[taken] = queue.front();
    queue.pop_front();
  }
  return taken;
}

int req_notify_cq(ibv_cq* cq, int) {
  const Lock lock(mutex);
  static_cast<FakeCq*>(cq)->armed = true;
  return 0;
}

template <class Object>
Object* made(const char* call) {
  if (fails(call)) return nullptr;
  ++alive;
  return new Object{};
}

template <class Object>
int gone(void* object) {
  const Lock lock(mutex);
  --alive;
  delete static_cast<Object*>(object);
  return 0;
}

ibv_context* open_device(ibv_device* device) {
  const Lock lock(mutex);
  auto* const context = made<ibv_context>("open_device");
  if (context == nullptr) return nullptr;
  context->device = device;
  context->ops.post_send = post_send;
  context->ops.post_recv = post_recv;
  context->ops.post_srq_recv = post_srq_recv;
  context->ops.poll_cq = poll_cq;
  context->ops.req_notify_cq = req_notify_cq;
  context->async_fd = eventfd(0, EFD_NONBLOCK);
  contexts.push_back(context);
  return context;
}

int close_device(ibv_context* context) {
  const Lock lock(mutex);
  std::erase(contexts, context);
  close(context->async_fd);
  return gone<ibv_context>(context);
}

int query_port(ibv_context*, std::uint8_t, ibv_port_attr* port) {
  if (fails("query_port")) return ENOMEM;
  port->state = IBV_PORT_ACTIVE;
  port->link_layer = IBV_LINK_LAYER_ETHERNET;
  port->active_mtu = IBV_MTU_4096;
  port->gid_tbl_len = 1;
  port->max_msg_sz = 1U << 30;
  return 0;
}

int query_device(ibv_context*, ibv_device_attr* attributes) {
  if (fails("query_device")) return ENOMEM;
  attributes->phys_port_cnt = 1;
  attributes->vendor_id = faults.false_reads > 0 ? 0xffffff : 0;
  attributes->device_cap_flags = IBV_DEVICE_SRQ_RESIZE;
  attributes->max_srq_wr = 4096;
  attributes->max_qp_rd_atom = attributes->max_qp_init_rd_atom = faults.no_reads ? 0 : 16;
  attributes->max_sge = attributes->max_sge_rd = faults.segments_max;
  return 0;
}

ssize_t query_gid_table(ibv_context*, ibv_gid_entry* entry, std::size_t, std::uint32_t,
                        std::size_t) {
  if (fails("query_gid_table")) return -ENOMEM;
  *entry = {};
  for (const int i : {10, 11}) entry->gid.raw[i] = 0xff;  // ::ffff:10.0.0.1
  entry->gid.raw[12] = 10;
  entry->gid.raw[15] = 1;
  entry->gid_type = IBV_GID_TYPE_ROCE_V2;
  entry->port_num = 1;
  return 1;
}

ibv_mr* reg_mr(ibv_pd* pd, void* address, std::size_t size, int) {
  const Lock lock(mutex);
  auto* const mr = made<ibv_mr>("reg_mr");
  if (mr == nullptr) return nullptr;
  mr->pd = pd;
  mr->addr = address;
  mr->length = size;
  mr->lkey = mr->rkey = next_number++;
  regions[mr->lkey] = mr;
  return mr;
}

int dereg_mr(ibv_mr* mr) {
  const Lock lock(mutex);
  regions.erase(mr->lkey);
  return gone<ibv_mr>(mr);
}

ibv_comp_channel* create_comp_channel(ibv_context* context) {
  const Lock lock(mutex);
  auto* const channel = made<ibv_comp_channel>("create_comp_channel");
  if (channel != nullptr) {
    channel->context = context;
    channel->fd = eventfd(0, EFD_NONBLOCK);
  }
  return channel;
}

int destroy_comp_channel(ibv_comp_channel* channel) {
  close(channel->fd);
  return gone<ibv_comp_channel>(channel);
}

ibv_cq* create_cq(ibv_context* context, int entries, void*, ibv_comp_channel* channel, int) {
  const Lock lock(mutex);
  auto* const cq = made<FakeCq>("create_cq");
  if (cq == nullptr) return nullptr;
  cq->context = context;
  cq->channel = channel;
  cq->cqe = entries;
  return cq;
}

int resize_cq(ibv_cq* cq, int entries) {
  const Lock lock(mutex);
  if (fails("resize_cq")) return ENOMEM;
  cq->cqe = entries;
  return 0;
}

int get_cq_event(ibv_comp_channel* channel, ibv_cq** cq, void**) {
  std::uint64_t count = 0;
  *cq = nullptr;
  return read(channel->fd, &count, sizeof count) == sizeof count ? 0 : -1;
}

ibv_srq* create_srq(ibv_pd* pd, ibv_srq_init_attr* make) {
  const Lock lock(mutex);
  auto* const srq = made<FakeSrq>("create_srq");
  if (srq == nullptr) return nullptr;
  srq->context = pd->context;
  srq->entries = make->attr.max_wr;
  return srq;
}

ibv_qp* create_qp(ibv_pd* pd, ibv_qp_init_attr* make) {
  const Lock lock(mutex);
  auto* const qp = made<FakeQp>("create_qp");
  if (qp == nullptr) return nullptr;
  qp->context = pd->context;
  qp->pd = pd;
  qp->send_cq = make->send_cq;
  qp->recv_cq = make->recv_cq;
  qp->srq = make->srq;
  qp->qp_type = make->qp_type;
  qp->qp_num = next_number++;
  qp->segments_max = static_cast<int>(make->cap.max_send_sge);
  qps[qp->qp_num] = qp;
  return qp;
}

int modify_qp(ibv_qp* which, ibv_qp_attr* change, int mask) {
  const Lock lock(mutex);
  if (fails("modify_qp")) return ENOMEM;
  if ((mask & IBV_QP_STATE) != 0) which->state = change->qp_state;
  if (which->state == IBV_QPS_ERR) fail_qp(static_cast<FakeQp&>(*which));
  if (which->state == IBV_QPS_RESET) static_cast<FakeQp*>(which)->receives.clear();
  if ((mask & IBV_QP_AV) != 0) queue_pair_level = change->ah_attr.sl;
  if ((mask & IBV_QP_DEST_QPN) != 0) static_cast<FakeQp*>(which)->dest = change->dest_qp_num;
  return 0;
}

int destroy_qp(ibv_qp* qp) {
  const Lock lock(mutex);
  qps.erase(qp->qp_num);
  return gone<FakeQp>(static_cast<FakeQp*>(qp));
}

verbs::IbvTable make_table() {
  verbs::IbvTable table{};
  table.fork_init = [] { return 0; };
  table.get_device_list = [](int* count) {
    *count = 2;
    return fails("get_device_list") ? nullptr : devices;
  };
  table.free_device_list = [](ibv_device**) {};
  table.get_device_name = [](ibv_device* device) { return device == &both[0] ? "fake0" : "fake1"; };
  table.open_device = open_device;
  table.close_device = close_device;
  table.query_device = query_device;
  table.query_port = query_port;
  table.query_gid_table = query_gid_table;
  table.get_async_event = [](ibv_context*, ibv_async_event*) {
    const Lock lock(mutex);
    errno = devices_gone ? EIO : EAGAIN;
    return -1;
  };
  table.ack_async_event = [](ibv_async_event*) {};
  table.alloc_pd = [](ibv_context* context) {
    const Lock lock(mutex);
    auto* const pd = made<ibv_pd>("alloc_pd");
    if (pd != nullptr) pd->context = context;
    return pd;
  };
  table.dealloc_pd = [](ibv_pd* pd) { return gone<ibv_pd>(pd); };
  table.reg_mr = reg_mr;
  table.dereg_mr = dereg_mr;
  table.create_comp_channel = create_comp_channel;
  table.destroy_comp_channel = destroy_comp_channel;
  table.create_cq = create_cq;
  table.resize_cq = resize_cq;
  table.destroy_cq = [](ibv_cq* cq) { return gone<FakeCq>(static_cast<FakeCq*>(cq)); };
  table.get_cq_event = get_cq_event;
  table.ack_cq_events = [](ibv_cq*, unsigned) {};
  table.create_srq = create_srq;
  table.modify_srq = [](ibv_srq* srq, ibv_srq_attr* attributes, int) {
    const Lock lock(mutex);
    if (fails("modify_srq")) return ENOMEM;
    static_cast<FakeSrq*>(srq)->entries = attributes->max_wr;
    return 0;
  };
  table.destroy_srq = [](ibv_srq* srq) { return gone<FakeSrq>(static_cast<FakeSrq*>(srq)); };
  table.create_qp = create_qp;
  table.modify_qp = modify_qp;
  table.destroy_qp = destroy_qp;
  table.create_ah = [](ibv_pd*, ibv_ah_attr* attributes) -> ibv_ah* {
    const Lock lock(mutex);
    FakeAh* const ah = made<FakeAh>("create_ah");
    if (ah == nullptr) return nullptr;
    ++address_handles;
    address_level = attributes->sl;
    return ah;
  };
  table.destroy_ah = [](ibv_ah* ah) {
    {
      const Lock lock(mutex);
      --address_handles;
    }
    return gone<FakeAh>(static_cast<FakeAh*>(ah));
  };
  table.wc_status_str = [](ibv_wc_status) { return "status"; };
  table.event_type_str = [](ibv_event_type) { return "event"; };
  return table;
}

}  // namespace

const verbs::IbvTable& fake_verbs() {
  static const verbs::IbvTable table = make_table();
  return table;
}

void set_faults(const FakeFaults& wanted) {
  const Lock lock(mutex);
  faults = wanted;
  happened = false;
  rules_broken = 0;
}

void set_network_down(bool down) {
  const Lock lock(mutex);
  network_down = down;
}

bool fault_happened() {
  const Lock lock(mutex);
  return happened;
}

std::uint64_t bytes_moved(int device) {
  const Lock lock(mutex);
  return moved_bytes[device];
}

int broken_rules() {
  const Lock lock(mutex);
  return rules_broken;
}

int objects_alive() {
  const Lock lock(mutex);
  return alive;
}

int address_handles_alive() {
  const Lock lock(mutex);
  return address_handles;
}

int queue_pairs_alive(ibv_qp_type type) {
  const Lock lock(mutex);
  return static_cast<int>(std::count_if(
      qps.begin(), qps.end(), [&](const auto& entry) { return entry.second->qp_type == type; }));
}

void set_devices_gone(bool gone) {
  const Lock lock(mutex);
  devices_gone = gone;
  const std::uint64_t one = 1;
  for (const ibv_context* const context : contexts) {
    if (gone) (void)!write(context->async_fd, &one, sizeof one);
  }
}

bool call_fails(const char* call) { return fails(call); }

std::uint8_t last_service_level(bool of_queue_pair) {
  const Lock lock(mutex);
  return of_queue_pair ? queue_pair_level : address_level;
}

std::vector<std::string> fault_names() {
  return {"get_device_list", "open_device", "query_device", "query_port", "query_gid_table",
          "alloc_pd",        "reg_mr",      "create_cq",    "resize_cq",  "create_comp_channel",
          "create_srq",      "create_qp",   "modify_qp",    "create_ah",  "post_send",
          "post_srq_recv"};
}

}  // namespace tern::test
