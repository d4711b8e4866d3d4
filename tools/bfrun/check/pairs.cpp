#include "check/pairs.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <bluefog/error.hpp>

namespace bfrun {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t mebibyte = std::size_t{1} << 20;
constexpr int small_exchanges = 20;
constexpr double seconds_per_large_exchange = 0.2;
constexpr int large_exchanges = 3;
constexpr double most_mebibytes = 64;
/// A host whose links differ by more is told so.
constexpr double notable_ratio = 4;

struct Link {
  std::string host;
  double small_seconds = 0;     ///< of an exchange of 8 bytes
  double bytes_per_second = 0;  ///< each way, in both at a time
  std::string path;
};

class Pair {
 public:
  Pair(bluefog::Context& context, int peer) : context_(context), peer_(peer) {
    options_.group = {std::min(context.rank(), peer), std::max(context.rank(), peer)};
    options_.self_weight = 0.5;
    options_.src_weights = bluefog::Weights{{peer, 0.5}};
    options_.dst_weights = bluefog::Weights{{peer, 1.0}};
  }

  /// @throws PeerLost, Mismatch, Timeout
  [[nodiscard]] Link measure() {
    (void)agreed(0);  // opens the connection
    Link link;
    link.path = path();
    std::vector<double> small(small_exchanges);
    for (double& seconds : small) seconds = time_of(sizeof(double));
    std::nth_element(small.begin(), small.begin() + small_exchanges / 2, small.end());
    link.small_seconds = small[small_exchanges / 2];
    (void)time_of(mebibyte / 4);  // the congestion window grows
    const double of_a_mebibyte = agreed(time_of(mebibyte));
    const auto bytes = mebibyte * static_cast<std::size_t>(std::clamp(
                                      seconds_per_large_exchange / of_a_mebibyte, 1.0, most_mebibytes));
    for (int i = 0; i < large_exchanges; ++i) {
      link.bytes_per_second =
          std::max(link.bytes_per_second, static_cast<double>(bytes) / agreed(time_of(bytes)));
    }
    return link;
  }

 private:
  [[nodiscard]] double time_of(std::size_t bytes) {
    const std::vector<double> sent(bytes / sizeof(double), 1.0);
    std::vector<double> mean(sent.size());
    const auto begin = Clock::now();
    context_.neighbor_allreduce(sent, mean, options_);
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  /// The mean of what both measured, to the bit the same on both.
  [[nodiscard]] double agreed(double own) {
    std::vector<double> value{own};
    context_.neighbor_allreduce(value, value, options_);
    return value.front();
  }

  [[nodiscard]] std::string path() const {
    for (const bluefog::PeerStats& peer : context_.stats().peers) {
      if (peer.rank == peer_) return peer.path;
    }
    return {};
  }

  bluefog::Context& context_;
  int peer_;
  bluefog::NeighborAllreduceOptions options_;
};

std::string describe(const Link& link) {
  return in_decimals(link.bytes_per_second / 1e6, link.bytes_per_second < 1e7 ? 2 : 0) +
         " MB/s each way, a small exchange takes " + in_decimals(link.small_seconds * 1e3, 2) + " ms, " +
         link.path;
}

void compare(std::vector<Link> links, const Findings& findings) {
  if (links.size() < 2) return;
  std::sort(links.begin(), links.end(),
            [](const Link& a, const Link& b) { return a.bytes_per_second < b.bytes_per_second; });
  const double ratio = links.back().bytes_per_second / links.front().bytes_per_second;
  if (ratio < notable_ratio) return;
  findings.tell("hint: its link to " + links.back().host + " is " + in_decimals(ratio, 1) +
                " times as fast as that to " + links.front().host +
                "; --network-interface chooses another, if both have one");
}

}  // namespace

std::optional<int> partner_in_round(int rank, int size, int round) {
  const int seats = size + size % 2;  // the last one is empty if the size is odd
  const int circle = seats - 1;
  int partner = 0;
  if (rank == circle) {
    partner = round % 2 == 0 ? round / 2 : (round + circle) / 2;  // who would be paired with itself
  } else {
    partner = ((round - rank) % circle + circle) % circle;
    if (partner == rank) partner = circle;
  }
  return partner < size ? std::optional(partner) : std::nullopt;
}

void check_pairs(bluefog::Context& context, const CheckPlan& plan, Findings& findings) {
  const int size = context.size();
  std::vector<Link> links;
  for (int round = 0; round < size - 1 + size % 2; ++round) {
    const std::optional<int> peer = partner_in_round(context.rank(), size, round);
    if (!peer) continue;
    const std::string& name = plan.hosts[static_cast<std::size_t>(*peer)].name;
    try {
      links.push_back(Pair(context, *peer).measure());
      links.back().host = name;
      if (context.rank() < *peer) findings.tell("to " + name + ": " + describe(links.back()));
    } catch (const bluefog::PeerLost& error) {
      findings.problem("to " + name + ": " + error.what() +
                       "; is there a firewall (BLUEFOG_PORT_RANGE names ports to open), or another network "
                       "(--network-interface)?");
    }
  }
  compare(std::move(links), findings);
}

}  // namespace bfrun
