// verbs/cm_table.cc - loads librdmacm; see cm_table.h.
#include "verbs/cm_table.h"

#include <dlfcn.h>

#include "core/format.h"

namespace tern::verbs {
namespace {

constexpr char kCmLibrary[] = "librdmacm.so.1";

bool fill_in(void* library, CmTable& table, std::string& why) {
  std::string missing;
  const auto find = [&]<class Function>(Function& function, const char* name) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr && missing.empty()) missing = name;
  };
  find(table.create_event_channel, "rdma_create_event_channel");
  find(table.destroy_event_channel, "rdma_destroy_event_channel");
  find(table.create_id, "rdma_create_id");
  find(table.destroy_id, "rdma_destroy_id");
  find(table.bind_addr, "rdma_bind_addr");
  find(table.listen, "rdma_listen");
  find(table.get_src_port, "rdma_get_src_port");
  find(table.resolve_addr, "rdma_resolve_addr");
  find(table.resolve_route, "rdma_resolve_route");
  find(table.connect, "rdma_connect");
  find(table.accept, "rdma_accept");
  find(table.reject, "rdma_reject");
  find(table.get_cm_event, "rdma_get_cm_event");
  find(table.ack_cm_event, "rdma_ack_cm_event");
  find(table.event_str, "rdma_event_str");
  if (!missing.empty()) why = format("{} is too old: it has no {}", kCmLibrary, missing);
  return missing.empty();
}

}  // namespace

const CmTable* load_rdmacm(std::string& why) {
  static CmTable table;
  static bool loaded = false;
  if (loaded) return &table;
  void* const library = dlopen(kCmLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    why = format(
        "TERN_VERBS_CM=rdmacm needs {}, which cannot be loaded ({}); install librdmacm1 "
        "(rdma-core), or leave TERN_VERBS_CM at ud",
        kCmLibrary, dlerror());
    return nullptr;
  }
  if (!fill_in(library, table, why)) return nullptr;
  loaded = true;
  return &table;
}

}  // namespace tern::verbs
