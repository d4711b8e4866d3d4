#pragma once
/// @file average.hpp  The mean of two ranks' tensors, as the value of both.

#include <vector>

#include "window/operation.hpp"

namespace bluefog::window {

/// The own tensor goes to the other rank, whose background thread makes the mean, atomically there. When that
/// is back, this rank's tensor may have been averaged with others: then it changes by what it would have
/// changed, so that nothing is lost. No rank waits for another while it holds a lock, so no ring of them
/// waits for ever.
class AverageOperation final : public Operation {
 public:
  /// @throws InvalidArgument
  AverageOperation(std::shared_ptr<Core> core, int rank);

  void for_each_peer(base::FunctionRef<void(int, std::size_t, std::size_t)> tell) const override;

 private:
  [[nodiscard]] Task run() override;
  [[nodiscard]] Task take_snapshot();
  [[nodiscard]] Task exchange_near();
  [[nodiscard]] Task exchange_far();
  [[nodiscard]] Task apply();

  Neighbor* peer_ = nullptr;
  std::vector<std::byte> snapshot_;  ///< of the own tensor
  std::vector<std::byte> mean_;
  std::uint64_t changes_before_ = 0;
  bool is_done_ = false;
};

}  // namespace bluefog::window
