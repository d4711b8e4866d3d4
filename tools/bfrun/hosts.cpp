#include "hosts.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <sstream>

#include <unistd.h>

#include <bluefog/config.hpp>
#include <bluefog/error.hpp>

namespace bfrun {
namespace {

using bluefog::InvalidArgument;

constexpr int most_slots = bluefog::most_ranks;
constexpr std::string_view white_space = " \t\r\f\v";

std::string in_quotes(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

int parse_slots(std::string_view text, std::string_view where) {
  int slots = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), slots);
  if (error != std::errc() || end != text.data() + text.size() || slots < 1 || slots > most_slots) {
    throw InvalidArgument(in_quotes(text) + " in " + in_quotes(where) + " is no number of slots from 1 to " +
                          std::to_string(most_slots));
  }
  return slots;
}

// What begins with a dash would be an option of ssh.
void check_name(std::string_view name, std::string_view where) {
  const auto allowed = [](char c) {
    const bool letter_or_digit = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter_or_digit || std::string_view("._-@:%").find(c) != std::string_view::npos;
  };
  if (name.empty() || name.front() == '-' || name.front() == '@' || name.back() == '@' ||
      !std::all_of(name.begin(), name.end(), allowed)) {
    throw InvalidArgument(in_quotes(name) + (name == where ? "" : " in " + in_quotes(where)) +
                          " is no host name");
  }
}

// "host", "host:4", "[::1]:4", or "::1", whose colons are the address's own.
HostSlots parse_host(std::string_view text) {
  HostSlots host;
  std::string_view name = text;
  std::string_view slots;
  bool has_slots = false;
  const std::size_t bracket = text.find('[');
  if (bracket != std::string_view::npos) {
    const std::size_t closing = text.find(']', bracket);
    if (closing == std::string_view::npos) throw InvalidArgument(in_quotes(text) + " lacks a ]");
    host.name = text.substr(0, bracket);  // a user's name
    name = text.substr(bracket + 1, closing - bracket - 1);
    const std::string_view rest = text.substr(closing + 1);
    has_slots = !rest.empty();
    if (has_slots && rest.front() != ':') throw InvalidArgument(in_quotes(text) + " is no host");
    slots = rest.substr(has_slots ? 1 : 0);
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    has_slots = true;
    name = text.substr(0, text.find(':'));
    slots = text.substr(text.find(':') + 1);
  }
  host.name += name;
  check_name(host.name, text);
  if (has_slots) host.slots = parse_slots(slots, text);
  return host;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(white_space);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(white_space) - first + 1);
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find_first_of(separators);
    parts.push_back(trimmed(text.substr(0, end)));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// "slots=4", "max_slots=8"; Open MPI also writes max-slots.
void apply_setting(HostSlots& host, std::string_view word) {
  const std::size_t equals = word.find('=');
  const std::string_view name = word.substr(0, equals);
  const bool is_slots = name == "slots";
  if (equals == std::string_view::npos || (!is_slots && name != "max_slots" && name != "max-slots")) {
    throw InvalidArgument(in_quotes(word) + " is unknown; expected slots=N or max_slots=N");
  }
  const int number = parse_slots(word.substr(equals + 1), word);
  if (is_slots) {
    host.slots = number;
  } else {
    host.max_slots = number;
  }
}

std::optional<HostSlots> parse_line(std::string_view line) {
  line = line.substr(0, line.find('#'));
  std::optional<HostSlots> host;
  for (const std::string_view word : split(line, white_space)) {
    if (word.empty()) continue;
    if (!host) {
      host = parse_host(word);
    } else {
      apply_setting(*host, word);
    }
  }
  if (host && host->max_slots && *host->max_slots < host->slots) {
    throw InvalidArgument("max_slots=" + std::to_string(*host->max_slots) +
                          " is less than slots=" + std::to_string(host->slots));
  }
  return host;
}

std::string own_host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::vector<HostSlots> merged(const std::vector<HostSlots>& hosts) {
  std::vector<HostSlots> distinct;
  for (const HostSlots& host : hosts) {
    const auto same = std::find_if(distinct.begin(), distinct.end(), [&](const HostSlots& other) {
      return other.name == host.name || (is_this_machine(other.name) && is_this_machine(host.name));
    });
    if (same == distinct.end()) {
      distinct.push_back(host);
      continue;
    }
    if (same->max_slots || host.max_slots) {
      same->max_slots = same->max_slots.value_or(same->slots) + host.max_slots.value_or(host.slots);
    }
    same->slots += host.slots;
  }
  return distinct;
}

}  // namespace

