#include "addresses.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <sstream>
#include <system_error>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <bluefog/error.hpp>
#include <bluefog/version.hpp>

#include "base/unique_fd.hpp"
#include "membership/rendezvous.hpp"
#include "transport/tcp/interfaces.hpp"

namespace bfrun {
namespace {

using bluefog::transport::tcp::is_loopback_address;

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

bool is_address(const std::string& text) {
  in6_addr buffer{};
  return ::inet_pton(AF_INET, text.c_str(), &buffer) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), &buffer) == 1;
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
  if (is_address(name) && !is_loopback_address(name)) return name;
  const std::string reached = reached_address(host, hosts, greetings);
  if (!reached.empty() && !is_loopback_address(reached)) return reached;
  for (const InterfaceAddress& candidate : greetings[host].addresses) {
    if (!is_loopback_address(candidate.address)) return candidate.address;
  }
  return loopback;
}

}  // namespace

Greeting greeting_of_this_host() {
  Greeting greeting;
  greeting.version = BLUEFOG_VERSION;
  greeting.free_port = free_tcp_port();
  bluefog::transport::tcp::Interfaces own = bluefog::transport::tcp::interfaces_of_this_host();
  greeting.addresses = std::move(own.addresses);
  greeting.interfaces = std::move(own.names);
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
  return bluefog::transport::tcp::addresses_to_listen_at(network_interface, preferred,
                                                         bluefog::membership::most_endpoints);
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
