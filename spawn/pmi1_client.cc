// spawn/pmi1_client.cc - the part of the PMI-1 client that runs after the connection stands: cards,
// barrier, abort, finalize. How the connection comes about is in pmi1_connect.cc.
#include "spawn/pmi1_client.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "spawn/foreign_job.h"

namespace tern::spawn {
namespace {

using std::chrono::milliseconds;

// A launcher that does not answer a plain question for this long is considered dead. Only a barrier
// may take longer: it waits for the slowest rank to start.
constexpr milliseconds kNoTimeout{-1};

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::error_code lost_error() { return std::make_error_code(std::errc::connection_reset); }

}  // namespace

// A process that ends without finalize() leaves closing to the kernel: launchers that see the end
// of the conversation before that of the process take it for a crash, and kill it before it has
// said its exit code.
Pmi1Client::~Pmi1Client() {
  if (!own_) abort_at_exit(nullptr);
  if (own_ || lost_ || finalized_) ::close(fd_);
}

std::error_code Pmi1Client::put_card(std::span<const std::byte> card) {
  const std::string text = encode_value(as_text(card));
  if (!own_) return put_pieces(text);
  return send_all(fd_, "cmd=tern_card value=" + text + "\n") ? std::error_code() : lost_error();
}

std::error_code Pmi1Client::put_pieces(const std::string& text) {
  // Room for the count, and for launchers that mean the terminating zero by their maximum.
  const std::size_t room = value_bytes_max_ - 16;
  std::string_view answer;
  int piece = 0;
  for (const std::string& value : cut_card(text, room)) {
    const std::string request = "cmd=put kvsname=" + info_.kvs_name +
                                " key=" + piece_key(info_.rank, piece++) + " value=" + value + "\n";
    if (!call(request, "put_result", answer, kAnswerTimeout)) return lost_error();
    if (number_field(answer, "rc").value_or(0) != 0) {
      return std::make_error_code(std::errc::no_space_on_device);
    }
  }
  if (!call("cmd=barrier_in\n", "barrier_out", answer, kNoTimeout)) return lost_error();
  return {};
}

void Pmi1Client::request_card(int rank) {
  CHECK(rank >= 0 && rank < info_.size);
  pending_.emplace_back().rank = rank;
  if (!own_) {
    send_next_foreign();
  } else if (!lost_ && !send_all(fd_, "cmd=tern_want rank=" + std::to_string(rank) + "\n")) {
    lost_ = true;
  }
}

void Pmi1Client::start_barrier() {
  pending_.emplace_back().rank = Pending::kBarrier;
  if (!own_) {
    send_next_foreign();
  } else if (!lost_ && !send_all(fd_, "cmd=barrier_in\n")) {
    lost_ = true;
  }
}

void Pmi1Client::send_next_foreign() {
  if (lost_ || asked_ || pending_.empty()) return;
  const Pending& next = pending_.front();
  const std::string request = next.rank == Pending::kBarrier
                                  ? "cmd=barrier_in\n"
                                  : "cmd=get kvsname=" + info_.kvs_name +
                                        " key=" + piece_key(next.rank, next.card.next()) + "\n";
  asked_ = true;
  if (!send_all(fd_, request)) lost_ = true;
}

int Pmi1Client::poll(WireUpSink& sink) {
  if (pending_.empty()) return 0;
  events_ = 0;
  if (!lost_) {
    const LineReader::Fill fill = reader_.fill(fd_);
    if (fill == LineReader::Fill::kClosed || fill == LineReader::Fill::kTooLong) lost_ = true;
    while (auto line = reader_.next()) on_line(*line, sink);
  }
  if (lost_) lose(sink);
  return events_;
}

void Pmi1Client::on_line(std::string_view line, WireUpSink& sink) {
  const auto command = field(line, "cmd").value_or("");
  if (command == "barrier_out") {
    const auto barrier = std::ranges::find(pending_, Pending::kBarrier, &Pending::rank);
    if (barrier == pending_.end()) return;
    pending_.erase(barrier);
    asked_ = false;
    ++events_;
    sink.on_barrier_done();
  } else if (own_ && command == "tern_card") {
    const auto rank = number_field(line, "rank");
    const auto found =
        std::ranges::find(pending_, rank.value_or(Pending::kBarrier), &Pending::rank);
    if (!rank || found == pending_.end()) return;
    const auto index = static_cast<std::size_t>(found - pending_.begin());
    const auto why = decode_value(field(line, "error").value_or(""));
    answer_card(index, field(line, "value").value_or(""), why.value_or("unreadable answer"), sink);
  } else if (!own_ && command == "get_result") {
    on_foreign_piece(line, sink);
  }
  // Anything else is noise: newer launchers may say more than this client asks.
  if (!own_) send_next_foreign();
}

void Pmi1Client::on_foreign_piece(std::string_view line, WireUpSink& sink) {
  if (!asked_ || pending_.empty() || pending_.front().rank == Pending::kBarrier) return;
  asked_ = false;
  CardPieces& card = pending_.front().card;
  if (number_field(line, "rc").value_or(0) != 0) {
    answer_card(0, {}, "the launcher has no card of this rank", sink);
    return;
  }
  if (!card.add(field(line, "value").value_or(""))) {
    answer_card(0, {}, "the card of this rank is not one of Tern's", sink);
  } else if (card.complete()) {
    answer_card(0, std::string(card.text()), {}, sink);  // A copy: the entry goes.
  }
}

void Pmi1Client::answer_card(std::size_t index, std::string_view text, std::string_view why,
                             WireUpSink& sink) {
  const int rank = pending_[index].rank;
  pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(index));
  ++events_;
  deliver_card(sink, rank, text, why);
}

