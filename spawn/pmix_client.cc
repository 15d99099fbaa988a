// spawn/pmix_client.cc - see pmix_client.h.
#include "spawn/pmix_client.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

#include "core/check.h"
#include "spawn/foreign_job.h"

namespace tern::spawn {
namespace {

constexpr const char* kCardKey = "tern.card";
// One question to the server; without it servers give up after times of their own.
constexpr int kGetTimeoutS = 30;
// A rank that computes before MPI_Init may put its card late. Launchers end jobs whose processes
// die, so this is for servers that forget a question.
constexpr std::chrono::minutes kPatience{10};
constexpr std::chrono::milliseconds kPause{200};
// Where the server has no map of the hosts, asking for each rank's is worth it up to here.
constexpr int kAskedRanksMax = 512;

pmix_info_t number_info(const char* key, int value) {
  pmix_info_t info{};
  std::strncpy(info.key, key, sizeof info.key - 1);
  info.value.type = PMIX_INT;
  info.value.data.integer = value;
  return info;
}

pmix_info_t flag_info(const char* key) {
  pmix_info_t info{};
  std::strncpy(info.key, key, sizeof info.key - 1);
  info.value.type = PMIX_BOOL;
  info.value.data.flag = true;
  return info;
}

// Servers differ in the types of what they tell.
int number_of(const pmix_value_t& value, int otherwise) {
  switch (value.type) {
    case PMIX_UINT32:
      return static_cast<int>(value.data.uint32);
    case PMIX_INT32:
      return value.data.int32;
    case PMIX_UINT16:
      return value.data.uint16;
    case PMIX_INT:
      return value.data.integer;
    case PMIX_UINT:
      return static_cast<int>(value.data.uint);
    case PMIX_UINT64:
      return static_cast<int>(value.data.uint64);
    case PMIX_SIZE:
      return static_cast<int>(value.data.size);
    case PMIX_PROC_RANK:
      return static_cast<int>(value.data.rank);
    default:
      return otherwise;
  }
}

std::string bytes_of(const pmix_value_t& value) {
  if (value.type == PMIX_BYTE_OBJECT && value.data.bo.bytes != nullptr) {
    return {value.data.bo.bytes, value.data.bo.size};
  }
  if (value.type == PMIX_STRING && value.data.string != nullptr) return value.data.string;
  return {};
}

// Of the kinds of values that are asked for here.
void free_value(pmix_value_t* value) {
  if (value->type == PMIX_STRING) std::free(value->data.string);
  if (value->type == PMIX_BYTE_OBJECT) std::free(value->data.bo.bytes);
  std::free(value);
}

}  // namespace

struct PmixClient::Question {
  static constexpr int kBarrier = -1;
  Answers* answers;
  int rank;  // Whose card, or kBarrier.
  Clock::time_point asked;
  // The library looks at these until it has answered.
  pmix_proc_t who{};
  pmix_info_t limit = number_info(PMIX_TIMEOUT, kGetTimeoutS);
};

struct PmixClient::Answer {
  std::unique_ptr<Question> question;
  pmix_status_t status;
  std::string card;
};

// Where the library's thread leaves what it has heard. The timer is readable when there is
// something, or when a question shall be asked again.
class PmixClient::Answers {
 public:
  Answers() : timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {}
  ~Answers() {
    if (timer_ >= 0) ::close(timer_);
  }
  Answers(const Answers&) = delete;
  Answers& operator=(const Answers&) = delete;

  int fd() const { return timer_; }

  void add(Answer answer) {
    const std::lock_guard lock(mutex_);
    list_.push_back(std::move(answer));
    wake_in(std::chrono::nanoseconds(1));
    any_.store(true, std::memory_order_release);
  }

  // Pairs with add().
  bool any() const { return any_.load(std::memory_order_acquire); }

  std::vector<Answer> take() {
    const std::lock_guard lock(mutex_);
    any_.store(false, std::memory_order_relaxed);
    wake_in(std::chrono::nanoseconds(0));
    return std::exchange(list_, {});
  }

  void wake_later() {
    const std::lock_guard lock(mutex_);
    if (list_.empty()) wake_in(kPause);
  }
  // Nothing is to be done before the next answer.
  void rest() {
    const std::lock_guard lock(mutex_);
    if (list_.empty()) wake_in(std::chrono::nanoseconds(0));
  }

 private:
  // Of 0: never. Setting a timer also makes it unreadable.
  void wake_in(std::chrono::nanoseconds time) const {
    itimerspec when{};
    when.it_value.tv_nsec = static_cast<long>(time.count());
    (void)::timerfd_settime(timer_, 0, &when, nullptr);
  }

