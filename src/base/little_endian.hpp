#pragma once
/// @file little_endian.hpp  Numbers as bytes that are the same on every machine.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace bluefog::base {

template <std::unsigned_integral Number>
[[nodiscard]] constexpr Number swap_unless_little(Number number) {
  if constexpr (std::endian::native == std::endian::little || sizeof(Number) == 1) {
    return number;
  } else {
    Number swapped = 0;
    for (std::size_t i = 0; i < sizeof(Number); ++i) {
      swapped = static_cast<Number>(swapped << 8 | (number >> (8 * i) & 0xff));
    }
    return swapped;
  }
}

/// Appends to a buffer.
class ByteWriter {
 public:
  explicit ByteWriter(std::vector<std::byte>& out) : out_(out) {}
  template <std::unsigned_integral Number>
  void put(Number number) {
    number = swap_unless_little(number);
    put(std::as_bytes(std::span(&number, 1)));
  }
  void put(std::span<const std::byte> bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  void put(std::string_view text) { put(std::as_bytes(std::span(text))); }

 private:
  std::vector<std::byte>& out_;
};

/// Takes from a buffer, and never beyond its end: then everything is zero, and ok() says so.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : left_(bytes) {}
  template <std::unsigned_integral Number>
  [[nodiscard]] Number take() {
    Number number = 0;
    const auto bytes = take(sizeof(Number));
    if (bytes.size() == sizeof(Number)) std::memcpy(&number, bytes.data(), sizeof(Number));
    return swap_unless_little(number);
  }
  /// So many bytes, or none.
  [[nodiscard]] std::span<const std::byte> take(std::size_t count) {
    if (count > left_.size()) {
      ok_ = false;
      left_ = {};
      return {};
    }
    const auto taken = left_.first(count);
    left_ = left_.subspan(count);
    return taken;
  }
  [[nodiscard]] bool ok() const noexcept { return ok_; }
  [[nodiscard]] std::size_t left() const noexcept { return left_.size(); }
  /// Whether all was there, and nothing is left.
  [[nodiscard]] bool is_done() const noexcept { return ok_ && left_.empty(); }

 private:
  std::span<const std::byte> left_;
  bool ok_ = true;
};

}  // namespace bluefog::base
