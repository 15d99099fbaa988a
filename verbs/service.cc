// verbs/service.cc - connection requests, timers, events of the device, and the thread that looks
// after them while the program computes.
//
// The thread sleeps on descriptors. It never calls the engine: what the engine is to know waits for
// the next poll(), and the engine's doorbell is rung.
#include <poll.h>
#include <signal.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "verbs/constants.h"
#include "verbs/fabric.h"

namespace tern::verbs {

void VerbsFabric::read_signals() {
  Datagram datagram;
  Slot* slot = nullptr;
  while (signal_->receive(datagram, slot)) {
    if (const auto message = connect::Message::decode(datagram.message)) {
      connect::Connection* known = connector_->find(message->from);
      if (known == nullptr) known = new_contact(message->from, datagram);
      if (known != nullptr) connector_->receive(*known, *message, now());
    }
    signal_->release(*slot);
    settle();
  }
}

// A process that we have not heard of. nullptr when it cannot be reached. Its card is read by the
// engine, while the connection is being made.
VerbsLink* VerbsFabric::new_contact(const ProcessId& id, const Datagram& datagram) {
  if (!why_unreachable(datagram.from).empty()) return nullptr;
  VerbsLink& link = add_link(id, datagram.from, datagram.card);
  contacts_.push_back(&link);
  return &link;
}

// Whether the peer has to do something before what was begun with it is finished.
bool VerbsFabric::awaits(const VerbsLink& link) const {
  return !link.out.empty() || !link.lane.reads.empty() || !link.lane.writes.empty() ||
         link.starved || link.quiescing;
}

void VerbsFabric::watch(VerbsLink& link) {
  if (link.is_up() && !link.is_watched()) connector_->watch(link, now());
}

// The program is about to sleep.
void VerbsFabric::watch_all() {
  slept_at_ = now();
  if (slept_at_ < watch_all_at_) return;
  watch_all_at_ = slept_at_ + kProbesLessOften * connector_->options().probe_us;
  for (const auto& link : links_) watch(*link);
  settle();
}

bool VerbsFabric::probe(connect::Connection& connection) {
  auto& link = static_cast<VerbsLink&>(connection);
  const bool needed = awaits(link);
  if (!needed && !is_waiting()) return false;
  const std::uint64_t seen = activity(link);
  const bool silent = std::exchange(link.activity_probed, seen) == seen;
  // What the mailbox is told is not new. A peer that is no more does not take it.
  if (silent && link.sends && !link.broken && link.queue_used < kQueueEntries) write_mail(link);
  return needed;
}

// Tells the connector what was noted since the last time.
void VerbsFabric::settle() {
  if (signal_->device_gone() && !device_lost_) [[unlikely]]
    lose_device();
  if (!broken_.empty()) [[unlikely]] {
    while (!broken_.empty()) {
      VerbsLink* const link = broken_.back();
      broken_.pop_back();
      if (link->broken && link->qp != nullptr) connector_->lost(*link, now());
    }
  }
  if (!quiescing_.empty()) [[unlikely]] {
    read_mail();
    for (std::size_t i = 0; i < quiescing_.size();) {
      VerbsLink* const link = quiescing_[i];
      // Puts that go on are such whose message has left.
      const bool is_quiet = link->out.empty() && link->lane.reads.empty() &&
                            link->lane.writes_posted + link->rail_lane.writes_posted == 0;
      if (link->quiescing && !is_quiet) {
        ++i;
        continue;
      }
      quiescing_[i] = quiescing_.back();
      quiescing_.pop_back();
      if (link->quiescing) connector_->quiet(*link, now());
    }
  }
  if (has_thread_ && connector_->next_time() < thread_wakes_at_) [[unlikely]]
    set_timer();
}

void VerbsFabric::wake_engine() {
  if (bell_ != nullptr) Doorbell::ring_if_armed(*bell_);
}

// Has the thread look at the connector's timers when the first of them is due. It is not woken now:
// that would cost a message which waits for a connection two switches of the processor.
void VerbsFabric::set_timer() {
  const connect::Micros next = connector_->next_time();
  if (next != thread_wakes_at_) wake_thread_at(next);
}

void VerbsFabric::wake_thread_at(connect::Micros time) {
  constexpr connect::Micros kSecond = 1'000'000;
  thread_wakes_at_ = time;
  itimerspec when{};  // Of zeros: never.
  if (time != connect::kNever) {
    when.it_value.tv_sec = static_cast<time_t>(time / kSecond);
    when.it_value.tv_nsec = static_cast<long>(time % kSecond * 1000 + 1);
  }
  (void)timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &when, nullptr);
}

