#include "transport/remote/message.hpp"

#include <utility>

namespace bluefog::transport::remote {

namespace {

constexpr std::size_t kept_buffers = 256;

struct Pool {
  std::vector<std::vector<std::byte>> free;
};

thread_local Pool pool;

}  // namespace

Payload::Payload(const std::byte* data, std::size_t bytes) {
  if (!pool.free.empty()) {
    bytes_ = std::move(pool.free.back());
    pool.free.pop_back();
  }
  bytes_.assign(data, data + bytes);
}

Payload::~Payload() {
  if (bytes_.capacity() == 0 || pool.free.size() >= kept_buffers) return;
  bytes_.clear();
  pool.free.push_back(std::move(bytes_));
}

}  // namespace bluefog::transport::remote
