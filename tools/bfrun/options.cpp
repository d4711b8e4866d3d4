#include "options.hpp"

#include <algorithm>
#include <iostream>
#include <map>
#include <string_view>

#include <CLI/CLI.hpp>

#include <bluefog/version.hpp>

namespace bfrun {
namespace {

const std::map<std::string, OnRankDeath> death_policies{{"stop", OnRankDeath::stop},
                                                        {"keep", OnRankDeath::keep}};
const std::map<std::string, BindTo> bindings{
    {"none", BindTo::none}, {"core", BindTo::core}, {"numa", BindTo::numa}};

template <typename Choice>
std::vector<std::string> names_of(const std::map<std::string, Choice>& choices) {
  std::vector<std::string> names;
  for (const auto& [name, choice] : choices) names.push_back(name);
  return names;
}

struct Parsed {
  Options options;
  bool version = false;
  std::string on_rank_death = "stop";
  std::string bind_to = "none";
  std::string not_yet;
};

void add_options(CLI::App& app, Parsed& parsed) {
  Options& options = parsed.options;
  app.add_flag("-v,--version", parsed.version, "Print the version and exit");
  app.add_option("--num-proc", options.num_proc, "How many ranks to start; also -np N")->type_name("N");
  app.add_flag("--verbose", options.verbose, "Print the command and the settings; ranks log at level debug");
  app.add_option("--timeline-filename", options.timeline_filename, "Write timelines to <PREFIX><rank>.json")
      ->type_name("PREFIX");
  app.add_flag("--tag-output", options.tag_output, "Put [rank] before each line of output");
  app.add_option("--on-rank-death", parsed.on_rank_death,
                 "When a rank dies or fails: stop the job with its exit code (default), or keep the others "
                 "going; then the exit code is 0 if any rank ends with 0, else the first rank's that failed")
      ->check(CLI::IsMember(names_of(death_policies)));
  app.add_option("--bind-to", parsed.bind_to, "Pin each rank to one CPU, or to one NUMA node's; default none")
      ->check(CLI::IsMember(names_of(bindings)));
  // Of BlueFog 0.3; known, so that their values are not taken for the command. An empty group hides them.
  for (const char* name : {"-H,--hosts", "--hostfile", "-p,--ssh-port", "--network-interface"}) {
    app.add_option(name, parsed.not_yet)->group("");
  }
}

// BlueFog's spellings with one dash, which CLI11 would read as a row of one-letter options.
std::string normalized(const std::string& argument) {
  const std::size_t equals = std::min(argument.find('='), argument.size());
  const std::string name = argument.substr(0, equals);
  if (name == "-np") return "--num-proc" + argument.substr(equals);
  if (name == "-hostfile") return "--hostfile" + argument.substr(equals);
  return argument;
}

struct SplitLine {
  std::vector<std::string> own;
  std::vector<std::string> command;
};

SplitLine split_at_command(const CLI::App& app, const std::vector<std::string>& arguments) {
  SplitLine line;
  auto at = arguments.begin();
  for (; at != arguments.end() && *at != "--" && at->size() > 1 && at->front() == '-'; ++at) {
    std::string argument = normalized(*at);
    const CLI::Option* option = app.get_option_no_throw(argument);
    const bool takes_value = option != nullptr && option->get_items_expected_max() > 0;
    if (takes_value && at + 1 != arguments.end()) {
      // Joined, so that a value like -3 is not taken for an option.
      argument = "--" + option->get_lnames().front() + "=" + *++at;
    }
    line.own.push_back(std::move(argument));
  }
  if (at != arguments.end() && *at == "--") ++at;
  line.command.assign(at, arguments.end());
  return line;
}

Finished complain(const std::string& problem) {
  std::cerr << "bfrun: " << problem << "\nTry 'bfrun --help'.\n";
  return {exit_code_of_usage_errors};
}

const char* first_option_for_later(const CLI::App& app) {
  for (const char* name : {"--hosts", "--hostfile", "--ssh-port", "--network-interface"}) {
    if (app.count(name) > 0) return name;
  }
  return nullptr;
}

}  // namespace

std::variant<Options, Finished> parse_options(const std::vector<std::string>& arguments) {
  CLI::App app{"Starts a command as several ranks of one BlueFog job on this machine.", "bfrun"};
  app.footer("The command follows, with arguments of its own:\n  bfrun -np 4 python3 train.py --epochs 3");
  Parsed parsed;
  add_options(app, parsed);
  SplitLine line = split_at_command(app, arguments);
  try {
    std::reverse(line.own.begin(), line.own.end());  // as CLI11 wants it
    app.parse(line.own);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return Finished{0};
  } catch (const CLI::ParseError& error) {
    return complain(error.what());
  }

  if (parsed.version) {
    std::cout << "bfrun (BlueFog) " BLUEFOG_VERSION "\n";
    return Finished{0};
  }
  if (const char* name = first_option_for_later(app)) {
    return complain(std::string(name) + " is not supported yet: all ranks run on this machine");
  }
  if (app.count("--num-proc") == 0) return complain("how many ranks? -np N is required");
  Options& options = parsed.options;
  constexpr int most_ranks = 65536;
  if (options.num_proc < 1 || options.num_proc > most_ranks) {
    return complain("-np is " + std::to_string(options.num_proc) + ", but must lie between 1 and " +
                    std::to_string(most_ranks));
  }
  options.command = std::move(line.command);
  if (options.command.empty())
    return complain("no command is given; for example: bfrun -np 4 python3 train.py");
  options.on_rank_death = death_policies.at(parsed.on_rank_death);
  options.bind_to = bindings.at(parsed.bind_to);
  return std::move(options);
}

}  // namespace bfrun
