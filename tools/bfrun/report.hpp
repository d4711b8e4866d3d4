#pragma once
/// @file report.hpp  bfrun's own lines on standard error.

#include <string>
#include <vector>

#include "agent/environment.hpp"
#include "messages/job_description.hpp"

namespace bfrun {

/// "bfrun: <text>\n".
[[nodiscard]] std::string report_line(const std::string& text);

/// Writes that line at once, in one piece.
void report(const std::string& text);

/// For --verbose: the command, what bfrun sets or pins on a host, and the Config that its ranks will read.
[[nodiscard]] std::vector<std::string> describe_settings(const JobDescription& job,
                                                         const Environment& environment,
                                                         const std::vector<std::vector<int>>& cpus_of_ranks);

}  // namespace bfrun
