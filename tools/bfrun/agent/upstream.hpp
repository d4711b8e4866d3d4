#pragma once
/// @file upstream.hpp  What an agent sends to bfrun.

#include <cstddef>
#include <functional>
#include <string_view>

#include "base/unique_fd.hpp"
#include "messages/events.hpp"
#include "text_writer.hpp"

namespace bfrun {

class Upstream {
 public:
  explicit Upstream(bluefog::base::UniqueFd fd) : fd_(std::move(fd)), writer_([] {}) {}

  /// Until then nothing is written. Starts a thread: later no process may be forked.
  void start() { writer_.start(); }
  void send(const Event& event) { write(encode_event(event)); }
  void send_sign_of_life() { write(encode_frame(FrameKind::alive, {})); }
  /// Sends whole lines in any case. @returns whether more may follow before bfrun grants more output
  bool send_output(int target, std::string_view lines);
  /// bfrun has taken so many bytes of output.
  void grant(std::size_t bytes) { sent_ahead_ -= bytes < sent_ahead_ ? bytes : sent_ahead_; }
  [[nodiscard]] bool has_room() const { return sent_ahead_ < output_ahead; }
  /// Calls `done` on the writing thread once everything has been sent.
  void finish(std::function<void()> done) { writer_.finish(std::move(done)); }

 private:
  void write(std::string frame) { (void)writer_.write(fd_.get(), std::move(frame)); }

  bluefog::base::UniqueFd fd_;
  TextWriter writer_;  // ends before its descriptor is closed
  std::size_t sent_ahead_ = 0;
};

}  // namespace bfrun
