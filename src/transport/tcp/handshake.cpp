#include "transport/tcp/handshake.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/little_endian.hpp"
#include "transport/tcp/frame.hpp"

namespace bluefog::transport::tcp {

namespace {

using base::Bytes;

constexpr std::uint32_t magic = 0x31544642;  // "BFT1"

Bytes bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::vector<std::byte> salt_of(std::uint64_t job, std::uint64_t generation) {
  std::vector<std::byte> salt;
  base::ByteWriter to(salt);
  to.put(job);
  to.put(generation);
  to.put(protocol_version);
  return salt;
}

base::Digest mac_of_listener(const base::JobKey& key, const HelloBytes& hello, Bytes nonce) {
  return base::authenticate(key, {bytes_of("listener"), hello, nonce});
}

base::Digest mac_of_verdict(const base::JobKey& key, std::byte verdict, const HelloBytes& hello,
                            const ChallengeBytes& challenge) {
  return base::authenticate(key, {bytes_of("verdict"), Bytes(&verdict, 1), hello, challenge});
}

base::Digest digest_at(Bytes bytes) {
  base::Digest digest{};
  std::copy_n(bytes.begin(), digest.size(), digest.begin());
  return digest;
}

}  // namespace

base::JobKey Identity::handshake_key(const base::JobKey& job_key, std::uint64_t job,
                                     std::uint64_t generation) {
  return job_key.derive(salt_of(job, generation), "bluefog tcp handshake");
}

HelloBytes encode(const Hello& hello) {
  std::vector<std::byte> bytes;
  bytes.reserve(hello_bytes);
  base::ByteWriter to(bytes);
  to.put(magic);
  to.put(protocol_version);
  to.put(static_cast<std::uint8_t>(hello.role));
  to.put(hello.index);
  to.put(hello.data_connections);
  to.put(static_cast<std::uint8_t>(hello.encrypts ? 1 : 0));
  to.put(static_cast<std::uint32_t>(hello.from));
  to.put(static_cast<std::uint32_t>(hello.to));
  to.put(static_cast<std::uint32_t>(hello.size));
  to.put(hello.job);
  to.put(hello.generation);
  to.put(Bytes(hello.nonce));
  HelloBytes encoded{};
  std::copy(bytes.begin(), bytes.end(), encoded.begin());
  return encoded;
}

std::optional<Hello> decode_hello(const HelloBytes& bytes) {
  base::ByteReader from(bytes);
  Hello hello;
  const bool is_ours = from.take<std::uint32_t>() == magic && from.take<std::uint8_t>() == protocol_version;
  const auto role = from.take<std::uint8_t>();
  hello.index = from.take<std::uint8_t>();
  hello.data_connections = from.take<std::uint8_t>();
  const auto encrypts = from.take<std::uint8_t>();
  const auto rank = from.take<std::uint32_t>();
  const auto to = from.take<std::uint32_t>();
  const auto size = from.take<std::uint32_t>();
  hello.job = from.take<std::uint64_t>();
  hello.generation = from.take<std::uint64_t>();
  const Bytes nonce = from.take(hello.nonce.size());
  if (!is_ours || role > static_cast<std::uint8_t>(Role::Data) || !from.is_done()) return {};
  if (size > static_cast<std::uint32_t>(most_ranks) || rank >= size || to >= size || rank == to) return {};
  if (hello.data_connections > most_data_connections || encrypts > 1) return {};
  hello.encrypts = encrypts == 1;
  hello.role = static_cast<Role>(role);
  hello.from = static_cast<int>(rank);
  hello.to = static_cast<int>(to);
  hello.size = static_cast<int>(size);
  std::copy(nonce.begin(), nonce.end(), hello.nonce.begin());
  return hello;
}

bool is_for(const Identity& self, const Hello& hello) {
  return hello.to == self.rank && hello.size == self.size && hello.job == self.job &&
         hello.generation == self.generation;
}

ChallengeBytes make_challenge(const base::JobKey& key, const HelloBytes& hello, const Nonce& nonce) {
  const base::Digest mac = mac_of_listener(key, hello, nonce);
  ChallengeBytes bytes{};
  std::copy(nonce.begin(), nonce.end(), bytes.begin());
  std::copy(mac.begin(), mac.end(), bytes.begin() + nonce.size());
  return bytes;
}

bool is_authentic(const base::JobKey& key, const HelloBytes& hello, const ChallengeBytes& challenge) {
  const Bytes bytes(challenge);
  return base::equal(digest_at(bytes.subspan(sizeof(Nonce))),
                     mac_of_listener(key, hello, bytes.first(sizeof(Nonce))));
}

ProofBytes make_proof(const base::JobKey& key, const HelloBytes& hello, const ChallengeBytes& challenge) {
  return base::authenticate(key, {bytes_of("dialer"), hello, challenge});
}

VerdictBytes make_verdict(const base::JobKey& key, Verdict verdict, const HelloBytes& hello,
                          const ChallengeBytes& challenge) {
  VerdictBytes bytes{static_cast<std::byte>(verdict)};
  const base::Digest mac = mac_of_verdict(key, bytes.front(), hello, challenge);
  std::copy(mac.begin(), mac.end(), bytes.begin() + 1);
  return bytes;
}

std::optional<Verdict> read_verdict(const base::JobKey& key, const VerdictBytes& bytes,
                                    const HelloBytes& hello, const ChallengeBytes& challenge) {
  const base::Digest mac = digest_at(Bytes(bytes).subspan(1));
  if (!base::equal(mac, mac_of_verdict(key, bytes.front(), hello, challenge))) return {};
  if (bytes.front() > static_cast<std::byte>(Verdict::OtherEncryption)) return {};
  return static_cast<Verdict>(bytes.front());
}

base::JobKey connection_secret(const base::JobKey& key, const HelloBytes& hello,
                               const ChallengeBytes& challenge) {
  std::vector<std::byte> salt(hello.begin(), hello.end());
  salt.insert(salt.end(), challenge.begin(), challenge.end());
  return key.derive(salt, "bluefog tls");
}

}  // namespace bluefog::transport::tcp
