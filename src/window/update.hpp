#pragma once
/// @file update.hpp  Update: the own tensor and its buffers are combined.

#include <vector>

#include "window/operation.hpp"

namespace bluefog::window {

class UpdateOperation final : public Operation {
 public:
  /// @param name  "win_update", or the name of what asks for it. @throws InvalidArgument
  UpdateOperation(std::shared_ptr<Core> core, std::string_view name, const WindowUpdateOptions& options);

 private:
  [[nodiscard]] Task run() override;
  void take_buffers();
  void combine();
  void combine_tensors(const mixing::ResolvedRow& row);
  void combine_weights(const mixing::ResolvedRow& row);
  void forget();
  void check(const WindowUpdateOptions& options) const;

  mixing::MixingRow row_;
  bool resets_;
  Tensor output_;
  bool requires_mutex_;
  bool moves_weights_;
};

}  // namespace bluefog::window
