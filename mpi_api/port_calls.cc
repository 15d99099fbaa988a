// mpi_api/port_calls.cc - MPI_Open_port, MPI_Close_port, MPI_Comm_accept, MPI_Comm_connect and
// MPI_Comm_disconnect (MPI-5.0 section 11.9). How the two roots find each other: contact.h.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>

#include "impl.h"
#include "mpi_api/checks.h"
#include "mpi_api/coll/internal.h"
#include "mpi_api/connections.h"
#include "mpi_api/contact.h"
#include "mpi_api/errors.h"
#include "mpi_api/fabrics.h"
#include "mpi_api/intercomm.h"
#include "mpi_api/parting.h"
#include "mpi_api/port.h"
#include "mpi_api/process_calls.h"
#include "mpi_api/runtime.h"
#include "mpi_api/spawned_jobs.h"

namespace tern::mpi {
namespace {

// A card, as everybody brings it to the root: shorter than what a fabric can show (1 KiB).
constexpr std::size_t kCardBytes = 1024;
struct CardSlot {
  std::uint32_t size = 0;
  std::array<char, kCardBytes> text{};
};

// The cards of all members of comm, each behind its length, known at every member.
int gather_cards(Comm& comm, Bytes& cards) {
  const std::string own = engine().own_card().encode();
  CardSlot mine;
  mine.size = static_cast<std::uint32_t>(std::min(own.size(), kCardBytes));
  std::copy_n(own.begin(), mine.size, mine.text.begin());
  std::vector<CardSlot> all(static_cast<std::size_t>(comm.size()));
  if (const int error = coll::allgather_bytes(comm, &mine, sizeof mine, all.data())) return error;
  for (const CardSlot& slot : all) {
    const auto bytes = std::as_bytes(std::span(&slot, 1));
    cards.insert(cards.end(), bytes.begin(),
                 bytes.begin() + static_cast<std::ptrdiff_t>(sizeof slot.size + slot.size));
  }
  return MPI_SUCCESS;
}

void learn_cards(std::span<const std::byte> cards) {
  std::uint32_t size = 0;
  while (cards.size() > sizeof size) {
    std::memcpy(&size, cards.data(), sizeof size);
    cards = cards.subspan(sizeof size);
    if (size > cards.size()) return;
    std::string why;
    const auto* const text = reinterpret_cast<const char*>(cards.data());
    if (const auto card = Card::decode({text, size}, why)) runtime().connections->learn(*card);
    cards = cards.subspan(size);
  }
}

// Two parts in one: the length of the first goes before it.
Bytes join(std::span<const std::byte> first, std::span<const std::byte> second) {
  const std::uint64_t size = first.size();
  const auto head = std::as_bytes(std::span(&size, 1));
  Bytes whole(head.begin(), head.end());
  whole.insert(whole.end(), first.begin(), first.end());
  whole.insert(whole.end(), second.begin(), second.end());
  return whole;
}

bool part(std::span<const std::byte> whole, Bytes& first, Bytes& second) {
  std::uint64_t size = 0;
  if (whole.size() < sizeof size) return false;
  std::memcpy(&size, whole.data(), sizeof size);
  whole = whole.subspan(sizeof size);
  if (size > whole.size()) return false;
  const auto middle = whole.begin() + static_cast<std::ptrdiff_t>(size);
  first.assign(whole.begin(), middle);
  second.assign(middle, whole.end());
  return true;
}

std::chrono::duration<double> seconds_of(std::string_view text, bool& sound) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  constexpr double kLongest = 1e9;
  sound = error == std::errc() && end == text.data() + text.size() && seconds >= 0 &&
          seconds <= kLongest;
  return std::chrono::duration<double>(seconds);
}

Deadline in(std::chrono::duration<double> time) {
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<std::chrono::steady_clock::duration>(time);
}

// What accept and connect are told at the root; `deadline` is the one without info key `timeout`.
PortWish read_wish(const char* port_name, MPI_Info info, Deadline deadline) {
  PortWish wish;
  wish.deadline = deadline;
  Info* const object = to_info(info);
  int error = check_string(port_name, "port_name");
  if (error == MPI_SUCCESS) error = check_info_or_null(object, info, "info");
  if (error == MPI_SUCCESS) error = read_timeout(object, wish.deadline);
  if (error == MPI_SUCCESS) {
    wish.port = bounded(port_name);
  } else {
    wish.refusal = Refusal::of(error);
  }
  return wish;
}

}  // namespace

std::string_view bounded(const char* port_name) {
  return {port_name, strnlen(port_name, MPI_MAX_PORT_NAME)};
}

int spread(Comm& comm, int root, Bytes& bytes) {
  std::uint64_t size = bytes.size();
  if (const int error = coll::bcast_bytes(comm, &size, sizeof size, root)) return error;
  bytes.resize(size);
  return size == 0 ? MPI_SUCCESS : coll::bcast_bytes(comm, bytes.data(), bytes.size(), root);
}

ContactDesk& contact_desk() {
  if (runtime().contact == nullptr) {
    runtime().contact = std::make_unique<ContactDesk>(engine(), *runtime().connections);
  }
  return *runtime().contact;
}

void mention_unknown_keys(Info* info, std::string_view known) {
  static std::vector<std::string> mentioned;
  if (info == nullptr || !runtime().verbose) return;
  for (const Info::Entry& entry : info->entries()) {
    if (entry.key == known || std::ranges::count(mentioned, entry.key) != 0) continue;
    mentioned.push_back(entry.key);
    // The standard reserves these two, and leaves it open whether they mean something.
    const bool of_sockets = entry.key == "ip_port" || entry.key == "ip_address";
    std::fprintf(
        stderr, "tern: the info key `%s` of a port or a name %s and has no effect\n",
        entry.key.c_str(),
        of_sockets ? "is for ports that listen on a socket, which these do not," : "is not known");
  }
}

