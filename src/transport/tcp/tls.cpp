#include "transport/tcp/tls.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <bluefog/error.hpp>

namespace bluefog::transport::tcp {

namespace {

constexpr std::size_t received_at_a_time = std::size_t{64} << 10;
constexpr std::array<unsigned char, 2> aes_128_gcm_sha256{0x13, 0x01};

[[noreturn]] void fail(const std::string& what) {
  throw Error("OpenSSL " + what);
}

}  // namespace

struct TlsSession::Callbacks {
  static TlsSession& session_of(BIO* bio) { return *static_cast<TlsSession*>(BIO_get_data(bio)); }
  static TlsSession& session_of(SSL* ssl) { return *static_cast<TlsSession*>(SSL_get_app_data(ssl)); }

  static int write(BIO* bio, const char* data, int bytes) {
    const auto from = std::as_bytes(std::span(data, static_cast<std::size_t>(bytes)));
    auto& output = session_of(bio).output_;
    output.insert(output.end(), from.begin(), from.end());
    return bytes;
  }

  static int read(BIO* bio, char* data, int bytes) {
    BIO_clear_retry_flags(bio);
    auto& left = session_of(bio).undecrypted_;
    const std::size_t count = std::min(left.size(), static_cast<std::size_t>(bytes));
    if (count == 0) {
      BIO_set_retry_read(bio);
      return -1;
    }
    std::memcpy(data, left.data(), count);
    left = left.subspan(count);
    return static_cast<int>(count);
  }

  static long control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  static BIO_METHOD* method() {
    static BIO_METHOD* const method = [] {
      BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bluefog");
      if (made == nullptr) fail("makes no kind of BIO");
      BIO_meth_set_write(made, write);
      BIO_meth_set_read(made, read);
      BIO_meth_set_ctrl(made, control);
      return made;
    }();
    return method;
  }

  static SSL_SESSION* shared_key(SSL* ssl) {
    SSL_SESSION* const session = SSL_SESSION_new();
    const SSL_CIPHER* const cipher = SSL_CIPHER_find(ssl, aes_128_gcm_sha256.data());
    const auto secret = session_of(ssl).secret_.reveal();
    if (session != nullptr && cipher != nullptr &&
        SSL_SESSION_set1_master_key(session, reinterpret_cast<const unsigned char*>(secret.data()),
                                    secret.size()) == 1 &&
        SSL_SESSION_set_cipher(session, cipher) == 1 &&
        SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1) {
      return session;
    }
    SSL_SESSION_free(session);
    return nullptr;
  }

  static int use_key(SSL* ssl, const EVP_MD* hash, const unsigned char** identity, std::size_t* length,
                     SSL_SESSION** session) {
    *session = nullptr;
    if (hash != nullptr && !EVP_MD_is_a(hash, "SHA256")) return 0;
    const std::string& name = session_of(ssl).identity_;
    *identity = reinterpret_cast<const unsigned char*>(name.data());
    *length = name.size();
    *session = shared_key(ssl);
    return *session != nullptr ? 1 : 0;
  }

  static int find_key(SSL* ssl, const unsigned char* identity, std::size_t length, SSL_SESSION** session) {
    const std::string_view name(reinterpret_cast<const char*>(identity), length);
    *session = name == session_of(ssl).identity_ ? shared_key(ssl) : nullptr;
    return *session != nullptr ? 1 : 0;
  }

  static SSL_CTX* context() {
    // Outlives static destruction, for threads may end late.
    static SSL_CTX* const context = [] {
      SSL_CTX* const made = SSL_CTX_new(TLS_method());
      if (made == nullptr || SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION) != 1 ||
          SSL_CTX_set_max_proto_version(made, TLS1_3_VERSION) != 1 ||
          SSL_CTX_set_ciphersuites(made, "TLS_AES_128_GCM_SHA256") != 1 ||
          SSL_CTX_set1_groups_list(made, "X25519:P-256") != 1 || SSL_CTX_set_num_tickets(made, 0) != 1) {
        fail("knows no TLS 1.3 with AES-128-GCM and X25519");
      }
      SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
      SSL_CTX_clear_options(made, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
      SSL_CTX_set_psk_use_session_callback(made, use_key);
      SSL_CTX_set_psk_find_session_callback(made, find_key);
      return made;
    }();
    return context;
  }
};

void TlsSession::Free::operator()(ssl_st* ssl) const noexcept {
  SSL_free(ssl);
}

TlsSession::TlsSession(End end, const base::JobKey& secret, std::string identity,
                       std::uint64_t records_per_key)
    : secret_(secret),
      identity_(std::move(identity)),
      records_per_key_(records_per_key),
      ssl_(SSL_new(Callbacks::context())),
      received_(received_at_a_time) {
  BIO* const bio = BIO_new(Callbacks::method());
  if (ssl_ == nullptr || bio == nullptr || SSL_set_app_data(ssl_.get(), this) != 1) {
    BIO_free(bio);
    fail("makes no TLS session");
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  if (end == End::Dialer) {
    SSL_set_connect_state(ssl_.get());
    SSL_set_verify(ssl_.get(), SSL_VERIFY_PEER, nullptr);  // no certificate will do, only the key
  } else {
    SSL_set_accept_state(ssl_.get());
  }
}

TlsSession::~TlsSession() = default;

TlsSession::Handshake TlsSession::shake_hands() {
  const std::lock_guard lock(mutex_);
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1) {
    return SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ ? Handshake::NeedsMore
                                                                    : Handshake::Failed;
  }
  secret_ = base::JobKey();
  return SSL_session_reused(ssl_.get()) == 1 ? Handshake::Done : Handshake::Failed;
}

TlsSession::Read TlsSession::decrypt(std::span<std::byte> out) {
  const std::lock_guard lock(mutex_);
  ERR_clear_error();
  Read read;
  const std::size_t output = output_.size();
  const int result = SSL_read_ex(ssl_.get(), out.data(), out.size(), &read.bytes);
  read.has_reply = output_.size() > output;
  if (result == 1) {
    read.status = Read::Status::Data;
    return read;
  }
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      read.status = Read::Status::NeedsMore;
      break;
    case SSL_ERROR_ZERO_RETURN:
      read.status = Read::Status::Ended;
      break;
    default:
      read.status = Read::Status::Forged;
  }
  return read;
}

std::size_t TlsSession::encrypt(base::Bytes data) {
  const std::lock_guard lock(mutex_);
  ERR_clear_error();
  if (++records_ > records_per_key_) {
    records_ = 0;
    if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) != 1) return 0;
  }
  std::size_t written = 0;
  const std::size_t bytes = std::min(data.size(), record_bytes);
  return SSL_write_ex(ssl_.get(), data.data(), bytes, &written) == 1 ? written : 0;
}

void TlsSession::encrypt_end() {
  const std::lock_guard lock(mutex_);
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
}

base::Bytes TlsSession::to_send() {
  if (sent_ == sending_.size()) {
    sent_ = 0;
    sending_.clear();
    const std::lock_guard lock(mutex_);
    sending_.swap(output_);
  }
  return base::Bytes(sending_).subspan(sent_);
}

void TlsSession::drop_unsent() {
  sending_.clear();
  sent_ = 0;
  const std::lock_guard lock(mutex_);
  output_.clear();
}

std::size_t TlsSession::unsent() const {
  const std::lock_guard lock(mutex_);
  return sending_.size() - sent_ + output_.size();
}

}  // namespace bluefog::transport::tcp
