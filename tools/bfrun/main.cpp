/// @file main.cpp  bfrun: starts a command as several ranks of one job.

#include <exception>
#include <string>
#include <variant>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include <bluefog/error.hpp>

#include "agent/agent_process.hpp"
#include "check/check.hpp"
#include "check/plan.hpp"
#include "check/rank.hpp"
#include "exit_codes.hpp"
#include "launcher.hpp"
#include "options.hpp"
#include "report.hpp"

namespace {

// Else a pipe of ours would become descriptor 0, 1 or 2, and the ranks would talk into it.
void open_standard_descriptors() {
  int fd = -1;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) ::close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  try {
    const auto parsed = bfrun::parse_options(std::vector<std::string>(argv + 1, argv + argc));
    if (const auto* finished = std::get_if<bfrun::Finished>(&parsed)) return finished->exit_code;
    if (std::holds_alternative<bfrun::ServeAsAgent>(parsed)) return bfrun::serve_bfrun_of_another_host();
    if (const auto* here = std::get_if<bfrun::CheckThisHost>(&parsed))
      return bfrun::check_this_host(bfrun::parse_check_plan(here->plan));
    const auto& options = std::get<bfrun::Options>(parsed);
    return options.check ? bfrun::check_hosts(options) : bfrun::launch(options);
  } catch (const bluefog::InvalidArgument& error) {
    bfrun::report(error.what());
    return bfrun::exit_code_of_usage_errors;
  } catch (const std::exception& error) {
    bfrun::report(error.what());
    return bfrun::exit_code_of_failures;
  }
}
