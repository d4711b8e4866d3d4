#pragma once
/// @file handshake.hpp  How both ends of a connection prove that they know the job key.
///
///   dialer                                     listener
///     Hello: who, to whom, what for, nonce  ->
///                                           <- Challenge: nonce, MAC("listener", Hello, nonce)
///     Proof: MAC("dialer", Hello, Challenge) ->
///                                           <- Verdict, MAC("verdict", Verdict, Hello, Challenge)
///     if accepted: TLS 1.3, or a byte        ->
///
/// A dialer that loses its patience may have been accepted. So the last word is its own: the listener takes
/// an accepted connection for open when that has come, and forgets it if it ends before.
///
/// Every message has a fixed length. The MACs are HMAC-SHA256 under a key that is derived from the job key
/// for this job, generation and version; the words that they begin with tell them apart, so none can be sent
/// back to whom it came from. Both nonces go into all of them, so none can be replayed.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/job_key.hpp"

namespace bluefog::transport::tcp {

using Nonce = std::array<std::byte, 32>;

enum class Role : std::uint8_t { Control, Data };

/// This rank's part in the job, as far as handshakes go.
struct Identity {
  int rank = -1;
  int size = 0;
  std::uint64_t job = 0;
  std::uint64_t generation = 0;
  base::JobKey key;  ///< of handshakes: see handshake_key()

  /// @param job_key  what the ranks of the job share
  [[nodiscard]] static base::JobKey handshake_key(const base::JobKey& job_key, std::uint64_t job,
                                                  std::uint64_t generation);
};

struct Hello {
  Role role = Role::Control;
  std::uint8_t index = 0;             ///< which of the data connections
  std::uint8_t data_connections = 0;  ///< how many the dialer will open
  bool encrypts = false;              ///< data connections; those for control are always encrypted
  int from = -1;
  int to = -1;
  int size = 0;
  std::uint64_t job = 0;
  std::uint64_t generation = 0;
  Nonce nonce{};
};
inline constexpr std::size_t hello_bytes = 69;
inline constexpr std::size_t most_data_connections = 64;
using HelloBytes = std::array<std::byte, hello_bytes>;

[[nodiscard]] HelloBytes encode(const Hello& hello);
/// @returns nothing for what no dialer of this version says
[[nodiscard]] std::optional<Hello> decode_hello(const HelloBytes& bytes);
/// Whether it is meant for this rank of this job.
[[nodiscard]] bool is_for(const Identity& self, const Hello& hello);

struct Challenge {
  Nonce nonce{};
  base::Digest mac{};
};
inline constexpr std::size_t challenge_bytes = 64;
using ChallengeBytes = std::array<std::byte, challenge_bytes>;
using ProofBytes = base::Digest;

[[nodiscard]] ChallengeBytes make_challenge(const base::JobKey& key, const HelloBytes& hello,
                                            const Nonce& nonce);
[[nodiscard]] bool is_authentic(const base::JobKey& key, const HelloBytes& hello,
                                const ChallengeBytes& challenge);
[[nodiscard]] ProofBytes make_proof(const base::JobKey& key, const HelloBytes& hello,
                                    const ChallengeBytes& challenge);

enum class Verdict : std::uint8_t {
  Accepted,
  Refused,          ///< there is such a connection already
  Leaving,          ///< the listener leaves the job
  OtherEncryption,  ///< only one of both encrypts data connections
};
inline constexpr std::size_t verdict_bytes = 33;
using VerdictBytes = std::array<std::byte, verdict_bytes>;

[[nodiscard]] VerdictBytes make_verdict(const base::JobKey& key, Verdict verdict, const HelloBytes& hello,
                                        const ChallengeBytes& challenge);
/// @returns nothing for what no listener that knows the key says
[[nodiscard]] std::optional<Verdict> read_verdict(const base::JobKey& key, const VerdictBytes& bytes,
                                                  const HelloBytes& hello, const ChallengeBytes& challenge);

/// A key for this connection alone.
[[nodiscard]] base::JobKey connection_secret(const base::JobKey& key, const HelloBytes& hello,
                                             const ChallengeBytes& challenge);

}  // namespace bluefog::transport::tcp
