// What two ranks say about one operation must fit.

#include <string>

#include <bluefog/error.hpp>

#include "engine/engine.hpp"

namespace bluefog::engine {

namespace {

Shape shape_of(const Post& post) {
  return Shape(std::span(post.extents.data(), post.dims));
}

/// Extents that must be equal: gathers may differ in the first.
bool same_extents(const Post& a, const Post& b) {
  if (a.dims != b.dims) return false;
  const std::size_t first = gathers(a.kind) ? 1 : 0;
  for (std::size_t dim = first; dim < a.dims; ++dim) {
    if (a.extents[dim] != b.extents[dim]) return false;
  }
  return true;
}

struct Difference {
  std::string what;
  std::string mine;
  std::string theirs;
};

/// Of the digests of two posts.
Difference digest_difference(const Request& request, const Post& own, const Post& other) {
  switch (request.kind) {
    case OperationKind::Broadcast:
      return {"root rank", std::to_string(own.digest), std::to_string(other.digest)};
    case OperationKind::Agreement:
      return {"topology", "one", "another"};
    case OperationKind::NeighborAllreduce: {
      const auto name_of_matrix = [](const Post& post, const std::string& known) {
        return post.digest == 0 ? "weights in the call" : known;
      };
      return {"mixing matrix (schedule, round, form or topology)",
              name_of_matrix(own, request.plan->matrix_name), name_of_matrix(other, "another one")};
    }
    case OperationKind::HierarchicalNeighborAllreduce:
      return {"mixing of the machines (weights in the call, schedule, round, form, topology or the machines)",
              request.plan->matrix_name, "another one"};
    default:
      return {"reduction", "one", "another"};
  }
}

}  // namespace

std::string describe_edge(const mixing::Closure::OneSidedEdge& edge) {
  return rank_text(edge.sender) +
         (edge.sender_knows
              ? " sends to " + rank_text(edge.receiver) + ", which does not receive from it"
              : " does not send to " + rank_text(edge.receiver) + ", which wants to receive from it") +
         "; give both ends of an edge on both ranks";
}

/// @throws Mismatch if the two ranks do not mean the same tensor
void Engine::compare_posts(const Operation& operation, const PeerView& peer) const {
  const Post& own = operation.post;
  const Post& other = peer.post;
  const auto fail = [&](const std::string& what, const std::string& mine, const std::string& theirs) {
    throw Mismatch(operation.describe(rank_) + ": the " + what + " differs: " + rank_text(rank_) + " gives " +
                   mine + ", " + rank_text(peer.rank) + " gives " + theirs + "; give the same on both");
  };
  if (own.dtype != other.dtype) {
    fail("dtype", std::string(bluefog::name_of(own.dtype)), std::string(bluefog::name_of(other.dtype)));
  }
  if (!same_extents(own, other)) fail("shape", shape_of(own).to_string(), shape_of(other).to_string());
  if (own.meets != other.meets) fail("meet flag", std::to_string(own.meets), std::to_string(other.meets));
  if (own.digest != other.digest) {
    const Difference difference = digest_difference(operation.request(), own, other);
    fail(difference.what, difference.mine, difference.theirs);
  }
  if (own.chunk_bytes != other.chunk_bytes) {
    fail("chunk size", std::to_string(own.chunk_bytes), std::to_string(other.chunk_bytes));
  }
}

/// @throws Mismatch for an edge that only one of its ends knows
void Engine::check_edges(const Operation& operation, const PeerView& peer) {
  const auto row = row_of(peer);
  if (row == nullptr && peer.is_far) return;  // it has given up, and this rank has all that it needs of it
  if (row == nullptr) std::rethrow_exception(passed_error(operation, peer.rank));
  const mixing::MixingRow& own = operation.request().plan->row;
  const auto fail = [&](int sender, int receiver, bool sender_knows) {
    const std::string text =
        operation.describe(rank_) + ": " + describe_edge({sender, receiver, sender_knows});
    transport_.complain(peer.rank, operation.key, text);
    throw Mismatch(text);
  };
  const bool receives = own.source(peer.rank) != nullptr;
  const bool sends = own.destination(peer.rank) != nullptr;
  if (receives != (row->destination(rank_) != nullptr)) fail(peer.rank, rank_, !receives);
  if (sends != (row->source(rank_) != nullptr)) fail(rank_, peer.rank, sends);
}

/// @throws Mismatch unless ranks of one machine give the same row, and both machines know an edge
void Engine::compare_machines(const Operation& operation, const PeerView& peer) {
  const auto row = row_of(peer);
  if (row == nullptr) return;
  const mixing::MixingRow& own = operation.request().plan->row;
  const mixing::MachineMap& machines = *operation.request().plan->machines->map;
  const int here = machines.machine_of(rank_);
  const int there = machines.machine_of(peer.rank);
  if (here == there) {
    mixing::MixingRow expected = own;
    expected.rank = row->rank;
    if (expected == *row) return;
    throw Mismatch(operation.describe(rank_) + ": " + rank_text(rank_) + " and " + rank_text(peer.rank) +
                   " are of one machine, but their weights differ; give the same on all ranks of a machine");
  }
  const auto check = [&](int sender, int receiver, bool sender_knows, bool receiver_knows) {
    if (sender_knows == receiver_knows) return;
    const std::string from = "machine " + std::to_string(sender);
    const std::string to = "machine " + std::to_string(receiver);
    throw Mismatch(operation.describe(rank_) + ": " + from +
                   (sender_knows ? " sends to " + to + ", which does not receive from it"
                                 : " does not send to " + to + ", which wants to receive from it") +
                   "; give both ends of an edge, on all ranks of both machines (" + rank_text(peer.rank) +
                   " tells)");
  };
  const int own_name = machines.first_rank(here);
  const int their_name = machines.first_rank(there);
  check(here, there, own.destination(their_name) != nullptr, row->source(own_name) != nullptr);
  check(there, here, row->destination(own_name) != nullptr, own.source(their_name) != nullptr);
}

}  // namespace bluefog::engine
