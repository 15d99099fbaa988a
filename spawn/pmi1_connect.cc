// spawn/pmi1_connect.cc - how a Pmi1Client comes to its connection and its LaunchInfo: from our own
// mpiexec's environment without any exchange, or by the standard init exchange.
#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "spawn/foreign_job.h"
#include "spawn/job_env.h"
#include "spawn/pmi1_client.h"

namespace tern::spawn {
namespace {

int connect_to(std::string_view host_port) {
  const std::size_t colon = host_port.rfind(':');
  if (colon == std::string_view::npos) return -1;
  const std::string host(host_port.substr(0, colon));
  const std::string port(host_port.substr(colon + 1));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* addresses = nullptr;
  if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &addresses) != 0) return -1;
  int fd = -1;
  for (const addrinfo* a = addresses; a != nullptr && fd < 0; a = a->ai_next) {
    fd = ::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (fd >= 0 && ::connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
      ::close(fd);
      fd = -1;
    }
  }
  ::freeaddrinfo(addresses);
  return fd;
}

}  // namespace

std::unique_ptr<Pmi1Client> Pmi1Client::from_descriptor(int fd, std::string& error) {
  struct stat status;
  if (fd < 0 || ::fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode)) {
    error = "the launcher gave descriptor " + std::to_string(fd) +
            " to this process (PMI_FD), but something between closed it, such as a wrapper script "
            "that closes descriptors. Let the wrapper keep it open (Python: close_fds=False), or "
            "unset PMI_FD to run this process on its own";
    return nullptr;
  }
  // Programs that this process starts are on their own and must not talk into its conversation.
  (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
  std::unique_ptr<Pmi1Client> client(new Pmi1Client(fd));
  if (text_variable(env::kChannel) == std::to_string(status.st_ino)) {
    client->own_ = client->read_own_environment();
  }
  if (!client->own_) {
    const auto rank = number_variable(env::kPmiRank);
    const auto size = number_variable(env::kPmiSize);
    client->info_.rank = rank.value_or(-1);
    client->info_.size = size.value_or(0);
    error = client->init_foreign();
    if (!error.empty()) return nullptr;
  }
  return client;
}

std::unique_ptr<Pmi1Client> Pmi1Client::from_port(std::string_view host_port,
                                                  std::string_view pmi_id, std::string& error) {
  const int fd = connect_to(host_port);
  if (fd < 0) {
    error = "the launcher said to connect to it at " + std::string(host_port) +
            " (PMI_PORT), but that failed. If it is still running, check the name and firewall of "
            "that host";
    return nullptr;
  }
  std::unique_ptr<Pmi1Client> client(new Pmi1Client(fd));
  error = client->introduce(pmi_id);
  if (error.empty()) error = client->init_foreign();
  if (!error.empty()) return nullptr;
  return client;
}

bool Pmi1Client::read_own_environment() {
  const auto rank = number_variable(env::kPmiRank);
  const auto size = number_variable(env::kPmiSize);
  const std::string id = text_variable(env::kJobId);
  const auto [end, parsed] = std::from_chars(id.data(), id.data() + id.size(), info_.job_id, 16);
  if (!rank || !size || *rank < 0 || *rank >= *size || id.empty() || parsed != std::errc() ||
      end != id.data() + id.size()) {
    return false;
  }
  info_.rank = *rank;
  info_.size = *size;
  info_.local_rank = number_variable(env::kLocalRank).value_or(*rank);
  info_.local_size = number_variable(env::kLocalSize).value_or(*size);
  info_.shared_cores = number_variable(env::kCores).value_or(0);
  info_.appnum = number_variable(env::kAppnum).value_or(-1);
  info_.universe_size = number_variable(env::kUniverse).value_or(-1);
  info_.kvs_name = text_variable(env::kKvsName);
  info_.initial_errhandler = text_variable(env::kErrhandler);
  info_.parent_port = text_variable(env::kParentPort);
  // Our mpiexec serves one machine.
  info_.hosts = {{.first_host = 0, .host_count = 1, .ranks_per_host = *size}};
  return true;
}

// With PMI_PORT the launcher tells rank and size over the connection.
std::string Pmi1Client::introduce(std::string_view pmi_id) {
  std::string_view line;
  if (!call("cmd=initack pmiid=" + std::string(pmi_id) + "\n", "initack", line, kAnswerTimeout)) {
    return "the launcher at PMI_PORT does not answer the PMI-1 greeting";
  }
  info_.rank = -1;
  info_.size = 0;
  for (int facts = 0; facts < 3; ++facts) {
    if (!await_line(line, kAnswerTimeout)) break;
    if (const auto size = number_field(line, "size")) info_.size = *size;
    if (const auto rank = number_field(line, "rank")) info_.rank = *rank;
  }
  return {};
}

std::string Pmi1Client::init_foreign() {
  if (info_.rank < 0 || info_.rank >= info_.size) {
    return "the launcher gave no usable rank and size (PMI_RANK=" + text_variable(env::kPmiRank) +
           ", PMI_SIZE=" + text_variable(env::kPmiSize) + ")";
  }
  std::string_view answer;
  if (!call("cmd=init pmi_version=1 pmi_subversion=1\n", "response_to_init", answer,
            kAnswerTimeout) ||
      number_field(answer, "rc").value_or(-1) != 0) {
    return "the launcher does not speak PMI-1 on the descriptor it gave (PMI_FD). Start the "
           "program with Tern's mpiexec, with MPICH's mpiexec.hydra, or with srun --mpi=pmi2";
  }
  return read_foreign_facts();
}

std::string Pmi1Client::read_foreign_facts() {
  std::string_view answer;
  if (call("cmd=get_maxes\n", "maxes", answer, kAnswerTimeout)) {
    const int most = number_field(answer, "vallen_max").value_or(1024);
    value_bytes_max_ = static_cast<std::size_t>(most < 64 ? 64 : most);
  }
  if (!call("cmd=get_my_kvsname\n", "my_kvsname", answer, kAnswerTimeout)) {
    return "the launcher did not tell the name of the job (PMI-1 get_my_kvsname)";
  }
  info_.kvs_name = std::string(field(answer, "kvsname").value_or(""));
  info_.job_id = foreign_job_id(info_.kvs_name);
  if (call("cmd=get_appnum\n", "appnum", answer, kAnswerTimeout)) {
    info_.appnum = number_field(answer, "appnum").value_or(-1);
  }
  if (call("cmd=get_universe_size\n", "universe_size", answer, kAnswerTimeout)) {
    info_.universe_size = number_field(answer, "size").value_or(-1);
  }
  if (call("cmd=get kvsname=" + info_.kvs_name + " key=PMI_process_mapping\n", "get_result", answer,
           kAnswerTimeout)) {
    info_.hosts = parse_process_mapping(field(answer, "value").value_or(""));
  }
  if (lost_) return "the launcher ended while this process was connecting to it";
  take_handed_facts(info_);
  end_with_launcher();
  abort_at_exit(this);
  place_on_host(info_);
  return {};
}

}  // namespace tern::spawn
