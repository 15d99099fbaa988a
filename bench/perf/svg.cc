// bench/perf/svg.cc - implementation of svg.h.
#include "svg.h"

#include <fmt/format.h>

#include <iterator>

namespace tern::perf {
namespace {

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

}  // namespace

Svg::Svg(double width, double height) : width_(width), height_(height) {}

void Svg::rectangle(Point corner, double width, double height, std::string_view fill,
                    double radius) {
  fmt::format_to(std::back_inserter(body_),
                 "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{:.1f}\" "
                 "fill=\"{}\"/>\n",
                 corner.x, corner.y, width, height, radius, fill);
}

void Svg::line(Point from, Point to, std::string_view color, double width) {
  fmt::format_to(std::back_inserter(body_),
                 "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" "
                 "stroke-width=\"{}\"/>\n",
                 from.x, from.y, to.x, to.y, color, width);
}

void Svg::polyline(const std::vector<Point>& points, std::string_view color, double width) {
  body_ += "<polyline points=\"";
  for (const Point& point : points) {
    fmt::format_to(std::back_inserter(body_), "{:.1f},{:.1f} ", point.x, point.y);
  }
  fmt::format_to(std::back_inserter(body_),
                 "\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\" "
                 "stroke-linecap=\"round\"/>\n",
                 color, width);
}

void Svg::dot(Point center, double radius, std::string_view color, std::string_view tooltip) {
  fmt::format_to(std::back_inserter(body_),
                 "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" fill=\"{}\"><title>{}</title>"
                 "</circle>\n",
                 center.x, center.y, radius, color, escaped(tooltip));
}

void Svg::text(Point at, std::string_view text, const TextStyle& style) {
  constexpr std::string_view kAnchors[] = {"start", "middle", "end"};
  std::string turn;
  if (style.rotation != 0) {
    turn = fmt::format(" transform=\"rotate({} {:.1f} {:.1f})\"", style.rotation, at.x, at.y);
  }
  fmt::format_to(std::back_inserter(body_),
                 "<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{}\" fill=\"{}\" "
                 "text-anchor=\"{}\"{}{}>{}</text>\n",
                 at.x, at.y, style.size, style.color, kAnchors[static_cast<int>(style.anchor)],
                 style.bold ? " font-weight=\"600\"" : "", turn, escaped(text));
}

std::string Svg::document() const {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"Inter, 'Segoe UI', 'DejaVu Sans', sans-serif\">\n{2}</svg>\n",
      width_, height_, body_);
}

}  // namespace tern::perf
