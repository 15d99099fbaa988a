// A rank that talks to its launcher through the wire-up client, for the tests of mpiexec. It needs
// no MPI library. The first argument says what to do:
//   cards [BYTES]   publish a card, fetch everybody's, check them, finalize
//   early           fetch before publishing, rank 0 last of all
//   barrier N       N barriers
//   facts           print what is known about the job
//   abort CODE      rank 1 aborts, the others sleep
//   leave           rank 1 exits without finalizing, the others sleep
//   late CODE       finalize, then rank 1 exits with CODE
//   spawn PROGRAM   rank 0 asks in PMI-1's own words for two processes that do `spawned`
//   spawned         print what the parent has left in the key-value space
//   garbage         rank 1 writes nonsense to its launcher; cards then work all the same for others
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "spawn/wireup.h"

namespace {

using tern::spawn::LaunchInfo;
using tern::spawn::WireUp;

class Rank final : private tern::spawn::WireUpSink {
 public:
  Rank(WireUp& wireup, std::size_t card_bytes) : wireup_(wireup), card_bytes_(card_bytes) {}

  const LaunchInfo& info() const { return wireup_.info(); }

  bool put() {
    const std::string card = card_of(info().rank);
    return !wireup_.put_card(std::as_bytes(std::span(card.data(), card.size())));
  }
  void ask(int rank) { wireup_.request_card(rank); }
  bool barrier() {
    barrier_done_ = false;
    wireup_.start_barrier();
    return wait([this] { return barrier_done_; });
  }
  bool wait_for_cards(int count) {
    return wait([this, count] { return cards_ >= count; }) && wrong_ == 0;
  }

 private:
  // Any bytes, different for each rank, the same in every process.
  std::string card_of(int rank) const {
    std::mt19937 bytes(static_cast<unsigned>(rank) + 1);
    std::string card(card_bytes_, '\0');
    for (char& c : card) c = static_cast<char>(bytes());
    return card;
  }
  template <class Condition>
  bool wait(Condition done) {
    while (!done() && !lost_) {
      if (wireup_.poll(*this) > 0) continue;
      pollfd ready{.fd = wireup_.event_fd(), .events = POLLIN, .revents = 0};
      if (::poll(&ready, 1, 20'000) == 0) return false;
    }
    return done();
  }
  void on_card(int rank, std::span<const std::byte> card, std::string_view why) override {
    const std::string text(reinterpret_cast<const char*>(card.data()), card.size());
    ++cards_;
    if (why.empty() && text == card_of(rank)) return;
    ++wrong_;
    std::fprintf(stderr, "rank %d: card of %d is wrong: %.*s\n", info().rank, rank,
                 static_cast<int>(why.size()), why.data());
  }
  void on_barrier_done() override { barrier_done_ = true; }
  void on_lost() override { lost_ = true; }

  WireUp& wireup_;
  std::size_t card_bytes_;
  int cards_ = 0;
  int wrong_ = 0;
  bool barrier_done_ = false;
  bool lost_ = false;
};

bool fetch_all(Rank& rank) {
  for (int other = 0; other < rank.info().size; ++other) rank.ask(other);
  return rank.wait_for_cards(rank.info().size);
}

// Rank 0 publishes only after the others have asked and slept on it.
bool early(Rank& rank) {
  if (rank.info().rank == 0) {
    for (int other = 1; other < rank.info().size; ++other) rank.ask(other);
    if (!rank.wait_for_cards(rank.info().size - 1)) return false;
    ::usleep(50'000);
    return rank.put();
  }
  rank.ask(0);
  return rank.put() && rank.wait_for_cards(1);
}

void print_facts(const LaunchInfo& info) {
  std::printf(
      "rank=%d size=%d local_rank=%d local_size=%d appnum=%d universe=%d host=%d job=%016llx %s\n",
      info.rank, info.size, info.local_rank, info.local_size, info.appnum, info.universe_size,
      info.host_of(info.rank), static_cast<unsigned long long>(info.job_id),
      info.initial_errhandler.c_str());
}

// --- as programs of other MPIs do it: lines on the socket ---

std::string ask(int fd, const std::string& lines) {
  std::string answer;
  if (::write(fd, lines.data(), lines.size()) != static_cast<ssize_t>(lines.size())) return {};
  char c = 0;
  while (::read(fd, &c, 1) == 1 && c != '\n') answer += c;
  return answer;
}

void spawn(int fd, const std::string& program) {
  const std::string answer =
      ask(fd, "mcmd=spawn\nnprocs=2\nexecname=" + program +
                  "\ntotspawns=1\nspawnssofar=1\narg1=spawned\nargcnt=1\npreput_num=1\n"
                  "preput_key_0=PARENT_PORT\npreput_val_0=left#for$you\ninfo_num=0\nendcmd\n");
  std::printf("%s\n", answer.c_str());
}

void spawned(int fd, int rank) {
  const char* const known = std::getenv("PMI_SPAWNED");
  const std::string answer = ask(fd, "cmd=get kvsname=any key=PARENT_PORT\n");
  std::printf("child %d PMI_SPAWNED=%s %s\n", rank, known != nullptr ? known : "", answer.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "cards";
  const int number = argc > 2 ? std::atoi(argv[2]) : 300;
  const char* pmi_fd = std::getenv("PMI_FD");
  const int raw_fd = pmi_fd == nullptr ? -1 : std::atoi(pmi_fd);
  std::string error;
  const auto wireup = tern::spawn::make_wireup(error);
  if (wireup == nullptr) {
    std::fprintf(stderr, "pmi_program: %s\n", error.c_str());
    return 9;
  }
  Rank rank(*wireup, what == "cards" ? static_cast<std::size_t>(number) : 300);
  const int me = rank.info().rank;
  bool ok = true;
  if (what == "early") {
    ok = early(rank);
  } else {
    ok = rank.put();
  }
  if (what == "cards") ok = ok && fetch_all(rank);
  if (what == "facts") print_facts(rank.info());
  if (what == "spawn" && me == 0 && argc > 2) spawn(raw_fd, argv[2]);
  if (what == "spawned") spawned(raw_fd, me);
  if (what == "barrier") {
    for (int i = 0; i < number; ++i) ok = ok && rank.barrier();
  }
  if (what == "garbage") {
    const std::string nonsense("\0\xff rank=0\ncmd=\nmcmd=\ncmd=tern_want rank=-5\nendcmd\n", 50);
    if (me == 1) ok = ::write(raw_fd, nonsense.data(), nonsense.size()) > 0;
    ok = ok && fetch_all(rank);
  }
  if (what == "abort" && me == 1) {
    wireup->abort(number, "for a test");
    return number;
  }
  if (what == "leave" && me == 1) return 0;
  if (what == "abort" || what == "leave") ::sleep(30);
  // Nobody leaves while somebody may still want its card.
  ok = rank.barrier() && ok;
  if (wireup->finalize(std::chrono::seconds(10))) ok = false;
  if (what == "late" && me == 1) return number;
  return ok ? 0 : 8;
}
