// mpi_api/name_calls.cc - MPI_Publish_name, MPI_Unpublish_name and MPI_Lookup_name (MPI-5.0 section
// 11.9.4), over spawn/name_service.h.
#include <cstring>

#include "impl.h"
#include "mpi_api/errors.h"
#include "mpi_api/port.h"
#include "mpi_api/runtime.h"
#include "spawn/name_service.h"

namespace tern::mpi {
namespace {

using spawn::NameService;

NameService& names() {
  if (runtime().names == nullptr) {
    runtime().names = std::make_unique<NameService>(runtime().name_directory);
  }
  return *runtime().names;
}

int error_of(const NameService::Answer& answer) {
  switch (answer.code) {
    case NameService::Code::kOk:
      return MPI_SUCCESS;
    case NameService::Code::kTaken:
    case NameService::Code::kNotOurs:
      return fail(MPI_ERR_SERVICE, "{}", answer.text);
    case NameService::Code::kUnknown:
      return fail(MPI_ERR_NAME, "{}", answer.text);
    case NameService::Code::kBadName:
      return fail(MPI_ERR_ARG, "argument `service_name`: {}", answer.text);
    case NameService::Code::kSystem:
      return fail(MPI_ERR_OTHER, "{}", answer.text);
  }
  return MPI_ERR_INTERN;
}

// Longer ones are refused for their length; whatever lies behind is not looked at.
std::string_view name_in(const char* text) { return {text, strnlen(text, MPI_MAX_PORT_NAME)}; }

}  // namespace

namespace impl {

int publish_name(const char* service_name, Info* info, const char* port_name) {
  mention_unknown_keys(info);
  return error_of(names().publish(name_in(service_name), bounded(port_name)));
}

int unpublish_name(const char* service_name, Info* info, const char* port_name) {
  mention_unknown_keys(info);
  return error_of(names().unpublish(name_in(service_name), bounded(port_name)));
}

int lookup_name(const char* service_name, Info* info, char* port_name) {
  // Without the info key an unknown name is an error at once; with it, one that may come.
  Deadline deadline = std::chrono::steady_clock::now();
  if (const int error = read_timeout(info, deadline)) return error;
  NameService::Answer answer;
  constexpr std::chrono::milliseconds kLookEvery{10};
  auto next_look = std::chrono::steady_clock::now();
  engine().wait_until([&] {
    const auto now = std::chrono::steady_clock::now();
    const bool last = now >= *deadline;
    if (now < next_look && !last) return false;
    next_look = now + kLookEvery;
    answer = names().lookup(name_in(service_name));
    return last || answer.code != NameService::Code::kUnknown;
  });
  if (const int error = error_of(answer)) return error;
  const std::size_t size = std::min<std::size_t>(answer.text.size(), MPI_MAX_PORT_NAME - 1);
  std::memcpy(port_name, answer.text.data(), size);
  port_name[size] = '\0';
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
