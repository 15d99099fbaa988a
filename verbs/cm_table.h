// verbs/cm_table.h - the functions of librdmacm that Tern calls, as a table; see table.h.
//
// The library is loaded only where TERN_VERBS_CM=rdmacm asks for it. Functions that return int
// return 0, or -1 with errno set. Event numbers and structures: <rdma/rdma_cma.h>.
#pragma once
#include <rdma/rdma_cma.h>

#include <cstdint>
#include <string>

namespace tern::verbs {

struct CmTable {
  rdma_event_channel* (*create_event_channel)();
  void (*destroy_event_channel)(rdma_event_channel*);
  int (*create_id)(rdma_event_channel*, rdma_cm_id**, void*, rdma_port_space);
  int (*destroy_id)(rdma_cm_id*);  // Precondition: its events are acknowledged.
  int (*bind_addr)(rdma_cm_id*, sockaddr*);
  int (*listen)(rdma_cm_id*, int);
  std::uint16_t (*get_src_port)(rdma_cm_id*);  // In network order.
  int (*resolve_addr)(rdma_cm_id*, sockaddr*, sockaddr*, int);
  int (*resolve_route)(rdma_cm_id*, int);
  int (*connect)(rdma_cm_id*, rdma_conn_param*);
  int (*accept)(rdma_cm_id*, rdma_conn_param*);
  int (*reject)(rdma_cm_id*, const void*, std::uint8_t);
  int (*get_cm_event)(rdma_event_channel*, rdma_cm_event**);
  int (*ack_cm_event)(rdma_cm_event*);
  const char* (*event_str)(rdma_cm_event_type);
};

// The system's library; nullptr with a sentence in `why` when it is not there. Loaded once, never
// unloaded.
const CmTable* load_rdmacm(std::string& why);

}  // namespace tern::verbs
