// ucx/worker.h - a UCX context with one worker: what is chosen of UCX's many settings, and the end
// of it all.
//
// Threading: one thread at a time. Failure: open() says why.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "ucx/sockets.h"
#include "ucx/table.h"

namespace tern::ucx {

struct WorkerOptions {
  std::string transports;      // TERN_UCX_TLS
  std::string devices;         // TERN_UCX_NET_DEVICES
  double peer_timeout_s = 60;  // TERN_PEER_TIMEOUT
};

class Worker {
 public:
  static std::unique_ptr<Worker> open(const UcpTable& table, const WorkerOptions& options,
                                      std::string& why);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  const UcpTable& table() const { return table_; }
  ucp_worker_h handle() const { return worker_; }
  // For the business card.
  const std::string& address() const { return address_; }
  // Becomes readable when something happens, after arm() said true. False: there is something now.
  int event_fd() const { return event_fd_; }
  bool arm() { return table_.worker_arm(worker_) == UCS_OK; }

  Sockets& sockets() { return sockets_; }

 private:
  Worker(const UcpTable& table, const WorkerOptions& options)
      : table_(table), patience_(options.peer_timeout_s), sockets_(patience_) {}
  bool make_context(const WorkerOptions& options, std::string& why);
  bool make_worker(std::string& why);
  bool read_address(std::string& why);
  std::string reason(const char* what, ucs_status_t status) const;

  const UcpTable& table_;
  Patience patience_;
  Sockets sockets_;
  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  std::string address_;
  int event_fd_ = -1;
};

}  // namespace tern::ucx
