// tests/unit/coll_simulator.h - many ranks' schedules in one process, over messages that misbehave.
//
// Each rank builds its part of a collective as in the library; the simulator is the Channel.
// Messages between two ranks with one sub-tag match in order, as MPI promises; everything else is
// random: which match is carried out next, whether a send is finished at once (eager: data taken
// when sent) or late (rendezvous: data read when carried out), and when each side hears of it. A
// step that reads or writes memory too early or too late therefore gives a wrong result for some
// seed. A run in which nothing is left to do and somebody is not done is a deadlock.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "mpi_api/coll/host_map.h"
#include "mpi_api/coll/schedule.h"
#include "tests/unit/seed.h"

namespace tern::mpi::coll {

class Simulator {
 public:
  Simulator(int ranks, std::uint64_t seed) : random_(seed) {
    for (int rank = 0; rank < ranks; ++rank) {
      members_.push_back(std::make_unique<Member>(*this, rank));
      members_.back()->schedule.reset(rank, ranks, *members_.back());
    }
  }

  // names[i]: the host of rank i. False where two levels mean nothing (host_map.h).
  bool place_on_hosts(const std::vector<int>& names) {
    names_ = names;
    for (int rank = 0; rank < size(); ++rank) {
      Member& member = *members_[static_cast<std::size_t>(rank)];
      member.hosts = HostMap::make(names, rank);
      member.schedule.set_hosts(member.hosts.get());
    }
    return members_.front()->hosts != nullptr;
  }
  const HostMap& hosts() const { return *members_.front()->hosts; }

  int size() const { return static_cast<int>(members_.size()); }
  Schedule& schedule(int rank) { return members_[static_cast<std::size_t>(rank)]->schedule; }

  // Starts all schedules in random order between the deliveries. Empty when everybody finished,
  // else what went wrong.
  std::string run() {
    std::vector<int> waiting;
    for (int rank = 0; rank < size(); ++rank) {
      if (rank != latecomer_) waiting.push_back(rank);
    }
    take_turns(waiting);
    if (latecomer_ >= 0) {
      if (when_latecomer_is_missed) when_latecomer_is_missed();
      waiting.push_back(latecomer_);
      take_turns(waiting);
    }
    for (int rank = 0; rank < size(); ++rank) {
      if (!schedule(rank).done()) return "rank " + std::to_string(rank) + " waits for ever";
    }
    for (const auto& [key, line] : lines_) {
      if (!line.sends.empty() || !line.receives.empty()) return "a message was left over";
    }
    return {};
  }

  // This rank starts only when nothing else can happen without it; before that, the function is
  // called.
  void start_last(int rank) { latecomer_ = rank; }
  std::function<void()> when_latecomer_is_missed;

  // From now on every message from or to this rank fails.
  void kill(int rank) { dead_ = rank; }
  std::size_t messages() const { return messages_; }
  int messages_between_hosts() const { return messages_between_hosts_; }

 private:
  struct Send {
    DataView data;
    std::vector<std::byte> copied;  // Eager: what was sent.
    tern::Request* request;         // nullptr: the sender has forgotten it.
    bool eager;
  };
  struct Receive {
    DataView data;
    tern::Request* request;
  };
  struct Match {
    Send send;
    Receive receive;
  };
  struct Notice {
    tern::Request* request;
    Outcome outcome;
  };
  struct Line {  // Messages of one sender, receiver and sub-tag.
    std::vector<Send> sends;
    std::vector<Receive> receives;
  };

  struct Member final : Channel {
    Member(Simulator& owner, int own_rank) : simulator(owner), rank(own_rank) {}
    bool send(int to, int sub, const DataView& data, tern::Request& request) override {
      return simulator.send(rank, to, sub, data, request);
    }
    void receive(int from, int sub, const DataView& data, tern::Request& request) override {
      simulator.receive(from, rank, sub, data, request);
    }
    void cancel_receive(tern::Request& request) override { simulator.cancel(request); }

    Simulator& simulator;
    int rank;
    std::unique_ptr<HostMap> hosts;
    Schedule schedule;
  };

