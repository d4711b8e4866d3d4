#include "check/findings.hpp"

#include <array>
#include <cstdio>

#include <unistd.h>

namespace bfrun {

void Findings::tell(const std::string& text) const {
  const std::string line = host_ + ": " + text + "\n";
  (void)!::write(STDOUT_FILENO, line.data(), line.size());
}

void Findings::problem(const std::string& text) {
  has_problems_ = true;
  tell("PROBLEM: " + text);
}

std::string in_decimals(double value, int decimals) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

}  // namespace bfrun
