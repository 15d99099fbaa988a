// ucx/table.h - the functions of libucp that Tern calls, as a table.
//
// The library is loaded only by those who open the fabric: a rank that needs no network beside its
// host's memory pays nothing for it, and a machine without UCX runs the same programs. Tests put
// functions of their own into a copy of the table, so every call can be made to fail.
#pragma once
#include <ucp/api/ucp.h>

#include <string>
#include <string_view>

namespace tern::ucx {

struct UcpTable {
  void (*get_version)(unsigned* major, unsigned* minor, unsigned* release);
  ucs_status_t (*config_read)(const char*, const char*, ucp_config_t**);
  ucs_status_t (*config_modify)(ucp_config_t*, const char* name, const char* value);
  void (*config_release)(ucp_config_t*);
  ucs_status_t (*init_version)(unsigned major, unsigned minor, const ucp_params_t*,
                               const ucp_config_t*, ucp_context_h*);
  void (*cleanup)(ucp_context_h);
  ucs_status_t (*worker_create)(ucp_context_h, const ucp_worker_params_t*, ucp_worker_h*);
  void (*worker_destroy)(ucp_worker_h);
  ucs_status_t (*worker_query)(ucp_worker_h, ucp_worker_attr_t*);
  void (*release_address)(ucp_worker_h, ucp_address_t*);
  unsigned (*worker_progress)(ucp_worker_h);
  ucs_status_t (*worker_get_efd)(ucp_worker_h, int*);
  ucs_status_t (*worker_arm)(ucp_worker_h);
  ucs_status_t (*worker_set_am_recv_handler)(ucp_worker_h, const ucp_am_handler_param_t*);
  ucs_status_t (*ep_create)(ucp_worker_h, const ucp_ep_params_t*, ucp_ep_h*);
  ucs_status_ptr_t (*ep_close_nbx)(ucp_ep_h, const ucp_request_param_t*);
  ucs_status_ptr_t (*am_send_nbx)(ucp_ep_h, unsigned id, const void* header,
                                  std::size_t header_bytes, const void* data, std::size_t bytes,
                                  const ucp_request_param_t*);
  ucs_status_t (*request_check_status)(void*);
  void (*request_free)(void*);
  const char* (*status_string)(ucs_status_t);
};

// The system's library; nullptr with a sentence in `why` when it is missing or too old. Loaded
// once, never unloaded.
const UcpTable* load_ucp(std::string& why);

// Whether the user has chosen something by a variable of UCX's own (its name without "UCX_"), which
// then stays as it is.
bool user_has_set(std::string_view name);

}  // namespace tern::ucx
