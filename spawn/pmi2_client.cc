// spawn/pmi2_client.cc - see pmi2_client.h.
#include "spawn/pmi2_client.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "core/check.h"
#include "spawn/foreign_job.h"
#include "spawn/job_env.h"

namespace tern::spawn {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// A launcher that does not answer a plain question for this long is considered dead.
// A fence waits for the slowest rank to start; a month is no limit.
constexpr milliseconds kFenceTimeout{30LL * 24 * 3600 * 1000};
// PMI-2 allows values of 1024 characters; some of them for the number of pieces.
constexpr std::size_t kPieceChars = 1000;

// A ';' may be doubled by the protocol, but Slurm's end does not know.
std::string without_semicolons(std::string text, std::string_view instead) {
  for (std::size_t at = 0; (at = text.find(';', at)) != std::string::npos;)
    text.replace(at, 1, instead);
  return text;
}

std::string value_of(const Pmi2Fields& fields, std::string_view key) {
  const auto found = fields.find(key);
  return found == fields.end() ? std::string() : found->second;
}

int number_of(const Pmi2Fields& fields, std::string_view key, int otherwise) {
  return to_number(value_of(fields, key)).value_or(otherwise);
}

std::error_code lost_error() { return std::make_error_code(std::errc::connection_reset); }

}  // namespace

