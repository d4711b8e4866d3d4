#pragma once
/// @file environment.hpp  The environment variables that ranks find.

#include <string>

#include "base/environment.hpp"
#include "options.hpp"

namespace bfrun {

using bluefog::base::Environment;

/// What all ranks of the job share: the user's variables and bfrun's.
/// @param rendezvous  the address of the job's rendezvous
[[nodiscard]] Environment environment_of_job(const Options& options, Environment user,
                                             const std::string& rendezvous);

/// The variables in which ranks differ.
void set_rank(Environment& environment, int rank);

}  // namespace bfrun
