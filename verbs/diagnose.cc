// verbs/diagnose.cc - what happened to a peer, in words: who, over what, why, and what to check.
#include "core/format.h"
#include "verbs/fabric.h"

namespace tern::verbs {
namespace {

std::string_view likely_cause(ibv_wc_status status) {
  switch (status) {
    case IBV_WC_RETRY_EXC_ERR:
      return "nothing acknowledged what was sent: the process or its host has died, or the network "
             "between the hosts is interrupted; check the host, cables, switches and, for RoCE, "
             "flow "
             "control";
    case IBV_WC_RNR_RETRY_EXC_ERR:
      return "the peer had no receive buffer although one was promised; please report this";
    case IBV_WC_WR_FLUSH_ERR:
      return "the queue pair was put into error, as when a port goes down; check the port "
             "(`ibv_devinfo`, `rdma link`) and the kernel's log";
    case IBV_WC_REM_ACCESS_ERR:
      return "the peer's memory was not accessible: freed or unmapped while it was being sent?";
    case IBV_WC_LOC_PROT_ERR:
      return "local memory was not accessible: freed or unmapped during a receive?";
    default:
      return "check the port (`ibv_devinfo`, `rdma link`) and the kernel's log";
  }
}

}  // namespace

std::string VerbsFabric::describe_failure(const VerbsLink& link, connect::Down why) const {
  std::string problem;
  const std::optional<Card> card = Card::decode(link.card, problem);
  std::string text =
      format("rank {} on host {} is lost over verbs, {}, port state {}: ", link.peer().rank,
             card ? card->host.host_name : "?", port_->text(), port_->state_text());
  if (why == connect::Down::kRestarted) return text + "it was replaced by a new process";
  text += connect::Connector::reason_text(link.reason());
  if (link.reason() == connect::Reason::kNoAnswer) {
    text += format(" within {} s (TERN_PEER_TIMEOUT)", options_.peer_timeout_s);
  }
  if (link.reason() == connect::Reason::kNoResources && !problem_.empty()) {
    text += ": " + problem_;
  } else if (device_lost_) {
    text += ": " + problem_;
  } else if (link.last_error != IBV_WC_SUCCESS) {
    text += format("; the last connection ended with `{}` ({}): {}",
                   table_.wc_status_str(link.last_error), static_cast<int>(link.last_error),
                   likely_cause(link.last_error));
  } else if (const std::string problem_there = signal_->problem(); !problem_there.empty()) {
    text += "; " + problem_there;
  } else {
    text += "; is that process still running, and can its host be reached?";
  }
  return text;
}

}  // namespace tern::verbs
