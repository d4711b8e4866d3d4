#include "options.hpp"

#include <algorithm>
#include <array>
#include <iostream>
#include <map>
#include <string_view>
#include <utility>

#include <CLI/CLI.hpp>

#include <bluefog/config.hpp>
#include <bluefog/error.hpp>
#include <bluefog/version.hpp>

#include "exit_codes.hpp"

namespace bfrun {
namespace {

using bluefog::InvalidArgument;

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
  std::string hosts;
  std::string hostfile;
  bool agent = false;
  std::string check_plan;
  bool use_infiniband = false;
  std::string extra_mpi_flags;
  std::string prefix;
};

/// Options of BlueFog 0.3 without a meaning here, and what there is instead.
constexpr std::array<std::pair<const char*, const char*>, 3> old_options{{
    {"--use-infiniband", "hosts talk by TCP; --network-interface names the interface"},
    {"--extra-mpi-flags", "there is no MPI; -x forwards variables, and bfrun --help lists the other options"},
    {"--prefix", "there is no mpirun to put it before"},
}};

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
}

void add_options_for_hosts(CLI::App& app, Parsed& parsed) {
  Options& options = parsed.options;
  app.add_option("-H,--hosts", parsed.hosts,
                 "Where ranks run, in this order: a host's name and how many ranks it takes (default 1)")
      ->type_name("HOST:N,...");
  app.add_option("--hostfile", parsed.hostfile,
                 "The same from a file: lines HOST:N, or HOST slots=N max_slots=M; comments after #")
      ->type_name("FILE");
  app.add_flag("--check", options.check,
               "Try out the hosts instead of starting the command: ssh, versions, the command and its files, "
               "addresses, ports, and how fast each pair of hosts is; say what to mend");
  app.add_flag("--oversubscribe", options.oversubscribe, "Allow more ranks than the hosts have slots");
  app.add_option("-p,--ssh-port", options.remote.ssh_port, "The port of ssh on the other hosts")
      ->type_name("PORT")
      ->check(CLI::Range(1, 65535));
  app.add_option(
         "--ssh-command", options.remote.ssh_command,
         "What to run instead of ssh; {host}, {port} and {command} stand for these, else host and command "
         "are appended")
      ->type_name("TEXT");
  app.add_option("--remote-bfrun", options.remote.remote_bfrun,
                 "bfrun on the other hosts; default: the same path as here, else the one on PATH there")
      ->type_name("PATH");
  app.add_option("--network-interface", options.network_interface,
                 "The network interface by which hosts reach each other, for example eth0")
      ->type_name("NAME");
  app.add_flag("--encrypt", options.encrypt,
               "Encrypt tensors between hosts (BLUEFOG_ENCRYPT=1); small messages always are");
  app.add_option(
         "-x,--forward", options.forwarded_variables,
         "An environment variable for the ranks; also several times. Other hosts get BLUEFOG_*, OMP_*, "
         "PYTHON*, PATH, LD_LIBRARY_PATH, VIRTUAL_ENV and the like by themselves")
      ->type_name("NAME[=VALUE]")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  // Hidden: what scripts of BlueFog 0.3 may still give, and how bfrun starts itself on other hosts.
  app.add_flag("--use-infiniband", parsed.use_infiniband)->group("");
  app.add_option("--extra-mpi-flags", parsed.extra_mpi_flags)->group("");
  app.add_option("--prefix", parsed.prefix)->group("");
  app.add_flag("--agent", parsed.agent)->group("");
  app.add_option("--check-rank", parsed.check_plan)->group("");
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

void warn_of_old_options(const CLI::App& app) {
  for (const auto& [name, instead] : old_options) {
    if (app.count(name) > 0) {
      std::cerr << "bfrun: warning: " << name << " of BlueFog 0.3 has no effect: " << instead << "\n";
    }
  }
}

void read_hosts(const CLI::App& app, const Parsed& parsed, Options& options) {
  const bool listed = app.count("--hosts") > 0;
  if (listed && app.count("--hostfile") > 0) throw InvalidArgument("-H and --hostfile exclude each other");
  if (listed) options.hosts = parse_host_list(parsed.hosts);
  if (app.count("--hostfile") > 0) options.hosts = read_hostfile(parsed.hostfile);
  for (const char* name : {"--check", "--oversubscribe", "--ssh-port", "--ssh-command", "--remote-bfrun"}) {
    if (app.count(name) > 0 && options.hosts.empty()) {
      throw InvalidArgument(std::string(name) + " is for jobs on several hosts: -H or --hostfile names them");
    }
  }
}

}  // namespace

std::variant<Options, ServeAsAgent, CheckThisHost, Finished> parse_options(
    const std::vector<std::string>& arguments) {
  CLI::App app{"Starts a command as several ranks of one BlueFog job, on this machine or on several.",
               "bfrun"};
  app.footer(
      "The command follows, with arguments of its own:\n  bfrun -np 4 python3 train.py --epochs 3\n"
      "  bfrun -np 8 -H host1:4,host2:4 python3 train.py");
  Parsed parsed;
  add_options(app, parsed);
  add_options_for_hosts(app, parsed);
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
  if (parsed.agent) return ServeAsAgent{};
  if (!parsed.check_plan.empty()) return CheckThisHost{std::move(parsed.check_plan)};
  Options& options = parsed.options;
  const bool is_counted = app.count("--num-proc") > 0;
  if (!is_counted && !options.check) return complain("how many ranks? -np N is required");
  if (is_counted && (options.num_proc < 1 || options.num_proc > bluefog::most_ranks)) {
    return complain("-np is " + std::to_string(options.num_proc) + ", but must lie between 1 and " +
                    std::to_string(bluefog::most_ranks));
  }
  options.command = std::move(line.command);
  if (options.command.empty() && !options.check)
    return complain("no command is given; for example: bfrun -np 4 python3 train.py");
  options.on_rank_death = death_policies.at(parsed.on_rank_death);
  options.bind_to = bindings.at(parsed.bind_to);
  read_hosts(app, parsed, options);
  warn_of_old_options(app);
  return std::move(options);
}

}  // namespace bfrun
