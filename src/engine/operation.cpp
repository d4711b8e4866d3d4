#include "engine/operation.hpp"

#include <algorithm>

#include <bluefog/error.hpp>

#include "engine/crossing.hpp"
#include "engine/errand.hpp"

namespace bluefog::engine {

std::string_view name_of(OperationKind kind) noexcept {
  switch (kind) {
    case OperationKind::NeighborAllreduce:
      return "neighbor_allreduce";
    case OperationKind::HierarchicalNeighborAllreduce:
      return "hierarchical_neighbor_allreduce";
    case OperationKind::NeighborAllgather:
      return "neighbor_allgather";
    case OperationKind::Allreduce:
      return "allreduce";
    case OperationKind::Allgather:
      return "allgather";
    case OperationKind::Broadcast:
      return "broadcast";
    case OperationKind::Barrier:
      return "barrier";
    case OperationKind::Agreement:
      return "set_topology";
  }
  return "operation";
}

Plan::Plan(mixing::MixingRow own_row, std::vector<int> order)
    : row(std::move(own_row)), gather_order(std::move(order)) {
  row_words = mixing::encode(row);
  row_hash = row.hash();
  for (const auto* list : {&row.sources, &row.destinations}) {
    for (const auto& edge : *list) neighbors.push_back(edge.rank);
  }
  std::sort(neighbors.begin(), neighbors.end());
  neighbors.erase(std::unique(neighbors.begin(), neighbors.end()), neighbors.end());
}

Operation::Operation(Request request) : request_(std::move(request)) {}
Operation::~Operation() = default;

void Operation::when_closed(std::function<void()> then) {
  {
    const std::lock_guard lock(watching_);
    Stage stage = Stage::Open;
    if (stage_.compare_exchange_strong(stage, Stage::Watched) || stage == Stage::Watched) {
      watchers_.push_back(std::move(then));
      return;
    }
  }
  then();
}

void Operation::tell_watchers() noexcept {
  std::vector<std::function<void()>> told;
  {
    const std::lock_guard lock(watching_);
    told.swap(watchers_);
  }
  for (const auto& then : told) then();
}

const PeerView* Operation::find_peer(int rank) const noexcept {
  const auto found =
      std::find_if(peers.begin(), peers.end(), [rank](const PeerView& peer) { return peer.rank == rank; });
  return found == peers.end() ? nullptr : &*found;
}

std::string Operation::describe(int rank) const {
  if (request_.errand != nullptr) {
    return std::string(request_.errand->name()) + " \"" + std::string(request_.errand->subject()) + "\" on " +
           rank_text(rank);
  }
  return describe_call(request_.kind, request_.name, key) + " on " + rank_text(rank);
}

std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "unknown error";
  }
}

std::string describe_call(OperationKind kind, const std::string& name, const Key& key) {
  std::string text(name_of(kind));
  if (!name.empty()) text += " \"" + name + "\"";
  return text + " (call " + std::to_string(key.count) + ")";
}

std::string rank_text(int rank) {
  return "rank " + std::to_string(rank);
}

std::uint64_t chunks_of(const Post& post) {
  return (bytes_of(post) + post.chunk_bytes - 1) / post.chunk_bytes;
}

transport::Reason reason_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const PeerLost& lost) {
    return {lost.what(), lost.peer()};
  } catch (...) {
    return {message_of(error)};
  }
}

std::size_t Component::index_of(int rank) const {
  return static_cast<std::size_t>(std::lower_bound(members.begin(), members.end(), rank) - members.begin());
}

std::vector<mixing::Term> terms_of(const mixing::ResolvedRow& row, const std::vector<int>& inputs) {
  std::vector<mixing::Term> terms;
  for (const auto& term : row.terms) {
    const auto at = std::lower_bound(inputs.begin(), inputs.end(), term.rank);
    terms.push_back({static_cast<std::uint32_t>(at - inputs.begin()), term.weight});
  }
  return terms;
}

}  // namespace bluefog::engine
