#include "check/rank.hpp"

#include <string>

#include <unistd.h>

#include <bluefog/context.hpp>
#include <bluefog/error.hpp>

#include "base/cpu.hpp"
#include "check/findings.hpp"
#include "check/pairs.hpp"
#include "check/program.hpp"
#include "exit_codes.hpp"

namespace bfrun {
namespace {

bluefog::Config settings_of_check() {
  bluefog::Config settings = bluefog::Config::from_environment();
  settings.nodes_per_machine.reset();  // there is one rank on each host, whatever the job will have
  settings.timeline.clear();
  return settings;
}

std::string describe_this_host(int ranks) {
  const int cpus = bluefog::base::usable_cpus();
  const double memory = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) *
                        static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 30);
  return std::to_string(ranks) + (ranks == 1 ? " rank on " : " ranks on ") + std::to_string(cpus) +
         (cpus == 1 ? " CPU" : " CPUs") + ", " + in_decimals(memory, 1) + " GiB of memory" +
         (ranks > cpus ? "; hint: ranks will share CPUs" : "");
}

}  // namespace

int check_this_host(const CheckPlan& plan) {
  const bluefog::Config settings = settings_of_check();
  const CheckPlan::Host& own = plan.hosts.at(static_cast<std::size_t>(settings.rank));
  Findings findings(own.name);
  bluefog::Context context(settings);
  findings.tell(describe_this_host(own.ranks));
  check_program(plan, findings);
  check_pairs(context, plan, findings);
  context.shutdown();
  return findings.has_problems() ? exit_code_of_failures : 0;
}

}  // namespace bfrun
