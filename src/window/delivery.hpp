#pragma once
/// @file delivery.hpp  Put and accumulate: a tensor on its way to the buffers of others.

#include <optional>
#include <vector>

#include "mixing/row.hpp"
#include "window/operation.hpp"

namespace bluefog::window {

class DeliveryOperation final : public Operation {
 public:
  /// @throws InvalidArgument
  DeliveryOperation(std::shared_ptr<Core> core, Delivery delivery, const SentTensor& value,
                    const WindowPutOptions& options);

  void for_each_peer(base::FunctionRef<void(int, std::size_t, std::size_t)> tell) const override;

 private:
  [[nodiscard]] Task run() override;
  [[nodiscard]] Task deliver_near();
  [[nodiscard]] Task deliver_far(Neighbor& to, double weight, const Request& request);
  void scale_own();
  [[nodiscard]] const std::byte* value() const { return static_cast<const std::byte*>(value_.tensor.data); }

  struct Destination {
    Neighbor* peer;
    double weight;
  };
  Delivery delivery_;
  SentTensor value_;
  std::optional<double> self_weight_;
  std::vector<Destination> destinations_;  ///< ascending
  bool requires_mutex_;
  bool moves_weights_;  ///< push-sum weights
  bool is_delivered_ = false;
};

}  // namespace bluefog::window
