#pragma once
/// @file environment.hpp  Environment variables as a value, and the Config that they describe.

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <bluefog/config.hpp>

namespace bluefog::base {

using Environment = std::map<std::string, std::string, std::less<>>;

/// A copy of this process's environment.
[[nodiscard]] Environment current_environment();

/// The value of a variable; nullptr if it is not set, or empty.
[[nodiscard]] const std::string* find(const Environment& environment, std::string_view name);

/// Config::from_environment() over any environment, without its warnings.
/// @throws InvalidArgument for a value that cannot be read, naming the variable
[[nodiscard]] Config read_config(const Environment& environment);

/// One sentence for each BLUEFOG_* name that nothing reads, by name.
[[nodiscard]] std::vector<std::string> warnings_about_unknown_names(const Environment& environment);

}  // namespace bluefog::base
