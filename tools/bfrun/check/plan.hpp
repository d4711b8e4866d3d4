#pragma once
/// @file plan.hpp  What `bfrun --check` tells the rank that tries out a host. No secret: it is a word of that
/// rank's command line.

#include <string>
#include <string_view>
#include <vector>

namespace bfrun {

struct CheckPlan {
  struct Host {
    std::string name;
    int ranks = 0;  ///< that the job would start there
  };
  std::vector<Host> hosts;           ///< in the order of the check's ranks, one each
  std::string directory;             ///< where the job's ranks would start
  std::vector<std::string> files;    ///< words of the command that name a file where bfrun runs
  std::vector<std::string> command;  ///< empty: none is given
};

[[nodiscard]] std::string encode(const CheckPlan& plan);
/// @throws InvalidArgument
[[nodiscard]] CheckPlan parse_check_plan(std::string_view text);

}  // namespace bfrun
