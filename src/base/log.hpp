#pragma once
/// @file log.hpp  Lines on standard error: "[2025-01-31 12:00:00.000] [bluefog rank 3] warning: text".

#include <optional>
#include <string_view>

namespace bluefog::log {

enum class Level { trace, debug, info, warning, error, fatal };

/// "trace" ... "fatal", in any case; nothing for other words.
[[nodiscard]] std::optional<Level> parse_level(std::string_view name);

/// The log is the process's own; until this is called: warnings and worse, with the time, "[bluefog]".
/// @param rank  named on each line; a negative number leaves it out
void configure(Level level, bool hide_time, int rank);

/// For a text that is costly to build.
[[nodiscard]] bool enabled(Level level);

void trace(std::string_view text);
void debug(std::string_view text);
void info(std::string_view text);
void warning(std::string_view text);
void error(std::string_view text);
void fatal(std::string_view text);
/// What the user has asked for: written at every level.
void report(std::string_view text);

}  // namespace bluefog::log
