#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <mutex>
#include <set>
#include <string_view>
#include <utility>

#include <unistd.h>

#include <bluefog/config.hpp>
#include <bluefog/error.hpp>

#include "base/environment.hpp"
#include "base/launch.hpp"
#include "base/log.hpp"

namespace bluefog {
namespace {

using base::Environment;

// Read by Config, or by other parts of the project, or set by bfrun for scripts.
constexpr std::array known_names{
    "BLUEFOG_RANK",
    "BLUEFOG_SIZE",
    "BLUEFOG_LOCAL_RANK",
    "BLUEFOG_LOCAL_SIZE",
    "BLUEFOG_RENDEZVOUS",
    "BLUEFOG_NODES_PER_MACHINE",
    "BLUEFOG_RANKS_OF_HOSTS",
    "BLUEFOG_START_TIMEOUT",
    "BLUEFOG_OP_TIMEOUT",
    "BLUEFOG_STALL_WARNING",
    "BLUEFOG_ARENA_SIZE",
    "BLUEFOG_TIMELINE",
    "BLUEFOG_LOG_LEVEL",
    "BLUEFOG_LOG_HIDE_TIME",
    "BLUEFOG_STORE",
    "BLUEFOG_BUCKET_SIZE",
    "BLUEFOG_BFRUN",
    "BLUEFOG_UNDO_LOG",
    "BLUEFOG_HEARTBEAT",
    "BLUEFOG_SIGUSR1",
    "BLUEFOG_TRANSPORT",
    "BLUEFOG_LISTEN",
    "BLUEFOG_PORT_RANGE",
    "BLUEFOG_TCP_CONNECTIONS",
    "BLUEFOG_TCP_CONGESTION",
    "BLUEFOG_TCP_BUFFER",
    "BLUEFOG_INSTRUCTION_SET",
    "BLUEFOG_ENCRYPT",
    "BLUEFOG_JOB_ID",
    "BLUEFOG_RESTART_COUNT",
    "BLUEFOG_JOB_KEY_FILE",
    "BLUEFOG_FUSION_THRESHOLD",
    "BLUEFOG_STAGING",
};

// BlueFog 0.3 read these, at run time or in its build; scripts still set them. It was for Python only, whose
// front end says what there is instead (python/bluefog/torch/old_variables.py); another warning here would be
// one too many.
constexpr std::array names_that_python_answers{
    "BLUEFOG_CYCLE_TIME",
    "BLUEFOG_MPI_THREAD_LEVEL",
    "BLUEFOG_MAX_WIN_SENT_LENGTH",
    "BLUEFOG_OPS_ON_CPU",
    "BLUEFOG_WIN_ON_GPU",
    "BLUEFOG_ALLREDUCE_BY_MPI",
    "BLUEFOG_ALLGATHER_BY_MPI",
    "BLUEFOG_BROADCAST_BY_MPI",
    "BLUEFOG_NEIGHBOR_ALLREDUCE_BY_MPI",
    "BLUEFOG_NEIGHBOR_ALLGATHER_BY_MPI",
    "BLUEFOG_WIN_OPS_BY_MPI",
    "BLUEFOG_NUM_FINALIZER_THREADS",
    "BLUEFOG_SLEEP_USEC_FOR_WIN_PASSIVE",
    "BLUEFOG_WITH_NCCL",
    "BLUEFOG_NCCL_HOME",
    "BLUEFOG_NCCL_INCLUDE",
    "BLUEFOG_NCCL_LIB",
    "BLUEFOG_NCCL_LINK",
    "BLUEFOG_CUDA_HOME",
    "BLUEFOG_CUDA_INCLUDE",
    "BLUEFOG_CUDA_LIB",
    "BLUEFOG_MPICXX_SHOW",
    "BLUEFOG_WITHOUT_PYTORCH",
    "BLUEFOG_WITH_TENSORFLOW",
    "BLUEFOG_WITHOUT_TENSORFLOW",
};

using base::find;

[[noreturn]] void reject(std::string_view name, const std::string& value, const std::string& expected) {
  throw InvalidArgument(std::string(name) + " is \"" + value + "\", but must be " + expected);
}

template <typename Number>
bool parse_all(const std::string& text, Number& number) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end;
}

template <typename Integer>
void read_integer(const Environment& environment, std::string_view name, Integer least, Integer& target) {
  const std::string* value = find(environment, name);
  if (value == nullptr) return;
  Integer number{};
  if (!parse_all(*value, number) || number < least) {
    reject(name, *value, "an integer of at least " + std::to_string(least));
  }
  target = number;
}

void read_seconds(const Environment& environment, std::string_view name, std::chrono::milliseconds& target) {
  const std::string* value = find(environment, name);
  if (value == nullptr) return;
  constexpr double longest = 1e9;  // thirty years; keeps deadlines far from overflow
  double seconds = 0;
  if (!parse_all(*value, seconds) || !std::isfinite(seconds) || seconds < 1e-3 || seconds > longest) {
    reject(name, *value, "a number of seconds, from 0.001 to 1e9");
  }
  target = std::chrono::milliseconds(std::llround(seconds * 1e3));
}

void read_flag(const Environment& environment, std::string_view name, bool& target) {
  const std::string* value = find(environment, name);
  if (value == nullptr) return;
  long long number = 0;
  if (parse_all(*value, number)) {
    target = number > 0;
  } else if (*value == "true" || *value == "yes" || *value == "on") {
    target = true;
  } else if (*value == "false" || *value == "no" || *value == "off") {
    target = false;
  } else {
    reject(name, *value, "0 or 1");
  }
}

void read_text(const Environment& environment, std::string_view name, std::string& target) {
  if (const std::string* value = find(environment, name)) target = *value;
}

void read_launch(const Environment& environment, Config& config) {
  const base::Launch launch = base::launch_of(environment);
  read_integer(environment, launch.size, 1, config.size);
  read_integer(environment, launch.rank, 0, config.rank);
  if (config.rank >= config.size) {
    reject(launch.rank, std::to_string(config.rank),
           "less than " + launch.size + ", which is " + std::to_string(config.size));
  }
  config.rendezvous = launch.rendezvous;
  config.job_id = launch.job_id;
  read_integer(environment, launch.restart_count, 0, config.restart_count);
  read_text(environment, "BLUEFOG_JOB_KEY_FILE", config.job_key_file);
  if (config.size > 1 && !launch.has_place()) {
    throw InvalidArgument(
        launch.size + " is " + std::to_string(config.size) +
        ", but nothing says where the ranks meet: start the program with bfrun, torchrun or "
        "mpirun, or set BLUEFOG_RENDEZVOUS=host:port, or MASTER_ADDR and MASTER_PORT");
  }
}

void read_hosts(const Environment& environment, Config& config) {
  constexpr std::string_view name = "BLUEFOG_RANKS_OF_HOSTS";
  const std::string* value = find(environment, name);
  if (value == nullptr) return;
  std::string_view left = *value;
  int sum = 0;
  while (sum < config.size) {
    const std::string one(left.substr(0, left.find(',')));
    int ranks = 0;
    if (!parse_all(one, ranks) || ranks < 1 || ranks > config.size - sum) break;
    config.ranks_of_hosts.push_back(ranks);
    sum += ranks;
    left.remove_prefix(std::min(one.size() + 1, left.size()));
  }
  if (sum != config.size || !left.empty()) {
    reject(name, *value, "numbers of ranks whose sum is " + std::to_string(config.size) + ", as in 4,4");
  }
}

std::string list_text(const std::vector<int>& numbers) {
  std::string text;
  for (const int number : numbers) text.append(text.empty() ? "" : ",").append(std::to_string(number));
  return text;
}

void read_network(const Environment& environment, Config& config) {
  read_text(environment, "BLUEFOG_TRANSPORT", config.transport);
  if (config.transport != "auto" && config.transport != "shm" && config.transport != "tcp") {
    reject("BLUEFOG_TRANSPORT", config.transport, "auto, shm or tcp");
  }
  read_text(environment, "BLUEFOG_LISTEN", config.listen);
  read_text(environment, "BLUEFOG_PORT_RANGE", config.port_range);
  read_integer(environment, "BLUEFOG_TCP_CONNECTIONS", 1, config.tcp_connections);
  if (config.tcp_connections > 64) {
    reject("BLUEFOG_TCP_CONNECTIONS", std::to_string(config.tcp_connections), "at most 64");
  }
  read_text(environment, "BLUEFOG_TCP_CONGESTION", config.tcp_congestion);
  read_integer(environment, "BLUEFOG_TCP_BUFFER", std::size_t{0}, config.tcp_buffer);
  read_flag(environment, "BLUEFOG_ENCRYPT", config.encrypt);
}

std::string seconds_text(std::chrono::milliseconds duration) {
  std::array<char, 32> text{};
  const int length =
      std::snprintf(text.data(), text.size(), "%.12g", static_cast<double>(duration.count()) * 1e-3);
  return {text.data(), static_cast<std::size_t>(length)};
}

}  // namespace

