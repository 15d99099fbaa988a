// Single steps of a connection's life, the bytes of its messages, and the table in the
// documentation.
#include <gtest/gtest.h>

#include <deque>
#include <fstream>
#include <set>
#include <sstream>

#include "core/connector.h"
#include "core/replay.h"
#include "tests/unit/seed.h"

namespace tern::connect {
namespace {

using test::Random;

TEST(ConnectTable, EveryStateIsReachedAndLeft) {
  for (std::size_t s = 0; s < kStates; ++s) {
    const auto state = static_cast<State>(s);
    std::set<State> from;
    std::set<State> to;
    for (const Row& row : table()) {
      if (row.to == state && row.from != state) from.insert(row.from);
      if (row.from == state && row.to != state) to.insert(row.to);
      EXPECT_EQ(find_row(row.from, row.input), &row);
    }
    EXPECT_FALSE(from.empty()) << name(state);
    EXPECT_FALSE(to.empty()) << name(state);
  }
}

// Along every row: an endpoint is created before it is used, and destroyed when the state has none.
TEST(ConnectTable, EndpointsAreCreatedAndDestroyed) {
  for (const Row& row : table()) {
    SCOPED_TRACE(std::string(name(row.from)) + " + " + std::string(name(row.input)));
    // What an action failed to do is left out.
    bool exists = has_endpoint(row.from) && row.input != Input::kNoEndpoint;
    for (const Action action : row.actions) {
      if (action == Action::kCreate) {
        EXPECT_FALSE(exists);
        exists = true;
      } else if (action == Action::kDestroy) {
        EXPECT_TRUE(exists);
        exists = false;
      } else if (action == Action::kActivate || action == Action::kUp ||
                 action == Action::kQuiesce || action == Action::kSendRequest ||
                 action == Action::kSendAccept) {
        EXPECT_TRUE(exists);
      }
    }
    EXPECT_EQ(exists, has_endpoint(row.to));
  }
}

std::string section_of(const std::string& text, const std::string& title) {
  const std::string begin = "<!-- connect " + title + ": printed by core/connect.cc -->\n";
  const std::size_t at = text.find(begin);
  if (at == std::string::npos) return "no section " + title;
  const std::size_t from = at + begin.size();
  return text.substr(from, text.find("<!-- end -->", from) - from);
}

TEST(ConnectTable, DocumentationShowsIt) {
  std::ifstream file(TERN_TEST_ROOT "/docs/architecture.md");
  std::stringstream text;
  text << file.rdbuf();
  ASSERT_FALSE(text.str().empty());
  EXPECT_EQ(section_of(text.str(), "diagram"), "```mermaid\n" + diagram() + "```\n");
  EXPECT_EQ(section_of(text.str(), "table"), table_as_markdown());
}

Message sample() {
  Message message;
  message.type = Message::Type::kAccept;
  message.from = {0x1122334455667788, 42};
  message.from_incarnation = 7;
  message.to_incarnation = 9;
  message.from_epoch = 3;
  message.to_epoch = 5;
  message.resume = {1ULL << 40, (1ULL << 40) + 64};
  message.blob.size_bytes = 33;
  for (std::size_t i = 0; i < 33; ++i) message.blob.bytes[i] = static_cast<std::byte>(i * 7);
  return message;
}

TEST(ConnectMessage, IsReadAsWritten) {
  const Message message = sample();
  std::array<std::byte, Message::kBytesMax> bytes;
  const std::size_t size = message.encode(bytes);
  EXPECT_LE(size, 256U);
  const std::optional<Message> read = Message::decode(std::span(bytes).first(size));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->type, message.type);
  EXPECT_EQ(read->from, message.from);
  EXPECT_EQ(read->from_incarnation, 7U);
  EXPECT_EQ(read->to_incarnation, 9U);
  EXPECT_EQ(read->from_epoch, 3U);
  EXPECT_EQ(read->to_epoch, 5U);
  EXPECT_EQ(read->resume, message.resume);
  ASSERT_EQ(read->blob.size_bytes, 33U);
  EXPECT_TRUE(std::equal(read->blob.bytes.begin(), read->blob.bytes.begin() + 33,
                         message.blob.bytes.begin()));
}

TEST(ConnectMessage, GarbageIsNone) {
  Random random(1);
  std::array<std::byte, Message::kBytesMax> bytes;
  const std::size_t size = sample().encode(bytes);
  for (std::size_t length = 0; length < size; ++length) {
    EXPECT_FALSE(Message::decode(std::span(bytes).first(length)));
  }
  for (std::size_t bit = 0; bit < size * 8; ++bit) {  // Any single bit.
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_FALSE(Message::decode(std::span(bytes).first(size))) << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
  }
  for (int run = 0; run < 20000; ++run) {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(256));
    EXPECT_FALSE(Message::decode(std::span(bytes).first(random.below(bytes.size() + 1))));
  }
}

