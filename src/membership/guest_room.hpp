#pragma once
/// @file guest_room.hpp  Where the ranks of a host wait until it is known where all others are.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <sys/types.h>

#include "base/unique_fd.hpp"
#include "membership/muster_protocol.hpp"
#include "transport/tcp/socket.hpp"

namespace bluefog::membership {

/// Lives on the thread of the event loop.
class GuestRoom {
 public:
  struct Callbacks {
    std::function<void(int rank)> on_arrival;
    std::function<void(int rank)> on_departure;  ///< of one that waited
    std::function<void()> on_impatience;         ///< of one that wants to know who is missing
  };
  /// @param listener  an abstract UNIX socket
  GuestRoom(asio::io_context& io, base::UniqueFd listener, int size, Callbacks callbacks);

  void start();
  /// Nobody comes or waits any more.
  void stop();
  /// All who wait, and those of these ranks that come later, get the answer.
  void place(const protocol::PlacedHere& answer, int first_rank, int ranks);
  void turn_away(int rank, const std::string& why);
  /// Also all who come later.
  void turn_all_away(const std::string& why);
  /// To those that are impatient. @param note  a sentence more
  void tell_missing(const MissingRanks& missing, const std::string& note);
  /// Who wait.
  [[nodiscard]] std::vector<int> ranks() const;

 private:
  struct Guest {
    std::shared_ptr<transport::tcp::Socket> socket;
    pid_t pid = 0;
    bool is_impatient = false;
  };
  struct Answer {
    protocol::PlacedHere text;
    int first_rank = 0;
    int ranks = 0;
  };
  [[nodiscard]] asio::awaitable<void> accept_all();
  [[nodiscard]] asio::awaitable<void> serve(std::shared_ptr<transport::tcp::Socket> socket);
  /// @returns nothing if no rank of this job has come
  [[nodiscard]] asio::awaitable<std::optional<protocol::Arrival>> hear(
      std::shared_ptr<transport::tcp::Socket> socket);
  [[nodiscard]] std::string problem_of(const protocol::Arrival& arrival) const;
  /// @returns whether it waits
  [[nodiscard]] bool admit(const protocol::Arrival& arrival,
                           const std::shared_ptr<transport::tcp::Socket>& socket);
  [[nodiscard]] asio::awaitable<void> wait_with(int rank, std::shared_ptr<transport::tcp::Socket> socket);

  asio::io_context& io_;
  transport::tcp::Socket listener_;
  asio::steady_timer retry_;
  int size_;
  Callbacks callbacks_;
  std::map<int, Guest> guests_;
  std::optional<Answer> answer_;
  std::string refusal_;  ///< of all
  int strangers_ = 0;
};

}  // namespace bluefog::membership
