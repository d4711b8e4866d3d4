#pragma once
/// @file events.hpp  What an agent and bfrun say to each other.
///
/// Agents send frames: a kind, a length, and that many bytes. The first is preceded by a mark, for the login
/// shell of another host may have written something before. bfrun sends the job description and then orders,
/// one byte each but for messages about the ranks of all hosts; the end of that stream is bfrun's death.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <sys/types.h>

#include "messages/roster_messages.hpp"
#include "transport/tcp/interfaces.hpp"

namespace bfrun {

using bluefog::transport::tcp::InterfaceAddress;

/// The first event: that the agent is there, and what its host is like.
struct Greeting {
  std::string version;
  std::vector<InterfaceAddress> addresses;  ///< of interfaces that are up
  std::vector<std::string> interfaces;      ///< all
  std::string reached_at;                   ///< the address by which ssh came to this host; empty without ssh
  std::string reached_from;                 ///< that from which it came
  int free_port = 0;                        ///< a TCP port that nobody listened at
};

/// A rank has ended.
struct RankEnded {
  int rank = 0;
  pid_t pid = 0;
  int wait_status = 0;
};

/// The ranks cannot be started; none of this host runs any more.
struct StartFailed {
  int exit_code = 1;
  std::string reason;
};

/// Something to tell the user.
struct Note {
  std::string text;
};

/// No process of the job is left on this host.
struct HostFinished {};

using Event = std::variant<Greeting, RankEnded, StartFailed, Note, HostFinished, RankWaits, RankLeft>;

enum class FrameKind : unsigned char {
  output = 1,  ///< whole lines of standard output
  error = 2,   ///< whole lines of standard error
  event = 3,
  alive = 4,  ///< nothing but a sign of life
};

struct Frame {
  FrameKind kind{};
  std::string payload;
};

inline constexpr std::string_view mark_of_agent{"\0\1bfrun agent\2", 14};

[[nodiscard]] std::string encode_frame(FrameKind kind, std::string_view payload);
[[nodiscard]] std::string encode_event(const Event& event);
/// @throws InvalidArgument
[[nodiscard]] Event parse_event(std::string_view payload);

/// Cuts the agent's stream into frames.
class FrameParser {
 public:
  void take(std::string_view bytes);
  /// The next complete frame. @throws InvalidArgument  this is no agent's stream
  [[nodiscard]] std::optional<Frame> next();

 private:
  [[nodiscard]] bool skip_to_mark();

  std::string buffer_;
  std::size_t used_ = 0;
  bool marked_ = false;
};

// ---- orders: a signal's number, or one of these

/// Everything is to end at once. Any other signal is for the ranks, which get a moment to end by themselves.
inline constexpr unsigned char order_end_now = 9;
/// Nobody reads standard output (order_closed + 1) or standard error (+ 2) any more.
inline constexpr unsigned char order_closed = 0x80;
/// So much more output may be sent. Without such an account, events would queue behind what a pager holds up.
inline constexpr unsigned char order_more_output = 0xa0;
inline constexpr std::size_t bytes_per_order_of_output = std::size_t{64} << 10;
/// A message follows (roster_messages.hpp).
inline constexpr unsigned char order_message = 0xb0;
inline constexpr std::size_t output_ahead = std::size_t{1} << 20;

}  // namespace bfrun
