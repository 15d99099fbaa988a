// core/config.h - every TERN_* variable: one table that code, tern-info and the documentation
// share.
//
// Values come from the environment. A value that cannot be understood, and a TERN_* name that no
// table line has, is reported once with what is allowed or the nearest name; the default then
// holds. Threading: read once by MPI_Init; immutable afterwards.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tern {

struct Variable {
  enum class Kind : std::uint8_t { kText, kBool, kBytes, kNumber };
  std::string_view name;
  Kind kind;
  std::string_view default_text;
  std::string_view meaning;  // One sentence, with units and allowed values.
  bool internal = false;     // Set by the launcher, not by users.
};

// All variables, in the order in which tern-info prints them.
std::span<const Variable> variables();

class Config {
 public:
  // Reads `environment` (pairs "NAME=value", as environ); problems are appended to `warnings`, a
  // sentence each.
  static Config read(char const* const* environment, std::vector<std::string>& warnings);

  // Preconditions: the table has `name` with that kind.
  std::string_view text(std::string_view name) const;
  bool flag(std::string_view name) const;
  std::uint64_t number(std::string_view name) const;  // kNumber and kBytes.

  struct Setting {
    const Variable* variable;
    std::string value;       // Text in force.
    bool from_user = false;  // Else the default.
  };
  std::span<const Setting> settings() const { return settings_; }

 private:
  const Setting& find(std::string_view name) const;
  std::vector<Setting> settings_;
};

// "64k" -> 65536. Suffixes k, m, g (powers of 1024). False when text is not such a number.
bool parse_bytes(std::string_view text, std::uint64_t& value);

// The table's name most like `name`, or empty when none is close.
std::string_view nearest_variable(std::string_view name);

}  // namespace tern
