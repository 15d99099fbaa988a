// spawn/pmi1_line.h - lines of the PMI-1 text protocol: taking them off a socket and apart.
//
// A line is "cmd=NAME key=value key=value\n"; values hold no blanks. Used by both ends. Whatever
// comes from the wire is only ever looked at through these functions, which accept any bytes.
// Threading: none of its own. Failure: values, never an exception.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace tern::spawn {

// The value of `key` in a line, or nullopt. The first occurrence counts.
std::optional<std::string_view> field(std::string_view line, std::string_view key);

// The same for whole numbers; nullopt also when the value is not one.
std::optional<int> number_field(std::string_view line, std::string_view key);

// The whole text as a decimal number; nullopt when anything else is in it or it does not fit.
std::optional<int> to_number(std::string_view text);

// Makes any bytes printable and free of blanks and '=' (percent encoding), and back. decode is
// nullopt for text that encode cannot have made.
std::string encode_value(std::string_view bytes);
std::optional<std::string> decode_value(std::string_view text);

// Reads lines from a non-blocking (or MSG_DONTWAIT) stream socket.
class LineReader {
 public:
  // Far above any legal line (a card is some hundred bytes), far below what would hurt.
  static constexpr std::size_t kLineMaxBytes = 256 * 1024;

  enum class Fill {
    kData,     // Something was read: call next() until it is empty.
    kNothing,  // Nothing there now.
    kClosed,   // The other end is gone (end of file or an error).
    kTooLong,  // More than kLineMaxBytes without a line end: not this protocol. Close it.
  };
  // One non-blocking read. Invalidates what next() returned.
  Fill fill(int fd);

  // The next whole line without its end, lent until the next fill(); nullopt when there is none.
  std::optional<std::string_view> next();

 private:
  std::string buffer_;
  std::size_t taken_ = 0;  // Bytes of buffer_ already handed out.
};

// Sends all of `text`, waiting when the socket is full; false when the other end is gone. Never
// raises SIGPIPE.
bool send_all(int fd, std::string_view text);

}  // namespace tern::spawn
