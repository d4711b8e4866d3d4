#include "remote_command.hpp"

#include <algorithm>
#include <array>

#include <unistd.h>

#include <bluefog/error.hpp>

namespace bfrun {
namespace {

using bluefog::InvalidArgument;

std::string own_path() {
  std::array<char, 4096> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  return length > 0 ? std::string(path.data(), static_cast<std::size_t>(length)) : "bfrun";
}

std::string agent_command(const std::string& remote_bfrun) {
  if (!remote_bfrun.empty()) return "exec " + shell_quoted(remote_bfrun) + " --agent";
  const std::string path = shell_quoted(own_path());
  return "test -x " + path + " && exec " + path + " --agent; exec bfrun --agent";
}

/// Whether the word held the name.
bool replace(std::string& word, std::string_view name, const std::string& value) {
  bool found = false;
  for (std::size_t at = word.find(name); at != std::string::npos; at = word.find(name, at + value.size())) {
    word.replace(at, name.size(), value);
    found = true;
  }
  return found;
}

}  // namespace

std::string shell_quoted(const std::string& word) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_./+=@,:-").find(c) != std::string_view::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  char quote = '\0';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool space = c == ' ' || c == '\t' || c == '\n';
    if (quote == '\0' && space) {
      inside = false;
      continue;
    }
    if (!inside) words.emplace_back();
    inside = true;
    if (quote == '\0' && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote && quote != '\0') {
      quote = '\0';
    } else if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      words.back() += text[++i];
    } else {
      words.back() += c;
    }
  }
  if (quote != '\0') throw InvalidArgument("--ssh-command: a quote is not closed");
  return words;
}

std::vector<std::string> remote_command(const RemoteStart& start, const std::string& host) {
  const bool is_default = start.ssh_command.empty();
  std::vector<std::string> words = split_words(is_default ? default_ssh_command : start.ssh_command);
  if (words.empty()) throw InvalidArgument("--ssh-command is empty");
  if (is_default && start.ssh_port != 0) words.insert(words.end(), {"-p", "{port}"});
  const std::string command = agent_command(start.remote_bfrun);
  bool has_host = false;
  bool has_port = false;
  bool has_command = false;
  for (std::string& word : words) {
    has_host |= replace(word, "{host}", host);
    has_port |= replace(word, "{port}", std::to_string(start.ssh_port == 0 ? 22 : start.ssh_port));
    has_command |= replace(word, "{command}", command);
  }
  if (start.ssh_port != 0 && !has_port) {
    throw InvalidArgument("--ssh-port: the text of --ssh-command has no {port}");
  }
  if (!has_host) words.push_back(host);
  if (!has_command) words.push_back(command);
  return words;
}

}  // namespace bfrun
