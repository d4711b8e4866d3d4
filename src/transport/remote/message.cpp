#include "transport/remote/message.hpp"

#include <utility>

namespace bluefog::transport::remote {

namespace {

constexpr std::size_t kept_bytes = std::size_t{64} << 20;

struct Pool {
  std::vector<std::vector<std::byte>> free;
  std::size_t bytes = 0;
};

thread_local Pool pool;

}  // namespace

Payload::Payload(const std::byte* data, std::size_t bytes) {
  if (!pool.free.empty()) {
    bytes_ = std::move(pool.free.back());
    pool.bytes -= bytes_.capacity();
    pool.free.pop_back();
  }
  bytes_.assign(data, data + bytes);
}

Payload::~Payload() {
  if (bytes_.capacity() == 0 || pool.bytes + bytes_.capacity() > kept_bytes) return;
  bytes_.clear();
  pool.bytes += bytes_.capacity();
  pool.free.push_back(std::move(bytes_));
}

}  // namespace bluefog::transport::remote
