// mpi_api/contact.cc - see contact.h.
#include "mpi_api/contact.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <utility>

#include "core/check.h"
#include "core/format.h"
#include "mpi_api/errors.h"

namespace tern::mpi {

using std::chrono::steady_clock;

// One message between two desks; fixed widths, no padding. A hello's is followed by the client's
// business card, an end's by the reason.
struct Note {
  static constexpr std::uint32_t kMagic = 0x746e6f74;  // "tnot"
  enum Kind : std::uint16_t { kHello = 1, kRefused, kWelcome, kAbandon, kCancel, kDone, kEnd };

  std::uint32_t magic = kMagic;
  std::uint16_t wire_version = kWireVersion;
  std::uint16_t kind = 0;
  std::uint64_t conversation = 0;
  std::uint64_t port = 0;        // kHello.
  std::uint64_t body_bytes = 0;  // kHello, kDone: of the body that the sender has.
  spawn::PortSecret secret{};    // kHello.
  std::uint32_t reason = 0;      // kRefused; kEnd: 1 for those that shall end, too.
  std::array<char, 12> os{};     // kHello.
};
static_assert(sizeof(Note) == 64);

namespace {

// Bodies travel on a context of their conversation's, notes on this one.
constexpr std::uint64_t kNotes = 0x7465726e2d6e6f74;
enum BodyTag : int { kFromClient = 1, kFromServer = 2 };
enum Reason : std::uint32_t { kClosed = 1, kWrongSecret, kOtherSystem, kTooMany };

constexpr std::size_t kNoteBytesMax = 4096;  // With a card.
// Of one side's introduction: a few hundred bytes per process.
constexpr std::uint64_t kBodyBytesMax = std::uint64_t{1} << 30;
// Clients that wait for an accept at the same time, per port.
constexpr std::size_t kWaitingMax = 16384;
// A client that was welcomed is about to answer; one that does not must not keep others waiting.
constexpr std::chrono::seconds kAnswerTime{10};

bool past(const Deadline& deadline) { return deadline && steady_clock::now() >= *deadline; }

Note note_of(Note::Kind kind, std::uint64_t conversation) {
  Note note;
  note.kind = kind;
  note.conversation = conversation;
  return note;
}

std::array<char, 12> short_os(std::string_view os) {
  std::array<char, 12> text{};
  std::copy_n(os.begin(), std::min(os.size(), text.size()), text.begin());
  return text;
}

const char* reason_text(std::uint32_t reason) {
  switch (reason) {
    case kClosed:
      return "the server has closed this port, or never opened it; get the name of the port that "
             "is "
             "open now";
    case kWrongSecret:
      return "the server does not take the secret in the port name; get the whole name again from "
             "where the server has left it";
    case kOtherSystem:
      return "the server runs another operating system; both must run the same one";
    default:
      return "too many clients wait on this port already; try again later";
  }
}

}  // namespace

// Something on its way that nobody waits for.
struct ContactDesk::Sending : tern::Request {
  std::vector<std::byte> content;
};

struct ContactDesk::Hello {
  Peer* from = nullptr;
  Note note;
};

struct ContactDesk::Port {
  std::string name;
  spawn::PortName parts;
  std::deque<Hello> waiting;
  bool closed = false;
};

// The receive of the other side's body.
struct ContactDesk::Body : tern::Request {
  Conversation* conversation = nullptr;
};

// One end of a handshake.
struct ContactDesk::Conversation {
  std::uint64_t id = 0;
  Peer* peer = nullptr;
  Note answer;  // The latest about this conversation; kind 0: none yet.
  Body receiving;
  bool posted = false;  // The receive.
  std::vector<std::byte> body;
};

ContactDesk::ContactDesk(Engine& engine, Connections& connections)
    : engine_(engine), connections_(connections) {
  inbox_ = std::make_unique<RepeatedReceive>(
      engine_, Envelope{kNotes, 0, 0}, kNoteBytesMax,
      [this](Peer& from, const Envelope&, std::span<const std::byte> note) {
        on_note(from, note);
      });
}

ContactDesk::~ContactDesk() { inbox_.reset(); }  // First: a note looks at the rest.

void ContactDesk::send_note(Peer& to, const Note& note, std::span<const std::byte> card) {
  const auto head = std::as_bytes(std::span(&note, 1));
  std::vector<std::byte> content(head.begin(), head.end());
  content.insert(content.end(), card.begin(), card.end());
  post(to, {kNotes, 0, 0}, std::move(content));
}

void ContactDesk::post(Peer& to, const Envelope& envelope, std::vector<std::byte> content) {
  auto* const sending = new Sending;
  sending->content = std::move(content);
  sending->on_done = [](tern::Request& request) { delete static_cast<Sending*>(&request); };
  engine_.send(to, envelope, DataView::bytes_at(sending->content.data(), sending->content.size()),
               SendMode::kStandard, *sending);
}

void ContactDesk::on_note(Peer& from, std::span<const std::byte> bytes) {
  Note note;
  if (bytes.size() < sizeof note) return;
  std::memcpy(&note, bytes.data(), sizeof note);
  if (note.magic != Note::kMagic || note.wire_version != kWireVersion) return;
  if (note.kind == Note::kHello) return on_hello(from, note, bytes.subspan(sizeof note));
  if (note.kind == Note::kEnd) return on_end(from, note, bytes.subspan(sizeof note));
  if (note.kind == Note::kAbandon) {
    for (const auto& port : ports_) {
      std::erase_if(port->waiting, [&](const Hello& hello) {
        const bool his = hello.from == &from && hello.note.conversation == note.conversation;
        if (his) connections_.let_go(from.id);
        return his;
      });
    }
  }
  Conversations& ours = note.kind == Note::kAbandon ? served_ : asked_;
  const auto found = ours.find(note.conversation);
  if (found != ours.end() && found->second->peer == &from) found->second->answer = note;
}

void ContactDesk::on_hello(Peer& from, const Note& note, std::span<const std::byte> card_bytes) {
  std::string why;
  const std::optional<Card> card =
      Card::decode({reinterpret_cast<const char*>(card_bytes.data()), card_bytes.size()}, why);
  if (!card || card->id != from.id || note.body_bytes > kBodyBytesMax) return;
  connections_.learn(*card);
  const auto refuse = [&](Reason reason) {
    Note refusal = note_of(Note::kRefused, note.conversation);
    refusal.reason = reason;
    send_note(from, refusal);
  };
  const auto port = std::ranges::find_if(
      ports_, [&](const auto& open) { return open->parts.port == note.port && !open->closed; });
  if (port == ports_.end()) return refuse(kClosed);
  if (!spawn::same_secret(note.secret, (*port)->parts.secret)) return refuse(kWrongSecret);
  if (note.os != short_os(engine_.own_card().os)) return refuse(kOtherSystem);
  if ((*port)->waiting.size() >= kWaitingMax) return refuse(kTooMany);
  connections_.hold(from.id);
  (*port)->waiting.push_back({&from, note});
}

void ContactDesk::on_end(Peer& from, const Note& note, std::span<const std::byte> text) {
  if (!connections_.is_connected(from.id)) return;  // A stranger has no say.
  const std::string why(reinterpret_cast<const char*>(text.data()), text.size());
  if (note.reason == 0) return connections_.expect_end(from.id, why);
  abort_job(MPI_ERR_PROC_ABORTED,
            tern::format("a connected process has ended all that are connected to it: {}", why));
}

void ContactDesk::announce_end(std::string_view why, const Choice& with_us) {
  const auto text = std::as_bytes(std::span(why.substr(0, kNoteBytesMax - sizeof(Note))));
  const auto tell = [&](const ProcessId& id, Peer& peer) {
    Note note = note_of(Note::kEnd, 0);
    note.reason = with_us(id) ? 1 : 0;
    send_note(peer, note, text);
  };
  const std::vector<ProcessId> connected = connections_.connected();
  std::vector<std::uint64_t> told_jobs;
  for (const ProcessId& id : connected) {
    Peer& peer = engine_.peer(id);
    if (peer.state != Peer::State::kReady) continue;
    tell(id, peer);
    told_jobs.push_back(id.job);
  }
  for (const ProcessId& id : connected) {
    if (!with_us(id) || std::ranges::find(told_jobs, id.job) != told_jobs.end()) continue;
    tell(id, engine_.peer(id));
    told_jobs.push_back(id.job);
  }
}

int ContactDesk::open_port(std::string& name, std::size_t longest) {
  auto port = std::make_shared<Port>();
  spawn::PortName& parts = port->parts;
  const spawn::Station here = spawn::station_of(engine_.own_card());
  parts.os = here.os;
  parts.fabrics = here.fabrics;
  parts.host = here.host;
  parts.server = engine_.own_card().id;
  parts.port = ++last_port_;
  if (!spawn::make_secret(parts.secret)) {
    return fail(MPI_ERR_OTHER, "the system gives no random numbers for the port's secret");
  }
  port->name = parts.encode(longest);
  // Names are short. One address is enough to meet, and the longest goes first.
  while (port->name.empty() && parts.fabrics.size() > 1) {
    const auto length = [](const auto& fabric) { return fabric.address.size(); };
    parts.fabrics.erase(std::ranges::max_element(parts.fabrics, {}, length));
    port->name = parts.encode(longest);
  }
  if (port->name.empty()) {
    return fail(MPI_ERR_OTHER,
                "the address of this process does not fit a port name of {} characters; choose "
                "another fabric (TERN_FABRIC)",
                longest);
  }
  name = port->name;
  ports_.push_back(std::move(port));
  return MPI_SUCCESS;
}

std::shared_ptr<ContactDesk::Port> ContactDesk::find_port(std::string_view name) const {
  const auto found =
      std::ranges::find_if(ports_, [name](const auto& port) { return port->name == name; });
  return found == ports_.end() ? nullptr : *found;
}

bool ContactDesk::close_port(std::string_view name) {
  const std::shared_ptr<Port> port = find_port(name);
  if (port == nullptr) return false;
  port->closed = true;  // For threads that wait in accept.
  std::erase(ports_, port);
  for (const Hello& hello : std::exchange(port->waiting, {})) {
    Note refusal = note_of(Note::kRefused, hello.note.conversation);
    refusal.reason = kClosed;
    send_note(*hello.from, refusal);
    connections_.let_go(hello.from->id);
  }
  return true;
}

bool ContactDesk::gone(const Conversation& conversation) const {
  return conversation.peer->state == Peer::State::kFailed;
}

int ContactDesk::accept(std::string_view name, Deadline deadline, std::span<const std::byte> mine,
                        std::vector<std::byte>& theirs, const GivenUp& given_up) {
  const std::shared_ptr<Port> port = find_port(name);
  if (port == nullptr) {
    return fail(
        MPI_ERR_PORT,
        "argument `port_name` is `{}`, which is not a port that this process has open; pass "
        "what MPI_Open_port gave at the root",
        name);
  }
  while (true) {
    std::string why;
    engine_.wait_until([&] {
      if (given_up) why = given_up();
      return !port->waiting.empty() || port->closed || past(deadline) || !why.empty();
    });
    if (!port->waiting.empty()) {
      const Hello hello = port->waiting.front();
      port->waiting.pop_front();
      if (serve(hello, mine, theirs)) return MPI_SUCCESS;
    } else if (port->closed) {
      return fail(MPI_ERR_PORT, "the port was closed while this call waited for a client");
    } else if (!why.empty()) {
      return fail(MPI_ERR_SPAWN, "{}", why);
    } else if (past(deadline)) {
      return fail(MPI_ERR_PORT,
                  "no client has connected in the time that info key `timeout` gives");
    }
  }
}

// False: this client came to nothing, and the next one can be served.
bool ContactDesk::serve(const Hello& hello, std::span<const std::byte> mine,
                        std::vector<std::byte>& theirs) {
  const std::uint64_t id = hello.note.conversation;
  auto owned = std::make_unique<Conversation>();
  Conversation& talk = *owned;
  talk.id = id;
  talk.peer = hello.from;
  talk.body.resize(hello.note.body_bytes);
  if (!served_.emplace(id, std::move(owned)).second) {
    connections_.let_go(hello.from->id);
    return false;
  }
  engine_.receive({id, 0, kFromClient}, DataView::bytes_at(talk.body.data(), talk.body.size()),
                  talk.receiving);
  talk.posted = true;
  send_note(*talk.peer, note_of(Note::kWelcome, id));
  const Deadline patience = steady_clock::now() + kAnswerTime;
  const auto over = [&] {
    return talk.receiving.done || talk.answer.kind == Note::kAbandon || gone(talk) ||
           past(patience);
  };
  engine_.wait_until(over);
  const bool in_time = talk.receiving.done && talk.receiving.outcome == Outcome::kOk;
  if (in_time) {
    Note done = note_of(Note::kDone, id);
    done.body_bytes = mine.size();
    send_note(*talk.peer, done);
    post(*talk.peer, {id, 0, kFromServer}, {mine.begin(), mine.end()});
    theirs = std::move(talk.body);
  } else if (!gone(talk)) {
    send_note(*talk.peer, note_of(Note::kCancel, id));
  }
  connections_.let_go(talk.peer->id);
  end(served_, talk);
  return in_time;
}

// A body that is arriving this very moment keeps the conversation until it has arrived.
void ContactDesk::end(Conversations& ours, Conversation& talk) {
  const auto found = ours.find(talk.id);
  std::unique_ptr<Conversation> owned = std::move(found->second);
  ours.erase(found);
  // One that was never posted is not done either, and must not be cancelled.
  if (!talk.posted || talk.receiving.done || engine_.cancel_receive(talk.receiving)) return;
  talk.receiving.on_done = [](tern::Request& request) {
    delete static_cast<Body&>(request).conversation;
  };
  talk.receiving.conversation = owned.release();
}

int ContactDesk::connect(std::string_view name, Deadline deadline, std::span<const std::byte> mine,
                         std::vector<std::byte>& theirs) {
  std::string why;
  const std::optional<spawn::PortName> port = spawn::PortName::decode(name, why);
  if (!port) return fail(MPI_ERR_PORT, "argument `port_name` is `{}`: {}", name, why);
  why = spawn::why_no_match(*port, spawn::station_of(engine_.own_card()));
  if (!why.empty()) return fail(MPI_ERR_PORT, "the port cannot be reached from here: {}", why);
  connections_.learn(spawn::card_of(*port, engine_.own_card()));
  connections_.hold(port->server);
  const int error = ask(*port, deadline, mine, theirs);
  connections_.let_go(port->server);
  return error;
}

int ContactDesk::ask(const spawn::PortName& port, Deadline deadline,
                     std::span<const std::byte> mine, std::vector<std::byte>& theirs) {
  auto owned = std::make_unique<Conversation>();
  Conversation& talk = *owned;
  // Never guessed right by others, and never a context of a communicator.
  if (::getrandom(&talk.id, sizeof talk.id, 0) != sizeof talk.id) {
    return fail(MPI_ERR_OTHER, "the system gives no random numbers for a connection");
  }
  talk.peer = &engine_.peer(port.server);
  asked_.emplace(talk.id, std::move(owned));
  int error = MPI_SUCCESS;
  do {
    error = ask_once(talk, port, deadline, mine);
  } while (error == MPI_SUCCESS && talk.answer.kind == Note::kCancel);
  if (error == MPI_SUCCESS) {
    talk.body.resize(talk.answer.body_bytes);
    engine_.receive({talk.id, 0, kFromServer},
                    DataView::bytes_at(talk.body.data(), talk.body.size()), talk.receiving);
    talk.posted = true;
    engine_.wait_until([&] { return talk.receiving.done || gone(talk); });
    if (talk.receiving.done && talk.receiving.outcome == Outcome::kOk) {
      theirs = std::move(talk.body);
    } else {
      error = lost(talk, port);
    }
  }
  end(asked_, talk);
  return error;
}

int ContactDesk::lost(const Conversation& talk, const spawn::PortName& port) const {
  return fail(
      MPI_ERR_PORT,
      "the server on host {} cannot be reached: {}. If it has ended, start it again and use "
      "the port name that it prints then",
      port.host, talk.peer->why);
}

// Until the server has answered one way or the other. MPI_SUCCESS: talk.answer is kDone or kCancel.
int ContactDesk::ask_once(Conversation& talk, const spawn::PortName& port, Deadline deadline,
                          std::span<const std::byte> mine) {
  Note hello = note_of(Note::kHello, talk.id);
  hello.port = port.port;
  hello.body_bytes = mine.size();
  hello.secret = port.secret;
  hello.os = short_os(engine_.own_card().os);
  talk.answer = {};
  const std::string card = engine_.own_card().encode();
  send_note(*talk.peer, hello, std::as_bytes(std::span(card)));
  engine_.wait_until([&] { return talk.answer.kind != 0 || gone(talk) || past(deadline); });
  if (talk.answer.kind == 0) {
    if (gone(talk)) return lost(talk, port);
    send_note(*talk.peer, note_of(Note::kAbandon, talk.id));
    return fail(MPI_ERR_PORT,
                "the server on host {} lives, but has not accepted in the time allowed; is it in "
                "MPI_Comm_accept? More time: info key `timeout`, TERN_CONNECT_TIMEOUT",
                port.host);
  }
  if (talk.answer.kind == Note::kRefused) {
    return fail(MPI_ERR_PORT, "{}", reason_text(talk.answer.reason));
  }
  if (talk.answer.kind != Note::kWelcome) return MPI_SUCCESS;
  talk.answer = {};
  post(*talk.peer, {talk.id, 0, kFromClient}, {mine.begin(), mine.end()});
  // The server decides now, and answers as soon as it has the body, or ends.
  engine_.wait_until([&] { return talk.answer.kind != 0 || gone(talk); });
  if (talk.answer.kind == 0) return lost(talk, port);
  const bool sound = talk.answer.kind == Note::kCancel ||
                     (talk.answer.kind == Note::kDone && talk.answer.body_bytes <= kBodyBytesMax);
  return sound ? MPI_SUCCESS : fail(MPI_ERR_PORT, "the server answered with something else");
}

}  // namespace tern::mpi
