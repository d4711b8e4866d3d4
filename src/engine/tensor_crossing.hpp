#pragma once
/// @file tensor_crossing.hpp  Tensors cross between hosts as they are: a rank sends slices of the tensors of
/// its host, and lands its own slice of tensors of other hosts.

#include <cstddef>
#include <memory>
#include <vector>

#include "engine/crossing.hpp"
#include "mixing/host_plan.hpp"

namespace bluefog::engine {

class TensorCrossing final : public Crossing {
 public:
  /// Takes the memory, and copies a private input to its stand-in. @throws Error if there is no room for it
  TensorCrossing(transport::Transport& transport, std::shared_ptr<StagingPool> pool, Operation& operation,
                 std::size_t chunk_bytes);

  void for_each_peer(base::FunctionRef<void(int, std::size_t, std::size_t)> visit) const override;

 private:
  struct Source {
    const std::vector<int>* tensors;
    std::size_t first;  ///< byte of each tensor
  };
  [[nodiscard]] const std::byte* chunk_to_send(std::size_t flow, const Chunk& chunk) override;
  [[nodiscard]] std::byte* place_of(std::size_t flow, const Chunk& chunk) override;
  void add_streams(const mixing::HostPlan& plan, std::size_t chunk_bytes);
  void stage(const mixing::HostPlan& plan);

  const mixing::HostPlan& plan_;
  std::vector<Source> sources_;                  ///< by outgoing stream
  std::vector<std::vector<std::byte*>> places_;  ///< by incoming stream, then tensor
  std::vector<std::size_t> read_;                ///< bytes of members' tensors that were sent on, by member
};

}  // namespace bluefog::engine
