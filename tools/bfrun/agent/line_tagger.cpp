#include "agent/line_tagger.hpp"

#include <utility>

namespace bfrun {
namespace {

constexpr std::size_t longest_line = std::size_t{1} << 20;

}  // namespace

std::string LineTagger::take(std::string_view bytes) {
  std::string lines;
  const std::string_view ends = prefix_.empty() ? "\n\r" : "\n";
  for (std::size_t end = bytes.find_first_of(ends); end != std::string_view::npos;
       end = bytes.find_first_of(ends)) {
    lines += prefix_;
    lines += partial_;
    lines += bytes.substr(0, end + 1);
    partial_.clear();
    bytes.remove_prefix(end + 1);
  }
  partial_ += bytes;
  if (partial_.size() > longest_line) lines += flush();
  return lines;
}

std::string LineTagger::flush() {
  if (partial_.empty()) return {};
  return prefix_ + std::exchange(partial_, {}) + "\n";
}

}  // namespace bfrun
