#pragma once
/// @file chart.hpp  Small line charts as SVG: text that any browser shows, so no library is needed for them.

#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace bfsim {

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;
};

struct Chart {
  std::string title;
  std::string x_label;
  std::string y_label;
  bool log_x = false;  ///< to base 2, with a tick at every x
  bool log_y = false;  ///< to base 10; values below 1e-17 are drawn there
  std::vector<Series> series;
};

/// One below the other.
void write_svg(std::ostream& out, const std::vector<Chart>& charts);

/// A file for charts.
class Picture {
 public:
  /// Makes sure that the file can be written, so that nobody learns after a long simulation that it cannot.
  /// @param path  empty: nothing is drawn
  /// @throws bluefog::Error
  explicit Picture(std::string path);
  void draw(const std::vector<Chart>& charts) const;

 private:
  std::string path_;
};

}  // namespace bfsim