// --- one connector whose peers are the test ---

struct Link final : Connection {
  std::uint64_t activity = 0;
};

class Single : public testing::Test, public Driver {
 protected:
  static constexpr ProcessId kSelf{1, 5};

  void make(Options options) {
    options.self = kSelf;
    options.incarnation = 10;
    connector = std::make_unique<Connector>(options, *this);
  }
  void TearDown() override {
    for (Link& link : links) connector->detach(link, now);
    EXPECT_EQ(connector->counters().created, connector->counters().destroyed);
  }
  Link& attach(std::uint64_t rank) {
    connector->attach(links.emplace_back(), {1, rank});
    return links.back();
  }
  // The peer says something; it has answered the current endpoint unless told otherwise.
  void say(Link& link, Message::Type type, std::uint32_t epoch, std::uint64_t incarnation = 20) {
    Message message;
    message.type = type;
    message.from = link.peer();
    message.from_incarnation = incarnation;
    message.to_incarnation = 10;
    message.from_epoch = epoch;
    if (type != Message::Type::kRequest) message.to_epoch = link.epoch();
    message.blob.size_bytes = 1;
    connector->receive(link, message, now);
  }
  void bring_up(Link& link, std::uint32_t epoch = 1) {
    connector->dial(link, now);
    say(link, Message::Type::kAccept, epoch);
    ASSERT_TRUE(link.is_up());
  }

  bool create_endpoint(Connection&) override { return create_works; }
  void describe_endpoint(const Connection&, EndpointBlob& own) override { own.size_bytes = 0; }
  bool activate_endpoint(Connection&, const EndpointBlob&) override { return activate_works; }
  void destroy_endpoint(Connection&) override {}
  void send(Connection&, std::span<const std::byte> bytes) override {
    sent.push_back(Message::decode(bytes).value());
  }
  void up(Connection&, const Resume&) override {}
  void quiesce(Connection& connection) override { quiesced.push_back(&connection); }
  bool down(Connection&, Down why) override {
    downs.push_back(why);
    return has_more;
  }
  bool probe(Connection&) override {
    ++probes;
    return awaits;
  }
  Resume resume(const Connection&) override { return {3, 9}; }
  void acknowledged(Connection&, std::uint64_t) override {}
  std::uint64_t activity(const Connection& connection) override {
    return static_cast<const Link&>(connection).activity;
  }

  std::unique_ptr<Connector> connector;
  std::deque<Link> links;
  std::vector<Message> sent;
  std::vector<Connection*> quiesced;
  std::vector<Down> downs;
  Micros now = 1'000'000;
  bool create_works = true;
  bool has_more = false;  // What down() answers.
  bool awaits = false;    // What probe() answers.
  int probes = 0;
  bool activate_works = true;
};

