// mpi_api/contact.h - how the roots of two groups that share no communicator meet through a port.
//
// The server's address is in the port name, so the client speaks to it through the engine, as with
// any peer: no socket listens, strangers have nothing to connect to, and what connects two jobs is
// what will carry their messages. Notes travel on a context of their own:
//
//   client                               server
//     hello (secret, card)      ->         waits until an accept takes it, or is refused
//     body                      <-  welcome
//                               ->  body
//                               <-  done, body     from here on the server is committed
//
// The client may leave (`abandon`) until it has been welcomed; then the server decides, by `done`
// or `cancel`. Either side notices the other's death at any point.
//
// A process that ends because of an error says so to those that are connected (`end`). Threading:
// under the entry lock; notes are handled as part of progress. Failure: an MPI error class after
// fail().
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/engine.h"
#include "mpi_api/connections.h"
#include "mpi_api/repeated_receive.h"
#include "spawn/port_name.h"

namespace tern::mpi {

using Deadline = std::optional<std::chrono::steady_clock::time_point>;  // nullopt: none.

struct Note;

class ContactDesk {
 public:
  ContactDesk(Engine& engine, Connections& connections);
  ~ContactDesk();
  ContactDesk(const ContactDesk&) = delete;
  ContactDesk& operator=(const ContactDesk&) = delete;

  int open_port(std::string& name, std::size_t longest = spawn::kPortNameLongest);
  // Clients that wait on it are told so. False: this process has no such port.
  bool close_port(std::string_view name);

  // Says why nobody will come any more; empty while somebody may.
  using GivenUp = std::function<std::string()>;
  // Waits for a client of this port and swaps bytes with it. With `given_up` the wait can end
  // early, as MPI_ERR_SPAWN.
  int accept(std::string_view name, Deadline deadline, std::span<const std::byte> mine,
             std::vector<std::byte>& theirs, const GivenUp& given_up = {});
  // This process is about to end, saying `why`. Connected processes for which `with_us` holds end,
  // too, those of other jobs that it has a link to and at least one of each job; the others that it
  // has a link to know the reason then. Only starts to send.
  using Choice = std::function<bool(const ProcessId&)>;
  void announce_end(std::string_view why, const Choice& with_us);

  // Finds the server of this port and swaps bytes with it.
  int connect(std::string_view name, Deadline deadline, std::span<const std::byte> mine,
              std::vector<std::byte>& theirs);

 private:
  struct Hello;
  struct Port;
  struct Body;
  struct Conversation;
  struct Sending;
  using Conversations = std::unordered_map<std::uint64_t, std::unique_ptr<Conversation>>;

  // --- notes ---
  void on_note(Peer& from, std::span<const std::byte> bytes);
  void on_end(Peer& from, const Note& note, std::span<const std::byte> text);
  void on_hello(Peer& from, const Note& note, std::span<const std::byte> card_bytes);
  void send_note(Peer& to, const Note& note, std::span<const std::byte> card = {});
  void post(Peer& to, const Envelope& envelope, std::vector<std::byte> content);

  // --- the server's side ---
  std::shared_ptr<Port> find_port(std::string_view name) const;
  bool serve(const Hello& hello, std::span<const std::byte> mine, std::vector<std::byte>& theirs);

  // --- the client's side ---
  int ask(const spawn::PortName& port, Deadline deadline, std::span<const std::byte> mine,
          std::vector<std::byte>& theirs);
  int ask_once(Conversation& talk, const spawn::PortName& port, Deadline deadline,
               std::span<const std::byte> mine);
  int lost(const Conversation& talk, const spawn::PortName& port) const;

  bool gone(const Conversation& conversation) const;
  void end(Conversations& ours, Conversation& talk);

  Engine& engine_;
  Connections& connections_;
  std::unique_ptr<RepeatedReceive> inbox_;
  std::vector<std::shared_ptr<Port>> ports_;
  Conversations asked_;   // As a client.
  Conversations served_;  // As a server; apart, because one process may be both.
  std::uint64_t last_port_ = 0;
};

}  // namespace tern::mpi
