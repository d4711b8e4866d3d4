#pragma once
/// @file muster_protocol.hpp  What a rank and the leader of its host say to each other before they meet, over
/// the leader's UNIX socket.
///
/// The rank says that it has arrived. The leader answers once it knows where all ranks of the job are, or
/// that this one has no place among them. A rank that runs out of time sends GiveUp; the leader answers who
/// is missing. Who closes the connection before has not arrived.

#include <array>
#include <cstddef>
#include <cstdint>

#include <bluefog/config.hpp>

#include "membership/rendezvous_protocol.hpp"

namespace bluefog::membership::protocol {

// Header and version keep their place for ever, as those of Hello.
struct Arrival {
  static constexpr Kind kind = Kind::arrival;
  Header header{magic, kind};
  Version version{};
  std::int32_t rank = -1;
  std::int32_t size = 0;
  std::int64_t pid = 0;
};

struct PlacedHere {
  static constexpr Kind kind = Kind::placed;
  Header header{magic, kind};
  std::array<std::uint16_t, most_ranks> ranks_of_hosts{};  ///< zeros behind the last host
  std::array<char, 120> rendezvous{};                      ///< of this host
  std::array<char, 400> listen{};                          ///< as BLUEFOG_LISTEN
};

struct NoPlace {
  static constexpr Kind kind = Kind::turned_away;
  Header header{magic, kind};
  std::array<char, 1024> why{};
};

struct NotAllHere {
  static constexpr Kind kind = Kind::still_missing;
  Header header{magic, kind};
  std::int64_t count = 0;  ///< may be more than are listed
  std::array<std::int32_t, 128> ranks{};
  std::array<char, 1024> note{};
};

using MusterBuffer = std::array<std::byte, 16384>;
static_assert(sizeof(PlacedHere) <= sizeof(MusterBuffer) && sizeof(NotAllHere) <= sizeof(MusterBuffer) &&
              sizeof(NoPlace) <= sizeof(MusterBuffer));

}  // namespace bluefog::membership::protocol
