// bench/perf/plot.h - draws times and bandwidths over message size, both axes logarithmic.
//
// Used on rank 0 only, after all measurements. Threading: none. Failure: none; no data, no panel.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace tern::perf {

struct PlotPoint {
  std::size_t bytes;
  double value;
};

struct PlotSeries {
  std::string name;
  std::vector<PlotPoint> points;  // Ascending sizes.
};

struct PlotPanel {
  std::string title;
  std::string unit;
  bool lower_is_better;
  std::vector<PlotSeries> series;
};

// An SVG document with one panel beside the other. Panels without points are left out, and so are
// points of size or value zero, which a logarithm cannot show.
std::string draw_plot(const std::string& title, const std::string& subtitle,
                      std::vector<PlotPanel> panels);

}  // namespace tern::perf
