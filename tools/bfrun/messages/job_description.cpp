#include "messages/job_description.hpp"

#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <climits>
#include <span>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <bluefog/version.hpp>

#include "messages/json_text.hpp"

namespace bfrun {
namespace {

using bluefog::InvalidArgument;
using bluefog::base::JobKey;
using json = nlohmann::json;

constexpr std::string_view magic = "BFRUNJOB";

std::string hexadecimal(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte value : bytes) {
    text += "0123456789abcdef"[std::to_integer<unsigned>(value) >> 4];
    text += "0123456789abcdef"[std::to_integer<unsigned>(value) & 15];
  }
  return text;
}

std::string job_id_text(std::uint64_t id) {
  std::array<char, 16> digits{};
  return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), id, 16).ptr};
}

std::uint64_t parse_job_id(const std::string& text) {
  std::uint64_t id = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  if (error != std::errc() || stop != text.data() + text.size())
    throw InvalidArgument("the job's id is malformed");
  return id;
}

JobKey parse_key(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::array<std::byte, JobKey::size> bytes{};
  if (text.size() != 2 * bytes.size() || text.find_first_not_of(digits) != std::string_view::npos) {
    throw InvalidArgument("the key is malformed");
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(digits.find(text[2 * i]) << 4 | digits.find(text[2 * i + 1]));
  }
  const JobKey key{bytes};
  bluefog::base::wipe(bytes);
  return key;
}

json hosts_to_json(const std::vector<HostAddress>& hosts) {
  json list = json::array();
  for (const HostAddress& host : hosts) {
    list.push_back({{"name", to_json_text(host.name)},
                    {"address", to_json_text(host.address)},
                    {"first_rank", host.first_rank},
                    {"ranks", host.ranks}});
  }
  return list;
}

// The ranks of all hosts side by side are those of the job.
std::vector<HostAddress> parse_hosts(const json& list, int size) {
  std::vector<HostAddress> hosts;
  int next_rank = 0;
  for (const json& entry : elements(list)) {
    const int ranks = integer(entry, "ranks", 1, size);
    hosts.push_back({text(entry, "name"), text(entry, "address"),
                     integer(entry, "first_rank", next_rank, next_rank), ranks});
    next_rank += ranks;
  }
  if (next_rank != size) throw InvalidArgument("the hosts have not the ranks of the job");
  return hosts;
}

std::vector<std::string> parse_command(const json& list) {
  std::vector<std::string> command;
  for (const json& word : elements(list)) command.push_back(from_json_text(word));
  if (command.empty()) throw InvalidArgument("there is no command");
  return command;
}

Environment parse_environment(const json& object) {
  Environment environment;
  if (!object.is_object()) throw InvalidArgument("\"environment\" is no object");
  for (const auto& [name, value] : object.items()) {
    const std::string bytes = from_json_text(json(name));
    if (bytes.empty() || bytes.find_first_of(std::string_view("=\0", 2)) != std::string::npos) {
      throw InvalidArgument("a variable has a name that none can have");
    }
    environment[bytes] = from_json_text(value);
  }
  return environment;
}

std::size_t read_exactly(int fd, char* bytes, std::size_t length) {
  std::size_t done = 0;
  while (done < length) {
    const ssize_t got = ::read(fd, bytes + done, length - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw EndOfOrders();
    done += static_cast<std::size_t>(got);
  }
  return done;
}

}  // namespace

std::uint64_t random_job_id() {
  std::array<std::byte, sizeof(std::uint64_t)> bytes{};
  bluefog::base::fill_random(bytes);
  return std::bit_cast<std::uint64_t>(bytes);
}

std::vector<std::string> descriptions(JobDescription job, const std::vector<HostRanks>& hosts,
                                      const std::vector<std::string>& addresses, int master_port) {
  job.master_address = addresses.front();
  job.master_port = master_port;
  job.hosts.clear();
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    job.hosts.push_back({hosts[i].name, addresses[i], hosts[i].first_rank, hosts[i].ranks});
  }
  std::vector<std::string> encoded;
  for (const HostRanks& host : hosts) {
    job.first_rank = host.first_rank;
    job.ranks = host.ranks;
    encoded.push_back(encode(job));
  }
  return encoded;
}

