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

std::vector<std::string> describe_settings(const JobDescription& job, const Environment& environment,
                                           const std::vector<std::vector<int>>& cpus_of_ranks) {
  std::vector<std::string> lines;
  lines.push_back("command: " + joined(job.command));
  lines.push_back("ranks: " + std::to_string(job.ranks) +
                  ", usable CPUs: " + std::to_string(bluefog::base::usable_cpus()));
  for (const char* name : {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MASTER_ADDR", "MASTER_PORT"}) {
    lines.push_back(std::string(name) + "=" + environment.at(name));
  }
  Environment of_a_rank = environment;
  set_rank(of_a_rank, job.first_rank, 0);
  for (const auto& [name, value] : bluefog::base::read_config(of_a_rank).to_map()) {
    if (name != "BLUEFOG_RANK") lines.push_back(name + "=" + value);
  }
  for (std::size_t i = 0; i < cpus_of_ranks.size(); ++i) {
    if (cpus_of_ranks[i].empty()) continue;
    lines.push_back("rank " + std::to_string(job.first_rank + static_cast<int>(i)) + " is pinned to CPU " +
                    joined(cpus_of_ranks[i]));
  }
  return lines;
}

}  // namespace bfrun
