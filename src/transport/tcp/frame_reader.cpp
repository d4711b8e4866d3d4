#include "transport/tcp/frame_reader.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace bluefog::transport::tcp {

namespace {

constexpr std::size_t buffer_bytes = std::size_t{32} << 10;

}  // namespace

FrameReader::FrameReader(const PeerFacts& peer, bool is_for_data)
    : peer_(peer), is_for_data_(is_for_data), buffer_(buffer_bytes) {}

std::span<std::byte> FrameReader::space() {
  if (is_refused_) return {};
  if (message_) {
    return {message_->payload.data() + payload_filled_, message_->payload.size() - payload_filled_};
  }
  if (begin_ == end_) begin_ = end_ = 0;
  const std::size_t whole = header_ ? header_->head_bytes : header_bytes;
  if (buffer_.size() - begin_ < whole || end_ == buffer_.size()) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, buffered());
    end_ = buffered();
    begin_ = 0;
    if (buffer_.size() < whole) buffer_.resize(whole);  // the limit on heads was checked with the header
  }
  return std::span(buffer_).subspan(end_);
}

void FrameReader::wrote(std::size_t bytes) {
  if (message_) {
    payload_filled_ += bytes;
  } else {
    end_ += bytes;
  }
}

bool FrameReader::read_header() {
  const auto bytes = std::span(buffer_).subspan(begin_).first<header_bytes>();
  header_ = decode_header(bytes, peer_);
  begin_ += header_bytes;
  if (!header_) return false;
  const bool is_data = header_->kind == Header::Kind::Chunk ||
                       (header_->kind == Header::Kind::Note && header_->payload_bytes > 0);
  return is_data || !is_for_data_;
}

bool FrameReader::read_head() {
  const auto head = std::span(buffer_).subspan(begin_, header_->head_bytes);
  message_ = decode_head(*header_, head, peer_);
  begin_ += header_->head_bytes;
  if (!message_) return false;
  message_->payload = remote::Payload(header_->payload_bytes);
  payload_filled_ = 0;
  read_payload();
  return true;
}

/// What of the payload has come into the buffer.
void FrameReader::read_payload() {
  const std::size_t bytes = std::min(buffered(), message_->payload.size() - payload_filled_);
  if (bytes == 0) return;
  std::memcpy(message_->payload.data() + payload_filled_, buffer_.data() + begin_, bytes);
  payload_filled_ += bytes;
  begin_ += bytes;
}

FrameReader::Result FrameReader::next(remote::Message& message, std::uint64_t& sequence) {
  const auto refuse = [this] {
    is_refused_ = true;
    message_.reset();
    return Result::Refused;
  };
  if (is_refused_) return Result::Refused;
  if (!header_) {
    if (buffered() < header_bytes) return Result::Incomplete;
    if (!read_header()) return refuse();
    if (header_->kind == Header::Kind::Heartbeat) {
      header_.reset();
      return Result::Heartbeat;
    }
  }
  if (!message_) {
    if (buffered() < header_->head_bytes) return Result::Incomplete;
    if (!read_head()) return refuse();
  }
  if (payload_filled_ < message_->payload.size()) return Result::Incomplete;
  message = std::move(*message_);
  sequence = header_->sequence;
  message_.reset();
  header_.reset();
  return Result::Message;
}

}  // namespace bluefog::transport::tcp