namespace base {

Environment current_environment() {
  Environment environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos)
      environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

const std::string* find(const Environment& environment, std::string_view name) {
  const auto found = environment.find(name);
  return found == environment.end() || found->second.empty() ? nullptr : &found->second;
}

Config read_config(const Environment& environment) {
  Config config;
  read_launch(environment, config);
  if (find(environment, "BLUEFOG_NODES_PER_MACHINE") != nullptr) {
    int ranks = 0;
    read_integer(environment, "BLUEFOG_NODES_PER_MACHINE", 1, ranks);
    config.nodes_per_machine = ranks;
  }
  read_hosts(environment, config);
  read_network(environment, config);
  read_seconds(environment, "BLUEFOG_START_TIMEOUT", config.start_timeout);
  read_seconds(environment, "BLUEFOG_OP_TIMEOUT", config.op_timeout);
  read_seconds(environment, "BLUEFOG_HEARTBEAT", config.heartbeat);
  read_seconds(environment, "BLUEFOG_STALL_WARNING", config.stall_warning);
  read_flag(environment, "BLUEFOG_UNDO_LOG", config.undo_log);
  read_integer(environment, "BLUEFOG_ARENA_SIZE", std::size_t{0}, config.arena_size);
  read_text(environment, "BLUEFOG_TIMELINE", config.timeline);
  read_text(environment, "BLUEFOG_LOG_LEVEL", config.log_level);
  if (!log::parse_level(config.log_level)) {
    reject("BLUEFOG_LOG_LEVEL", config.log_level, "trace, debug, info, warning, error or fatal");
  }
  read_flag(environment, "BLUEFOG_LOG_HIDE_TIME", config.log_hide_time);
  read_flag(environment, "BLUEFOG_SIGUSR1", config.report_on_sigusr1);
  read_text(environment, "BLUEFOG_STORE", config.store);
  if (config.store != "plain" && config.store != "streaming" && config.store != "auto") {
    reject("BLUEFOG_STORE", config.store, "plain, streaming or auto");
  }
  read_integer(environment, "BLUEFOG_BUCKET_SIZE", std::size_t{1}, config.bucket_size);
  read_integer(environment, "BLUEFOG_FUSION_THRESHOLD", std::size_t{0}, config.fusion_threshold);
  read_text(environment, "BLUEFOG_STAGING", config.staging);
  if (config.staging != "auto" && config.staging != "always") {
    reject("BLUEFOG_STAGING", config.staging, "auto or always");
  }
  return config;
}

std::vector<std::string> warnings_about_unknown_names(const Environment& environment) {
  constexpr std::string_view prefix = "BLUEFOG_";
  std::vector<std::string> warnings;
  for (auto entry = environment.lower_bound(prefix); entry != environment.end(); ++entry) {
    const std::string& name = entry->first;
    if (name.compare(0, prefix.size(), prefix) != 0) break;
    const auto same = [&](const char* other) { return name == other; };
    if (std::any_of(known_names.begin(), known_names.end(), same)) continue;
    if (std::any_of(names_that_python_answers.begin(), names_that_python_answers.end(), same)) continue;
    warnings.push_back("the environment variable " + name + " is unknown and has no effect: misspelt?");
  }
  return warnings;
}

}  // namespace base

