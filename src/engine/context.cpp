#include <algorithm>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include <bluefog/context.hpp>
#include <bluefog/error.hpp>

#include "engine/network.hpp"
#include "engine/session.hpp"

namespace bluefog {

class Context::Impl {
 public:
  explicit Impl(std::shared_ptr<engine::Session> joined)
      : session(std::move(joined)), machines(engine::machines_of(session->config())) {}

  [[nodiscard]] Handle start(engine::Request request, const OperationOptions& options) const {
    return submit(std::move(request), !options.attended);
  }
  void run(engine::Request request) const { submit(std::move(request), false).wait(); }
  [[nodiscard]] GatheredTensor gather(engine::Request request) const {
    Handle handle = submit(std::move(request), false);
    handle.wait();
    return handle.gathered();
  }
  /// Of this rank.
  [[nodiscard]] const engine::Machine& machine() const {
    return *std::prev(
        std::ranges::upper_bound(machines, session->config().rank, {}, &engine::Machine::first_rank));
  }

  /// For calls of this rank, which a forked child does not make.
  [[nodiscard]] engine::RequestFactory& requests() const {
    session->engine().require_home();
    return session->requests();
  }

  std::shared_ptr<engine::Session> session;
  std::vector<engine::Machine> machines;

 private:
  [[nodiscard]] Handle submit(engine::Request request, bool is_async) const {
    auto operation = session->engine().submit(std::move(request), is_async);
    return {std::shared_ptr<engine::Engine>(session, &session->engine()), std::move(operation)};
  }
};

Context::Context(const Config& config) : Context(std::make_unique<Impl>(engine::Session::join(config))) {}
Context::Context(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Context::Context(std::shared_ptr<engine::Session> session)
    : Context(std::make_unique<Impl>(std::move(session))) {}
Context::Context(Context&&) noexcept = default;
Context& Context::operator=(Context&& other) noexcept {
  const Context left(std::move(*this));
  impl_ = std::move(other.impl_);
  return *this;
}
Context::~Context() {
  if (impl_ != nullptr) impl_->session->shutdown();
}

Context::Impl& Context::impl() const {
  if (impl_ != nullptr) return *impl_;
  throw InvalidArgument(
      "this Context was moved from; use the one that it was moved to (algorithms and optimizers hold a "
      "reference "
      "to theirs: make them after the move)");
}

std::vector<Context> Context::in_process(int size, const Config& config) {
  if (size < 1) throw InvalidArgument("a job has at least one rank, not " + std::to_string(size));
  std::vector<Context> contexts;
  for (auto& session : engine::Session::in_process(size, config)) {
    contexts.push_back(Context(std::make_unique<Impl>(std::move(session))));
  }
  return contexts;
}

int Context::rank() const {
  return impl().session->config().rank;
}
int Context::size() const {
  return impl().session->config().size;
}
int Context::local_rank() const {
  return rank() - impl().machine().first_rank;
}
int Context::local_size() const {
  return impl().machine().ranks;
}
int Context::machine_rank() const {
  return impl().machine().index;
}
int Context::machine_size() const {
  return static_cast<int>(impl().machines.size());
}
int Context::host_count() const {
  const auto& transport = impl().session->transport();
  std::set<int> hosts;
  for (int rank = 0; rank < size(); ++rank) hosts.insert(transport.host_of(rank));
  return static_cast<int>(hosts.size());
}
const Config& Context::config() const {
  return impl().session->config();
}

void Context::set_topology(const Topology& topology, bool weighted) {
  std::string refusal;
  if (topology.size() != size()) {
    refusal = "the topology has " + std::to_string(topology.size()) + " nodes, the job " +
              std::to_string(size()) + " ranks";
  }
  if (refusal.empty()) refusal = impl().session->blocks_topology();
  auto& requests = impl().requests();
  impl().run(requests.agreement(topology.hash() + (weighted ? 1 : 0), refusal));
  requests.set_topology(topology, weighted);
}

Topology Context::topology() const {
  return *impl().session->requests().topology();
}
bool Context::is_topology_weighted() const {
  return impl().session->requests().is_weighted();
}

void Context::set_machine_topology(const Topology& topology, bool weighted) {
  impl().requests().machines().set_topology(topology, weighted);
}
std::optional<Topology> Context::machine_topology() const {
  return impl().session->requests().machines().topology();
}
bool Context::is_machine_topology_weighted() const {
  return impl().session->requests().machines().is_weighted();
}

SharedMemory Context::allocate_shared(std::size_t bytes) {
  impl().session->engine().require_home();
  if (bytes > most_shared_bytes) {
    throw Error("allocate_shared on rank " + std::to_string(rank()) + ": no machine has so much memory");
  }
  return impl().session->transport().allocate(bytes);
}

MemoryKind Context::memory_kind(const void* address) const {
  const auto offset = impl().session->transport().offset_of(address, 1);
  return offset == transport::no_offset ? MemoryKind::Private : MemoryKind::Arena;
}

void Context::neighbor_allreduce(ConstTensor input, Tensor output, const NeighborAllreduceOptions& options) {
  impl().run(impl().requests().neighbor_allreduce(input, output, options));
}
Handle Context::neighbor_allreduce_async(ConstTensor input, Tensor output,
                                         const NeighborAllreduceOptions& options) {
  return impl().start(impl().requests().neighbor_allreduce(input, output, options), options);
}

void Context::hierarchical_neighbor_allreduce(ConstTensor input, Tensor output,
                                              const HierarchicalNeighborAllreduceOptions& options) {
  impl().run(impl().requests().hierarchical_neighbor_allreduce(input, output, options));
}
Handle Context::hierarchical_neighbor_allreduce_async(ConstTensor input, Tensor output,
                                                      const HierarchicalNeighborAllreduceOptions& options) {
  return impl().start(impl().requests().hierarchical_neighbor_allreduce(input, output, options), options);
}

GatheredTensor Context::neighbor_allgather(ConstTensor input, const NeighborAllgatherOptions& options) {
  return impl().gather(impl().requests().neighbor_allgather(input, options));
}
Handle Context::neighbor_allgather_async(ConstTensor input, const NeighborAllgatherOptions& options) {
  return impl().start(impl().requests().neighbor_allgather(input, options), options);
}

void Context::allreduce(ConstTensor input, Tensor output, const AllreduceOptions& options) {
  impl().run(impl().requests().allreduce(input, output, options));
}
Handle Context::allreduce_async(ConstTensor input, Tensor output, const AllreduceOptions& options) {
  return impl().start(impl().requests().allreduce(input, output, options), options);
}

GatheredTensor Context::allgather(ConstTensor input, const OperationOptions& options) {
  return impl().gather(impl().requests().allgather(input, options));
}
Handle Context::allgather_async(ConstTensor input, const OperationOptions& options) {
  return impl().start(impl().requests().allgather(input, options), options);
}

void Context::broadcast(Tensor tensor, int root, const OperationOptions& options) {
  impl().run(impl().requests().broadcast(tensor, root, options));
}
Handle Context::broadcast_async(Tensor tensor, int root, const OperationOptions& options) {
  return impl().start(impl().requests().broadcast(tensor, root, options), options);
}

void Context::barrier(const OperationOptions& options) {
  impl().run(impl().requests().barrier(options));
}
Handle Context::barrier_async(const OperationOptions& options) {
  return impl().start(impl().requests().barrier(options), options);
}

const std::shared_ptr<engine::Session>& Context::session() const {
  return impl().session;
}

Stats Context::stats() const {
  return impl().session->engine().stats();
}

bool Context::timeline_start_activity(const std::string& name, const std::string& activity) {
  trace::Timeline* timeline = impl().session->timeline();
  return timeline != nullptr && timeline->begin(name, activity);
}

bool Context::timeline_end_activity(const std::string& name) {
  trace::Timeline* timeline = impl().session->timeline();
  return timeline != nullptr && timeline->end(name);
}

void Context::shutdown() {
  if (impl_ != nullptr) impl_->session->shutdown();
}
bool Context::is_shut_down() const {
  return impl_ == nullptr || impl_->session->is_forked_copy() || impl_->session->engine().stopped();
}

}  // namespace bluefog
