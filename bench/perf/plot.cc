// bench/perf/plot.cc - implementation of plot.h.
#include "plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sizes.h"
#include "svg.h"

namespace tern::perf {
namespace {

// Told apart also by people who do not see red and green as different.
constexpr std::string_view kColors[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                        "#e69f00", "#56b4e9", "#6b4c9a", "#4d4d4d"};
constexpr std::string_view kInk = "#0f172a";
constexpr std::string_view kMuted = "#64748b";
constexpr std::string_view kGrid = "#e2e8f0";
constexpr std::string_view kFineGrid = "#f1f5f9";

constexpr double kPanelWidth = 560;
constexpr double kPanelHeight = 410;  // Without the legend.
constexpr double kHeaderHeight = 64;
constexpr double kLeft = 72;
constexpr double kRight = 24;
constexpr double kTop = 44;
constexpr double kBottom = 56;
constexpr double kLegendRow = 18;
constexpr int kLegendColumns = 2;

// Maps a logarithmic range to pixels.
struct Axis {
  double low;
  double high;
  double from;
  double to;

  double at(double value) const {
    return from +
           (std::log(value) - std::log(low)) / (std::log(high) - std::log(low)) * (to - from);
  }
};

std::string number(double value) {
  if (value >= 99.95) return fmt::format("{:.0f}", value);
  return fmt::format("{:.3g}", value);
}

// A figure with the unit that keeps it short: 845 us, 1.2 ms, 13.2 GB/s.
std::string with_unit(double value, const std::string& unit) {
  if (unit == "us") {
    if (value >= 1e6) return number(value * 1e-6) + " s";
    if (value >= 1e3) return number(value * 1e-3) + " ms";
    return number(value) + " µs";
  }
  if (unit == "MB/s" && value >= 1e3) return number(value * 1e-3) + " GB/s";
  return number(value) + " " + unit;
}

void drop_what_logarithms_cannot_show(PlotPanel& panel) {
  for (PlotSeries& series : panel.series) {
    std::erase_if(series.points, [](const PlotPoint& point) {
      return point.bytes == 0 || !(point.value > 0) || !std::isfinite(point.value);
    });
  }
  std::erase_if(panel.series, [](const PlotSeries& series) { return series.points.empty(); });
}

double legend_height(const PlotPanel& panel) {
  const int series = static_cast<int>(panel.series.size());
  const int rows = (series + kLegendColumns - 1) / kLegendColumns;
  return kLegendRow * rows;
}

// Title, legend and chart, from top to bottom. `legend` is the height kept for the legend: the
// same for all panels of a picture, so that their axes line up.
class PanelPainter {
 public:
  PanelPainter(Svg& svg, const PlotPanel& panel, double x, double y, double legend)
      : svg_(svg),
        panel_(panel),
        left_(x + kLeft),
        right_(x + kPanelWidth - kRight),
        title_(y + 20),
        top_(y + kTop + legend),
        bottom_(y + legend + kPanelHeight - kBottom) {
    double bytes_low = HUGE_VAL, bytes_high = 0, low = HUGE_VAL, high = 0;
    for (const PlotSeries& series : panel.series) {
      for (const PlotPoint& point : series.points) {
        bytes_low = std::min(bytes_low, static_cast<double>(point.bytes));
        bytes_high = std::max(bytes_high, static_cast<double>(point.bytes));
        low = std::min(low, point.value);
        high = std::max(high, point.value);
      }
    }
    if (bytes_low == bytes_high) bytes_low /= 2, bytes_high *= 2;
    // Whole decades, so that the labels are round.
    const double bottom = std::pow(10, std::floor(std::log10(low)));
    const double top = std::max(std::pow(10, std::ceil(std::log10(high))), 10 * bottom);
    x_ = {bytes_low, bytes_high, left_ + 10, right_ - 10};
    y_ = {bottom, top, bottom_, top_};
  }

  void paint() {
    svg_.text({left_, title_}, panel_.title, {.size = 15, .color = kInk, .bold = true});
    svg_.text({right_, title_}, panel_.lower_is_better ? "lower is better" : "higher is better",
              {.size = 11, .color = kMuted, .anchor = Anchor::kEnd});
    paint_legend();
    paint_y_axis();
    paint_x_axis();
    for (std::size_t i = 0; i < panel_.series.size(); ++i) paint_series(i);
  }

 private:
  static std::string_view color(std::size_t index) { return kColors[index % std::size(kColors)]; }

