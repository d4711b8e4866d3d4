#pragma once
/// @file bfsim_runs.hpp  Whole runs of bfsim in this process, and what they print.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "bfsim.hpp"

namespace bfsim {

struct Result {
  int exit_code = 0;
  std::string out;
  std::string err;
};

/// @param line  arguments, with single spaces between
inline Result run_bfsim(const std::string& line) {
  std::vector<std::string> arguments;
  std::istringstream words(line);
  for (std::string word; words >> word;) arguments.push_back(word);
  std::ostringstream out;
  std::ostringstream err;
  const int exit_code = bfsim(arguments, out, err);
  return {exit_code, out.str(), err.str()};
}

inline std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

/// A path of this test's own, for a file that is not there yet; removed in the end.
class TemporaryFile {
 public:
  TemporaryFile() {
    std::string test = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::replace(test.begin(), test.end(), '/', '-');
    const std::string name = "bfsim-" + std::to_string(::getpid()) + "-" + test + ".svg";
    path_ = std::filesystem::temp_directory_path() / name;
    std::filesystem::remove(path_);
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  [[nodiscard]] std::string path() const { return path_.string(); }
  [[nodiscard]] std::string content() const {
    std::ostringstream text;
    text << std::ifstream(path_).rdbuf();
    return text.str();
  }

 private:
  std::filesystem::path path_;
};

}  // namespace bfsim