TEST_F(Single, RequestsAreRepeatedWithGrowingPausesUntilTheDeadline) {
  make({});
  Link& link = attach(9);
  connector->dial(link, now);
  const Micros begin = now;
  std::vector<Micros> times{now};
  while (link.state() == State::kRequested) {
    now = connector->next_time();
    ASSERT_NE(now, kNever);
    const std::size_t before = sent.size();
    connector->advance(now);
    if (sent.size() > before) times.push_back(now);
  }
  EXPECT_EQ(link.state(), State::kFailed);
  EXPECT_EQ(link.reason(), Reason::kNoAnswer);
  EXPECT_EQ(now - begin, connector->options().give_up_us);
  EXPECT_EQ(downs, std::vector<Down>{Down::kFailed});
  Micros pause = connector->options().pause_first_us;
  for (std::size_t i = 1; i < times.size(); ++i) {
    EXPECT_GE(times[i] - times[i - 1], pause - pause / 4);
    EXPECT_LE(times[i] - times[i - 1], pause + pause / 4);
    pause = std::min(2 * pause, connector->options().pause_max_us);
  }
  EXPECT_EQ(connector->next_time(), kNever) << "nothing runs for a failed peer";
}

TEST_F(Single, NothingRunsForAReadyConnection) {
  make({});
  Link& link = attach(9);
  bring_up(link);
  EXPECT_EQ(connector->next_time(), kNever);
  EXPECT_EQ(sent.back().type, Message::Type::kConfirm);
}

// As often as the options say while something is awaited, also of a connection that is being
// closed, and not at all afterwards.
TEST_F(Single, ASilentPeerIsProbedWhileSomethingIsAwaited) {
  make({});
  Link& link = attach(9);
  bring_up(link);
  awaits = true;
  connector->watch(link, now);
  const Micros begin = now;
  const int before = probes;
  for (int i = 0; i < 10; ++i) {
    if (i == 5) connector->close(link, now);
    now = connector->next_time();
    ASSERT_NE(now, kNever);
    connector->advance(now);
  }
  EXPECT_EQ(link.state(), State::kDraining);
  EXPECT_EQ(probes, before + 10 + 1) << "one more when it began to close";
  EXPECT_NEAR(static_cast<double>(now - begin), 10e6, 3e6);
  EXPECT_EQ(connector->counters().repeated, 0U);
  awaits = false;
  now = connector->next_time();
  connector->advance(now);
  EXPECT_EQ(connector->next_time(), kNever);
}

TEST_F(Single, DuplicateAcceptIsConfirmedAgain) {
  make({});
  Link& link = attach(9);
  bring_up(link);
  const std::size_t before = sent.size();
  say(link, Message::Type::kAccept, 1);
  ASSERT_EQ(sent.size(), before + 1);
  EXPECT_EQ(sent.back().type, Message::Type::kConfirm);
  EXPECT_TRUE(downs.empty());
}

// The peer gave up, met a late copy of our request and bound a second endpoint to ours.
TEST_F(Single, AcceptOfAnotherEndpointBreaksTheConnection) {
  make({});
  Link& link = attach(9);
  bring_up(link, 1);
  say(link, Message::Type::kAccept, 2);
  EXPECT_EQ(link.state(), State::kIdle);
  EXPECT_EQ(downs, std::vector<Down>{Down::kLost});
  EXPECT_EQ(sent.back().type, Message::Type::kGone);
  EXPECT_EQ(sent.back().to_epoch, 2U) << "the endpoint that still exists there";
}

// Our endpoint answered a late request; the peer meanwhile answered ours with another endpoint.
TEST_F(Single, CrossedBindingsAreGivenUpAndDialedAgain) {
  make({});
  Link& link = attach(2);  // Its requests go before ours.
  connector->dial(link, now);
  say(link, Message::Type::kRequest, 1);
  ASSERT_EQ(link.state(), State::kAccepted);
  const std::uint32_t first = link.epoch();
  say(link, Message::Type::kAccept, 2);
  EXPECT_EQ(link.state(), State::kRequested);
  EXPECT_EQ(link.epoch(), first + 1);
}

