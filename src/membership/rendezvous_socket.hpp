#pragma once
/// @file rendezvous_socket.hpp  What the rendezvous asks the system, and the first look at what strangers
/// say.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/unique_fd.hpp"

namespace bluefog::membership {

[[nodiscard]] std::uint64_t random_number();
[[nodiscard]] std::string hexadecimal(std::uint64_t number);
/// False for no descriptor.
[[nodiscard]] bool is_readable(int fd);
[[nodiscard]] bool has_hung_up(int socket);
/// @throws std::system_error
[[nodiscard]] base::UniqueFd listen_at(const std::string& address, int ranks);
/// Why a Hello, or an Arrival, of another version is refused; empty for all else.
[[nodiscard]] std::string problem_of_version(std::span<const std::byte> message);

}  // namespace bluefog::membership
