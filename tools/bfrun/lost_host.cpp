#include "lost_host.hpp"

#include <sys/wait.h>

#include <bluefog/version.hpp>

#include "agent/rank_process.hpp"
#include "exit_codes.hpp"

namespace bfrun {

std::string why_unfit(const Greeting& greeting) {
  if (greeting.version == BLUEFOG_VERSION) return {};
  return "it has BlueFog " + greeting.version +
         ", this is " BLUEFOG_VERSION
         "; install the same version on all hosts, or choose one with --remote-bfrun";
}

std::string why_no_answer(AgentLink& link) {
  const int status = link.wait_status();
  if (link.host().local) return "its agent " + describe_end(status);
  if (!link.stream_problem().empty()) return link.stream_problem();
  const std::string words = link.last_words();
  if (WIFEXITED(status) && WEXITSTATUS(status) == exit_code_command_not_found) {
    return "there is no bfrun (" + words + "); install BlueFog there, or say where it is with --remote-bfrun";
  }
  const std::string what = words.empty() ? "its ssh " + describe_end(status) : words;
  constexpr int exit_code_of_ssh = 255;
  if (WIFEXITED(status) && WEXITSTATUS(status) != exit_code_of_ssh) {
    return what + "; is bfrun there of another version?";
  }
  return what + "; it must be reached by ssh without a password: try 'ssh " + link.host().name + " true'";
}

std::string why_lost(AgentLink& link, std::optional<std::chrono::milliseconds> silence) {
  const int status = link.wait_status();
  const std::string process = "(pid " + std::to_string(link.pid()) + ") " + describe_end(status);
  if (link.host().local) return "its agent " + process;
  if (!link.stream_problem().empty()) return link.stream_problem();
  if (silence) return "no sign of life for " + in_seconds(*silence);
  const std::string words = WIFEXITED(status) ? link.last_words() : "";
  return "its ssh " + process + (words.empty() ? "" : " (" + words + ")");
}

std::string in_seconds(std::chrono::milliseconds time) {
  std::string text = std::to_string(static_cast<double>(time.count()) / 1000);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text + " s";
}

}  // namespace bfrun
