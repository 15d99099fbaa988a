// verbs/queue_pair.cc - see queue_pair.h.
#include "verbs/queue_pair.h"

#include <algorithm>

#include "verbs/constants.h"

namespace tern::verbs {

std::uint8_t reads_served(const Port& port) {
  return static_cast<std::uint8_t>(
      std::clamp<int>(port.device_attributes().max_qp_rd_atom, 0, kTransfersMax));
}

int initialize_qp(const Port& port, ibv_qp* qp) {
  ibv_qp_attr change{};
  change.qp_state = IBV_QPS_INIT;
  change.port_num = port.number();
  change.qp_access_flags = IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE;
  return port.table().modify_qp(
      qp, &change, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
}

int connect_qp(const Port& port, ibv_qp* qp, std::uint32_t packet_number,
               const RemoteQueuePair& remote) {
  ibv_qp_attr change{};
  change.qp_state = IBV_QPS_RTR;
  change.path_mtu = static_cast<ibv_mtu>(
      std::clamp<int>(remote.mtu, IBV_MTU_256, static_cast<int>(port.attributes().active_mtu)));
  change.dest_qp_num = remote.number;
  change.rq_psn = remote.packet_number;
  change.max_dest_rd_atomic = reads_served(port);
  change.min_rnr_timer = kReceiverRetryTimer;
  change.ah_attr = remote.way;
  const int error =
      port.table().modify_qp(qp, &change,
                             IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
                                 IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
  if (error != 0) return error;
  change.qp_state = IBV_QPS_RTS;
  change.timeout = kAckTimeout;
  change.retry_cnt = kRetries;
  change.rnr_retry = kReceiverRetries;
  change.sq_psn = packet_number;
  change.max_rd_atomic = static_cast<std::uint8_t>(std::clamp<int>(
      std::min<int>(port.device_attributes().max_qp_init_rd_atom, remote.reads), 0, kTransfersMax));
  return port.table().modify_qp(qp, &change,
                                IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
                                    IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
}

}  // namespace tern::verbs