TEST_F(Single, LeastRecentlyUsedIsEvicted) {
  Options options;
  options.connections_max = 3;
  make(options);
  for (std::uint64_t i = 0; i < 4; ++i) attach(10 + i);
  for (std::size_t i = 0; i < 3; ++i) bring_up(links[i]);
  for (std::size_t i = 0; i < 3; ++i) links[i].activity += 5;
  now += 1'000'000;
  connector->dial(links[3], now);
  // All were used since they came up; the first of them goes, and the others have been looked at.
  ASSERT_EQ(quiesced, std::vector<Connection*>{&links[0]});
  EXPECT_EQ(connector->endpoints(), 3U);
  connector->quiet(links[0], now);
  EXPECT_EQ(sent.back().type, Message::Type::kClose);
  EXPECT_EQ(sent.back().resume.received, 3U);
  say(links[0], Message::Type::kGone, 1);
  EXPECT_EQ(downs, std::vector<Down>{Down::kClosed});
  EXPECT_EQ(links[3].state(), State::kRequested);
  say(links[3], Message::Type::kAccept, 1);
  ASSERT_TRUE(links[3].is_up());
  links[3].activity += 1;
  links[1].activity += 1;
  now += 1'000'000;
  connector->dial(links[0], now);
  ASSERT_EQ(quiesced.size(), 2U);
  EXPECT_EQ(quiesced[1], &links[2]) << "the only one not used since";
}

TEST_F(Single, OutOfResourcesIsTriedAgainAndThenSaidSo) {
  make({});
  Link& link = attach(9);
  create_works = false;
  connector->dial(link, now);
  EXPECT_EQ(link.state(), State::kQueued);
  EXPECT_TRUE(sent.empty());
  now = connector->next_time();
  create_works = true;
  connector->advance(now);
  EXPECT_EQ(link.state(), State::kRequested);
  activate_works = false;
  for (int i = 0; i < 10000 && link.state() != State::kFailed; ++i) {
    if (link.state() == State::kRequested) say(link, Message::Type::kAccept, 1);
    now = connector->next_time();
    connector->advance(now);
  }
  EXPECT_EQ(link.state(), State::kFailed);
  EXPECT_EQ(link.reason(), Reason::kBadRemote);
}

TEST_F(Single, ConnectionThatKeepsBreakingIsGivenUp) {
  make({});
  Link& link = attach(9);
  has_more = true;
  connector->dial(link, now);
  std::uint32_t epoch = 0;
  const auto up_and_lost = [&] {
    ASSERT_EQ(link.state(), State::kRequested);
    say(link, Message::Type::kAccept, ++epoch);
    ASSERT_TRUE(link.is_up());
    connector->lost(link, now);
  };
  for (int i = 0; i < 7; ++i) up_and_lost();
  ++link.activity;  // Something gets through: it counts from the beginning.
  say(link, Message::Type::kAccept, ++epoch);
  ASSERT_TRUE(link.is_up());
  ++link.activity;
  connector->lost(link, now);
  for (int i = 0; i < 8; ++i) up_and_lost();
  EXPECT_EQ(link.state(), State::kFailed);
  EXPECT_EQ(link.reason(), Reason::kKeepsBreaking);
}

TEST_F(Single, LateWordsOfAnEarlierLifeDoNothing) {
  make({});
  Link& link = attach(9);
  bring_up(link);
  say(link, Message::Type::kRequest, 1, 21);
  EXPECT_EQ(downs, std::vector<Down>{Down::kRestarted});
  EXPECT_EQ(link.state(), State::kAccepted);
  const std::size_t before = sent.size();
  say(link, Message::Type::kRequest, 7, 20);
  say(link, Message::Type::kClose, 1, 20);
  EXPECT_EQ(sent.size(), before);
  EXPECT_EQ(link.state(), State::kAccepted);
  EXPECT_EQ(link.peer_epoch(), 1U);
}

TEST_F(Single, RefusedPeerIsRejected) {
  make({});
  Link& link = attach(9);
  connector->refuse(link, now);
  EXPECT_EQ(link.state(), State::kFailed);
  EXPECT_EQ(Connector::reason_text(link.reason()), "this process has given it up");
  say(link, Message::Type::kRequest, 1);
  EXPECT_EQ(sent.back().type, Message::Type::kReject);
  EXPECT_EQ(connector->endpoints(), 0U);
}

TEST(Connection, IsSmall) { EXPECT_LE(sizeof(Connection), 200U); }

// --- core/replay.h beside what the simulation covers ---