std::vector<HostSlots> parse_host_list(std::string_view text) {
  std::vector<HostSlots> hosts;
  for (const std::string_view part : split(text, ",")) {
    if (part.empty()) throw InvalidArgument("-H " + in_quotes(text) + ": a host's name is missing");
    try {
      hosts.push_back(parse_host(part));
    } catch (const InvalidArgument& error) {
      throw InvalidArgument("-H: " + std::string(error.what()));
    }
  }
  return hosts;
}

std::vector<HostSlots> parse_hostfile(std::string_view text, const std::string& file) {
  std::vector<HostSlots> hosts;
  int number = 0;
  for (const std::string_view line : split(text, "\n")) {
    ++number;
    try {
      if (auto host = parse_line(line)) hosts.push_back(*std::move(host));
    } catch (const InvalidArgument& error) {
      throw InvalidArgument(file + ":" + std::to_string(number) + ": " + error.what());
    }
  }
  if (hosts.empty()) throw InvalidArgument(file + " names no host");
  return hosts;
}

std::vector<HostSlots> read_hostfile(const std::string& file) {
  std::ifstream stream(file);
  std::ostringstream text;
  if (!stream || !(text << stream.rdbuf())) {
    throw InvalidArgument("the host file " + file + " cannot be read, or is empty");
  }
  return parse_hostfile(text.str(), file);
}

bool is_this_machine(std::string_view name) {
  if (name == "localhost" || name == "127.0.0.1" || name == "::1") return true;
  const std::string own = own_host_name();
  return !name.empty() && (name == own || name == own.substr(0, own.find('.')));
}

std::vector<HostRanks> place_ranks(const std::vector<HostSlots>& hosts, int num_proc, bool oversubscribe) {
  const std::vector<HostSlots> distinct = merged(hosts);
  std::vector<int> counts(distinct.size());
  int left = num_proc;
  for (bool first = true; left > 0 && (first || oversubscribe); first = false) {
    const int before = left;
    for (std::size_t i = 0; i < distinct.size() && left > 0; ++i) {
      const int most = distinct[i].max_slots.value_or(num_proc) - counts[i];
      const int more = std::min({distinct[i].slots, most, left});
      counts[i] += more;
      left -= more;
    }
    if (left == before) break;  // max_slots everywhere
  }
  if (left > 0) {
    throw InvalidArgument(
        "-np is " + std::to_string(num_proc) + ", but the hosts have " + std::to_string(num_proc - left) +
        " slots" +
        (oversubscribe ? " at most (max_slots)" : "; name more hosts or slots, or say --oversubscribe"));
  }
  std::vector<HostRanks> placed;
  int first_rank = 0;
  for (std::size_t i = 0; i < distinct.size(); ++i) {
    if (counts[i] == 0) continue;
    placed.push_back({distinct[i].name, is_this_machine(distinct[i].name), first_rank, counts[i]});
    first_rank += counts[i];
  }
  return placed;
}

std::string describe_ranks(const HostRanks& host) {
  if (host.ranks == 1) return "rank " + std::to_string(host.first_rank);
  return "ranks " + std::to_string(host.first_rank) + "-" + std::to_string(host.first_rank + host.ranks - 1);
}

}  // namespace bfrun
