#include "membership/host_messages.hpp"

#include <algorithm>
#include <numeric>
#include <string_view>

#include "base/little_endian.hpp"

namespace bluefog::membership {
namespace {

using base::ByteReader;
using base::ByteWriter;
using transport::tcp::Endpoint;

// ---- writing

void put_rank(ByteWriter& to, int rank) {
  to.put(static_cast<std::uint32_t>(rank));
}

void put_text(ByteWriter& to, std::string_view text) {
  text = text.substr(0, longest_host_text);
  to.put(static_cast<std::uint32_t>(text.size()));
  to.put(text);
}

void put_seat(ByteWriter& to, const Seat& seat) {
  put_rank(to, seat.rank);
  to.put(seat.ticket);
  to.put(seat.placement);
  to.put(static_cast<std::uint8_t>(seat.endpoints.size()));
  for (const Endpoint& endpoint : seat.endpoints) {
    to.put(std::as_bytes(std::span(endpoint.address)));
    to.put(endpoint.port);
    to.put(endpoint.is_v6);
  }
}

void put_missing(ByteWriter& to, const MissingRanks& missing) {
  to.put(static_cast<std::uint32_t>(missing.ranks.size()));
  for (const int rank : missing.ranks) put_rank(to, rank);
  put_text(to, missing.hosts);
}

void put(ByteWriter& to, const Introduction& report) {
  put_text(to, report.version);
}
void put(ByteWriter& to, const RankCame& report) {
  put_rank(to, report.rank);
}
void put(ByteWriter& to, const RankWent& report) {
  put_rank(to, report.rank);
}
void put(ByteWriter& /*to*/, const WhoIsMissing& /*report*/) {}
void put(ByteWriter& to, const RankWaits& report) {
  put_seat(to, report.seat);
}
void put(ByteWriter& to, const RankLeft& report) {
  put_rank(to, report.rank);
  to.put(report.ticket);
}
void put(ByteWriter& to, const Placed& order) {
  to.put(order.job);
  put_rank(to, order.host);
  to.put(static_cast<std::uint32_t>(order.ranks_of_hosts.size()));
  for (const int ranks : order.ranks_of_hosts) to.put(static_cast<std::uint32_t>(ranks));
}
void put(ByteWriter& to, const TurnedAway& order) {
  put_rank(to, order.rank);
  to.put(static_cast<std::uint8_t>(order.for_good ? 1 : 0));
  put_text(to, order.why);
}
void put(ByteWriter& to, const StillMissing& order) {
  put_missing(to, order.missing);
}
void put(ByteWriter& to, const LeaveConfirmed& order) {
  put_rank(to, order.rank);
  to.put(order.ticket);
  put_missing(to, order.missing);
}
void put(ByteWriter& to, const Generation& order) {
  to.put(order.number);
  for (const Seat& seat : order.seats) put_seat(to, seat);
}

template <typename Variant>
std::vector<std::byte> encode_any(const Variant& message) {
  std::vector<std::byte> bytes;
  ByteWriter to(bytes);
  to.put(static_cast<std::uint8_t>(message.index()));
  std::visit([&to](const auto& one) { put(to, one); }, message);
  return bytes;
}

// ---- reading

/// What is wrong shows in `ok`, once and for all.
struct Reading {
  ByteReader from;
  int size;
  bool ok = true;

