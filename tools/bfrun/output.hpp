#pragma once
/// @file output.hpp  --tag-output: lines of all ranks, each with its rank before it, never mixed within a
/// line.

#include <array>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include "base/unique_fd.hpp"

namespace bfrun {

/// Cuts a stream of bytes into lines with a prefix.
class LineTagger {
 public:
  explicit LineTagger(std::string prefix) : prefix_(std::move(prefix)) {}
  /// The lines that these bytes complete.
  [[nodiscard]] std::string take(std::string_view bytes);
  /// What is left without a newline, as a line; empty if nothing is.
  [[nodiscard]] std::string flush();

 private:
  std::string prefix_;
  std::string partial_;
};

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

/// The pipes of all ranks. Everything but the writing happens on the io_context's thread.
class TaggedOutput {
 public:
  explicit TaggedOutput(asio::io_context& io);

  /// A pipe for one rank's standard output or standard error (`target`: 1 or 2); returns the end for the
  /// rank.
  [[nodiscard]] bluefog::base::UniqueFd add_pipe(int rank, int target);
  /// Starts reading and writing. Later no process may be forked.
  void start();
  /// A line of bfrun's own.
  void write(int target, std::string line);
  /// Takes what the pipes still hold, and calls `done` on the io_context when all is written.
  void finish(std::function<void()> done);

 private:
  struct Stream {
    Stream(asio::io_context& io, int fd, std::string prefix, int target_fd)
        : pipe(io, fd), tagger(std::move(prefix)), target(target_fd) {}
    asio::posix::stream_descriptor pipe;
    LineTagger tagger;
    int target;
  };
  void wait_for(Stream& stream);
  void read(Stream& stream);
  void resume();

  asio::io_context& io_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<Stream*> paused_;
  std::array<char, 65536> buffer_{};
  TextWriter writer_;
};

}  // namespace bfrun
