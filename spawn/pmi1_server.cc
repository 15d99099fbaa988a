// spawn/pmi1_server.cc - see pmi1_server.h.
#include "spawn/pmi1_server.h"

#include <algorithm>
#include <utility>

#include "spawn/pmi1_line.h"

namespace tern::spawn {
namespace {

// What get_maxes announces. MPICH's clients cut long values into pieces of this size by themselves.
constexpr std::size_t kKeyBytesMax = 64;
constexpr std::size_t kValueBytesMax = 1024;

// Other MPIs ask for this key to learn which ranks share a host.
constexpr std::string_view kMappingKey = "PMI_process_mapping";

std::string number(int value) { return std::to_string(value); }

}  // namespace

Pmi1Server::Pmi1Server(std::string kvs_name, int universe_size, std::vector<int> appnums,
                       Pmi1ServerSink& sink)
    : kvs_name_(std::move(kvs_name)),
      universe_size_(universe_size),
      appnums_(std::move(appnums)),
      sink_(sink),
      ranks_(appnums_.size()) {
  values_[std::string(kMappingKey)] =
      "(vector,(0,1," + number(static_cast<int>(ranks_.size())) + "))";
}

void Pmi1Server::on_line(int rank, std::string_view line) {
  if (!at(rank).block.is_empty() || line.starts_with("mcmd=")) {
    on_block_line(rank, line);
    return;
  }
  const auto command = field(line, "cmd").value_or("");
  if (command.empty()) return;
  // abort and finalize are no reason to believe that the rank is inside MPI now.
  if (command == "abort") {
    const auto message = decode_value(field(line, "message").value_or(""));
    sink_.on_abort(rank, number_field(line, "exitcode").value_or(1), message.value_or(""));
    return;
  }
  if (command == "finalize") {
    on_finalize(rank);
    return;
  }
  at(rank).stage = Stage::kInside;
  if (command == "tern_card")
    on_card(rank, line);
  else if (command == "tern_want")
    on_want(rank, line);
  else if (command == "barrier_in")
    on_barrier(rank);
  else if (command == "put")
    on_put(rank, line);
  else if (command == "get")
    on_get(rank, line);
  else if (command.ends_with("_name"))
    on_name(rank, command, line);
  else if (command == "tern_spawn")
    sink_.on_spawn(rank, field(line, "address").value_or(""));
  else if (command == "init")
    sink_.send_to(rank, "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n");
  else if (command == "get_maxes")
    sink_.send_to(rank, "cmd=maxes kvsname_max=256 keylen_max=" + std::to_string(kKeyBytesMax) +
                            " vallen_max=" + std::to_string(kValueBytesMax) + " rc=0\n");
  else if (command == "get_appnum")
    sink_.send_to(
        rank, "cmd=appnum appnum=" + number(appnums_[static_cast<std::size_t>(rank)]) + " rc=0\n");
  else if (command == "get_my_kvsname")
    sink_.send_to(rank, "cmd=my_kvsname kvsname=" + kvs_name_ + " rc=0\n");
  else if (command == "get_universe_size")
    sink_.send_to(rank, "cmd=universe_size size=" + number(universe_size_) + " rc=0\n");
  else
    sink_.send_to(rank, "cmd=" + std::string(command.substr(0, kKeyBytesMax)) +
                            "_result rc=-1 msg=unknown_command\n");
}

void Pmi1Server::on_block_line(int rank, std::string_view line) {
  Pmi1SpawnBlock& block = at(rank).block;
  if (!block.add(line)) return;
  if (auto request = block.take()) return sink_.on_spawn_request(rank, std::move(*request));
  sink_.send_to(rank, "cmd=spawn_result rc=-1 msg=request_not_understood\n");
}

void Pmi1Server::on_card(int rank, std::string_view line) {
  at(rank).card = std::string(field(line, "value").value_or(""));
  answer_waiting(rank);
}

void Pmi1Server::on_want(int rank, std::string_view line) {
  const auto wanted = number_field(line, "rank");
  if (!wanted || *wanted < 0 || static_cast<std::size_t>(*wanted) >= ranks_.size()) return;
  auto& waiting = at(*wanted).waiting;
  const auto same = [rank](const Waiting& entry) { return entry.rank == rank; };
  std::erase_if(waiting, same);  // Asking twice is asking once.
  waiting.push_back({rank, at(rank).life});
  answer_waiting(*wanted);
}

// Answers those who want this rank's card and can be told something: the card, when it is of the
// same life as theirs, or that there will be none.
void Pmi1Server::answer_waiting(int rank) {
  Rank& self = at(rank);
  const std::string head = "cmd=tern_card rank=" + number(rank);
  for (const Waiting& entry : std::exchange(self.waiting, {})) {
    if (entry.life == self.life && !self.card.empty()) {
      sink_.send_to(entry.rank, head + " value=" + self.card + "\n");
    } else if (self.stage == Stage::kGone || entry.life < self.life) {
      const std::string why =
          "rank " + number(rank) + " has ended without joining MPI, or has left it";
      sink_.send_to(entry.rank, head + " error=" + encode_value(why) + "\n");
    } else {
      self.waiting.push_back(entry);
    }
  }
}

void Pmi1Server::on_exit(int rank) {
  at(rank).stage = Stage::kGone;
  answer_waiting(rank);
}

void Pmi1Server::on_finalize(int rank) {
  Rank& self = at(rank);
  self.stage = Stage::kFinished;
  ++self.life;
  self.card.clear();
  answer_waiting(rank);
  sink_.send_to(rank, "cmd=finalize_ack rc=0\n");
}

void Pmi1Server::on_barrier(int rank) {
  if (std::exchange(at(rank).in_barrier, true)) return;
  if (++in_barrier_count_ < ranks_.size()) return;
  in_barrier_count_ = 0;
  for (std::size_t i = 0; i < ranks_.size(); ++i) {
    ranks_[i].in_barrier = false;
    sink_.send_to(static_cast<int>(i), "cmd=barrier_out rc=0\n");
  }
}

void Pmi1Server::on_put(int rank, std::string_view line) {
  const auto key = field(line, "key");
  const auto value = field(line, "value");
  if (!key || !value || key->empty() || key->size() > kKeyBytesMax ||
      value->size() > kValueBytesMax) {
    sink_.send_to(rank, "cmd=put_result rc=-1 msg=key_or_value_missing_or_too_long\n");
    return;
  }
  values_[std::string(*key)] = std::string(*value);
  sink_.send_to(rank, "cmd=put_result rc=0 msg=success\n");
}

void Pmi1Server::on_get(int rank, std::string_view line) {
  const auto found = values_.find(field(line, "key").value_or(""));
  sink_.send_to(rank, found == values_.end()
                          ? "cmd=get_result rc=-1 msg=key_not_found value=unknown\n"
                          : "cmd=get_result rc=0 msg=success value=" + found->second + "\n");
}

// Names live as long as this mpiexec and are seen by its ranks only.
void Pmi1Server::on_name(int rank, std::string_view command, std::string_view line) {
  const std::string service(field(line, "service").value_or(""));
  std::string answer = "info=ok rc=0 msg=success\n";
  if (command == "publish_name") {
    const auto port = field(line, "port");
    const bool added = !service.empty() && port && names_.emplace(service, *port).second;
    if (!added) answer = "info=fail rc=1 msg=name_is_missing_or_published_already\n";
    sink_.send_to(rank, "cmd=publish_result " + answer);
  } else if (command == "lookup_name") {
    const auto found = names_.find(service);
    answer = found == names_.end() ? "info=fail rc=1 msg=service_not_found\n"
                                   : "port=" + found->second + " " + answer;
    sink_.send_to(rank, "cmd=lookup_result " + answer);
  } else if (command == "unpublish_name") {
    if (names_.erase(service) == 0) answer = "info=fail rc=1 msg=service_not_found\n";
    sink_.send_to(rank, "cmd=unpublish_result " + answer);
  }
}

}  // namespace tern::spawn
