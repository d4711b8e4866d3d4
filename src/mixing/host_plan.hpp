#pragma once
/// @file host_plan.hpp  How the tensors of one round cross between hosts: each once for every host that needs
/// it, in slices that are shared out among the ranks of both hosts.
///
/// The member number l of a host mixes slice l of all tensors of its host. What it needs of a host A, slice l
/// of tensors there, comes from one rank: its carrier, the member number l mod |A| of A. So hosts of unequal
/// size work, and all ports of both hosts carry alike.

#include <cstddef>
#include <span>
#include <vector>

#include "base/function_ref.hpp"
#include "mixing/row.hpp"

namespace bluefog::mixing {

/// Which ranks of a group share a host.
class Placement {
 public:
  Placement(std::span<const int> ranks, base::FunctionRef<int(int rank)> host_of);

  [[nodiscard]] std::size_t host_count() const { return members_.size(); }
  /// Number of a rank's host, from 0.
  [[nodiscard]] std::size_t host_of(int rank) const { return host_of_rank_[static_cast<std::size_t>(rank)]; }
  /// Members of the group on a host, ascending.
  [[nodiscard]] const std::vector<int>& members(std::size_t host) const { return members_[host]; }
  /// Whether any host holds several members.
  [[nodiscard]] bool shares_hosts() const { return shares_hosts_; }

 private:
  std::vector<std::vector<int>> members_;  ///< by host
  std::vector<std::size_t> host_of_rank_;
  bool shares_hosts_ = false;
};

/// One rank's part in a round. All members of its host take part, also those that rest.
struct HostPlan {
  /// The own slice of tensors of another host.
  struct Incoming {
    int carrier;               ///< who sends it
    std::vector<int> tensors;  ///< whose tensors, ascending; one after the other
  };
  /// A slice of tensors of the own host.
  struct Outgoing {
    int carrier;               ///< who mixes it, on another host
    std::vector<int> tensors;  ///< as above
    std::size_t slice;         ///< number of the slice, of so many:
    std::size_t slices;
  };
  std::vector<int> members;  ///< of the own host, ascending
  std::size_t own = 0;       ///< position of the own rank among them, and number of its slice
  bool crosses = false;      ///< some edge leads from the own host, or to it; else there is no more to know
  std::vector<Incoming> incoming;
  std::vector<Outgoing> outgoing;
  std::vector<int> staged;        ///< ranks of other hosts whose tensors are needed here, ascending
  std::vector<int> inputs;        ///< members and staged ranks, ascending
  std::vector<ResolvedRow> rows;  ///< by member; their terms are among the inputs
  std::vector<int> peers;         ///< other members and all carriers, ascending
};

/// Takes time in proportion to the edges of the own host's members.
/// @param row_of  asked for members of the own host; edges must be known at both ends
[[nodiscard]] HostPlan make_host_plan(int own, const Placement& placement,
                                      base::FunctionRef<MixingRow(int rank)> row_of);

}  // namespace bluefog::mixing
