#pragma once
/// @file bfsim.hpp  The whole tool.

#include <ostream>
#include <string>
#include <vector>

namespace bfsim {

/// @param arguments  without the program's name
/// @returns the exit code
int bfsim(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err);

}  // namespace bfsim
