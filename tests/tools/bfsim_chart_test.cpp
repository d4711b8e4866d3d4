// Pictures: SVG that a parser of XML takes, with what is to be seen in it.

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include <bluefog/error.hpp>

#include "bfsim_runs.hpp"
#include "chart.hpp"
#include "xml.hpp"

namespace bfsim {
namespace {

std::string svg_of(const std::vector<Chart>& charts) {
  std::ostringstream out;
  write_svg(out, charts);
  return out.str();
}

Chart chart_of(std::vector<std::pair<double, double>> points) {
  return {"title", "x", "y", false, false, {{"name", std::move(points)}}};
}

TEST(Xml, OfTheseTestsFindsWhatIsBroken) {
  EXPECT_EQ(fault_in_xml("<a b=\"1\"><c/>text &lt; &amp;</a>\n"), "");
  for (const char* broken :
       {"", "text", "<a>", "<a></b>", "<a/><b/>", "<a b=1/>", "<a b=\"1\" b=\"2\"/>", "<a>a & b</a>",
        "<a b=\"<\"/>", "<a><b></a></b>", "<a b=\"1\"c=\"2\"/>", "<a>&foo;</a>", "</a>", "<a b=\"1/>"}) {
    EXPECT_NE(fault_in_xml(broken), "") << broken;
  }
}

TEST(Chart, IsWellFormed) {
  const std::string svg = svg_of({chart_of({{1, 0.5}, {2, 0.25}}), chart_of({{1, 3}})});
  EXPECT_EQ(fault_in_xml(svg), "");
  EXPECT_EQ(count_of("<polyline", svg), 2);
}

TEST(Chart, EscapesItsText) {
  Chart chart = chart_of({{1, 1}});
  chart.title = "a < b & \"c\"";
  chart.series[0].name = "<&>";
  const std::string svg = svg_of({chart});
  EXPECT_EQ(fault_in_xml(svg), "");
  EXPECT_NE(svg.find("a &lt; b &amp;"), std::string::npos);
}

TEST(Chart, DrawsNothingOutsideItself) {
  for (const bool log : {false, true}) {
    for (const auto& points : std::vector<std::vector<std::pair<double, double>>>{
             {}, {{1, 0}}, {{4, 7}}, {{1, 0}, {2, 0}}, {{32, 1e-3}, {4096, 10}}, {{1, 1e300}, {2, 1e-300}}}) {
      Chart chart = chart_of(points);
      chart.log_x = chart.log_y = log;
      const std::string svg = svg_of({chart});
      EXPECT_EQ(fault_in_xml(svg), "");
      EXPECT_EQ(svg.find("nan"), std::string::npos) << svg;
      EXPECT_EQ(svg.find("inf"), std::string::npos) << svg;
      for (const auto& [x, y] : points_of_polylines(svg)) {
        EXPECT_GE(x, 0);
        EXPECT_LE(x, 760);
        EXPECT_GE(y, 0);
        EXPECT_LE(y, 340);
      }
      EXPECT_EQ(points_of_polylines(svg).size(), points.size());
    }
  }
}

TEST(Chart, PutsLargerValuesHigherAndLaterOnesToTheRight) {
  const auto points = points_of_polylines(svg_of({chart_of({{1, 1}, {2, 3}, {3, 2}})}));
  ASSERT_EQ(points.size(), 3U);
  EXPECT_LT(points[0].first, points[1].first);
  EXPECT_LT(points[1].first, points[2].first);
  EXPECT_GT(points[0].second, points[2].second);
  EXPECT_GT(points[2].second, points[1].second);
}

TEST(Picture, IsDrawnByEveryCommand) {
  for (const std::string line : {"run --ranks 4 --steps 3", "run --schedule ring-all-reduce --steps 3",
                                 "table --ranks 16", "noise --ranks 4,8 --steps 5 --engine-steps 0"}) {
    const TemporaryFile file;
    const Result result = run_bfsim(line + " --picture " + file.path());
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(fault_in_xml(file.content()), "") << line;
    EXPECT_GT(count_of("<polyline", file.content()), 2) << line;
  }
}

TEST(Picture, ThatCannotBeWrittenStopsBeforeAnythingIsSimulated) {
  for (const std::string line : {"run", "table --ranks 16", "noise"}) {
    const Result result = run_bfsim(line + " --picture /nowhere/at/all.svg");
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.err.find("/nowhere/at/all.svg: No such file or directory"), std::string::npos)
        << result.err;
  }
}

TEST(Picture, ThatFailsLaterLeavesAnOlderOne) {
  const TemporaryFile file;
  std::ofstream(file.path()) << "older";
  EXPECT_EQ(run_bfsim("run --ranks 8 --slow-rank 9 --picture " + file.path()).exit_code, 2);
  EXPECT_EQ(file.content(), "older");
}

}  // namespace
}  // namespace bfsim
