#include "chart.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <set>
#include <utility>

#include <bluefog/error.hpp>

#include "text.hpp"

namespace bfsim {

namespace {

constexpr double width = 760;
constexpr double height = 340;
constexpr double left = 70;
constexpr double right = 190;  // of the legend
constexpr double top = 34;
constexpr double bottom = 48;
constexpr double least_drawn = 1e-17;
// Okabe and Ito's colours, which colour-blind readers can tell apart.
constexpr const char* colors[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                  "#E69F00", "#56B4E9", "#000000"};

std::string number(double value) {
  return format("%.6g", value);
}

std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '<') {
      safe += "&lt;";
    } else if (c == '&') {
      safe += "&amp;";
    } else {
      safe += c;
    }
  }
  return safe;
}

/// From values to positions on one axis.
class Axis {
 public:
  Axis(bool is_log, double base) : is_log_(is_log), base_(base) {}

  void cover(double value) {
    const double at = scaled(value);
    low_ = std::min(low_, at);
    high_ = std::max(high_, at);
  }
  /// The axis begins at zero, and does not shrink to a point.
  void finish(bool from_zero) {
    if (low_ > high_) low_ = high_ = 0;
    if (from_zero) low_ = std::min(low_, 0.0);
    if (high_ - low_ < 1e-12) high_ = low_ + 1;
    if (is_log_ && base_ == 10) {
      low_ = std::floor(low_);
      high_ = std::ceil(high_);
    }
  }
  /// Between 0 and 1.
  [[nodiscard]] double share(double value) const { return (scaled(value) - low_) / (high_ - low_); }
  [[nodiscard]] std::vector<double> ticks() const {
    std::vector<double> ticks;
    if (is_log_) {
      const double step = std::max(1.0, std::ceil((high_ - low_) / 8));
      for (double at = low_; at <= high_ + 1e-9; at += step) ticks.push_back(std::pow(base_, at));
      return ticks;
    }
    const double rough = (high_ - low_) / 6;
    const double magnitude = std::pow(10, std::floor(std::log10(rough)));
    double step = 10 * magnitude;
    for (const double nice : {5.0, 2.0, 1.0}) {
      if (nice * magnitude >= rough) step = nice * magnitude;
    }
    for (double at = std::ceil(low_ / step) * step; at <= high_ + step * 1e-9; at += step) {
      ticks.push_back(std::abs(at) < step * 1e-9 ? 0 : at);
    }
    return ticks;
  }

 private:
  [[nodiscard]] double scaled(double value) const {
    return is_log_ ? std::log(std::max(value, least_drawn)) / std::log(base_) : value;
  }
  bool is_log_;
  double base_;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
};

void write_text(std::ostream& out, double x, double y, const std::string& anchor, const std::string& text) {
  out << "<text x=\"" << number(x) << "\" y=\"" << number(y) << "\" text-anchor=\"" << anchor << "\">"
      << escaped(text) << "</text>\n";
}

void write_line(std::ostream& out, double x1, double y1, double x2, double y2, const std::string& style) {
  out << "<line x1=\"" << number(x1) << "\" y1=\"" << number(y1) << "\" x2=\"" << number(x2) << "\" y2=\""
      << number(y2) << "\" " << style << "/>\n";
}

/// A chart's place on the page.
struct Frame {
  double origin;  ///< upper edge
  Axis x;
  Axis y;
  [[nodiscard]] double at_x(double value) const { return left + x.share(value) * (width - left - right); }
  [[nodiscard]] double at_y(double value) const {
    return origin + height - bottom - y.share(value) * (height - top - bottom);
  }
};

void write_axes(std::ostream& out, const Frame& frame, const Chart& chart) {
  const double low_y = frame.origin + height - bottom;
  std::set<double> x_ticks;
  for (const Series& series : chart.series) {
    for (const auto& [x, y] : series.points) {
      if (chart.log_x) x_ticks.insert(x);
    }
  }
  if (!chart.log_x) {
    for (const double x : frame.x.ticks()) x_ticks.insert(x);
  }
  for (const double x : x_ticks) {
    write_line(out, frame.at_x(x), low_y, frame.at_x(x), low_y + 4, "stroke=\"#444\"");
    write_text(out, frame.at_x(x), low_y + 17, "middle", number(x));
  }
  for (const double y : frame.y.ticks()) {
    write_line(out, left, frame.at_y(y), width - right, frame.at_y(y), "stroke=\"#ddd\"");
    write_text(out, left - 6, frame.at_y(y) + 4, "end", number(y));
  }
  write_line(out, left, low_y, width - right, low_y, "stroke=\"#444\"");
  write_text(out, left, frame.origin + 18, "start", chart.title + " [" + chart.y_label + "]");
  write_text(out, (left + width - right) / 2, low_y + 36, "middle", chart.x_label);
}

void write_chart(std::ostream& out, const Chart& chart, double origin) {
  Frame frame{origin, Axis(chart.log_x, 2), Axis(chart.log_y, 10)};
  for (const Series& series : chart.series) {
    for (const auto& [x, y] : series.points) {
      frame.x.cover(x);
      frame.y.cover(y);
    }
  }
  frame.x.finish(false);
  frame.y.finish(!chart.log_y);
  write_axes(out, frame, chart);
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    const std::string color = colors[i % std::size(colors)];
    out << "<polyline fill=\"none\" stroke-width=\"1.8\" stroke=\"" << color << "\" points=\"";
    for (const auto& [x, y] : chart.series[i].points) {
      out << number(frame.at_x(x)) << "," << number(frame.at_y(y)) << " ";
    }
    out << "\"/>\n";
    const double legend_y = origin + top + 6 + 20 * static_cast<double>(i);
    write_line(out, width - right + 14, legend_y, width - right + 34, legend_y,
               "stroke-width=\"2.5\" stroke=\"" + color + "\"");
    write_text(out, width - right + 40, legend_y + 4, "start", chart.series[i].name);
  }
}

[[noreturn]] void fail_to_write(const std::string& path) {
  throw bluefog::Error("cannot write the picture to " + path + ": " + std::strerror(errno));
}

}  // namespace

void write_svg(std::ostream& out, const std::vector<Chart>& charts) {
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << width << "\" height=\""
      << height * static_cast<double>(charts.size())
      << "\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" "
         "fill=\"white\"/>\n";
  for (std::size_t i = 0; i < charts.size(); ++i)
    write_chart(out, charts[i], height * static_cast<double>(i));
  out << "</svg>\n";
}

Picture::Picture(std::string path) : path_(std::move(path)) {
  // Appends nothing: an older picture stays until there is a new one.
  if (!path_.empty() && !std::ofstream(path_, std::ios::app)) fail_to_write(path_);
}

void Picture::draw(const std::vector<Chart>& charts) const {
  if (path_.empty()) return;
  std::ofstream file(path_);
  write_svg(file, charts);
  file.close();
  if (!file) fail_to_write(path_);
}

}  // namespace bfsim
