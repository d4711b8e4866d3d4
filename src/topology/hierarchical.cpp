#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <bluefog/error.hpp>
#include <bluefog/schedule.hpp>

#include "base/hash.hpp"

namespace bluefog {

namespace {

/// W = M kron J: M is the round over machines, J averages the ranks of one.
class Hierarchical final : public Schedule {
 public:
  Hierarchical(SchedulePtr machines, int local_size)
      : machines_(std::move(machines)), local_size_(local_size), name_("hierarchical ") {
    name_ += machines_->name();
  }
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] int size() const override { return machines_->size() * local_size_; }
  [[nodiscard]] std::uint64_t period() const override { return machines_->period(); }
  [[nodiscard]] Topology round(std::uint64_t t) const override {
    const Topology machines = machines_->round(t);
    std::vector<Topology::Edge> edges;
    for (int receiver = 0; receiver < machines.size(); ++receiver) {
      add_machine(edges, receiver, receiver, machines.self_weight(receiver));
      for (const auto& [sender, weight] : machines.in_neighbors(receiver)) {
        add_machine(edges, receiver, sender, weight);
      }
    }
    return {size(), edges};
  }

 protected:
  /// Sums over a machine's row or column are those of the rows and columns of its ranks.
  [[nodiscard]] Facts find_facts() const override {
    Facts facts;
    facts.hash = base::hash_bytes(name().data(), name().size());
    facts.hash = base::hash_combine(facts.hash, static_cast<std::uint64_t>(local_size_));
    facts.hash = base::hash_combine(facts.hash, machines_->hash());
    facts.preserves_constants = machines_->preserves_constants();
    facts.preserves_mean = machines_->preserves_mean();
    return facts;
  }

 private:
  /// Every rank of one machine gives equally to every rank of the other, or of its own.
  void add_machine(std::vector<Topology::Edge>& edges, int receiver, int sender, double weight) const {
    if (receiver == sender && weight == 0.0) return;
    for (int r = 0; r < local_size_; ++r) {
      for (int s = 0; s < local_size_; ++s) {
        edges.push_back({receiver * local_size_ + r, sender * local_size_ + s, weight / local_size_});
      }
    }
  }

  SchedulePtr machines_;
  int local_size_;
  std::string name_;
};

}  // namespace

SchedulePtr hierarchical(SchedulePtr machines, int local_size) {
  if (!machines) throw InvalidArgument("hierarchical: give the schedule over the machines");
  if (local_size < 1 || local_size > std::numeric_limits<int>::max() / machines->size()) {
    throw InvalidArgument("hierarchical: " + std::to_string(machines->size()) + " machines of " +
                          std::to_string(local_size) + " ranks each are not possible: give 1 or more ranks");
  }
  return std::make_shared<Hierarchical>(std::move(machines), local_size);
}

}  // namespace bluefog