Config Config::from_environment() {
  const Environment environment = base::current_environment();
  Config config = base::read_config(environment);
  if (config.rank == 0) {  // all ranks share one environment; the same warning from each would say no more
    static std::mutex mutex;
    static std::set<std::string> given;
    const std::lock_guard lock(mutex);
    log::configure(log::parse_level(config.log_level).value_or(log::Level::warning), config.log_hide_time,
                   config.rank);  // the warnings below heed them too
    auto warnings = base::warnings_about_unknown_names(environment);
    std::ranges::move(base::warnings_about_other_launchers(environment), std::back_inserter(warnings));
    for (const std::string& warning : warnings) {
      if (given.insert(warning).second) log::warning(warning);
    }
  }
  return config;
}

std::map<std::string, std::string> Config::to_map() const {
  return {
      {"BLUEFOG_RANK", std::to_string(rank)},
      {"BLUEFOG_SIZE", std::to_string(size)},
      {"BLUEFOG_RENDEZVOUS", rendezvous},
      {"BLUEFOG_JOB_ID", job_id},
      {"BLUEFOG_RESTART_COUNT", std::to_string(restart_count)},
      {"BLUEFOG_JOB_KEY_FILE", job_key_file},
      {"BLUEFOG_NODES_PER_MACHINE", nodes_per_machine ? std::to_string(*nodes_per_machine) : ""},
      {"BLUEFOG_RANKS_OF_HOSTS", list_text(ranks_of_hosts)},
      {"BLUEFOG_TRANSPORT", transport},
      {"BLUEFOG_LISTEN", listen},
      {"BLUEFOG_PORT_RANGE", port_range},
      {"BLUEFOG_TCP_CONNECTIONS", std::to_string(tcp_connections)},
      {"BLUEFOG_TCP_CONGESTION", tcp_congestion},
      {"BLUEFOG_TCP_BUFFER", std::to_string(tcp_buffer)},
      {"BLUEFOG_ENCRYPT", encrypt ? "1" : "0"},
      {"BLUEFOG_START_TIMEOUT", seconds_text(start_timeout)},
      {"BLUEFOG_OP_TIMEOUT", seconds_text(op_timeout)},
      {"BLUEFOG_HEARTBEAT", seconds_text(heartbeat)},
      {"BLUEFOG_STALL_WARNING", seconds_text(stall_warning)},
      {"BLUEFOG_UNDO_LOG", undo_log ? "1" : "0"},
      {"BLUEFOG_ARENA_SIZE", std::to_string(arena_size)},
      {"BLUEFOG_TIMELINE", timeline},
      {"BLUEFOG_LOG_LEVEL", log_level},
      {"BLUEFOG_LOG_HIDE_TIME", log_hide_time ? "1" : "0"},
      {"BLUEFOG_SIGUSR1", report_on_sigusr1 ? "1" : "0"},
      {"BLUEFOG_STORE", store},
      {"BLUEFOG_BUCKET_SIZE", std::to_string(bucket_size)},
      {"BLUEFOG_FUSION_THRESHOLD", std::to_string(fusion_threshold)},
      {"BLUEFOG_STAGING", staging},
  };
}

}  // namespace bluefog
