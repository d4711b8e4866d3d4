#pragma once
/// @file freeing.hpp  The end of a window.

#include <memory>
#include <optional>
#include <utility>

#include "window/operation.hpp"

namespace bluefog::window {

/// Its memory must stay while a neighbour may write there; a lost rank writes nothing.
class FreeOperation final : public Operation {
 public:
  /// @throws InvalidArgument while another operation is in flight, or if it was freed
  explicit FreeOperation(std::shared_ptr<Core> core);

 private:
  /// From the call to the end of what runs; the user may give it up, and try again.
  class Attempt {
   public:
    explicit Attempt(std::shared_ptr<Core> core) : core_(std::move(core)) {}
    Attempt(Attempt&&) noexcept = default;
    Attempt& operator=(Attempt&&) = delete;
    ~Attempt();
    bool has_succeeded = false;

   private:
    std::shared_ptr<Core> core_;
  };

  [[nodiscard]] Task run() override;
  void tell_neighbors();
  [[nodiscard]] bool is_done_with(const Neighbor& peer) const;

  std::optional<Attempt> attempt_;
};

}  // namespace bluefog::window
