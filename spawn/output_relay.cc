// spawn/output_relay.cc - see output_relay.h.
#include "spawn/output_relay.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "core/format.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <utility>

#include "spawn/hosts.h"
#include "spawn/report.h"

namespace tern::spawn {
namespace {

// A line longer than this is passed on in pieces.
constexpr std::size_t kLineBytesMax = 64 * 1024;

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(fd, bytes.data(), bytes.size());
    if (done > 0)
      bytes.remove_prefix(static_cast<std::size_t>(done));
    else if (done < 0 && errno != EINTR)
      return false;
  }
  return true;
}

}  // namespace

OutputRelay::OutputRelay(EventLoop& loop, OutputWish wish, int rank_count)
    : loop_(loop),
      wish_(std::move(wish)),
      rank_count_(rank_count),
      output_(
          loop, STDOUT_FILENO, [this] { resume(); },
          [this](int number) { write_error("the standard output", number); }),
      error_(
          loop, STDERR_FILENO, [this] { resume(); },
          [this](int number) { write_error("the standard error output", number); }) {}

OutputRelay::~OutputRelay() {
  close_ends();
  for (auto& stream : streams_) close(*stream);
}

Problem OutputRelay::open(int rank, int& output, int& error) {
  Problem problem = open_stream(rank, false, output);
  if (problem.has()) return problem;
  if (!wish_.merge) return open_stream(rank, true, error);
  error = output < 0 ? STDOUT_FILENO : output;
  return {};
}

Problem OutputRelay::open_stream(int rank, bool is_error, int& end) {
  end = -1;
  const std::string& pattern = is_error ? wish_.error_pattern : wish_.output_pattern;
  int file = -1;
  Problem problem;
  if (!pattern.empty())
    problem = open_file(expand(pattern, rank), file);
  else if (!wish_.directory.empty())
    problem = open_in_directory(rank, is_error, file);
  if (problem.has()) return problem;

  const bool only_file = file >= 0 && (!pattern.empty() || wish_.directory_only);
  if (only_file) {
    end = file;
    ends_.push_back(file);
    return {};
  }
  if (file < 0 && !wish_.is_labelled()) return {};
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) {
    if (file >= 0) ::close(file);
    return {tern::format("cannot make a pipe for the output of rank {}: {}", rank,
                         std::strerror(errno)),
            ExitCode::kFailure};
  }
  ::fcntl(pipe[0], F_SETFL, O_NONBLOCK);
  auto stream = std::make_unique<Stream>();
  stream->rank = rank;
  stream->is_error = is_error;
  stream->pipe = pipe[0];
  stream->file = file;
  watch(*stream);
  streams_.push_back(std::move(stream));
  end = pipe[1];
  ends_.push_back(pipe[1]);
  return {};
}

Problem OutputRelay::open_in_directory(int rank, bool is_error, int& fd) const {
  const auto digits = std::to_string(rank_count_ - 1).size();
  std::filesystem::path folder = wish_.directory;
  if (wish_.directory_has_job) folder /= "1";
  folder /= tern::format("rank.{:0{}}", rank, digits);
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) {
    return {tern::format("cannot make the directory '{}' (--output-filename): {}", folder.string(),
                         failed.message()),
            ExitCode::kFailure};
  }
  return open_file((folder / (is_error ? "stderr" : "stdout")).string(), fd);
}

Problem OutputRelay::open_file(const std::string& path, int& fd) const {
  // Appending, so that stdout and stderr may name the same file; emptied first, as shells do.
  fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
  if (fd >= 0) return {};
  return {tern::format("cannot write the output file '{}': {}", path, std::strerror(errno)),
          ExitCode::kFailure};
}

std::string OutputRelay::expand(const std::string& pattern, int rank) const {
  std::string path;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char next = pattern[i] == '%' && i + 1 < pattern.size() ? pattern[i + 1] : '\0';
    if (next == 'r')
      path += std::to_string(rank);
    else if (next == 'h')
      path += host_name();
    else if (next == 'g')
      path += '0';  // MPICH's process group; one machine has one.
    else if (next == '%')
      path += '%';
    else {
      path += pattern[i];
      continue;
    }
    ++i;
  }
  return path;
}

