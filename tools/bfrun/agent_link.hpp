#pragma once
/// @file agent_link.hpp  One agent, seen from bfrun: its process (ssh, for one of another host), orders to
/// it, and what comes from it.

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <sys/types.h>

#include "base/unique_fd.hpp"
#include "hosts.hpp"
#include "messages/events.hpp"
#include "remote_command.hpp"

namespace bfrun {

/// Our ends of an agent's process.
struct AgentProcess {
  pid_t pid = 0;
  bluefog::base::UniqueFd orders;
  bluefog::base::UniqueFd upstream;
  bluefog::base::UniqueFd errors;  ///< what ssh has to say; none for an agent of this host
};

/// Forks. Must come first: the process would else keep the orders of others open.
/// @throws std::system_error
[[nodiscard]] AgentProcess start_local_agent();
/// @throws InvalidArgument, std::system_error (ssh cannot be run)
[[nodiscard]] AgentProcess start_remote_agent(const RemoteStart& start, const std::string& host);

class AgentLink {
 public:
  struct Listener {
    virtual ~Listener() = default;
    virtual void on_event(AgentLink& link, const Event& event) = 0;
    /// Whole lines. When they are written, or will be soon, grant() what they took.
    virtual void on_output(AgentLink& link, int target, std::string lines) = 0;
    /// The process has ended, and all that it sent has been told.
    virtual void on_end(AgentLink& link) = 0;
  };

  AgentLink(asio::io_context& io, HostRanks host, AgentProcess process, Listener& listener);

  void start();
  /// Sends bytes, never waiting: the job description, orders.
  void send(std::string bytes);
  void order(unsigned char order) { send(std::string(1, static_cast<char>(order))); }
  void grant(std::size_t bytes);
  /// bfrun wants no more of it.
  void close_orders();
  void kill() const;
  /// To be called when any child may have ended.
  void look_for_end();

  [[nodiscard]] const HostRanks& host() const { return host_; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool has_ended() const { return ended_; }
  [[nodiscard]] int wait_status() const { return wait_status_; }
  /// Whether anything has come since this was asked last.
  [[nodiscard]] bool was_heard_of() { return std::exchange(heard_of_, false); }
  /// Why the stream cannot be understood; empty if it can.
  [[nodiscard]] const std::string& stream_problem() const { return stream_problem_; }
  /// The last line on ssh's standard error, empty if there was none.
  [[nodiscard]] std::string last_words();

 private:
  void read_upstream();
  void wait_for_errors();
  /// Takes what there is; whether more may follow.
  bool read_errors();
  void take(std::string_view bytes);
  void tell_end_if_complete();

  HostRanks host_;
  pid_t pid_;
  Listener& listener_;
  asio::posix::stream_descriptor orders_;
  asio::posix::stream_descriptor upstream_;
  asio::posix::stream_descriptor errors_;
  asio::steady_timer timer_;
  std::string waiting_;  // bytes for the agent
  bool sending_ = false;
  std::string under_way_;
  FrameParser frames_;
  std::string stream_problem_;
  std::string error_text_;
  std::size_t not_granted_ = 0;
  bool heard_of_ = true;
  bool reaped_ = false;
  bool stream_ended_ = false;
  bool ended_ = false;
  int wait_status_ = 0;
  std::array<char, 65536> upstream_buffer_{};
  std::array<char, 4096> errors_buffer_{};
};

}  // namespace bfrun
