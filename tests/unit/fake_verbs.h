// tests/unit/fake_verbs.h - RDMA devices made of memory, behind the table of verbs/table.h.
//
// There are two, fake0 and fake1. Everything that all fabrics of a test post is carried out at
// once, in the posting thread: sends to receive queues, RDMA reads and writes, datagrams. Rules
// that a device enforces are enforced: the states of a queue pair, keys and bounds of registered
// memory, receive buffers (a missing one is counted), the size of completion queues. Any call can
// be made to fail. Threading: any thread.
#pragma once
#include <atomic>
#include <string>
#include <vector>

#include "verbs/table.h"

namespace tern::test {

const verbs::IbvTable& fake_verbs();

struct FakeFaults {
  std::string call;          // The name of a table's function, or "post_send", "post_srq_recv";
  int after = 0;             // fails once, after this many calls that succeed.
  double datagram_loss = 0;  // Share of datagrams that get lost.
  // Share of reads that are reported as done without being so, after which their queue pair is in
  // error. With any, the devices that are opened are soft-RoCE ones, which do that.
  double false_reads = 0;
  // What devices cannot do.
  bool no_reads = false;
  int segments_max = 30;            // Of a request.
  bool second_device_down = false;  // What is sent over fake1 fails.
};
void set_faults(const FakeFaults& faults);
bool fault_happened();
// For the calls of other fakes: whether this one is to fail now; sets errno.
bool call_fails(const char* call);
// While it is down, what is sent fails and puts its queue pair into error, datagrams as well.
void set_network_down(bool down);
// By RDMA reads and writes over the device fake0 or fake1, since the beginning.
std::uint64_t bytes_moved(int device);
// The kernel has taken the devices away, or a new test begins.
void set_devices_gone(bool gone);
// What must never happen: receive buffers that were missing, completion queues that overflowed.
int broken_rules();
// Objects that were created and not destroyed.
int objects_alive();
int address_handles_alive();
int queue_pairs_alive(ibv_qp_type type);
// Service level of the last address handle, and of the last queue pair that was connected.
std::uint8_t last_service_level(bool of_queue_pair);
std::vector<std::string> fault_names();

}  // namespace tern::test