// Answers everything outstanding with an error. What the sink asks for meanwhile waits for the next
// poll, so that a sink that always asks again cannot keep us here.
void Pmi1Client::lose(WireUpSink& sink) {
  auto outstanding = std::exchange(pending_, {});
  for (const Pending& entry : outstanding) {
    if (entry.rank != Pending::kBarrier) {
      sink.on_card(entry.rank, {}, "the launcher (mpiexec) is gone");
    }
  }
  ++events_;
  sink.on_lost();
}

// Other launchers' own spawning cannot say why it failed, so a launcher is started beside them.
std::error_code Pmi1Client::start_launcher(const std::string& address) {
  if (!own_) return own_launcher_.start(address, info_.job_id);
  return send_all(fd_, "cmd=tern_spawn address=" + address + "\n") ? std::error_code()
                                                                   : lost_error();
}

void Pmi1Client::abort(int code, std::string_view message) {
  std::string line = "cmd=abort exitcode=" + std::to_string(code);
  if (own_) line += " message=" + encode_value(message);
  (void)send_all(fd_, line + "\n");
  if (!own_) abort_at_exit(nullptr);
}

std::error_code Pmi1Client::finalize(milliseconds timeout) {
  finalized_ = true;
  if (!own_) abort_at_exit(nullptr);
  if (own_) return send_all(fd_, "cmd=finalize\n") ? std::error_code() : lost_error();
  std::string_view answer;
  return call("cmd=finalize\n", "finalize_ack", answer, timeout) ? std::error_code() : lost_error();
}

bool Pmi1Client::call(const std::string& request, std::string_view expected,
                      std::string_view& answer, milliseconds timeout) {
  if (lost_ || !send_all(fd_, request)) return false;
  while (await_line(answer, timeout)) {
    if (field(answer, "cmd") == expected) return true;
    if (!asked_) return false;  // Else it may be the answer to a card that nobody waits for now.
  }
  return false;
}

bool Pmi1Client::await_line(std::string_view& line, milliseconds timeout) {
  const auto start = std::chrono::steady_clock::now();
  while (true) {
    if (const auto next = reader_.next()) {
      line = *next;
      return true;
    }
    int wait_ms = -1;
    if (timeout != kNoTimeout) {
      const auto spent = std::chrono::steady_clock::now() - start;
      const auto left = timeout - std::chrono::duration_cast<milliseconds>(spent);
      if (left.count() <= 0) return false;
      wait_ms = static_cast<int>(left.count());
    }
    pollfd wait{.fd = fd_, .events = POLLIN, .revents = 0};
    (void)::poll(&wait, 1, wait_ms);
    const LineReader::Fill fill = reader_.fill(fd_);
    if (fill == LineReader::Fill::kClosed || fill == LineReader::Fill::kTooLong) {
      lost_ = true;
      return false;
    }
  }
}

}  // namespace tern::spawn
