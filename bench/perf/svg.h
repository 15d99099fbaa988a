// bench/perf/svg.h - the few SVG shapes that a line chart needs, written as text.
//
// Knows nothing of benchmarks. Coordinates are pixels from the upper left corner. Threading: none.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tern::perf {

struct Point {
  double x;
  double y;
};

enum class Anchor { kStart, kMiddle, kEnd };

struct TextStyle {
  double size = 12;
  std::string_view color = "#334155";
  Anchor anchor = Anchor::kStart;
  bool bold = false;
  double rotation = 0;  // Degrees, clockwise around the text's own position.
};

class Svg {
 public:
  Svg(double width, double height);

  void rectangle(Point corner, double width, double height, std::string_view fill,
                 double radius = 0);
  void line(Point from, Point to, std::string_view color, double width);
  void polyline(const std::vector<Point>& points, std::string_view color, double width);

  // A dot; the pointer resting on it shows `tooltip`.
  void dot(Point center, double radius, std::string_view color, std::string_view tooltip);

  void text(Point at, std::string_view text, const TextStyle& style);

  // The whole document.
  std::string document() const;

 private:
  double width_;
  double height_;
  std::string body_;
};

}  // namespace tern::perf
