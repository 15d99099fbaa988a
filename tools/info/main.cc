// tools/info/main.cc - tern-info: what Tern is, can do here, and how it is set.
//
// Prints the tables of tern_query() (mpi_api/query.h), as text or as JSON lines.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "mpi_api/query.h"

namespace {

using Row = std::vector<std::string>;

void take_row(void* context, int field_count, const char* const fields[]) {
  static_cast<std::vector<Row>*>(context)->emplace_back(fields, fields + field_count);
}

std::vector<Row> query(const std::string& topic) {
  std::vector<Row> rows;
  if (tern_query(topic.c_str(), take_row, &rows) != 0) rows.clear();
  return rows;
}

// Columns as wide as their contents; the last one runs free.
void print_table(const std::string& topic, const std::vector<Row>& rows) {
  fmt::print("{}\n", topic);
  std::vector<std::size_t> widths(rows[0].size(), 0);
  for (const Row& row : rows) {
    for (std::size_t i = 0; i + 1 < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += fmt::format("  {:<{}}", row[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print("{}\n", line);
  }
  fmt::print("\n");
}

std::string json_text(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

void print_json(const std::string& topic, const std::vector<Row>& rows) {
  for (std::size_t r = 1; r < rows.size(); ++r) {
    std::string line = fmt::format("{{\"topic\": {}", json_text(topic));
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      line += fmt::format(", {}: {}", json_text(rows[0][i]), json_text(rows[r][i]));
    }
    fmt::print("{}}}\n", line);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Says what this Tern is, which fabrics it can use here, and how it is set.",
               "tern-info");
  std::vector<std::string> topics;
  bool json = false;
  app.add_option("topic", topics, "What to print (default: build, fabrics and variables)");
  app.add_flag("--json", json, "A JSON object per line");
  app.set_version_flag("-V,--version", fmt::format("tern-info (Tern {})", TERN_VERSION));
  std::string topic_list = "Topics:\n";
  for (const Row& row : query("topics")) {
    if (row[0] != "topic") topic_list += fmt::format("  {:<12} {}\n", row[0], row[1]);
  }
  app.footer(topic_list);
  CLI11_PARSE(app, argc, argv);
  // The one topic that is about something.
  if (topics.size() == 2 && topics[0] == "port") topics = {"port " + topics[1]};
  if (topics.empty()) topics = {"build", "fabrics", "variables"};
  for (const std::string& topic : topics) {
    const std::vector<Row> rows = query(topic);
    if (rows.empty()) {
      fmt::print(stderr, "tern-info: there is no topic `{}`\n{}", topic, topic_list);
      return 2;
    }
    json ? print_json(topic, rows) : print_table(topic, rows);
  }
  return 0;
}