// What the next connection needs besides its queue pair is made while nobody waits for it; when
// that is not possible now, with the connection.
void VerbsFabric::make_ready() {
  is_ready_ = true;
  const std::size_t most = options_.connections_max;
  if (device_lost_ || (most != 0 && queue_pairs_ >= most)) return;
  signal_->find_own_way();
  std::string why;
  (void)(open_queues(why) && mailboxes_->reserve(why) && small_slots_->reserve(why) &&
         make_room_for_window(kWindowFirst) && make_room_for_completions(kQueueEntries));
}

void VerbsFabric::serve() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  enum { kTimer, kSignal, kAsync, kPaths, kCompletions, kWatched };
  pollfd watched[kWatched] = {{timer_fd_, POLLIN, 0},
                              {signal_->event_fd(), POLLIN, 0},
                              {port_->context()->async_fd, POLLIN, 0},
                              {signal_->cm_event_fd(), POLLIN, 0},
                              {-1, POLLIN, 0}};
  int timeout_ms = 0;
  while (!stopping_.load(std::memory_order_acquire)) {
    const int count = ::poll(watched, kWatched, timeout_ms);
    if (count < 0) continue;
    if (watched[kCompletions].revents != 0) {
      ibv_cq* cq = nullptr;
      void* context = nullptr;
      if (table_.get_cq_event(channel_, &cq, &context) == 0) table_.ack_cq_events(cq, 1);
      wake_engine();
      const bool nothing_else = (watched[kTimer].revents | watched[kSignal].revents |
                                 watched[kAsync].revents | watched[kPaths].revents) == 0;
      if (nothing_else) continue;
    }
    if (watched[kTimer].revents != 0) {
      std::uint64_t times = 0;
      (void)!read(timer_fd_, &times, sizeof times);
    }
    if (watched[kSignal].revents != 0) signal_->read_event();
    const Turnstile::Guest inside(turnstile_);
    if (count == 0 && !is_ready_) make_ready();
    timeout_ms = serve_once(watched[kSignal].revents != 0, watched[kAsync].revents != 0);
    if (device_lost_) [[unlikely]] {
      // They would be readable for ever.
      for (int i = kSignal; i < kCompletions; ++i) watched[i].fd = -1;
    }
    thread_sees_completions_ = channel_ != nullptr && !device_lost_;
    watched[kCompletions].fd = thread_sees_completions_ ? channel_->fd : -1;
  }
}

// Returns for how long the thread may sleep without looking at what no descriptor tells.
int VerbsFabric::serve_once(bool signal_event, bool async_event) {
  const bool had_news = has_news();
  if (async_event) read_async_event();
  if (signal_event) signal_->arm();
  read_signals();
  const connect::Micros time = now();
  if (connector_->next_time() <= time) connector_->advance(time);
  settle();
  if (has_news() && !had_news) wake_engine();
  set_timer();
  // Nobody shall wait for what is made in advance: whoever connects may do so to several in a row.
  constexpr int kQuietMs = 50;
  return !quiescing_.empty() ? 10 : !is_ready_ ? kQuietMs : -1;
}

bool VerbsFabric::has_news() const {
  return !contacts_.empty() || !failed_.empty() || !finished_transfers_.empty();
}

void VerbsFabric::read_async_event() {
  ibv_async_event event{};
  errno = 0;
  while (table_.get_async_event(port_->context(), &event) == 0) {
    const ibv_event_type type = event.event_type;
    const ibv_qp* const qp = event.element.qp;
    // Before anything else: destroying what an event is about waits for this.
    table_.ack_async_event(&event);
    switch (type) {
      case IBV_EVENT_QP_FATAL:
      case IBV_EVENT_QP_REQ_ERR:
      case IBV_EVENT_QP_ACCESS_ERR:
        for (const auto& link : links_) {
          if (link->qp != nullptr && link->qp == qp) lose(*link, IBV_WC_LOC_QP_OP_ERR);
        }
        break;
      case IBV_EVENT_DEVICE_FATAL:
        lose_device();
        break;
      default:
        break;  // A port that goes down and up again is noticed by what is sent over it.
    }
    errno = 0;
  }
  if (errno == EIO) lose_device();  // So the kernel says that it has taken the device away.
  settle();
}

// For good. Who is connected over it is lost, who comes later goes over another fabric.
void VerbsFabric::lose_device() {
  device_lost_ = true;
  problem_ = port_->text() + " is gone or has failed";
  for (const auto& link : links_) connector_->refuse(*link, now());
}

}  // namespace tern::verbs
