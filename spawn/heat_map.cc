// spawn/heat_map.cc - see heat_map.h.
#include "spawn/heat_map.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "core/format.h"

namespace tern::spawn {
namespace {

using counters::Volume;
using preconnect::Rank;

constexpr std::string_view kInk = "#0f172a";
constexpr std::string_view kMuted = "#64748b";
constexpr std::string_view kLine = "#94a3b8";

constexpr double kLeft = 150;  // Rank numbers, and names of hosts.
constexpr double kTop = 110;
constexpr double kBottom = 40;
constexpr double kLegendWidth = 300;
constexpr double kLegendGap = 40;
constexpr double kSide = 640;  // Of the square of all, as far as single ones stay visible.
constexpr double kCellMin = 1.5;
constexpr double kCellMax = 40;
constexpr double kLabelGap = 13;  // Between two lines of text.
constexpr Rank kTooltipRanksMax = 64;
constexpr std::size_t kLegendNamesMax = 12;

constexpr int kStrengths = 6;

struct Color {
  int red, green, blue;
};
// Told apart also by people who do not see red and green as different.
Color hue_of(std::string_view fabric) {
  if (fabric == "shm") return {0, 114, 178};
  if (fabric == "verbs") return {213, 94, 0};
  if (fabric == "ucx") return {0, 158, 115};
  if (fabric == "self") return {100, 116, 139};
  return {148, 60, 148};
}

std::string color_of(std::string_view fabric, int strength) {
  const double share = 0.25 + 0.75 * strength / (kStrengths - 1);
  const auto mixed = [share](int part) {
    return static_cast<int>(std::lround(255 - share * (255 - part)));
  };
  const Color hue = hue_of(fabric);
  return format("#{:02x}{:02x}{:02x}", mixed(hue.red), mixed(hue.green), mixed(hue.blue));
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '"')
      result += "&quot;";
    else
      result += byte < 0x20 || byte > 0x7e ? '?' : c;
  }
  return result;
}

std::string plural(std::uint64_t count, std::string_view what) {
  return format("{} {}{}", count, what, count == 1 ? "" : "s");
}

struct FabricTotal {
  Volume sent;
  std::set<preconnect::Pair> pairs;
};

class Painter {
 public:
  explicit Painter(const JobTraffic& traffic)
      : traffic_(traffic),
        ranks_(std::max<Rank>(traffic.size(), 1)),
        cell_(std::clamp(kSide / ranks_, kCellMin, kCellMax)),
        side_(cell_ * ranks_),
        height_(kTop + std::max(side_, 240.0) + kBottom),
        width_(kLeft + side_ + kLegendGap + kLegendWidth) {
    for (const Flow& flow : traffic.flows()) {
      least_ = std::min(least_, flow.sent.bytes);
      most_ = std::max(most_, flow.sent.bytes);
      FabricTotal& total = totals_[traffic.fabric_of(flow)];
      total.sent = total.sent + flow.sent;
      total.pairs.insert({std::min(flow.from, flow.to), std::max(flow.from, flow.to)});
    }
    if (traffic.flows().empty()) least_ = 0;
  }

