#pragma once
/// @file remote_command.hpp  The words that start an agent on another host.

#include <string>
#include <string_view>
#include <vector>

namespace bfrun {

/// ssh so that it asks nothing, gives up on what does not answer, and opens nothing but this one connection.
inline constexpr std::string_view default_ssh_command =
    "ssh -T -x -a -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 "
    "-o ControlMaster=no -o ClearAllForwardings=yes";

struct RemoteStart {
  std::string ssh_command;   ///< empty: default_ssh_command
  int ssh_port = 0;          ///< 0: ssh's own choice
  std::string remote_bfrun;  ///< empty: where this bfrun is, or else on the other host's PATH
};

/// Splits a command as a shell does, with quotes and backslashes, but without interpreting anything.
/// @throws InvalidArgument  a quote is not closed
[[nodiscard]] std::vector<std::string> split_words(std::string_view text);

/// The word so that a shell takes it for itself.
[[nodiscard]] std::string shell_quoted(const std::string& word);

/// The command line that runs bfrun --agent on a host. {host}, {port} and {command} stand in --ssh-command
/// for what they say; host and command are appended if they stand nowhere. The command is one word, for a
/// shell to read.
/// @throws InvalidArgument  --ssh-command is empty, or has no place for the port that is given
[[nodiscard]] std::vector<std::string> remote_command(const RemoteStart& start, const std::string& host);

}  // namespace bfrun
