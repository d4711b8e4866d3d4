#include "base/job_key.hpp"

#include <algorithm>
#include <memory>
#include <vector>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <bluefog/error.hpp>

namespace bluefog::base {

namespace {

unsigned char* octets(std::byte* bytes) {
  return reinterpret_cast<unsigned char*>(bytes);
}

/// OpenSSL reads from it, though it asks for a pointer to what is not constant.
OSSL_PARAM parameter(const char* name, Bytes bytes) {
  return OSSL_PARAM_construct_octet_string(name, const_cast<std::byte*>(bytes.data()), bytes.size());
}

}  // namespace

JobKey::JobKey(std::span<const std::byte, size> bytes) {
  std::copy(bytes.begin(), bytes.end(), bytes_.begin());
}

JobKey::~JobKey() {
  wipe(bytes_);
}

JobKey JobKey::random() {
  JobKey key;
  fill_random(key.bytes_);
  return key;
}

bool JobKey::is_set() const noexcept {
  return std::any_of(bytes_.begin(), bytes_.end(), [](std::byte value) { return value != std::byte{0}; });
}

JobKey JobKey::derive(Bytes salt, std::string_view purpose) const {
  Digest derived = hkdf_sha256(bytes_, salt, std::as_bytes(std::span(purpose)));
  const JobKey key(derived);
  wipe(derived);
  return key;
}

Digest authenticate(const JobKey& key, std::initializer_list<Bytes> parts) {
  std::vector<std::byte> text;
  for (const Bytes part : parts) text.insert(text.end(), part.begin(), part.end());
  Digest digest{};
  std::size_t length = 0;
  const auto secret = key.reveal();
  if (EVP_Q_mac(nullptr, "HMAC", nullptr, "SHA256", nullptr, secret.data(), secret.size(),
                octets(text.data()), text.size(), octets(digest.data()), digest.size(), &length) == nullptr ||
      length != digest.size()) {
    throw Error("OpenSSL computes no HMAC-SHA256");
  }
  return digest;
}

Digest hkdf_sha256(Bytes secret, Bytes salt, Bytes purpose) {
  const std::unique_ptr<EVP_KDF, decltype(&EVP_KDF_free)> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr),
                                                              EVP_KDF_free);
  const std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(EVP_KDF_CTX_new(kdf.get()),
                                                                          EVP_KDF_CTX_free);
  char hash[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, hash, 0), parameter(OSSL_KDF_PARAM_KEY, secret),
      parameter(OSSL_KDF_PARAM_INFO, purpose),
      // No salt is the same as one of zeros.
      salt.empty() ? OSSL_PARAM_construct_end() : parameter(OSSL_KDF_PARAM_SALT, salt),
      OSSL_PARAM_construct_end()};
  Digest derived{};
  if (context == nullptr ||
      EVP_KDF_derive(context.get(), octets(derived.data()), derived.size(), parameters) <= 0) {
    throw Error("OpenSSL derives no key with HKDF");
  }
  return derived;
}

bool equal(const Digest& a, const Digest& b) noexcept {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void fill_random(std::span<std::byte> bytes) {
  if (RAND_bytes(octets(bytes.data()), static_cast<int>(bytes.size())) != 1) {
    throw Error("OpenSSL gives no random bytes");
  }
}

void wipe(std::span<std::byte> bytes) noexcept {
  OPENSSL_cleanse(bytes.data(), bytes.size());
}

}  // namespace bluefog::base
