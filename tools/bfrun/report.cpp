#include "report.hpp"

#include <unistd.h>

#include "base/cpu.hpp"

namespace bfrun {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ' ';
    text += word;
  }
  return text;
}

std::string joined(const std::vector<int>& numbers) {
  std::string text;
  for (const int number : numbers) {
    if (!text.empty()) text += ',';
    text += std::to_string(number);
  }
  return text;
}

}  // namespace

std::string report_line(const std::string& text) {
  return "bfrun: " + text + "\n";
}

void report(const std::string& text) {
  const std::string line = report_line(text);
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

void report_settings(const Options& options, const Environment& environment,
                     const std::vector<std::vector<int>>& cpus_of_ranks) {
  report("command: " + joined(options.command));
  report("ranks: " + std::to_string(options.num_proc) +
         ", usable CPUs: " + std::to_string(bluefog::base::usable_cpus()));
  for (const char* name : {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MASTER_ADDR", "MASTER_PORT"}) {
    report(std::string(name) + "=" + environment.at(name));
  }
  Environment of_rank_0 = environment;
  set_rank(of_rank_0, 0);
  for (const auto& [name, value] : bluefog::base::read_config(of_rank_0).to_map()) {
    if (name != "BLUEFOG_RANK") report(name + "=" + value);
  }
  for (std::size_t rank = 0; rank < cpus_of_ranks.size(); ++rank) {
    if (!cpus_of_ranks[rank].empty()) {
      report("rank " + std::to_string(rank) + " is pinned to CPU " + joined(cpus_of_ranks[rank]));
    }
  }
}

}  // namespace bfrun
