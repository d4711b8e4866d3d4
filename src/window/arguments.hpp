#pragma once
/// @file arguments.hpp  What the arguments of window operations must be. All throw InvalidArgument.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <bluefog/options.hpp>
#include <bluefog/tensor.hpp>

#include "mixing/row.hpp"
#include "window/core.hpp"

namespace bluefog::window {

class ArgumentCheck {
 public:
  ArgumentCheck(const Core& core, std::string_view operation) : core_(core), operation_(operation) {
    core.require_usable(operation);
  }
  [[noreturn]] void fail(const std::string& what) const;
  /// Dtype and number of elements are the window's.
  void like_the_window(const ConstTensor& tensor) const;
  /// Finite; 1 or 0 where the dtype has no fractions.
  void weight(double weight, const std::string& argument) const;
  /// Those given, or all of the window's with 1. Keys that are no edge of it are wrong.
  [[nodiscard]] std::vector<mixing::WeightedRank> edges(const std::optional<Weights>& given,
                                                        const std::vector<mixing::WeightedRank>& all,
                                                        const char* argument) const;

 private:
  const Core& core_;
  std::string_view operation_;
};

}  // namespace bluefog::window