  void take_turns(std::vector<int>& waiting) {
    while (!waiting.empty() || !matched_.empty() || !notices_.empty()) {
      const std::size_t choices = waiting.size() + matched_.size() + notices_.size();
      std::size_t choice = random_() % choices;
      if (choice < waiting.size()) {
        schedule(take(waiting, choice)).start();
      } else if ((choice -= waiting.size()) < matched_.size()) {
        carry_out(take(matched_, choice));
      } else {
        const Notice notice = take(notices_, choice - matched_.size());
        tell(*notice.request, notice.outcome);
      }
    }
  }

  template <class T>
  static T take(std::vector<T>& all, std::size_t index) {
    T taken = std::move(all[index]);
    all.erase(all.begin() + static_cast<std::ptrdiff_t>(index));
    return taken;
  }

  static void tell(tern::Request& request, Outcome outcome) {
    request.outcome = outcome;
    request.done = true;
    request.on_done(request);
  }

  bool send(int from, int to, int sub, const DataView& data, tern::Request& request) {
    EXPECT_NE(from, to);
    ++messages_;
    if (!names_.empty() &&
        names_[static_cast<std::size_t>(from)] != names_[static_cast<std::size_t>(to)]) {
      ++messages_between_hosts_;
    }
    request.reset();
    if (from == dead_ || to == dead_) {
      notices_.push_back({&request, Outcome::kPeerLost});
      return false;
    }
    Send posted{data, {}, &request, random_() % 2 == 0};
    bool finished = false;
    if (posted.eager) {
      posted.copied.resize(data.bytes());
      pack(data, 0, posted.copied);
      finished = random_() % 2 == 0;
      if (!finished) notices_.push_back({&request, Outcome::kOk});
      posted.request = nullptr;
    }
    Line& line = lines_[{from, to, sub}];
    line.sends.push_back(std::move(posted));
    match(line);
    return finished;
  }

  void receive(int from, int to, int sub, const DataView& data, tern::Request& request) {
    EXPECT_NE(from, to);
    request.reset();
    if (from == dead_ || to == dead_) {
      notices_.push_back({&request, Outcome::kPeerLost});
      return;
    }
    Line& line = lines_[{from, to, sub}];
    line.receives.push_back({data, &request});
    match(line);
  }

  void cancel(tern::Request& request) {
    for (auto& [key, line] : lines_) {
      for (std::size_t i = 0; i < line.receives.size(); ++i) {
        if (line.receives[i].request != &request) continue;
        take(line.receives, i);
        return tell(request, Outcome::kCancelled);
      }
    }
  }

  void match(Line& line) {
    while (!line.sends.empty() && !line.receives.empty()) {
      matched_.push_back({take(line.sends, 0), take(line.receives, 0)});
    }
  }

  void carry_out(const Match& match) {
    const std::size_t size = match.send.data.bytes();
    const std::size_t room = match.receive.data.bytes();
    if (match.send.eager) {
      unpack(match.receive.data, 0, std::span(match.send.copied).first(std::min(size, room)));
    } else {
      tern::copy(match.send.data, match.receive.data);
      notices_.push_back({match.send.request, Outcome::kOk});
    }
    notices_.push_back({match.receive.request, size > room ? Outcome::kTruncated : Outcome::kOk});
  }

  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Member>> members_;
  std::map<std::tuple<int, int, int>, Line> lines_;
  std::vector<Match> matched_;
  std::vector<Notice> notices_;
  int dead_ = -1;
  int latecomer_ = -1;
  std::size_t messages_ = 0;
  std::vector<int> names_;
  int messages_between_hosts_ = 0;
};

// Ranks of a simulation on hosts, as an algorithm in two levels wants them: host by host, one after
// another on all hosts, or anyhow. Precondition: 2 ranks at least.
inline void place_at_random(Simulator& simulator, test::Random& random, bool in_order) {
  std::vector<int> names(static_cast<std::size_t>(simulator.size()));
  do {
    const int hosts = random.between(2, simulator.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      names[i] = random.between(0, hosts - 1);
      if (hosts % 3 == 0) names[i] = static_cast<int>(i) % hosts;
    }
    if (in_order || random.one_in(2)) std::sort(names.begin(), names.end());
  } while (!simulator.place_on_hosts(names));
}

// How many rounds it takes to reach n by doubling.
inline int rounds_to(int n) {
  return static_cast<int>(std::bit_width(static_cast<unsigned>(n - 1)));
}

}  // namespace tern::mpi::coll
