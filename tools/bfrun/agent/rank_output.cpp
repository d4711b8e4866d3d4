#include "agent/rank_output.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace bfrun {

bluefog::base::UniqueFd RankOutput::add_pipe(int rank, int target) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  std::string prefix;
  if (tagged_) prefix.append("[").append(std::to_string(rank)).append("] ");
  streams_.push_back(std::make_unique<Stream>(io_, ends[0], std::move(prefix), target));
  return bluefog::base::UniqueFd(ends[1]);
}

void RankOutput::start() {
  for (const auto& stream : streams_) wait_for(*stream);
}

void RankOutput::wait_for(Stream& stream) {
  stream.pipe.async_wait(asio::posix::stream_descriptor::wait_read,
                         [this, &stream](const asio::error_code& error) {
                           if (!error && stream.pipe.is_open()) read(stream);
                         });
}

void RankOutput::read(Stream& stream) {
  const ssize_t length = ::read(stream.pipe.native_handle(), buffer_.data(), buffer_.size());
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return wait_for(stream);
  std::string lines = length > 0 ? stream.tagger.take({buffer_.data(), static_cast<std::size_t>(length)})
                                 : stream.tagger.flush();
  const bool room = lines.empty() || upstream_.send_output(stream.target, lines);
  if (length <= 0) {
    stream.pipe.close();
  } else if (room) {
    wait_for(stream);
  } else {
    paused_.push_back(&stream);
  }
}

void RankOutput::resume() {
  for (Stream* stream : std::exchange(paused_, {})) {
    if (stream->pipe.is_open()) wait_for(*stream);
  }
}

void RankOutput::close(int target) {
  for (const auto& stream : streams_) {
    asio::error_code ignored;
    if (stream->target == target) stream->pipe.close(ignored);
  }
}

void RankOutput::finish() {
  for (const auto& stream : streams_) {
    ssize_t length = 0;
    while (stream->pipe.is_open() &&
           (length = ::read(stream->pipe.native_handle(), buffer_.data(), buffer_.size())) != 0) {
      if (length < 0 && errno != EINTR) break;
      if (length < 0) continue;
      (void)upstream_.send_output(stream->target,
                                  stream->tagger.take({buffer_.data(), static_cast<std::size_t>(length)}));
    }
    (void)upstream_.send_output(stream->target, stream->tagger.flush());
    asio::error_code ignored;
    stream->pipe.close(ignored);
  }
}

}  // namespace bfrun
