#include "check/program.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <sstream>

#include <sys/wait.h>
#include <unistd.h>

#include <bluefog/version.hpp>

#include "remote_command.hpp"

namespace bfrun {
namespace {

bool is_program(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error) && ::access(path.c_str(), X_OK) == 0;
}

std::optional<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return is_program(name) ? std::optional(name) : std::nullopt;
  const char* path = std::getenv("PATH");
  std::istringstream directories(path == nullptr ? "" : path);
  for (std::string directory; std::getline(directories, directory, ':');) {
    std::string candidate = (directory.empty() ? "." : directory) + "/" + name;
    if (is_program(candidate)) return candidate;
  }
  return std::nullopt;
}

bool is_python(const std::string& program) {
  return std::filesystem::path(program).filename().string().rfind("python", 0) == 0;
}

struct Answer {
  bool succeeded = false;
  std::string last_line;
};

// What a program says to standard output and standard error.
Answer ask(const std::string& command_line) {
  std::FILE* const pipe = ::popen((command_line + " 2>&1 </dev/null").c_str(), "re");
  if (pipe == nullptr) return {false, "it cannot be started"};
  std::string text;
  std::array<char, 4096> buffer{};
  while (const std::size_t length = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    text.append(buffer.data(), length);
  }
  const bool succeeded = ::pclose(pipe) == 0;
  text.erase(text.find_last_not_of(" \n") + 1);
  return {succeeded, text.substr(text.rfind('\n') + 1)};
}

// A script may well do without BlueFog's module, so a missing one is no problem by itself.
std::string version_of_module(const std::string& python, Findings& findings) {
  const Answer answer = ask(shell_quoted(python) + " -c 'import bluefog; print(bluefog.__version__)'");
  if (!answer.succeeded) return ", which cannot import bluefog (" + answer.last_line + ")";
  if (answer.last_line != BLUEFOG_VERSION) {
    findings.problem("the module bluefog of " + python + " is " + answer.last_line +
                     ", bfrun is " BLUEFOG_VERSION "; install the same version on all hosts");
  }
  return ", with bluefog " + answer.last_line;
}

}  // namespace

void check_program(const CheckPlan& plan, Findings& findings) {
  if (::chdir(plan.directory.c_str()) != 0) {
    return findings.problem("there is no directory " + plan.directory +
                            ", in which ranks would start; the program and its data must lie under the same "
                            "path on all hosts");
  }
  for (const std::string& file : plan.files) {
    if (::access(file.c_str(), R_OK) != 0) {
      findings.problem("there is no " + file + " that can be read in " + plan.directory);
    }
  }
  if (plan.command.empty()) return;
  const std::string& name = plan.command.front();
  const std::optional<std::string> program = find_program(name);
  if (!program) {
    const bool is_path = name.find('/') != std::string::npos;
    return findings.problem("there is no program " + name +
                            (is_path ? "" : " on PATH, which is forwarded from where bfrun runs"));
  }
  findings.tell("the command is " + *program +
                (is_python(name) ? version_of_module(*program, findings) : ""));
}

}  // namespace bfrun
