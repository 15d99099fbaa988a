// verbs/queue_pair.h - the states of a reliable-connected queue pair on its way to be used.
//
// Threading: none needed. Failure: 0, or an errno value as ibv_modify_qp() gives it.
#pragma once
#include <cstdint>

#include "verbs/port.h"

namespace tern::verbs {

// The other end.
struct RemoteQueuePair {
  ibv_ah_attr way = {};
  std::uint32_t number = 0;
  std::uint32_t packet_number = 0;
  std::uint8_t mtu = 0;    // ibv_mtu
  std::uint8_t reads = 0;  // RDMA reads that it serves at a time.
};

// RDMA reads that a queue pair on the port serves at a time.
std::uint8_t reads_served(const Port& port);

int initialize_qp(const Port& port, ibv_qp* qp);
// From now on it receives and sends.
int connect_qp(const Port& port, ibv_qp* qp, std::uint32_t packet_number,
               const RemoteQueuePair& remote);

}  // namespace tern::verbs
