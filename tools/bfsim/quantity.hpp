#pragma once
/// @file quantity.hpp  Numbers with units, as users write them: "150ms", "25Gbps", "102 MB".

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bfsim {

/// Names and factors, in the order in which users read of them.
using Units = std::vector<std::pair<std::string, double>>;

/// Seconds, bytes per second, bytes.
[[nodiscard]] const Units& time_units();
[[nodiscard]] const Units& rate_units();
[[nodiscard]] const Units& size_units();

/// "s, ms, us, ns".
[[nodiscard]] std::string names_of(const Units& units);

/// A number, alone or with a unit, with or without a space between; nothing if it is neither, or not finite.
[[nodiscard]] std::optional<double> parse_quantity(std::string_view text, const Units& units);

}  // namespace bfsim