  void require(bool condition) { ok = ok && condition; }
  int take_rank() {
    const auto rank = from.take<std::uint32_t>();
    require(rank < static_cast<std::uint32_t>(size));
    return ok ? static_cast<int>(rank) : 0;
  }
  std::string take_text() {
    const auto length = from.take<std::uint32_t>();
    require(length <= longest_host_text);
    const auto bytes = from.take(ok ? length : 0);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  /// Of things of which there is at most one for each rank.
  std::uint32_t take_count() {
    const auto count = from.take<std::uint32_t>();
    require(count <= static_cast<std::uint32_t>(size));
    return ok ? count : 0;
  }
};

Seat take_seat(Reading& reading) {
  Seat seat;
  seat.rank = reading.take_rank();
  seat.ticket = reading.from.take<std::uint64_t>();
  seat.placement = reading.from.take<std::uint64_t>();
  const auto endpoints = reading.from.take<std::uint8_t>();
  reading.require(endpoints <= most_endpoints);
  for (int i = 0; reading.ok && i < endpoints; ++i) {
    Endpoint endpoint;
    const auto address = std::as_writable_bytes(std::span(endpoint.address));
    std::ranges::copy(reading.from.take(address.size()), address.begin());
    endpoint.port = reading.from.take<std::uint16_t>();
    endpoint.is_v6 = reading.from.take<std::uint8_t>();
    endpoint.is_set = 1;
    reading.require(endpoint.is_v6 <= 1 && endpoint.port > 0);
    seat.endpoints.push_back(endpoint);
  }
  return seat;
}

MissingRanks take_missing(Reading& reading) {
  MissingRanks missing;
  for (std::uint32_t left = reading.take_count(); left > 0 && reading.ok; --left) {
    missing.ranks.push_back(reading.take_rank());
  }
  missing.hosts = reading.take_text();
  return missing;
}

Placed take_placed(Reading& reading) {
  Placed placed;
  placed.job = reading.from.take<std::uint64_t>();
  placed.host = reading.take_rank();
  int sum = 0;
  for (std::uint32_t left = reading.take_count(); left > 0 && reading.ok; --left) {
    const auto ranks = reading.from.take<std::uint32_t>();
    reading.require(ranks > 0 && ranks <= static_cast<std::uint32_t>(reading.size - sum));
    if (!reading.ok) break;
    placed.ranks_of_hosts.push_back(static_cast<int>(ranks));
    sum += static_cast<int>(ranks);
  }
  reading.require(sum == reading.size &&
                  static_cast<std::size_t>(placed.host) < placed.ranks_of_hosts.size());
  return placed;
}

TurnedAway take_turned_away(Reading& reading) {
  TurnedAway order;
  const auto rank = reading.from.take<std::uint32_t>();
  reading.require(rank == UINT32_MAX || rank < static_cast<std::uint32_t>(reading.size));
  order.rank = static_cast<int>(rank);
  const auto for_good = reading.from.take<std::uint8_t>();
  reading.require(for_good <= 1);
  order.for_good = for_good == 1;
  order.why = reading.take_text();
  return order;
}

Generation take_generation(Reading& reading) {
  Generation generation;
  generation.number = reading.from.take<std::uint64_t>();
  for (int rank = 0; rank < reading.size && reading.ok; ++rank) {
    generation.seats.push_back(take_seat(reading));
    reading.require(generation.seats.back().rank == rank);
  }
  return generation;
}

HostReport take_report(Reading& reading) {
  switch (reading.from.take<std::uint8_t>()) {
    case 0:
      return Introduction{reading.take_text()};
    case 1:
      return RankCame{reading.take_rank()};
    case 2:
      return RankWent{reading.take_rank()};
    case 3:
      return WhoIsMissing{};
    case 4:
      return RankWaits{take_seat(reading)};
    case 5: {
      const int rank = reading.take_rank();
      return RankLeft{rank, reading.from.take<std::uint64_t>()};
    }
    default:
      reading.require(false);
      return WhoIsMissing{};
  }
}

HostOrder take_order(Reading& reading) {
  switch (reading.from.take<std::uint8_t>()) {
    case 0:
      return take_placed(reading);
    case 1:
      return take_turned_away(reading);
    case 2:
      return StillMissing{take_missing(reading)};
    case 3: {
      LeaveConfirmed order;
      order.rank = reading.take_rank();
      order.ticket = reading.from.take<std::uint64_t>();
      order.missing = take_missing(reading);
      return order;
    }
    case 4:
      return take_generation(reading);
    default:
      reading.require(false);
      return StillMissing{};
  }
}

}  // namespace

int Placed::first_rank() const {
  return std::accumulate(ranks_of_hosts.begin(), ranks_of_hosts.begin() + host, 0);
}

std::vector<std::byte> encode(const HostReport& report) {
  return encode_any(report);
}

std::vector<std::byte> encode(const HostOrder& order) {
  return encode_any(order);
}

std::optional<HostReport> decode_report(std::span<const std::byte> bytes, int size) {
  Reading reading{ByteReader(bytes), size};
  HostReport report = take_report(reading);
  if (!reading.ok || !reading.from.is_done()) return std::nullopt;
  return report;
}

std::optional<HostOrder> decode_order(std::span<const std::byte> bytes, int size) {
  Reading reading{ByteReader(bytes), size};
  HostOrder order = take_order(reading);
  if (!reading.ok || !reading.from.is_done()) return std::nullopt;
  return order;
}

}  // namespace bluefog::membership