TEST(Replay, NumbersWrapAround32Bits) {
  for (const std::uint64_t near : {0ULL, 5ULL, 0xFFFFFFFFULL, 0x1'0000'0000ULL, 0x7'FFFF'FFF0ULL}) {
    for (const std::int64_t step : {-3, 0, 1, 100}) {
      const std::uint64_t full = near + static_cast<std::uint64_t>(step);
      if (step < 0 && near < 3) continue;
      EXPECT_EQ(replay::widen(static_cast<std::uint32_t>(full), near), full);
    }
  }
}

TEST(Replay, ArrivalsAreNextDoubledOrMissing) {
  replay::ReceiveWindow window(4);
  EXPECT_EQ(window.arrive(1), replay::Arrival::kNext);
  EXPECT_EQ(window.arrive(1), replay::Arrival::kDuplicate);
  EXPECT_EQ(window.arrive(3), replay::Arrival::kGap);
  EXPECT_EQ(window.arrive(2), replay::Arrival::kNext);
  EXPECT_EQ(window.received(), 2U);
  EXPECT_EQ(window.resume(), (Resume{2, 4})) << "two buffers are in use";
  window.release(2);
  EXPECT_EQ(window.resume(), (Resume{2, 6}));
}

TEST(Replay, NothingNewBeforeWhatIsToBeRepeated) {
  replay::SendWindow window;
  EXPECT_FALSE(window.can_send()) << "no connection has been up yet";
  window.resume({0, 3});
  replay::SendRecord records[3];
  for (auto& record : records) {
    ASSERT_TRUE(window.can_send());
    window.push(record);
  }
  EXPECT_FALSE(window.can_send()) << "no room";
  // The first has arrived, the others are lost; there is room for one of them now.
  EXPECT_EQ(window.resume({1, 2}), &records[0]);
  EXPECT_EQ(window.next_repeat(), &records[1]);
  EXPECT_EQ(window.next_repeat(), nullptr);
  EXPECT_TRUE(window.repeating());
  EXPECT_EQ(window.acknowledge({0, 2, 6}), &records[1]);
  EXPECT_FALSE(window.can_send()) << "there is room, but the third comes first";
  EXPECT_EQ(window.next_repeat(), &records[2]);
  EXPECT_TRUE(window.can_send());
  EXPECT_EQ(window.acknowledge({0, 7, 6}), nullptr) << "not that many were sent";
}

TEST(Replay, BuffersAreNeverPromisedTwice) {
  Random random(3);
  replay::BufferBudget budget(100);
  std::vector<std::uint32_t> windows;
  for (int step = 0; step < 10000; ++step) {
    if (random.one_in(2) && !windows.empty()) {
      budget.give_window(windows.back());
      windows.pop_back();
    } else {
      const std::uint32_t wanted = 1 + static_cast<std::uint32_t>(random.below(20));
      const std::uint32_t window = budget.take_window(wanted);
      EXPECT_LE(window, wanted);
      if (window != 0) windows.push_back(window);
    }
    std::uint32_t used = 0;
    for (const std::uint32_t window : windows) used += replay::ReceiveWindow::buffers(window);
    ASSERT_EQ(used + budget.free(), 100U);
  }
}

TEST(Replay, TransfersKnowWhetherTheyHaveHappened) {
  using Kind = replay::TransferRecord::Kind;
  replay::TransferWindow window;
  replay::TransferRecord write;
  write.kind = Kind::kWrite;
  replay::TransferRecord read;
  read.kind = Kind::kRead;
  window.push(write, 4);
  window.push(read, 4);
  EXPECT_FALSE(replay::TransferWindow::has_happened(write, 4)) << "nothing that followed arrived";
  EXPECT_TRUE(replay::TransferWindow::has_happened(write, 5));
  EXPECT_FALSE(replay::TransferWindow::has_happened(read, 5)) << "its data may not have come back";
  window.remove(write);
  EXPECT_EQ(window.first(), &read);
  window.remove(read);
  EXPECT_TRUE(window.empty());
}

}  // namespace
}  // namespace tern::connect
