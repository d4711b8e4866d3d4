#pragma once
/// @file text.hpp  Lines for people.

#include <cstdint>
#include <string>

namespace bfsim {

/// As printf.
[[gnu::format(printf, 1, 2)]] [[nodiscard]] std::string format(const char* pattern, ...);

/// "0.163 s", "32.66 ms", "12.5 us".
[[nodiscard]] std::string duration_text(double seconds);
/// "102 MB".
[[nodiscard]] std::string size_text(double bytes);

}  // namespace bfsim