int read_timeout(Info* info, Deadline& deadline) {
  mention_unknown_keys(info, "timeout");
  const auto text = info == nullptr ? std::nullopt : info->get("timeout");
  if (!text) return MPI_SUCCESS;
  bool sound = false;
  const auto time = seconds_of(*text, sound);
  if (!sound) {
    return fail(MPI_ERR_INFO_VALUE,
                "info key `timeout` is `{}`; it takes a number of seconds, such as 2.5", *text);
  }
  deadline = in(time);
  return MPI_SUCCESS;
}

Deadline connect_deadline() {
  bool sound = false;
  const auto time = seconds_of(runtime().connect_timeout, sound);
  constexpr std::chrono::seconds kDefault{180};
  return in(sound ? time : kDefault);
}

int meet(Comm& comm, int root, const RootExchange& exchange, Comm** newcomm) {
  // Where the root may be dealing with another host, all may: their cards shall say how.
  int leaves_host = runtime().fabrics->has_rest() ? 0 : 1;
  if (const int error = coll::bcast_bytes(comm, &leaves_host, sizeof leaves_host, root)) {
    return error;
  }
  if (leaves_host != 0) runtime().fabrics->open_rest(engine());
  (void)contact_desk();  // From now on others may have a note for any member.
  Bytes own_cards;
  if (const int error = gather_cards(comm, own_cards)) return error;
  Bytes cards;
  const auto leaders = [&](std::span<const std::byte> mine, Bytes& theirs) -> int {
    Bytes answer;
    if (const int error = exchange(join(mine, own_cards), answer)) return error;
    if (part(answer, theirs, cards)) return MPI_SUCCESS;
    return fail(MPI_ERR_PORT, "the other side of the port answered with something else");
  };
  if (const int error = connect_groups(comm, root, leaders, newcomm)) return error;
  if (const int error = spread(comm, root, cards)) return error;
  learn_cards(cards);
  return MPI_SUCCESS;
}

Refusal Refusal::of(int error) { return {error, std::string(last_failure(error))}; }

int Refusal::raise() const {
  return error == MPI_SUCCESS ? MPI_SUCCESS : fail(error, "{}", sentence);
}

PortWish read_accept(const Comm& comm, int root, const char* port_name, MPI_Info info) {
  return comm.rank() == root ? read_wish(port_name, info, std::nullopt) : PortWish();
}

PortWish read_connect(const Comm& comm, int root, const char* port_name, MPI_Info info) {
  return comm.rank() == root ? read_wish(port_name, info, connect_deadline()) : PortWish();
}

void prepare_for_port(std::string_view name) {
  std::string why;
  const auto port = spawn::PortName::decode(name, why);
  if (!port) return;
  const auto& own = engine().own_card().addresses;
  const auto is_new = [&own](const auto& fabric) { return !own.contains(fabric.name); };
  if (std::ranges::any_of(port->fabrics, is_new)) runtime().fabrics->open_rest(engine());
}

int accept(const PortWish& wish, Comm& comm, int root, Comm** newcomm) {
  const auto exchange = [&wish](std::span<const std::byte> mine, Bytes& theirs) {
    if (const int error = wish.refusal.raise()) return error;
    return contact_desk().accept(wish.port, wish.deadline, mine, theirs);
  };
  return meet(comm, root, exchange, newcomm);
}

int connect(const PortWish& wish, Comm& comm, int root, Comm** newcomm) {
  prepare_for_port(wish.port);
  const auto exchange = [&wish](std::span<const std::byte> mine, Bytes& theirs) {
    if (const int error = wish.refusal.raise()) return error;
    return contact_desk().connect(wish.port, wish.deadline, mine, theirs);
  };
  return meet(comm, root, exchange, newcomm);
}

namespace impl {

int open_port(Info* info, char* port_name) {
  mention_unknown_keys(info);
  runtime().fabrics->open_rest(engine());  // Clients may come from anywhere.
  std::string name;
  if (const int error = contact_desk().open_port(name)) return error;
  std::memcpy(port_name, name.c_str(), name.size() + 1);
  return MPI_SUCCESS;
}

int close_port(const char* port_name) {
  if (contact_desk().close_port(bounded(port_name))) return MPI_SUCCESS;
  return fail(MPI_ERR_PORT,
              "argument `port_name` is `{}`, which is not a port that this process has open",
              bounded(port_name));
}

int comm_accept(const char* port_name, MPI_Info info, int root, Comm* comm, Comm** newcomm) {
  return accept(read_accept(*comm, root, port_name, info), *comm, root, newcomm);
}

int comm_connect(const char* port_name, MPI_Info info, int root, Comm* comm, Comm** newcomm) {
  return connect(read_connect(*comm, root, port_name, info), *comm, root, newcomm);
}

int comm_disconnect(MPI_Comm* comm) {
  Comm* const object = to_comm(*comm);
  if (object->predefined()) {
    return fail(MPI_ERR_COMM, "comm is {}, which lasts until MPI_Finalize", object->name);
  }
  if (const int error = delete_attributes(*object)) return error;
  forget_parent(*object);
  Parting parting(*object);
  engine().wait_until([&parting] { return parting.advance(); });
  *comm = MPI_COMM_NULL;
  object->release();
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