std::string encode(const JobDescription& job) {
  json command = json::array();
  for (const std::string& word : job.command) command.push_back(to_json_text(word));
  json environment = json::object();
  for (const auto& [name, value] : job.environment) environment[to_json_text(name)] = to_json_text(value);
  const json object{
      {"version", BLUEFOG_VERSION},
      {"job_id", job_id_text(job.job_id)},
      {"key", hexadecimal(job.key.reveal())},
      {"size", job.size},
      {"first_rank", job.first_rank},
      {"ranks", job.ranks},
      {"hosts", hosts_to_json(job.hosts)},
      {"command", command},
      {"environment", environment},
      {"directory", to_json_text(job.directory)},
      {"master_address", to_json_text(job.master_address)},
      {"master_port", job.master_port},
      {"network_interface", to_json_text(job.network_interface)},
      {"timeline_filename", to_json_text(job.timeline_filename)},
      {"on_rank_death", static_cast<int>(job.on_rank_death)},
      {"bind_to", static_cast<int>(job.bind_to)},
      {"verbose", job.verbose},
      {"tag_output", job.tag_output},
      {"collect_output", job.collect_output},
      {"standard_input", job.standard_input},
      {"sign_of_life_ms", job.sign_of_life_ms},
  };
  const std::string body = object.dump();
  if (body.size() > most_description_bytes) {
    throw InvalidArgument("command and environment are too large to be sent to other hosts (" +
                          std::to_string(body.size()) + " bytes)");
  }
  std::string bytes(magic);
  for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(body.size() >> shift & 255);
  return bytes + body;
}

std::size_t parse_description_header(std::string_view header) {
  if (header.size() != description_header_bytes || header.substr(0, magic.size()) != magic) {
    throw InvalidArgument("this is no job description; --agent is for bfrun's own use");
  }
  std::size_t length = 0;
  for (std::size_t i = description_header_bytes; i-- > magic.size();) {
    length = length << 8 | static_cast<unsigned char>(header[i]);
  }
  if (length > most_description_bytes) {
    throw InvalidArgument("a job description of " + std::to_string(length) + " bytes is too large");
  }
  return length;
}

JobDescription parse_description(std::string_view body) {
  const json object = parse_json(body);
  // Before all else, for another version may have other members.
  if (const std::string version = text(object, "version"); version != BLUEFOG_VERSION) {
    throw InvalidArgument("the job is started by BlueFog " + version + ", this is " BLUEFOG_VERSION);
  }
  JobDescription job;
  job.job_id = parse_job_id(text(object, "job_id"));
  job.key = parse_key(text(object, "key"));
  job.size = integer(object, "size", 1, bluefog::most_ranks);
  job.first_rank = integer(object, "first_rank", 0, job.size - 1);
  job.ranks = integer(object, "ranks", 1, job.size - job.first_rank);
  job.hosts = parse_hosts(member(object, "hosts"), job.size);
  job.command = parse_command(member(object, "command"));
  job.environment = parse_environment(member(object, "environment"));
  job.directory = text(object, "directory");
  job.master_address = text(object, "master_address");
  job.master_port = integer(object, "master_port", 0, 65535);
  job.network_interface = text(object, "network_interface");
  job.timeline_filename = text(object, "timeline_filename");
  job.on_rank_death = static_cast<OnRankDeath>(integer(object, "on_rank_death", 0, 2));
  job.bind_to = static_cast<BindTo>(integer(object, "bind_to", 0, 2));
  job.verbose = boolean(object, "verbose");
  job.tag_output = boolean(object, "tag_output");
  job.collect_output = boolean(object, "collect_output");
  job.standard_input = boolean(object, "standard_input");
  job.sign_of_life_ms = integer(object, "sign_of_life_ms", 0, INT_MAX);
  return job;
}

JobDescription read_job_description(int fd) {
  std::string header(description_header_bytes, '\0');
  read_exactly(fd, header.data(), header.size());
  std::string body(parse_description_header(header), '\0');
  read_exactly(fd, body.data(), body.size());
  try {
    return parse_description(body);
  } catch (const InvalidArgument& error) {
    throw InvalidArgument("bad job description: " + std::string(error.what()));
  }
}

}  // namespace bfrun
