// spawn/pmi2_message.cc - see pmi2_message.h.
#include "spawn/pmi2_message.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace tern::spawn {
namespace {

constexpr std::size_t kLengthChars = 6;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

std::string make_pmi2_message(std::string_view command,
                              std::initializer_list<std::pair<const char*, std::string>> fields) {
  std::string body = "cmd=" + std::string(command) + ";";
  for (const auto& [key, value] : fields) {
    body += std::string(key) + "=";
    for (const char c : value) body += c == ';' ? std::string(";;") : std::string(1, c);
    body += ';';
  }
  std::string length = std::to_string(body.size());
  length.insert(0, kLengthChars - std::min(kLengthChars, length.size()), ' ');
  return length + body;
}

std::optional<Pmi2Fields> parse_pmi2_fields(std::string_view text) {
  Pmi2Fields fields;
  while (!text.empty()) {
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0) return std::nullopt;
    const std::string key(text.substr(0, equals));
    text.remove_prefix(equals + 1);
    std::string value;
    bool ended = false;
    while (!text.empty() && !ended) {
      const bool doubled = text.starts_with(";;");
      ended = text.front() == ';' && !doubled;
      if (!ended) value += text.front();
      text.remove_prefix(doubled ? 2 : 1);
    }
    if (!ended) return std::nullopt;
    fields.emplace(key, std::move(value));  // The first one counts.
  }
  return fields;
}

LineReader::Fill Pmi2Reader::fill(int fd) {
  std::array<char, 8192> piece;
  ssize_t got;
  do {
    got = ::recv(fd, piece.data(), piece.size(), MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return LineReader::Fill::kNothing;
  if (got <= 0) return LineReader::Fill::kClosed;
  buffer_.append(piece.data(), static_cast<std::size_t>(got));
  return buffer_.size() > 2 * kMessageMaxBytes ? LineReader::Fill::kTooLong
                                               : LineReader::Fill::kData;
}

std::optional<std::string> Pmi2Reader::next_line() {
  const std::size_t end = buffer_.find('\n');
  if (end == std::string::npos) return std::nullopt;
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 1);
  return line;
}

std::optional<Pmi2Fields> Pmi2Reader::next() {
  if (buffer_.size() < kLengthChars) return std::nullopt;
  const auto length = to_number(trimmed(std::string_view(buffer_).substr(0, kLengthChars)));
  if (!length || *length < 0 || static_cast<std::size_t>(*length) > kMessageMaxBytes) {
    buffer_.clear();
    return Pmi2Fields();
  }
  const std::size_t size = kLengthChars + static_cast<std::size_t>(*length);
  if (buffer_.size() < size) return std::nullopt;
  auto fields =
      parse_pmi2_fields(std::string_view(buffer_).substr(kLengthChars, size - kLengthChars));
  buffer_.erase(0, size);
  return fields && fields->contains("cmd") ? *fields : Pmi2Fields();
}

}  // namespace tern::spawn
