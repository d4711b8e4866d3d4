#include "text.hpp"

#include <array>
#include <cstdarg>
#include <cstdio>

namespace bfsim {

std::string format(const char* pattern, ...) {
  std::array<char, 512> text{};
  std::va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text.data(), text.size(), pattern, arguments);
  va_end(arguments);
  return text.data();
}

std::string duration_text(double seconds) {
  if (seconds >= 1) return format("%.3f s", seconds);
  if (seconds >= 1e-3) return format("%.2f ms", seconds * 1e3);
  return format("%.1f us", seconds * 1e6);
}

std::string size_text(double bytes) {
  if (bytes >= 1e9) return format("%.4g GB", bytes / 1e9);
  if (bytes >= 1e6) return format("%.4g MB", bytes / 1e6);
  if (bytes >= 1e3) return format("%.4g kB", bytes / 1e3);
  return format("%.4g bytes", bytes);
}

}  // namespace bfsim
