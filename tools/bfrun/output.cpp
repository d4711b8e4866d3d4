#include "output.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

#include <asio/post.hpp>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/blocked_signals.hpp"

namespace bfrun {
namespace {

constexpr std::size_t longest_line = std::size_t{1} << 20;
constexpr std::size_t most_waiting_bytes = std::size_t{4} << 20;

}  // namespace

std::string LineTagger::take(std::string_view bytes) {
  std::string lines;
  for (std::size_t newline = bytes.find('\n'); newline != std::string_view::npos;
       newline = bytes.find('\n')) {
    lines += prefix_;
    lines += partial_;
    lines += bytes.substr(0, newline + 1);
    partial_.clear();
    bytes.remove_prefix(newline + 1);
  }
  partial_ += bytes;
  if (partial_.size() > longest_line) lines += flush();
  return lines;
}

std::string LineTagger::flush() {
  if (partial_.empty()) return {};
  return prefix_ + std::exchange(partial_, {}) + "\n";
}

TextWriter::~TextWriter() {
  finish(nullptr);
  if (thread_.joinable()) thread_.join();
}

void TextWriter::start() {
  const bluefog::base::BlockedSignals blocked;  // signals are the other thread's business
  thread_ = std::thread([this] { run(); });
}

TextWriter::State TextWriter::write(int fd, std::string text) {
  const std::lock_guard lock(mutex_);
  if (broken_.count(fd) > 0) return State::broken;
  waiting_bytes_ += text.size();
  texts_.push_back({fd, std::move(text)});
  full_ = full_ || waiting_bytes_ > most_waiting_bytes;
  changed_.notify_one();
  return full_ ? State::full : State::room;
}

void TextWriter::finish(std::function<void()> done) {
  const std::lock_guard lock(mutex_);
  if (finishing_) return;
  finishing_ = true;
  done_ = std::move(done);
  changed_.notify_one();
}

void TextWriter::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return !texts_.empty() || finishing_; });
    if (texts_.empty()) break;
    const Text text = std::move(texts_.front());
    texts_.pop_front();
    const bool skip = broken_.count(text.fd) > 0;
    lock.unlock();
    const bool written = skip || write_out(text);
    lock.lock();
    if (!written) broken_.insert(text.fd);
    waiting_bytes_ -= text.bytes.size();
    if (full_ && waiting_bytes_ < most_waiting_bytes / 2) {
      full_ = false;
      lock.unlock();
      on_room_();
      lock.lock();
    }
  }
  if (done_) done_();
}

bool TextWriter::write_out(const Text& text) {
  std::string_view left = text.bytes;
  while (!left.empty()) {
    const ssize_t written = ::write(text.fd, left.data(), left.size());
    if (written >= 0) {
      left.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {  // whoever shares our terminal or pipe may have made it so
      pollfd entry{text.fd, POLLOUT, 0};
      ::poll(&entry, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

TaggedOutput::TaggedOutput(asio::io_context& io)
    : io_(io), writer_([this] { asio::post(io_, [this] { resume(); }); }) {}

bluefog::base::UniqueFd TaggedOutput::add_pipe(int rank, int target) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  std::string prefix = "[";
  prefix.append(std::to_string(rank)).append("] ");
  streams_.push_back(std::make_unique<Stream>(io_, ends[0], std::move(prefix), target));
  return bluefog::base::UniqueFd(ends[1]);
}

void TaggedOutput::start() {
  writer_.start();
  for (const auto& stream : streams_) wait_for(*stream);
}

void TaggedOutput::write(int target, std::string line) {
  (void)writer_.write(target, std::move(line));
}

void TaggedOutput::wait_for(Stream& stream) {
  stream.pipe.async_wait(asio::posix::stream_descriptor::wait_read,
                         [this, &stream](const asio::error_code& error) {
                           if (!error && stream.pipe.is_open()) read(stream);
                         });
}

void TaggedOutput::read(Stream& stream) {
  const ssize_t length = ::read(stream.pipe.native_handle(), buffer_.data(), buffer_.size());
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return wait_for(stream);
  std::string lines = length > 0 ? stream.tagger.take({buffer_.data(), static_cast<std::size_t>(length)})
                                 : stream.tagger.flush();
  const TextWriter::State state =
      lines.empty() ? TextWriter::State::room : writer_.write(stream.target, std::move(lines));
  if (length <= 0 || state == TextWriter::State::broken) {
    stream.pipe.close();  // the rank gets SIGPIPE, as without tags
  } else if (state == TextWriter::State::full) {
    paused_.push_back(&stream);
  } else {
    wait_for(stream);
  }
}

void TaggedOutput::resume() {
  for (Stream* stream : std::exchange(paused_, {})) wait_for(*stream);
}

void TaggedOutput::finish(std::function<void()> done) {
  for (const auto& stream : streams_) {
    ssize_t length = 0;
    while (stream->pipe.is_open() &&
           (length = ::read(stream->pipe.native_handle(), buffer_.data(), buffer_.size())) != 0) {
      if (length < 0 && errno != EINTR) break;
      if (length < 0) continue;
      (void)writer_.write(stream->target,
                          stream->tagger.take({buffer_.data(), static_cast<std::size_t>(length)}));
    }
    (void)writer_.write(stream->target, stream->tagger.flush());
    asio::error_code ignored;
    stream->pipe.close(ignored);
  }
  writer_.finish([this, done = std::move(done)] { asio::post(io_, done); });
}

}  // namespace bfrun