std::unique_ptr<Pmi2Client> Pmi2Client::from_descriptor(int fd, std::string& error) {
  (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
  std::unique_ptr<Pmi2Client> client(new Pmi2Client(fd));
  error = client->greet();
  if (error.empty()) error = client->read_facts();
  return error.empty() ? std::move(client) : nullptr;
}

// As in pmi1_client.cc: a process that ends without finalize() leaves closing to the kernel.
Pmi2Client::~Pmi2Client() {
  if (lost_ || finalized_) ::close(fd_);
}

std::string Pmi2Client::greet() {
  std::string refused =
      "the launcher does not speak PMI-2 on the descriptor it gave (PMI_FD). Start the program "
      "with "
      "`srun --mpi=pmi2` or with Tern's mpiexec";
  if (!send_all(fd_, "cmd=init pmi_version=2 pmi_subversion=0\n")) return refused;
  const auto until = Clock::now() + kAnswerTimeout;
  std::optional<std::string> line;
  while (!(line = reader_.next_line())) {
    if (!await_data(until)) return refused;
  }
  if (field(*line, "cmd") != "response_to_init" || number_field(*line, "rc").value_or(-1) != 0) {
    return refused;
  }
  Pmi2Fields answer;
  if (!call(make_pmi2_message("fullinit", {{"pmijobid", text_variable(env::kPmiJob)},
                                           {"pmirank", text_variable(env::kPmiRank)},
                                           {"threaded", "FALSE"}}),
            "fullinit-response", answer, kAnswerTimeout)) {
    return refused;
  }
  info_.rank = number_of(answer, "rank", -1);
  info_.size = number_of(answer, "size", 0);
  info_.appnum = number_of(answer, "appnum", -1);
  if (info_.rank >= 0 && info_.rank < info_.size) return {};
  return "the launcher gave no usable rank and size (PMI-2: rank " + value_of(answer, "rank") +
         " of " + value_of(answer, "size") + ")";
}

std::string Pmi2Client::read_facts() {
  Pmi2Fields answer;
  if (!call(make_pmi2_message("job-getid", {}), "job-getid-response", answer, kAnswerTimeout)) {
    return "the launcher did not tell the name of the job (PMI-2 job-getid)";
  }
  info_.kvs_name = value_of(answer, "jobid");
  info_.job_id = foreign_job_id(info_.kvs_name);
  const auto attribute = [&](const char* key) {
    const bool told = call(make_pmi2_message("info-getjobattr", {{"key", key}}),
                           "info-getjobattr-response", answer, kAnswerTimeout);
    return told ? value_of(answer, "value") : std::string();
  };
  info_.universe_size = to_number(attribute("universeSize")).value_or(-1);
  info_.hosts = parse_process_mapping(attribute("PMI_process_mapping"));
  if (lost_) return "the launcher ended while this process was connecting to it";
  place_on_host(info_);
  take_handed_facts(info_);
  end_with_launcher();
  return {};
}

std::error_code Pmi2Client::put_card(std::span<const std::byte> card) {
  const std::string text = without_semicolons(
      encode_value({reinterpret_cast<const char*>(card.data()), card.size()}), "%3B");
  Pmi2Fields answer;
  int piece = 0;
  for (const std::string& value : cut_card(text, kPieceChars)) {
    const std::string key = piece_key(info_.rank, piece++);
    if (!call(make_pmi2_message("kvs-put", {{"key", key}, {"value", value}}), "kvs-put-response",
              answer, kAnswerTimeout)) {
      return lost_error();
    }
  }
  return call(make_pmi2_message("kvs-fence", {}), "kvs-fence-response", answer, kFenceTimeout)
             ? std::error_code()
             : lost_error();
}

void Pmi2Client::request_card(int rank) {
  CHECK(rank >= 0 && rank < info_.size);
  pending_.emplace_back().rank = rank;
  ask_next();
}

void Pmi2Client::start_barrier() {
  pending_.emplace_back().rank = Pending::kBarrier;
  ask_next();
}

void Pmi2Client::ask_next() {
  if (lost_ || asked_ || pending_.empty()) return;
  const Pending& next = pending_.front();
  const std::string message =
      next.rank == Pending::kBarrier
          ? make_pmi2_message("kvs-fence", {})
          : make_pmi2_message("kvs-get", {{"jobid", info_.kvs_name},
                                          {"srcid", std::to_string(next.rank)},
                                          {"key", piece_key(next.rank, next.card.next())}});
  asked_ = true;
  if (!send_all(fd_, message)) lost_ = true;
}

int Pmi2Client::poll(WireUpSink& sink) {
  if (pending_.empty()) return 0;
  events_ = 0;
  if (!lost_) {
    const LineReader::Fill fill = reader_.fill(fd_);
    if (fill == LineReader::Fill::kClosed || fill == LineReader::Fill::kTooLong) lost_ = true;
    while (const auto answer = reader_.next()) {
      on_answer(*answer, sink);
      if (lost_) break;
      ask_next();
    }
  }
  if (lost_) lose(sink);
  return events_;
}

void Pmi2Client::on_answer(const Pmi2Fields& answer, WireUpSink& sink) {
  const std::string command = value_of(answer, "cmd");
  if (command.empty()) {
    lost_ = true;
    return;
  }
  if (!asked_ || pending_.empty()) return;
  Pending& asked = pending_.front();
  if (asked.rank == Pending::kBarrier) {
    if (command != "kvs-fence-response") return;
    asked_ = false;
    pending_.pop_front();
    ++events_;
    return sink.on_barrier_done();
  }
  if (command != "kvs-get-response") return;
  asked_ = false;
  const std::string value = value_of(answer, "value");
  if (number_of(answer, "rc", 0) != 0 || value_of(answer, "found") == "FALSE" || value.empty()) {
    return answer_card({}, "the launcher has no card of this rank", sink);
  }
  if (!asked.card.add(value)) {
    answer_card({}, "the card of this rank is not one of Tern's", sink);
  } else if (asked.card.complete()) {
    answer_card(std::string(asked.card.text()), {}, sink);  // A copy: the entry goes.
  }
}

// To the front of pending_.
void Pmi2Client::answer_card(std::string_view text, std::string_view why, WireUpSink& sink) {
  const int rank = pending_.front().rank;
  pending_.pop_front();
  ++events_;
  deliver_card(sink, rank, text, why);
}

// Answers everything outstanding with an error; what the sink asks for meanwhile waits for the next
// poll.
void Pmi2Client::lose(WireUpSink& sink) {
  for (const Pending& entry : std::exchange(pending_, {})) {
    if (entry.rank != Pending::kBarrier)
      sink.on_card(entry.rank, {}, "the launcher (srun) is gone");
  }
  ++events_;
  sink.on_lost();
}

// Slurm's own spawning waits for ever where no processor is free, so a launcher is started beside
// it.
std::error_code Pmi2Client::start_launcher(const std::string& address) {
  return own_launcher_.start(address, info_.job_id);
}

void Pmi2Client::abort(int, std::string_view message) {
  (void)send_all(
      fd_, make_pmi2_message("abort", {{"isworld", "TRUE"},
                                       {"msg", without_semicolons(std::string(message), ",")}}));
}

std::error_code Pmi2Client::finalize(milliseconds timeout) {
  finalized_ = true;
  Pmi2Fields answer;
  return call(make_pmi2_message("finalize", {}), "finalize-response", answer, timeout)
             ? std::error_code()
             : lost_error();
}

bool Pmi2Client::call(const std::string& message, std::string_view expected, Pmi2Fields& answer,
                      milliseconds timeout) {
  if (lost_ || !send_all(fd_, message)) return false;
  const auto until = Clock::now() + timeout;
  while (true) {
    while (const auto next = reader_.next()) {
      if (value_of(*next, "cmd") == expected) {
        answer = *next;
        return number_of(answer, "rc", 0) == 0;
      }
      if (!asked_) return false;  // Else it may be the answer to a card that nobody waits for now.
    }
    if (!await_data(until)) return false;
  }
}

bool Pmi2Client::await_data(Clock::time_point until) {
  while (!lost_) {
    const auto left = std::chrono::duration_cast<milliseconds>(until - Clock::now()).count();
    if (left <= 0) return false;
    pollfd wait{.fd = fd_, .events = POLLIN, .revents = 0};
    (void)::poll(&wait, 1, static_cast<int>(std::min<long long>(left, 1'000'000)));
    const LineReader::Fill fill = reader_.fill(fd_);
    if (fill == LineReader::Fill::kData) return true;
    if (fill != LineReader::Fill::kNothing) lost_ = true;
  }
  return false;
}

}  // namespace tern::spawn
