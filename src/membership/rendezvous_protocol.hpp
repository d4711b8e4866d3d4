#pragma once
/// @file rendezvous_protocol.hpp  What rendezvous server and clients say to each other, one struct a message.
///
/// A client sends Hello with two descriptors (arena, pidfd). The server answers with a Refusal and closes,
/// or, when the generation is complete, with a RosterStart and size - 1 Members; those of this host come with
/// two descriptors. A client that runs out of time sends GiveUp; the server takes it out of the generation
/// and answers with Missing, unless the roster is under way already. After the roster come Losses, if any.
/// Closing the connection leaves.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include "membership/rendezvous.hpp"

namespace bluefog::membership::protocol {

inline constexpr std::uint32_t magic = 0x42465231;  // "BFR1"

enum class Kind : std::uint32_t {
  hello = 1,
  give_up,
  refusal,
  roster_start,
  member,
  missing,
  loss,
  // muster_protocol.hpp
  arrival,
  placed,
  turned_away,
  still_missing,
};

using Version = std::array<char, 64>;

struct Header {
  std::uint32_t magic = protocol::magic;
  Kind kind{};
};

/// What a rank says of the network.
struct Presence {
  std::uint64_t placement = 0;
  std::array<transport::tcp::Endpoint, most_endpoints> endpoints{};  ///< the rest is not set
};

// Header and version keep their place for ever, so that any two versions can at least tell that they differ.
struct Hello {
  static constexpr Kind kind = Kind::hello;
  Header header{magic, kind};
  Version version{};
  std::int32_t rank = -1;
  std::int32_t size = 0;
  std::int64_t pid = 0;
  std::uint64_t arena_bytes = 0;
  Presence presence;
};

struct GiveUp {
  static constexpr Kind kind = Kind::give_up;
  Header header{magic, kind};
};

struct Refusal {
  static constexpr Kind kind = Kind::refusal;
  Header header{magic, kind};
  std::array<char, 504> text{};
};

struct RosterStart {
  static constexpr Kind kind = Kind::roster_start;
  Header header{magic, kind};
  std::uint64_t job = 0;
  std::uint64_t generation = 0;
  /// Over a UNIX socket to a process of the same user: nobody else sees it.
  std::array<std::byte, base::JobKey::size> key{};
};

struct Member {
  static constexpr Kind kind = Kind::member;
  Header header{magic, kind};
  std::int64_t rank = -1;
  std::int64_t pid = 0;
  std::uint64_t arena_bytes = 0;
  std::int64_t is_near = 0;  ///< of this host: descriptors come along
  Presence presence;
};

/// A rank of another host has died, or its host is lost.
struct Loss {
  static constexpr Kind kind = Kind::loss;
  Header header{magic, kind};
  std::int64_t rank = -1;
  std::array<char, 504> text{};
};

struct Missing {
  static constexpr Kind kind = Kind::missing;
  Header header{magic, kind};
  std::int64_t count = 0;  ///< may be more than are listed
  std::array<std::int32_t, 128> ranks{};
  std::array<char, 256> hosts{};  ///< names of hosts of which no rank waits, if there are others
};

/// Copies a text, cut to fit; the last character stays zero.
template <std::size_t capacity>
void write_text(std::array<char, capacity>& field, std::string_view text) {
  field.fill('\0');
  text.copy(field.data(), capacity - 1);
}

template <std::size_t capacity>
std::string_view read_text(const std::array<char, capacity>& field) {
  return {field.data(), strnlen(field.data(), capacity)};
}

/// For a rank that gives up, which knows that it is missing itself.
[[nodiscard]] inline Missing missing_message(const MissingRanks& missing, int asking) {
  Missing message;
  for (const int rank : missing.ranks) {
    if (rank == asking) continue;
    const auto index = static_cast<std::size_t>(message.count++);
    if (index < message.ranks.size()) message.ranks[index] = rank;
  }
  write_text(message.hosts, missing.hosts);
  return message;
}

[[nodiscard]] inline Presence presence_of(const Card& card) {
  Presence presence;
  presence.placement = card.placement;
  std::copy_n(card.endpoints.begin(), std::min(card.endpoints.size(), most_endpoints),
              presence.endpoints.begin());
  return presence;
}
inline void read_presence(const Presence& presence, Card& card) {
  card.placement = presence.placement;
  card.endpoints.clear();
  for (const auto& endpoint : presence.endpoints) {
    if (endpoint.is_set != 0) card.endpoints.push_back(endpoint);
  }
}

/// Room for the longest message.
using Buffer = std::array<std::byte, 1024>;
static_assert(sizeof(Refusal) <= sizeof(Buffer) && sizeof(Missing) <= sizeof(Buffer) &&
              sizeof(Loss) <= sizeof(Buffer));

template <typename Message>
std::span<const std::byte> bytes_of(const Message& message) {
  static_assert(std::has_unique_object_representations_v<Message>, "padding would leak memory to the peer");
  return std::as_bytes(std::span(&message, 1));
}

/// The message, if the bytes are one of that kind.
template <typename Message>
std::optional<Message> read_as(std::span<const std::byte> bytes) {
  static_assert(std::is_trivially_copyable_v<Message>);
  Message message;
  if (bytes.size() != sizeof(message)) return std::nullopt;
  std::memcpy(static_cast<void*>(&message), bytes.data(), sizeof(message));
  if (message.header.magic != magic || message.header.kind != Message::kind) return std::nullopt;
  return message;
}

}  // namespace bluefog::membership::protocol
