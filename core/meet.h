// core/meet.h - connects with the partners of a plan (core/preconnect.h), a bounded number at a
// time.
//
// A pair has met when an empty message has gone there and one has come back: then every fabric has
// all that the first message of the program needs, in both directions. The dialer's end needs
// nobody in particular at the other end: the engine there answers, whatever it was called for.
// Threading: as the engine. Failure: a partner that cannot be reached, or is not heard of for the
// time of patience while nothing else goes on either, is missing, with a reason; nothing hangs.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/engine.h"
#include "core/preconnect.h"

namespace tern {

class Meeting {
 public:
  using Rank = preconnect::Rank;
  using PeerOf = std::function<Peer&(Rank)>;

  Meeting(Engine& engine, std::vector<Rank> partners, Rank own, PeerOf peer_of,
          std::uint64_t patience_us);

  // Does what can be done now; true when it is over. Between the calls the engine progresses.
  bool advance(std::uint64_t now_us);

  std::size_t met() const { return met_; }
  std::size_t missing() const { return missing_; }
  // When some are missing: the first of them, and why.
  Rank first_missing() const { return first_missing_; }
  const std::string& why() const { return why_; }

 private:
  static constexpr std::size_t kUnderWayMax = 16;
  struct UnderWay {
    Rank partner;
    Peer* peer;
    bool dial;
  };

  bool finish_some();
  bool start_some();
  bool has_met(const UnderWay& one);
  void miss(Rank partner, const std::string& why);
  void give_up();

  Engine& engine_;
  preconnect::Walk walk_;
  PeerOf peer_of_;
  std::uint64_t patience_us_;
  std::uint64_t moved_at_us_ = 0;
  std::vector<UnderWay> under_way_;
  std::size_t met_ = 0;
  std::size_t missing_ = 0;
  Rank first_missing_ = 0;
  std::string why_;
};

}  // namespace tern
