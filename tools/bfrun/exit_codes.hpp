#pragma once
/// @file exit_codes.hpp  bfrun's own exit codes; docs/configuration.md has the table.

namespace bfrun {

inline constexpr int exit_code_of_failures = 1;
inline constexpr int exit_code_of_usage_errors = 2;
inline constexpr int exit_code_command_not_executable = 126;
inline constexpr int exit_code_command_not_found = 127;

}  // namespace bfrun
