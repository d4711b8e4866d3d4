#include "transport/tcp/interfaces.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <set>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/unique_fd.hpp"

namespace bluefog::transport::tcp {
namespace {

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

}  // namespace

Interfaces interfaces_of_this_host() {
  Interfaces interfaces;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return interfaces;
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
  std::set<std::string> names;
  std::vector<InterfaceAddress> six;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    names.insert(entry->ifa_name);
    const std::string address = numeric(entry->ifa_addr);
    if (address.empty() || (entry->ifa_flags & IFF_UP) == 0) continue;
    (entry->ifa_addr->sa_family == AF_INET ? interfaces.addresses : six)
        .push_back({entry->ifa_name, address});
  }
  interfaces.addresses.insert(interfaces.addresses.end(), six.begin(), six.end());
  interfaces.names.assign(names.begin(), names.end());
  return interfaces;
}

bool is_loopback_address(const std::string& address) {
  return address.rfind("127.", 0) == 0 || address == "::1";
}

std::string own_address_of(int socket) {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  auto* const name = reinterpret_cast<sockaddr*>(&storage);
  return ::getsockname(socket, name, &length) == 0 ? numeric(name) : std::string();
}

std::string address_of_peer(int socket) {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  auto* const name = reinterpret_cast<sockaddr*>(&storage);
  return ::getpeername(socket, name, &length) == 0 ? numeric(name) : std::string();
}

bool is_of_this_host(Endpoint endpoint) {
  endpoint.port = 0;
  const base::UniqueFd probe(
      ::socket(endpoint.is_v6 != 0 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const SocketName name = name_of(endpoint);
  return probe.valid() && ::bind(probe.get(), name.get(), name.length) == 0;
}

std::string addresses_to_listen_at(const std::string& network_interface, const std::string& preferred,
                                   std::size_t most) {
  std::vector<std::string> addresses;
  for (const InterfaceAddress& candidate : interfaces_of_this_host().addresses) {
    const bool is_wanted = network_interface.empty() ? !is_loopback_address(candidate.address)
                                                     : candidate.interface == network_interface;
    if (is_wanted) addresses.push_back(candidate.address);
  }
  if (addresses.empty()) addresses.emplace_back("127.0.0.1");
  std::stable_partition(addresses.begin(), addresses.end(),
                        [&](const std::string& address) { return address == preferred; });
  addresses.resize(std::min(addresses.size(), most));
  std::string text;
  for (const std::string& address : addresses) text.append(text.empty() ? "" : ",").append(address);
  return text;
}

}  // namespace bluefog::transport::tcp
