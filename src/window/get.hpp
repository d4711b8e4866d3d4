#pragma once
/// @file get.hpp  Get: the tensors of others on their way to the buffers here.

#include <vector>

#include "window/operation.hpp"

namespace bluefog::window {

class GetOperation final : public Operation {
 public:
  /// @throws InvalidArgument
  GetOperation(std::shared_ptr<Core> core, const WindowGetOptions& options);

  void for_each_peer(base::FunctionRef<void(int, std::size_t, std::size_t)> tell) const override;

 private:
  struct Source {
    Neighbor* peer;
    double weight;
  };
  [[nodiscard]] Task run() override;
  [[nodiscard]] Task read_near(const Source& source);
  [[nodiscard]] Task read_mirror(const Source& source);
  void copy(const Source& source, const std::byte* tensor);
  void accept(const Source& source, double push_sum_weight);

  std::vector<Source> sources_;  ///< ascending
  bool requires_mutex_;
  bool moves_weights_;
  bool is_done_ = false;
};

}  // namespace bluefog::window
