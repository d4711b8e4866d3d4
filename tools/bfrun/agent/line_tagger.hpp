#pragma once
/// @file line_tagger.hpp  Cuts a stream of bytes into lines, with a prefix if there is one.

#include <string>
#include <string_view>

namespace bfrun {

class LineTagger {
 public:
  explicit LineTagger(std::string prefix) : prefix_(std::move(prefix)) {}
  /// The lines that these bytes complete. Without a prefix a carriage return ends a line too, for a progress
  /// bar writes nothing else.
  [[nodiscard]] std::string take(std::string_view bytes);
  /// What is left without a newline, as a line; empty if nothing is.
  [[nodiscard]] std::string flush();

 private:
  std::string prefix_;
  std::string partial_;
};

}  // namespace bfrun
