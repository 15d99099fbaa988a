// verbs/table.h - the functions of libibverbs that Tern calls, as a table.
//
// The library is loaded only where a device is: a rank on a machine without RDMA pays nothing for
// it. Tests put a table of their own in its place, so every call can be made to fail. Posting and
// polling are not here: verbs.h calls them through the context that open_device() returned.
// Return conventions differ, as in the man pages: pointers are null on failure with errno set; ints
// are 0 or an errno value, except where a comment says otherwise.
#pragma once
#include <infiniband/verbs.h>

#include <string>

namespace tern::verbs {

struct IbvTable {
  int (*fork_init)();
  ibv_device** (*get_device_list)(int*);
  void (*free_device_list)(ibv_device**);
  const char* (*get_device_name)(ibv_device*);
  ibv_context* (*open_device)(ibv_device*);
  int (*close_device)(ibv_context*);
  int (*query_device)(ibv_context*, ibv_device_attr*);
  // The attributes end at link_layer: the library fills in the older structure.
  int (*query_port)(ibv_context*, std::uint8_t, ibv_port_attr*);
  // Returns how many entries it has filled in, of all ports, or less than 0.
  ssize_t (*query_gid_table)(ibv_context*, ibv_gid_entry*, std::size_t entries_max,
                             std::uint32_t flags, std::size_t entry_bytes);
  int (*get_async_event)(ibv_context*, ibv_async_event*);  // 0 or -1
  void (*ack_async_event)(ibv_async_event*);
  ibv_pd* (*alloc_pd)(ibv_context*);
  int (*dealloc_pd)(ibv_pd*);
  ibv_mr* (*reg_mr)(ibv_pd*, void*, std::size_t, int);
  int (*dereg_mr)(ibv_mr*);
  ibv_comp_channel* (*create_comp_channel)(ibv_context*);
  int (*destroy_comp_channel)(ibv_comp_channel*);
  ibv_cq* (*create_cq)(ibv_context*, int, void*, ibv_comp_channel*, int);
  int (*resize_cq)(ibv_cq*, int);
  int (*destroy_cq)(ibv_cq*);
  int (*get_cq_event)(ibv_comp_channel*, ibv_cq**, void**);  // 0 or -1
  void (*ack_cq_events)(ibv_cq*, unsigned);
  ibv_srq* (*create_srq)(ibv_pd*, ibv_srq_init_attr*);
  int (*modify_srq)(ibv_srq*, ibv_srq_attr*, int);
  int (*destroy_srq)(ibv_srq*);
  ibv_qp* (*create_qp)(ibv_pd*, ibv_qp_init_attr*);
  int (*modify_qp)(ibv_qp*, ibv_qp_attr*, int);
  int (*destroy_qp)(ibv_qp*);
  ibv_ah* (*create_ah)(ibv_pd*, ibv_ah_attr*);
  int (*destroy_ah)(ibv_ah*);
  const char* (*wc_status_str)(ibv_wc_status);
  const char* (*event_type_str)(ibv_event_type);
};

// The system's library; nullptr with a sentence in `why` when there is no device or no library.
// Loaded once, never unloaded.
const IbvTable* load_ibv(std::string& why);

}  // namespace tern::verbs