  void paint_y_axis() {
    for (double decade = y_.low; decade <= y_.high * 1.001; decade *= 10) {
      for (int step = 2; step <= 9 && decade < y_.high * 0.999; ++step) {
        const double y = y_.at(decade * step);
        svg_.line({left_, y}, {right_, y}, kFineGrid, 1);
      }
      const double y = y_.at(decade);
      svg_.line({left_, y}, {right_, y}, kGrid, 1);
      svg_.text({left_ - 8, y + 4}, with_unit(decade, panel_.unit),
                {.size = 11, .color = kMuted, .anchor = Anchor::kEnd});
    }
  }

  void paint_x_axis() {
    const double low = std::ceil(std::log2(x_.low) - 1e-9);
    const double high = std::floor(std::log2(x_.high) + 1e-9);
    const int step = std::max(1, static_cast<int>(std::ceil((high - low) / 12)));
    for (double power = low; power <= high; power += step) {
      const double x = x_.at(std::exp2(power));
      svg_.line({x, top_}, {x, bottom_}, kGrid, 1);
      svg_.text({x, bottom_ + 18}, format_size(static_cast<std::size_t>(std::exp2(power))),
                {.size = 11, .color = kMuted, .anchor = Anchor::kMiddle});
    }
    svg_.line({left_, bottom_}, {right_, bottom_}, kMuted, 1);
    svg_.text({(left_ + right_) / 2, bottom_ + 40}, "message size in bytes",
              {.size = 12, .anchor = Anchor::kMiddle});
  }

  void paint_series(std::size_t index) {
    const PlotSeries& series = panel_.series[index];
    std::vector<Point> line;
    for (const PlotPoint& point : series.points) {
      line.push_back({x_.at(static_cast<double>(point.bytes)), y_.at(point.value)});
    }
    svg_.polyline(line, color(index), 2);
    for (std::size_t i = 0; i < line.size(); ++i) {
      const PlotPoint& point = series.points[i];
      svg_.dot(line[i], 3, color(index),
               fmt::format("{}, {} bytes: {}", series.name, format_size(point.bytes),
                           with_unit(point.value, panel_.unit)));
    }
  }

  // Each series with its best figure.
  void paint_legend() {
    const double column_width = (right_ - left_) / kLegendColumns;
    for (std::size_t i = 0; i < panel_.series.size(); ++i) {
      const PlotSeries& series = panel_.series[i];
      const double x = left_ + column_width * static_cast<double>(i % kLegendColumns);
      const std::size_t row = 1 + i / kLegendColumns;
      const double y = title_ + kLegendRow * static_cast<double>(row);
      const auto by_value = [](const PlotPoint& a, const PlotPoint& b) {
        return a.value < b.value;
      };
      const auto [least, most] =
          std::minmax_element(series.points.begin(), series.points.end(), by_value);
      const PlotPoint& best = panel_.lower_is_better ? *least : *most;
      svg_.line({x, y}, {x + 18, y}, color(i), 3);
      svg_.text({x + 25, y + 4},
                fmt::format("{}: {} at {}", series.name, with_unit(best.value, panel_.unit),
                            format_size(best.bytes)),
                {.size = 12, .color = kInk});
    }
  }

  Svg& svg_;
  const PlotPanel& panel_;
  double left_, right_, title_, top_, bottom_;
  Axis x_{};
  Axis y_{};
};

}  // namespace

std::string draw_plot(const std::string& title, const std::string& subtitle,
                      std::vector<PlotPanel> panels) {
  for (PlotPanel& panel : panels) drop_what_logarithms_cannot_show(panel);
  std::erase_if(panels, [](const PlotPanel& panel) { return panel.series.empty(); });

  const double width = kPanelWidth * static_cast<double>(std::max<std::size_t>(panels.size(), 1));
  double legend = 0;
  for (const PlotPanel& panel : panels) legend = std::max(legend, legend_height(panel));
  const double height = kHeaderHeight + kPanelHeight + legend;
  Svg svg(width, height);
  svg.rectangle({0, 0}, width, height, "#ffffff");
  svg.text({24, 32}, title, {.size = 18, .color = kInk, .bold = true});
  svg.text({24, 52}, subtitle, {.size = 12, .color = kMuted});
  for (std::size_t i = 0; i < panels.size(); ++i) {
    PanelPainter(svg, panels[i], kPanelWidth * static_cast<double>(i), kHeaderHeight, legend)
        .paint();
  }
  return svg.document();
}

}  // namespace tern::perf
