// core/replay.cc - the rare paths of core/replay.h: acknowledgement of several, reconnection.
#include "core/replay.h"

#include "core/check.h"

namespace tern::replay {

SendRecord* SendWindow::acknowledge_to(std::uint64_t received) {
  if (received <= acknowledged_ || received > last_number_) return nullptr;
  acknowledged_ = received;
  SendRecord* const freed = first_;
  SendRecord* last_freed = nullptr;
  while (first_ != nullptr && first_->number <= received) {
    last_freed = first_;
    if (repeat_ == first_) repeat_ = first_->next;
    first_ = first_->next;
  }
  if (first_ == nullptr) last_ = nullptr;
  if (last_freed == nullptr) return nullptr;
  last_freed->next = nullptr;
  return freed;
}

SendRecord* SendWindow::resume(const Resume& remote) {
  repeat_ = nullptr;
  SendRecord* const freed = acknowledge_to(remote.received);
  repeat_ = first_;
  limit_ = remote.limit;  // May be less than before: its room was given to others meanwhile.
  return freed;
}

SendRecord* SendWindow::reset() {
  SendRecord* const all = first_;
  *this = SendWindow();
  return all;
}

std::uint32_t BufferBudget::take_window(std::uint32_t wanted) {
  CHECK(wanted > 0);
  std::uint32_t window = wanted < free_ ? wanted : free_;
  while (window > 0 && ReceiveWindow::buffers(window) > free_) --window;
  if (window != 0) free_ -= ReceiveWindow::buffers(window);
  return window;
}

void BufferBudget::give_window(std::uint32_t window) { free_ += ReceiveWindow::buffers(window); }

void TransferWindow::push(TransferRecord& record, std::uint64_t after) {
  record.after = after;
  record.next = nullptr;
  record.previous = last_;
  (last_ != nullptr ? last_->next : first_) = &record;
  last_ = &record;
}

void TransferWindow::remove(TransferRecord& record) {
  (record.previous != nullptr ? record.previous->next : first_) = record.next;
  (record.next != nullptr ? record.next->previous : last_) = record.previous;
}

}  // namespace tern::replay
