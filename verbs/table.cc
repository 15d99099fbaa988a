// verbs/table.cc - loads libibverbs; see table.h.
#include "verbs/table.h"

#include <dirent.h>
#include <dlfcn.h>

#include "core/format.h"

namespace tern::verbs {
namespace {

constexpr char kLibrary[] = "libibverbs.so.1";

// Whether the kernel shows any RDMA device: quicker than loading the library to ask it.
bool kernel_has_device() {
  DIR* const folder = opendir("/sys/class/infiniband");
  if (folder == nullptr) return false;
  bool found = false;
  while (const dirent* const entry = readdir(folder)) found = found || entry->d_name[0] != '.';
  closedir(folder);
  return found;
}

template <class Function>
void find(void* library, Function& function, const char* name, std::string& missing) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr && missing.empty()) missing = name;
}

bool fill(void* library, IbvTable& table, std::string& why) {
  std::string missing;
  find(library, table.fork_init, "ibv_fork_init", missing);
  find(library, table.get_device_list, "ibv_get_device_list", missing);
  find(library, table.free_device_list, "ibv_free_device_list", missing);
  find(library, table.get_device_name, "ibv_get_device_name", missing);
  find(library, table.open_device, "ibv_open_device", missing);
  find(library, table.close_device, "ibv_close_device", missing);
  find(library, table.query_device, "ibv_query_device", missing);
  find(library, table.query_port, "ibv_query_port", missing);
  find(library, table.query_gid_table, "_ibv_query_gid_table", missing);
  find(library, table.get_async_event, "ibv_get_async_event", missing);
  find(library, table.ack_async_event, "ibv_ack_async_event", missing);
  find(library, table.alloc_pd, "ibv_alloc_pd", missing);
  find(library, table.dealloc_pd, "ibv_dealloc_pd", missing);
  find(library, table.reg_mr, "ibv_reg_mr", missing);
  find(library, table.dereg_mr, "ibv_dereg_mr", missing);
  find(library, table.create_comp_channel, "ibv_create_comp_channel", missing);
  find(library, table.destroy_comp_channel, "ibv_destroy_comp_channel", missing);
  find(library, table.create_cq, "ibv_create_cq", missing);
  find(library, table.resize_cq, "ibv_resize_cq", missing);
  find(library, table.destroy_cq, "ibv_destroy_cq", missing);
  find(library, table.get_cq_event, "ibv_get_cq_event", missing);
  find(library, table.ack_cq_events, "ibv_ack_cq_events", missing);
  find(library, table.create_srq, "ibv_create_srq", missing);
  find(library, table.modify_srq, "ibv_modify_srq", missing);
  find(library, table.destroy_srq, "ibv_destroy_srq", missing);
  find(library, table.create_qp, "ibv_create_qp", missing);
  find(library, table.modify_qp, "ibv_modify_qp", missing);
  find(library, table.destroy_qp, "ibv_destroy_qp", missing);
  find(library, table.create_ah, "ibv_create_ah", missing);
  find(library, table.destroy_ah, "ibv_destroy_ah", missing);
  find(library, table.wc_status_str, "ibv_wc_status_str", missing);
  find(library, table.event_type_str, "ibv_event_type_str", missing);
  if (!missing.empty()) {
    why = format("{} is too old: it has no {}; rdma-core 34 or newer is needed", kLibrary, missing);
  }
  return missing.empty();
}

}  // namespace

const IbvTable* load_ibv(std::string& why) {
  static IbvTable table;
  static bool loaded = false;
  if (loaded) return &table;
  if (!kernel_has_device()) {
    why = "this machine has no RDMA device (/sys/class/infiniband is empty)";
    return nullptr;
  }
  void* const library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    why = format("{} cannot be loaded ({}); install rdma-core's libraries", kLibrary, dlerror());
    return nullptr;
  }
  if (!fill(library, table, why)) return nullptr;
  // Children of this process get pages of their own for what is registered.
  table.fork_init();
  loaded = true;
  return &table;
}

}  // namespace tern::verbs
