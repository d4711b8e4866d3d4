#include "text_writer.hpp"

#include <cerrno>
#include <string_view>
#include <utility>

#include <poll.h>
#include <unistd.h>

#include "base/blocked_signals.hpp"

namespace bfrun {
namespace {

constexpr std::size_t most_waiting_bytes = std::size_t{4} << 20;

}  // namespace

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

}  // namespace bfrun
