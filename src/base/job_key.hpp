#pragma once
/// @file job_key.hpp  The secret that the ranks of one job share, and what is computed with it.

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <span>
#include <string_view>

namespace bluefog::base {

using Bytes = std::span<const std::byte>;
using Digest = std::array<std::byte, 32>;

/// 32 secret bytes. Never printed, and wiped from memory at their end.
class JobKey {
 public:
  static constexpr std::size_t size = 32;

  /// No key: all zero.
  JobKey() = default;
  explicit JobKey(std::span<const std::byte, size> bytes);
  JobKey(const JobKey&) = default;
  JobKey& operator=(const JobKey&) = default;
  ~JobKey();
  /// @throws Error if the system gives no random bytes
  [[nodiscard]] static JobKey random();

  [[nodiscard]] bool is_set() const noexcept;
  /// For those who must send it or compute with it.
  [[nodiscard]] std::span<const std::byte, size> reveal() const noexcept { return bytes_; }
  /// A key for one purpose, which tells nothing of this one (HKDF).
  [[nodiscard]] JobKey derive(Bytes salt, std::string_view purpose) const;

 private:
  friend std::ostream& operator<<(std::ostream&, const JobKey&) = delete;
  std::array<std::byte, size> bytes_{};
};

/// HMAC-SHA256 (RFC 2104) of the parts side by side.
[[nodiscard]] Digest authenticate(const JobKey& key, std::initializer_list<Bytes> parts);
/// HKDF with SHA-256 (RFC 5869), 32 bytes.
[[nodiscard]] Digest hkdf_sha256(Bytes secret, Bytes salt, Bytes purpose);
/// In a time that does not depend on the contents.
[[nodiscard]] bool equal(const Digest& a, const Digest& b) noexcept;
/// @throws Error if the system gives no random bytes
void fill_random(std::span<std::byte> bytes);
/// Overwrites, and is not optimized away.
void wipe(std::span<std::byte> bytes) noexcept;

}  // namespace bluefog::base