  std::mutex mutex_;
  std::vector<Answer> list_;
  std::atomic<bool> any_{false};
  int timer_;
};

PmixClient::PmixClient(const PmixLibrary& library) : library_(library), answers_(new Answers) {}

PmixClient::~PmixClient() {
  if (finalized_) delete answers_;
}

std::string PmixClient::words(pmix_status_t status) const {
  const char* const text = library_.error_string(status);
  return "PMIx: " + (text == nullptr ? std::to_string(status) : std::string(text));
}

std::unique_ptr<PmixClient> PmixClient::connect(const PmixLibrary& library, std::string& error) {
  std::unique_ptr<PmixClient> client(new PmixClient(library));
  if (client->answers_->fd() < 0) {
    error =
        "a timer for the launcher's answers cannot be made: " + std::string(std::strerror(errno));
    return nullptr;
  }
  const pmix_status_t status = library.init(&client->self_, nullptr, 0);
  if (status != PMIX_SUCCESS) {
    error =
        "the PMIx server of the launcher does not take this process (" + client->words(status) +
        "). The launcher may be gone, or speak another version of PMIx than the libpmix.so.2 that "
        "is found here";
    return nullptr;
  }
  error = client->read_facts();
  return error.empty() ? std::move(client) : nullptr;
}

std::string PmixClient::read_facts() {
  info_.kvs_name = self_.nspace;
  info_.job_id = foreign_job_id(info_.kvs_name);
  info_.size = get_number(PMIX_RANK_WILDCARD, PMIX_JOB_SIZE, 0);
  info_.rank = self_.rank <= INT32_MAX ? static_cast<int>(self_.rank) : -1;
  if (info_.rank < 0 || info_.rank >= info_.size) {
    return "the launcher gave no usable rank and size (PMIx: rank " + std::to_string(info_.rank) +
           " of " + std::to_string(info_.size) + ")";
  }
  info_.local_size = std::max(1, get_number(PMIX_RANK_WILDCARD, PMIX_LOCAL_SIZE, 1));
  info_.local_rank =
      std::clamp(get_number(self_.rank, PMIX_LOCAL_RANK, 0), 0, info_.local_size - 1);
  info_.appnum = get_number(self_.rank, PMIX_APPNUM, -1);
  info_.universe_size = get_number(PMIX_RANK_WILDCARD, PMIX_UNIV_SIZE, -1);
  read_hosts();
  take_handed_facts(info_);
  end_with_launcher();
  return {};
}

void PmixClient::read_hosts() {
  std::string map;
  if (get_text(PMIX_RANK_WILDCARD, PMIX_ANL_MAP, map)) info_.hosts = parse_process_mapping(map);
  if (!info_.hosts.empty()) return;
  if (info_.local_size == info_.size) {
    info_.hosts = {{.first_host = 0, .host_count = 1, .ranks_per_host = info_.size}};
    return;
  }
  if (info_.size > kAskedRanksMax) return;
  std::vector<HostBlock> blocks;
  for (int rank = 0; rank < info_.size; ++rank) {
    const int host = get_number(static_cast<pmix_rank_t>(rank), PMIX_NODEID, -1);
    if (host < 0) return;
    if (!blocks.empty() && blocks.back().first_host == host) {
      ++blocks.back().ranks_per_host;
    } else {
      blocks.push_back({.first_host = host, .host_count = 1, .ranks_per_host = 1});
    }
  }
  info_.hosts = std::move(blocks);
}

bool PmixClient::get_text(pmix_rank_t rank, const char* key, std::string& text) const {
  pmix_proc_t who = self_;
  who.rank = rank;
  const pmix_info_t optional = flag_info(PMIX_OPTIONAL);
  pmix_value_t* value = nullptr;
  if (library_.get(&who, key, &optional, 1, &value) != PMIX_SUCCESS || value == nullptr)
    return false;
  text = bytes_of(*value);
  free_value(value);
  return true;
}

int PmixClient::get_number(pmix_rank_t rank, const char* key, int otherwise) const {
  pmix_proc_t who = self_;
  who.rank = rank;
  const pmix_info_t optional = flag_info(PMIX_OPTIONAL);
  pmix_value_t* value = nullptr;
  if (library_.get(&who, key, &optional, 1, &value) != PMIX_SUCCESS || value == nullptr) {
    return otherwise;
  }
  const int number = number_of(*value, otherwise);
  free_value(value);
  return number;
}

std::error_code PmixClient::put_card(std::span<const std::byte> card) {
  std::string bytes(reinterpret_cast<const char*>(card.data()), card.size());
  pmix_value_t value{};
  value.type = PMIX_BYTE_OBJECT;
  value.data.bo.bytes = bytes.data();
  value.data.bo.size = bytes.size();
  if (library_.put(PMIX_GLOBAL, kCardKey, &value) != PMIX_SUCCESS ||
      library_.commit() != PMIX_SUCCESS) {
    return std::make_error_code(std::errc::connection_reset);
  }
  return {};
}

void PmixClient::request_card(int rank) {
  CHECK(rank >= 0 && rank < info_.size);
  ++outstanding_;
  ask(std::make_unique<Question>(Question{answers_, rank, Clock::now()}));
}

void PmixClient::start_barrier() {
  ++outstanding_;
  ask(std::make_unique<Question>(Question{answers_, Question::kBarrier, Clock::now()}));
}

// What the library does not take answers itself.
void PmixClient::ask(std::unique_ptr<Question> question) {
  Question* const asked = question.release();
  pmix_status_t status = PMIX_SUCCESS;
  if (asked->rank == Question::kBarrier) {
    const auto done = [](pmix_status_t outcome, void* context) {
      std::unique_ptr<Question> answered(static_cast<Question*>(context));
      Answers* const answers = answered->answers;
      answers->add({std::move(answered), outcome, {}});
    };
    status = library_.fence_nb(nullptr, 0, nullptr, 0, done, asked);
  } else {
    const auto done = [](pmix_status_t outcome, pmix_value_t* value, void* context) {
      std::unique_ptr<Question> answered(static_cast<Question*>(context));
      Answers* const answers = answered->answers;
      std::string card =
          outcome == PMIX_SUCCESS && value != nullptr ? bytes_of(*value) : std::string();
      answers->add({std::move(answered), outcome, std::move(card)});
    };
    asked->who = self_;
    asked->who.rank = static_cast<pmix_rank_t>(asked->rank);
    status = library_.get_nb(&asked->who, kCardKey, &asked->limit, 1, done, asked);
  }
  // It has done all there was to do, and will not call back: only the fence may say so.
  if (status != PMIX_SUCCESS) {
    if (status == PMIX_OPERATION_SUCCEEDED) status = PMIX_SUCCESS;
    answers_->add({std::unique_ptr<Question>(asked), status, {}});
  }
}

int PmixClient::event_fd() const { return outstanding_ > 0 ? answers_->fd() : -1; }

int PmixClient::poll(WireUpSink& sink) {
  if (outstanding_ == 0) return 0;
  if (!retries_.empty() && retries_.front().due <= Clock::now()) {
    answers_->rest();  // First: what is asked may be answered at once.
    for (Retry& retry : std::exchange(retries_, {})) ask(std::move(retry.question));
  }
  if (!answers_->any()) return 0;
  int events = 0;
  for (Answer& answer : answers_->take()) {
    on_answer(answer, sink);
    ++events;
  }
  if (!retries_.empty()) answers_->wake_later();
  return events;
}

void PmixClient::on_answer(Answer& answer, WireUpSink& sink) {
  const int rank = answer.question->rank;
  if (rank == Question::kBarrier) {
    --outstanding_;
    // A member that died does not keep the others from leaving.
    return answer.status == PMIX_ERR_LOST_CONNECTION || answer.status == PMIX_ERR_UNREACH
               ? sink.on_lost()
               : sink.on_barrier_done();
  }
  if (answer.status == PMIX_SUCCESS && !answer.card.empty()) {
    --outstanding_;
    return sink.on_card(rank, std::as_bytes(std::span(answer.card)), {});
  }
  const bool later = answer.status == PMIX_ERR_NOT_FOUND || answer.status == PMIX_ERR_TIMEOUT;
  if (later && Clock::now() - answer.question->asked < kPatience) {
    retries_.push_back({Clock::now() + kPause, std::move(answer.question)});
    return;
  }
  --outstanding_;
  sink.on_card(rank, {},
               later ? "it has not called MPI_Init yet, or the launcher does not pass its card on"
                     : "the launcher has no card of this rank (" + words(answer.status) + ")");
}

// The launchers' own spawning differs too much from one to the next, so a launcher is started
// beside them.
std::error_code PmixClient::start_launcher(const std::string& address) {
  return own_launcher_.start(address, info_.job_id);
}

void PmixClient::abort(int code, std::string_view message) {
  const std::string text(message);
  (void)library_.abort(code, text.c_str(), nullptr, 0);
}

std::error_code PmixClient::finalize(std::chrono::milliseconds) {
  // Bounded by the library itself: two seconds for the server's answer.
  const pmix_status_t status = library_.finalize(nullptr, 0);
  finalized_ = true;
  return status == PMIX_SUCCESS ? std::error_code()
                                : std::make_error_code(std::errc::connection_reset);
}

}  // namespace tern::spawn
