// spawn/pmi2_message.h - messages of the PMI-2 protocol: made, taken off a socket and taken apart.
//
// "    27cmd=kvs-get;key=tern-0-0;": six characters with the length, then fields; a ';' in a value
// is doubled. Whatever comes from the wire is only ever looked at through these functions, which
// accept any bytes. Threading: none of its own. Failure: values, never an exception.
#pragma once
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "spawn/pmi1_line.h"

namespace tern::spawn {

using Pmi2Fields = std::map<std::string, std::string, std::less<>>;

std::string make_pmi2_message(std::string_view command,
                              std::initializer_list<std::pair<const char*, std::string>> fields);

// The fields of a message without its length; nullopt for what cannot have been made by the above.
std::optional<Pmi2Fields> parse_pmi2_fields(std::string_view text);

// Reads messages from a stream socket.
class Pmi2Reader {
 public:
  // Far above any legal message; the length has room for more.
  static constexpr std::size_t kMessageMaxBytes = 256 * 1024;

  // One non-blocking read.
  LineReader::Fill fill(int fd);
  // The greeting is a line as in PMI-1.
  std::optional<std::string> next_line();
  // The next whole message. Fields without "cmd" stand for one that makes no sense: give up then.
  std::optional<Pmi2Fields> next();

 private:
  std::string buffer_;
};

}  // namespace tern::spawn