void OutputRelay::close_ends() {
  for (const int end : std::exchange(ends_, {})) ::close(end);
}

OutputSink& OutputRelay::sink_of(const Stream& stream) {
  return stream.is_error ? error_ : output_;
}

void OutputRelay::watch(Stream& stream) {
  loop_.add(stream.pipe, EPOLLIN, [this, &stream](std::uint32_t) { read_some(stream); });
}

bool OutputRelay::read_some(Stream& stream) {
  if (stream.pipe < 0) return false;
  std::array<char, 65536> buffer;
  const ssize_t got = ::read(stream.pipe, buffer.data(), buffer.size());
  if (got < 0) return errno == EINTR;
  if (got == 0 || sink_of(stream).broken()) {
    close(stream);
    return false;
  }
  deliver(stream, {buffer.data(), static_cast<std::size_t>(got)});
  if (!sink_of(stream).full()) return true;
  // Stopping all streams of the sink, not only this one, keeps the share of each rank fair.
  for (auto& other : streams_) {
    if (other->pipe < 0 || other->paused || &sink_of(*other) != &sink_of(stream)) continue;
    other->paused = true;
    loop_.remove(other->pipe);
  }
  return true;
}

void OutputRelay::deliver(Stream& stream, std::string_view bytes) {
  if (stream.file >= 0 && !write_all(stream.file, bytes)) write_error("an output file", errno);
  OutputSink& sink = sink_of(stream);
  if (!wish_.is_labelled()) {
    sink.write(bytes);
    return;
  }
  const std::string label = prefix(stream);
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    stream.partial += bytes.substr(0, end == std::string_view::npos ? end : end + 1);
    if (end == std::string_view::npos && stream.partial.size() < kLineBytesMax) return;
    sink.write_piece(&stream, label, stream.partial);
    stream.partial.clear();
    if (end == std::string_view::npos) return;
    bytes.remove_prefix(end + 1);
  }
}

std::string OutputRelay::prefix(const Stream& stream) const {
  std::string text;
  if (wish_.timestamp) {
    const auto now = std::chrono::system_clock::now();
    const auto part = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
    const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
    std::tm local{};
    ::localtime_r(&seconds, &local);
    std::array<char, 32> date{};
    std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &local);
    text += tern::format("{}.{:03} ", date.data(), part.count() % 1000);
  }
  if (wish_.label == OutputWish::Label::kRank) text += tern::format("[{}] ", stream.rank);
  if (wish_.label == OutputWish::Label::kJobRank) {
    text += tern::format("[1,{}]<{}>:", stream.rank, stream.is_error ? "stderr" : "stdout");
  }
  return text;
}

void OutputRelay::close(Stream& stream) {
  if (stream.pipe < 0) return;
  if (!stream.partial.empty()) {
    sink_of(stream).write_piece(&stream, prefix(stream), stream.partial);
    stream.partial.clear();
  }
  if (!stream.paused) loop_.remove(stream.pipe);
  ::close(stream.pipe);
  stream.pipe = -1;
  if (stream.file >= 0) ::close(stream.file);
  stream.file = -1;
}

void OutputRelay::resume() {
  for (auto& stream : streams_) {
    if (stream->pipe < 0 || !stream->paused || sink_of(*stream).full()) continue;
    stream->paused = false;
    watch(*stream);
  }
}

void OutputRelay::finish() {
  for (auto& stream : streams_) {
    while (read_some(*stream)) {
    }
    close(*stream);
  }
}

// A reader that went away (mpiexec | head) is no error. The ranks notice it by themselves: their
// pipes are closed when they write next.
void OutputRelay::write_error(std::string_view what, int error_number) {
  if (error_number == EPIPE || std::exchange(complained_, true)) return;
  say(tern::format("cannot write to {}: {}", what, std::strerror(error_number)));
}

}  // namespace tern::spawn
