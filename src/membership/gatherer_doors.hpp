#pragma once
/// @file gatherer_doors.hpp  Where the leaders of other hosts come in to the one that gathers the job.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

#include "membership/host_line.hpp"
#include "membership/job_gatherer.hpp"
#include "membership/muster.hpp"
#include "transport/tcp/doorman.hpp"
#include "transport/tcp/handshake.hpp"

namespace bluefog::membership {

/// Lives on the thread of the event loop.
class GathererDoors {
 public:
  /// @param gatherer  takes what they say, and must outlive this
  GathererDoors(asio::io_context& io, const MusterCall& call, JobGatherer& gatherer);

  /// Listens at the first port that is free, also if that takes a quarter of the time that ranks have to
  /// come.
  /// @returns why it cannot; empty if it does
  [[nodiscard]] asio::awaitable<std::string> open();
  /// Nobody comes in any more; those that are there hear what has been said to them.
  void finish();
  void send(int host, const HostOrder& order);
  /// Whether all have gone.
  [[nodiscard]] bool is_empty() const { return lines_.empty(); }
  /// How many came that were none of this job, or did not know its key.
  [[nodiscard]] std::uint64_t refused() const { return doorman_ ? doorman_->refused() : 0; }
  /// An address of this host by which another has reached it; empty if none has.
  [[nodiscard]] const std::string& reached_at() const { return reached_at_; }

 private:
  void admit(transport::tcp::Opened opened);
  [[nodiscard]] asio::awaitable<void> listen_to(int host, std::shared_ptr<HostLine> line);

  asio::io_context& io_;
  JobGatherer& gatherer_;
  MeetingPoint point_;
  int size_;
  transport::tcp::SocketOptions sockets_;
  transport::tcp::Identity identity_;
  /// Ranks of an earlier start, which are ending, may still hold a port. And if all ranks are of this host,
  /// nobody needs it.
  std::chrono::milliseconds time_for_port_;
  asio::steady_timer retry_;
  std::unique_ptr<transport::tcp::Doorman> doorman_;
  std::map<int, std::shared_ptr<HostLine>> lines_;
  std::string reached_at_;
  bool is_finished_ = false;
};

}  // namespace bluefog::membership
