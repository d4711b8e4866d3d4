#include "quantity.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace bfsim {

const Units& time_units() {
  static const Units units{{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}};
  return units;
}

const Units& rate_units() {
  static const Units units{{"Gbps", 0.125e9}, {"Mbps", 0.125e6}, {"GBps", 1e9}, {"MBps", 1e6}};
  return units;
}

const Units& size_units() {
  static const Units units{{"B", 1},        {"kB", 1e3},     {"MB", 1e6},    {"GB", 1e9},
                           {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}};
  return units;
}

std::string names_of(const Units& units) {
  std::string names;
  for (const auto& [name, factor] : units) names += (names.empty() ? "" : ", ") + name;
  return names;
}

std::optional<double> parse_quantity(std::string_view text, const Units& units) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return {};
  std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  double factor = 1;
  if (!unit.empty()) {
    const auto known =
        std::find_if(units.begin(), units.end(), [&](const auto& one) { return one.first == unit; });
    if (known == units.end()) return {};
    factor = known->second;
  }
  if (!std::isfinite(number * factor)) return {};
  return number * factor;
}

}  // namespace bfsim
