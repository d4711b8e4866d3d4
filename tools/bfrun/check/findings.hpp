#pragma once
/// @file findings.hpp  What a rank of `bfrun --check` has found, told line by line.

#include <string>

namespace bfrun {

class Findings {
 public:
  /// @param host  whose lines these are
  explicit Findings(std::string host) : host_(std::move(host)) {}

  void tell(const std::string& text) const;
  /// Something that would keep a job from running.
  void problem(const std::string& text);
  [[nodiscard]] bool has_problems() const { return has_problems_; }

 private:
  std::string host_;
  bool has_problems_ = false;
};

/// "12.3": so many decimals.
[[nodiscard]] std::string in_decimals(double value, int decimals);

}  // namespace bfrun
