#pragma once
/// @file timeline.hpp  What happened when, as a file for chrome://tracing or Perfetto.

#include <cstdio>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/fork_guard.hpp"

namespace bluefog::trace {

/// One rank's timeline: a JSON array of trace events in `<prefix><rank>.json`. One row per tensor name.
class Timeline final : private base::ForkListener {
 public:
  /// @throws Error if the file cannot be written
  Timeline(const std::string& prefix, int rank);
  ~Timeline();

  /// Completes the file. What happens afterwards is not on record.
  void close();

  /// An activity that has ended. An empty name goes to the row of the unnamed operations.
  void record(std::string_view name, std::string_view activity, base::TimePoint begin, base::TimePoint end);
  /// An activity of the user's, from begin() to end() of the same name.
  /// @returns false after close()
  bool begin(const std::string& name, std::string_view activity);
  /// @returns false if none is open
  bool end(const std::string& name);

 private:
  void in_child() noexcept override;
  void write(std::string_view event);
  [[nodiscard]] int row_of(const std::string& name);

  std::mutex mutex_;
  std::FILE* file_;  // null after close()
  bool first_ = true;
  std::map<std::string, int> rows_;
  std::map<std::string, int> open_;
};

}  // namespace bluefog::trace