  std::string document() {
    paint_title();
    paint_axes();
    ranks_ <= kTooltipRanksMax ? paint_cells() : paint_shapes();
    paint_hosts();
    paint_legend();
    return format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
        "width=\"{0:.0f}\" height=\"{1:.0f}\" "
        "font-family=\"Inter, 'Segoe UI', 'DejaVu Sans', sans-serif\">\n"
        "<rect width=\"{0:.0f}\" height=\"{1:.0f}\" fill=\"#ffffff\"/>\n{2}</svg>\n",
        width_, height_, body_);
  }

 private:
  void text(double x, double y, std::string_view words, double size, std::string_view color,
            std::string_view more = "") {
    body_ += format("<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{}\" fill=\"{}\"{}>{}</text>\n", x,
                    y, size, color, more, escaped(words));
  }
  void line(double x1, double y1, double x2, double y2) {
    body_ += format(
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" "
        "stroke-width=\"0.75\"/>\n",
        x1, y1, x2, y2, kLine);
  }

  void paint_title() {
    std::set<std::string_view> hosts;
    for (Rank rank = 0; rank < traffic_.size(); ++rank) hosts.insert(traffic_.host_of(rank));
    Volume all;
    for (const auto& [name, total] : totals_) all = all + total.sent;
    text(24, 34, "Who talked to whom, over what", 19, kInk, " font-weight=\"600\"");
    std::string words =
        format("{} on {}; {}, {}", plural(traffic_.size(), "rank"), plural(hosts.size(), "host"),
               plural(all.messages, "message"), bytes_text(all.bytes));
    if (traffic_.reported() < traffic_.size()) {
      words +=
          format("; {} have said nothing", plural(traffic_.size() - traffic_.reported(), "rank"));
    }
    text(24, 56, words, 12, kMuted);
  }

  // The numbers of as many ranks as there is room for.
  void paint_axes() {
    Rank step = 1;
    while (step * cell_ < kLabelGap) step *= 2;
    for (Rank rank = 0; rank < ranks_; rank += step) {
      const double at = (rank + 0.5) * cell_;
      text(kLeft - 8, kTop + at + 3.5, format("{}", rank), 10, kMuted, " text-anchor=\"end\"");
      const double x = kLeft + at;
      text(x + 3.5, kTop - 8, format("{}", rank), 10, kMuted,
           format(" transform=\"rotate(-90 {:.1f} {:.1f})\"", x + 3.5, kTop - 8));
    }
    text(kLeft, kTop - 36, "to rank", 11, kMuted);
    text(kLeft - 8, kTop - 36, "from rank, host", 11, kMuted, " text-anchor=\"end\"");
    body_ += format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"#f8fafc\" "
        "stroke=\"{}\" stroke-width=\"0.75\"/>\n",
        kLeft, kTop, side_, side_, kLine);
  }

  int strength_of(std::uint64_t bytes) const {
    if (most_ == least_) return kStrengths - 1;
    const auto scale = [](std::uint64_t value) { return std::log1p(static_cast<double>(value)); };
    const double share = (scale(bytes) - scale(least_)) / (scale(most_) - scale(least_));
    return static_cast<int>(std::lround(share * (kStrengths - 1)));
  }

  void paint_cells() {
    const double inside = cell_ > 6 ? cell_ - 1 : cell_;
    for (const Flow& flow : traffic_.flows()) {
      const std::string& fabric = traffic_.fabric_of(flow);
      const std::string& reason = traffic_.reason_of(flow);
      body_ += format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\">"
          "<title>rank {} to rank {} over {}: {}, {}{}</title></rect>\n",
          kLeft + flow.to * cell_ + 0.5, kTop + flow.from * cell_ + 0.5, inside, inside,
          color_of(fabric, strength_of(flow.sent.bytes)), flow.from, flow.to, escaped(fabric),
          plural(flow.sent.messages, "message"), bytes_text(flow.sent.bytes),
          reason.empty() ? "" : escaped(" (" + reason + ")"));
    }
  }

  // One path for each colour; neighbours of one colour in a row are one rectangle of it.
  void paint_shapes() {
    std::map<std::string, std::vector<preconnect::Pair>> cells;
    for (const Flow& flow : traffic_.flows()) {
      cells[color_of(traffic_.fabric_of(flow), strength_of(flow.sent.bytes))].emplace_back(
          flow.from, flow.to);
    }
    body_ +=
        format("<g transform=\"translate({:.1f} {:.1f}) scale({:.4f})\">\n", kLeft, kTop, cell_);
    for (auto& [color, places] : cells) {
      std::ranges::sort(places);
      std::string path;
      for (std::size_t i = 0; i < places.size();) {
        std::size_t end = i + 1;
        while (end < places.size() && places[end].first == places[i].first &&
               places[end].second == places[end - 1].second + 1) {
          ++end;
        }
        path += format("M{} {}h{}v1h-{}z", places[i].second, places[i].first, end - i, end - i);
        i = end;
      }
      body_ += format("<path fill=\"{}\" shape-rendering=\"crispEdges\" d=\"{}\"/>\n", color, path);
    }
    body_ += "</g>\n";
  }

  // Lines between hosts, and their names where there is room.
  void paint_hosts() {
    Rank begin = 0;
    for (Rank rank = 1; rank <= ranks_; ++rank) {
      if (rank < ranks_ && traffic_.host_of(rank) == traffic_.host_of(begin)) continue;
      if (rank < ranks_ && 4 * cell_ * (rank - begin) >= kLabelGap) {
        const double at = rank * cell_;
        line(kLeft, kTop + at, kLeft + side_, kTop + at);
        line(kLeft + at, kTop, kLeft + at, kTop + side_);
      }
      if (cell_ * (rank - begin) >= kLabelGap) {
        std::string name = traffic_.host_of(begin);
        constexpr std::size_t kNameMax = 14;
        if (name.size() > kNameMax) name = name.substr(0, kNameMax - 2) + "..";
        text(kLeft - 36, kTop + (begin + rank) * cell_ / 2 + 3.5, name, 11, kInk,
             " text-anchor=\"end\"");
      }
      begin = rank;
    }
  }

  void paint_legend() {
    const double x = kLeft + side_ + kLegendGap;
    double y = kTop + 12;
    std::size_t left = kLegendNamesMax;
    for (const auto& [name, total] : totals_) {
      if (left-- == 0) break;
      text(x, y, name, 13, kInk, " font-weight=\"600\"");
      text(x, y + 16,
           format("{}, {}, {}", plural(total.pairs.size(), "pair"),
                  plural(total.sent.messages, "message"), bytes_text(total.sent.bytes)),
           11, kMuted);
      for (int strength = 0; strength < kStrengths; ++strength) {
        body_ +=
            format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"30\" height=\"12\" fill=\"{}\"/>\n",
                   x + 30 * strength, y + 24, color_of(name, strength));
      }
      text(x, y + 49, bytes_text(least_), 10, kMuted);
      text(x + 30 * kStrengths, y + 49, bytes_text(most_), 10, kMuted, " text-anchor=\"end\"");
      y += 76;
    }
    text(x, y, "sent by the row to the column", 11, kMuted);
  }

  const JobTraffic& traffic_;
  Rank ranks_;
  double cell_;
  double side_;
  double height_;
  double width_;
  std::uint64_t least_ = ~std::uint64_t{0};
  std::uint64_t most_ = 0;
  std::map<std::string, FabricTotal> totals_;
  std::string body_;
};

}  // namespace

std::string draw_heat_map(const JobTraffic& traffic) { return Painter(traffic).document(); }

}  // namespace tern::spawn
