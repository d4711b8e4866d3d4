#pragma once
/// @file environment.hpp  The environment variables that ranks find.

#include <string>
#include <string_view>
#include <vector>

#include "base/environment.hpp"

namespace bfrun {

using bluefog::base::Environment;
struct JobDescription;

/// Whether other hosts get a variable without being asked: those of BlueFog, OpenMP and Python, those that
/// say where programs and libraries are, and the language. What describes one host or one user's session
/// stays there.
[[nodiscard]] bool is_forwarded_by_default(std::string_view name);

/// The variables for other hosts: those above, and those of -x, "NAME" or "NAME=VALUE".
/// @throws InvalidArgument  -x names a variable that is not set, or one that bfrun sets
[[nodiscard]] Environment forwarded(const Environment& user, const std::vector<std::string>& explicitly);

/// Of forwarded(), those that -x gives.
[[nodiscard]] Environment explicit_variables(const Environment& user,
                                             const std::vector<std::string>& explicitly);

/// What the ranks of a host share: the host's variables and bfrun's.
/// @param rendezvous  the address of this host's rendezvous
[[nodiscard]] Environment environment_of_host(const JobDescription& job, Environment host,
                                              const std::string& rendezvous);

/// The variables in which the ranks of a host differ.
void set_rank(Environment& environment, int rank, int local_rank);

}  // namespace bfrun
