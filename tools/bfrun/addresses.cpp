#include "addresses.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <set>
#include <sstream>
#include <system_error>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <bluefog/error.hpp>
#include <bluefog/version.hpp>

#include "base/unique_fd.hpp"
#include "membership/rendezvous.hpp"

namespace bfrun {
namespace {

const char* const loopback = "127.0.0.1";

// For torch.distributed beside us. Between here and its use another process may take the port; torchrun
// accepts that too.
int free_tcp_port() {
  const bluefog::base::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  socklen_t length = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (!socket.valid() || ::bind(socket.get(), generic, length) != 0 ||
      ::getsockname(socket.get(), generic, &length) != 0) {
    throw std::system_error(errno, std::generic_category(), "no free TCP port");
  }
  return ntohs(address.sin_port);
}

// Empty for other families, and for addresses that mean something on their own link alone.
std::string numeric(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address != nullptr && address->sa_family == AF_INET) {
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, text.data(), text.size());
  } else if (address != nullptr && address->sa_family == AF_INET6) {
    const in6_addr& six = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
    if (!IN6_IS_ADDR_LINKLOCAL(&six)) ::inet_ntop(AF_INET6, &six, text.data(), text.size());
  }
  return text.data();
}

bool is_loopback(const std::string& address) {
  return address.rfind("127.", 0) == 0 || address == "::1";
}

bool is_address(const std::string& text) {
  in6_addr buffer{};
  return ::inet_pton(AF_INET, text.c_str(), &buffer) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), &buffer) == 1;
}

void add_interfaces(Greeting& greeting) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return;
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
  std::set<std::string> names;
  std::vector<InterfaceAddress> six;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    names.insert(entry->ifa_name);
    const std::string address = numeric(entry->ifa_addr);
    if (address.empty() || (entry->ifa_flags & IFF_UP) == 0) continue;
    (entry->ifa_addr->sa_family == AF_INET ? greeting.addresses : six).push_back({entry->ifa_name, address});
  }
  greeting.addresses.insert(greeting.addresses.end(), six.begin(), six.end());
  greeting.interfaces.assign(names.begin(), names.end());
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : ", ").append(word);
  return text.empty() ? "none" : text;
}

std::string address_on(const std::string& interface, const HostRanks& host, const Greeting& greeting) {
  for (const InterfaceAddress& candidate : greeting.addresses) {
    if (candidate.interface == interface) return candidate.address;
  }
  const bool exists = std::find(greeting.interfaces.begin(), greeting.interfaces.end(), interface) !=
                      greeting.interfaces.end();
  throw bluefog::InvalidArgument(
      host.name +
      (exists
           ? "'s network interface " + interface + " is down or has no address; --network-interface names one"
           : " has no network interface " + interface + "; --network-interface may name one of these") +
      (exists ? " that every host has up" : ": " + joined(greeting.interfaces)));
}

// Of bfrun's own host, an address from which ssh has reached another is one that others reach. Not so if it
// is none of this host's: a router between them has translated it.
std::string reached_address(std::size_t host, const std::vector<HostRanks>& hosts,
                            const std::vector<Greeting>& greetings) {
  if (!hosts[host].local) return greetings[host].reached_at;
  for (std::size_t other = 0; other < hosts.size(); ++other) {
    for (const InterfaceAddress& own : greetings[host].addresses) {
      if (!hosts[other].local && own.address == greetings[other].reached_from) return own.address;
    }
  }
  return {};
}

std::string address_of(std::size_t host, const std::vector<HostRanks>& hosts,
                       const std::vector<Greeting>& greetings) {
  const std::string name = hosts[host].name.substr(hosts[host].name.find('@') + 1);
  if (is_address(name) && !is_loopback(name)) return name;
  const std::string reached = reached_address(host, hosts, greetings);
  if (!reached.empty() && !is_loopback(reached)) return reached;
  for (const InterfaceAddress& candidate : greetings[host].addresses) {
    if (!is_loopback(candidate.address)) return candidate.address;
  }
  return loopback;
}

}  // namespace

Greeting greeting_of_this_host() {
  Greeting greeting;
  greeting.version = BLUEFOG_VERSION;
  greeting.free_port = free_tcp_port();
  add_interfaces(greeting);
  // "client port server port", sshd(8).
  if (const char* connection = std::getenv("SSH_CONNECTION")) {
    std::istringstream words(connection);
    std::string port;
    words >> greeting.reached_from >> port >> greeting.reached_at;
    if (!is_address(greeting.reached_from)) greeting.reached_from.clear();
    if (!is_address(greeting.reached_at)) greeting.reached_at.clear();
  }
  return greeting;
}

std::string addresses_to_listen_at(const std::string& network_interface, const std::string& preferred) {
  Greeting self;
  add_interfaces(self);
  std::vector<std::string> addresses;
  for (const InterfaceAddress& candidate : self.addresses) {
    const bool is_wanted = network_interface.empty() ? !is_loopback(candidate.address)
                                                     : candidate.interface == network_interface;
    if (is_wanted) addresses.push_back(candidate.address);
  }
  if (addresses.empty()) addresses.emplace_back(loopback);
  std::stable_partition(addresses.begin(), addresses.end(),
                        [&](const std::string& address) { return address == preferred; });
  addresses.resize(std::min(addresses.size(), bluefog::membership::most_endpoints));
  std::string text;
  for (const std::string& address : addresses) text.append(text.empty() ? "" : ",").append(address);
  return text;
}

std::vector<std::string> choose_addresses(const std::vector<HostRanks>& hosts,
                                          const std::vector<Greeting>& greetings,
                                          const std::string& network_interface) {
  std::vector<std::string> addresses;
  const bool alone = hosts.size() == 1 && hosts.front().local;
  for (std::size_t host = 0; host < hosts.size(); ++host) {
    if (!network_interface.empty()) {
      addresses.push_back(address_on(network_interface, hosts[host], greetings[host]));
    } else {
      addresses.push_back(alone ? loopback : address_of(host, hosts, greetings));
    }
  }
  return addresses;
}

}  // namespace bfrun
