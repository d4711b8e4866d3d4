#pragma once
/// @file host_leader.hpp  The thread by which one rank leads its host.

#include <memory>
#include <string>

#include "base/unique_fd.hpp"
#include "membership/muster.hpp"

namespace bluefog::membership {

class HostLeader {
 public:
  /// @param listener  at the host's address
  HostLeader(const MusterCall& call, base::UniqueFd listener);
  /// Ends when all that ranks are to be told has been sent, or soon after.
  ~HostLeader();
  HostLeader(const HostLeader&) = delete;
  HostLeader& operator=(const HostLeader&) = delete;
  /// In a forked child, which has neither the thread nor the sockets.
  void abandon() noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bluefog::membership
