// spawn/connections_picture.cc - see connections_picture.h.
#include "spawn/connections_picture.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "core/format.h"
#include "core/job_traffic.h"
#include "spawn/heat_map.h"
#include "spawn/job_env.h"

namespace tern::spawn {
namespace {

std::string read_all(int fd) {
  struct stat state {};
  if (::fstat(fd, &state) != 0) return {};
  std::string text(static_cast<std::size_t>(state.st_size), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t count =
        ::pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (count <= 0) break;
    done += static_cast<std::size_t>(count);
  }
  text.resize(done);
  return text;
}

}  // namespace

ConnectionsPicture::~ConnectionsPicture() {
  if (made_ && !drawn_) ::unlink(path_.c_str());
  if (told_ >= 0) ::close(told_);
}

Problem ConnectionsPicture::begin(JobPlan& plan) {
  if (plan.connections_path.empty()) return {};
  path_ = plan.connections_path;
  const bool was_there = ::access(path_.c_str(), F_OK) == 0;
  const int file = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) {
    return Problem::usage(tern::format("--report-connections: {} cannot be written ({})", path_,
                                       std::strerror(errno)));
  }
  ::close(file);
  made_ = !was_there;
  told_ = ::memfd_create("tern-connections", MFD_CLOEXEC);
  if (told_ < 0) {
    return {
        tern::format("--report-connections: there is no memory file ({})", std::strerror(errno)),
        ExitCode::kFailure};
  }
  const std::string where = tern::format("/proc/{}/fd/{}", ::getpid(), told_);
  for (AppPlan& app : plan.apps) app.environment.set.emplace_back(env::kConnections, where);
  return {};
}

Problem ConnectionsPicture::finish() {
  if (path_.empty()) return {};
  JobTraffic traffic;
  std::string why;
  const std::string told = read_all(told_);
  const bool good = !told.empty() && traffic.add(told, why);
  if (!good) {
    return {tern::format("--report-connections: there is nothing to draw, for {}",
                         told.empty() ? "rank 0 did not come to the end of MPI_Finalize" : why),
            ExitCode::kFailure};
  }
  std::ofstream file(path_, std::ios::binary | std::ios::trunc);
  file << draw_heat_map(traffic);
  file.close();
  drawn_ = file.good();
  if (drawn_) return {};
  return {tern::format("--report-connections: {} cannot be written", path_), ExitCode::kFailure};
}

}  // namespace tern::spawn
