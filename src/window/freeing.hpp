#pragma once
/// @file freeing.hpp  The end of a window.

#include "window/operation.hpp"

namespace bluefog::window {

/// Its memory must stay while a neighbour may write there; a lost rank writes nothing.
class FreeOperation final : public Operation {
 public:
  /// @throws InvalidArgument while another operation is in flight, or if it was freed
  explicit FreeOperation(std::shared_ptr<Core> core);

 private:
  [[nodiscard]] Task run() override;
  [[nodiscard]] bool is_done_with(const Neighbor& peer) const;
};

}  // namespace bluefog::window
