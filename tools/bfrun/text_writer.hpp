#pragma once
/// @file text_writer.hpp  Writing that never makes the writer wait.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>

namespace bfrun {

/// A thread that writes texts to descriptors, one after the other: supervision must not stand still while
/// somebody pauses a pager.
class TextWriter {
 public:
  enum class State { room, full, broken };
  /// @param on_room  called on the thread when, after State::full, there is room again
  explicit TextWriter(std::function<void()> on_room) : on_room_(std::move(on_room)) {}
  ~TextWriter();
  TextWriter(const TextWriter&) = delete;
  TextWriter& operator=(const TextWriter&) = delete;

  void start();
  /// Always takes the text; full: better wait for on_room with the next. broken: nobody reads this descriptor
  /// any more.
  State write(int fd, std::string text);
  /// Calls `done` on the thread once everything has been written; the thread then ends.
  void finish(std::function<void()> done);

 private:
  struct Text {
    int fd = -1;
    std::string bytes;
  };
  void run();
  bool write_out(const Text& text);

  std::function<void()> on_room_;
  std::function<void()> done_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Text> texts_;
  std::set<int> broken_;
  std::size_t waiting_bytes_ = 0;
  bool full_ = false;
  bool finishing_ = false;
  std::thread thread_;
};

}  // namespace bfrun
