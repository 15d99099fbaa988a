// tests/unit/fake_rdmacm.cc - see fake_rdmacm.h.
#include "tests/unit/fake_rdmacm.h"

#include <netinet/in.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "tests/unit/fake_verbs.h"

namespace tern::test {
namespace {

struct FakeId : rdma_cm_id {
  std::uint16_t port = 0;   // Of a listener, or of the one that is looked for.
  FakeId* asker = nullptr;  // Of a request: who has asked.
};
struct FakeEvent : rdma_cm_event {
  std::array<std::byte, 64> data = {};
};
struct FakeChannel : rdma_event_channel {
  std::deque<std::unique_ptr<FakeEvent>> events;
};

std::recursive_mutex cm_mutex;
using CmLock = std::lock_guard<std::recursive_mutex>;
std::set<FakeId*> ids;
std::map<std::uint16_t, FakeId*> listeners;
std::uint16_t last_port = 20000;
int found = 0;
std::uint8_t service_level = 0;
bool deaf = false;

FakeId& fake(rdma_cm_id* id) { return static_cast<FakeId&>(*id); }

int failed(int error) {
  errno = error;
  return -1;
}

FakeEvent& tell(rdma_cm_id& id, rdma_cm_event_type type, int status = 0) {
  auto& channel = static_cast<FakeChannel&>(*id.channel);
  FakeEvent& event = *channel.events.emplace_back(std::make_unique<FakeEvent>());
  event.id = &id;
  event.event = type;
  event.status = status;
  const std::uint64_t one = 1;
  (void)!write(channel.fd, &one, sizeof one);
  return event;
}

FakeId* make_id(rdma_event_channel* channel) {
  auto* const id = new FakeId();
  id->channel = channel;
  ids.insert(id);
  return id;
}

int create_id(rdma_event_channel* channel, rdma_cm_id** id, void*, rdma_port_space) {
  if (call_fails("cm_create_id")) return -1;
  const CmLock lock(cm_mutex);
  *id = make_id(channel);
  return 0;
}

int destroy_id(rdma_cm_id* id) {
  const CmLock lock(cm_mutex);
  auto& channel = static_cast<FakeChannel&>(*id->channel);
  std::erase_if(channel.events, [id](const auto& event) { return event->id == id; });
  const auto listens = listeners.find(fake(id).port);
  if (listens != listeners.end() && listens->second == id) listeners.erase(listens);
  ids.erase(&fake(id));
  for (FakeId* const other : ids) {
    if (other->asker == id) other->asker = nullptr;
  }
  delete &fake(id);
  return 0;
}

int listen(rdma_cm_id* id, int) {
  if (call_fails("cm_listen")) return -1;
  const CmLock lock(cm_mutex);
  fake(id).port = ++last_port;
  listeners[last_port] = &fake(id);
  return 0;
}

int resolve_addr(rdma_cm_id* id, sockaddr*, sockaddr* to, int) {
  if (call_fails("cm_resolve_addr")) return -1;
  const CmLock lock(cm_mutex);
  sockaddr_in there{};
  std::memcpy(&there, to, sizeof there);
  fake(id).port = ntohs(there.sin_port);
  tell(*id, RDMA_CM_EVENT_ADDR_RESOLVED);
  return 0;
}

int resolve_route(rdma_cm_id* id, int) {
  if (call_fails("cm_resolve_route")) return -1;
  const CmLock lock(cm_mutex);
  tell(*id, RDMA_CM_EVENT_ROUTE_RESOLVED);
  return 0;
}

int connect(rdma_cm_id* id, rdma_conn_param* ask) {
  if (call_fails("cm_connect")) return -1;
  const CmLock lock(cm_mutex);
  const auto listener = listeners.find(fake(id).port);
  if (listener == listeners.end() || deaf) {
    tell(*id, RDMA_CM_EVENT_UNREACHABLE, -ETIMEDOUT);
    return 0;
  }
  FakeId* const request = make_id(listener->second->channel);
  request->asker = &fake(id);
  FakeEvent& event = tell(*request, RDMA_CM_EVENT_CONNECT_REQUEST);
  event.listen_id = listener->second;
  std::memcpy(event.data.data(), ask->private_data, ask->private_data_len);
  event.param.ud.private_data = event.data.data();
  event.param.ud.private_data_len = ask->private_data_len;
  return 0;
}

int accept(rdma_cm_id* id, rdma_conn_param* answer) {
  const bool fails = call_fails("cm_accept");
  const CmLock lock(cm_mutex);
  if (fake(id).asker == nullptr) return 0;
  if (fails) {
    tell(*fake(id).asker, RDMA_CM_EVENT_UNREACHABLE, -ETIMEDOUT);
    return -1;
  }
  FakeEvent& event = tell(*fake(id).asker, RDMA_CM_EVENT_ESTABLISHED);
  event.param.ud.qp_num = answer->qp_num;
  event.param.ud.ah_attr.sl = service_level;
  ++found;
  return 0;
}

int reject(rdma_cm_id* id, const void*, std::uint8_t) {
  const CmLock lock(cm_mutex);
  if (fake(id).asker != nullptr) tell(*fake(id).asker, RDMA_CM_EVENT_UNREACHABLE, 1);
  return 0;
}

int get_event(rdma_event_channel* from, rdma_cm_event** event) {
  const CmLock lock(cm_mutex);
  auto& channel = static_cast<FakeChannel&>(*from);
  std::uint64_t count = 0;
  (void)!read(channel.fd, &count, sizeof count);
  if (channel.events.empty()) return failed(EAGAIN);
  *event = channel.events.front().release();
  channel.events.pop_front();
  return 0;
}

int acknowledge_event(rdma_cm_event* event) {
  delete static_cast<FakeEvent*>(event);
  return 0;
}

rdma_event_channel* create_channel() {
  if (call_fails("cm_create_event_channel")) return nullptr;
  auto* const channel = new FakeChannel();
  channel->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return channel;
}

void destroy_channel(rdma_event_channel* channel) {
  close(channel->fd);
  delete static_cast<FakeChannel*>(channel);
}

}  // namespace

const verbs::CmTable& fake_rdmacm() {
  static const verbs::CmTable table = {
      create_channel,
      destroy_channel,
      create_id,
      destroy_id,
      [](rdma_cm_id*, sockaddr*) { return call_fails("cm_bind_addr") ? -1 : 0; },
      listen,
      [](rdma_cm_id* id) { return htons(fake(id).port); },
      resolve_addr,
      resolve_route,
      connect,
      accept,
      reject,
      get_event,
      acknowledge_event,
      [](rdma_cm_event_type) { return "unreachable"; }};
  return table;
}

int cm_ids_alive() {
  const CmLock lock(cm_mutex);
  return static_cast<int>(ids.size());
}

int ways_found() {
  const CmLock lock(cm_mutex);
  return found;
}

void set_service_level(std::uint8_t level) {
  const CmLock lock(cm_mutex);
  service_level = level;
}

void set_listeners_deaf(bool is_deaf) {
  const CmLock lock(cm_mutex);
  deaf = is_deaf;
}

}  // namespace tern::test
