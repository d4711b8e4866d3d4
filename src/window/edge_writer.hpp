#pragma once
/// @file edge_writer.hpp  The writing end of an edge: a neighbour on the host, or the thread that receives
/// for one that is not.

#include <array>
#include <cstddef>
#include <functional>
#include <optional>

#include <bluefog/dtype.hpp>

#include "window/layout.hpp"
#include "window/store_trials.hpp"
#include "window/stores.hpp"

namespace bluefog::window {

enum class Delivery : std::uint8_t { Put, Accumulate };

/// Never waits for the owner, and the owner never for it. One thread at a time.
class EdgeWriter {
 public:
  /// Where in this process the bytes lie that have this offset in the owner's arena.
  using Locate = std::function<std::byte*(std::uint64_t offset)>;

  EdgeWriter(EdgeHeader& header, Locate locate, DType dtype, std::size_t count, Stores stores,
             std::optional<StoreTrials> trials = {})
      : header_(header),
        locate_(std::move(locate)),
        dtype_(dtype),
        count_(count),
        stores_(stores),
        trials_(std::move(trials)) {}

  /// Starts to fill the hidden slot; what was begun before is dropped.
  void begin(Delivery delivery);
  /// Elements [first, last) of the slot <- weight * value, and what it is added to. `value` starts at element
  /// `first`.
  void write(const std::byte* value, double weight, std::size_t first, std::size_t last);
  /// The whole slot was written. @param weight  the associated push-sum weight that goes with it
  /// @returns false if the owner has taken meanwhile what the value was added to: then begin() again
  [[nodiscard]] bool publish(std::optional<double> weight);

  /// The hidden slot itself. Who gets the bytes in pieces writes them there, without write(); then
  /// publish_received(), in whose course the owner must not look at the edge.
  [[nodiscard]] std::byte* hidden();
  void publish_received(Delivery delivery, std::optional<double> weight);

 private:
  [[nodiscard]] EdgeWord load() const {
    return EdgeWord::unpack(header_.word.load(std::memory_order_acquire));
  }
  [[nodiscard]] bool exchange(const EdgeWord& expected, const EdgeWord& wanted);
  [[nodiscard]] std::byte* slot(std::size_t index);
  void fill(const std::byte* value, double weight, std::size_t first, std::size_t last);
  void set_weight(const EdgeWord& seen, std::optional<double> weight);
  [[nodiscard]] EdgeWord published_from(const EdgeWord& seen) const;

  EdgeHeader& header_;
  Locate locate_;
  DType dtype_;
  std::size_t count_;
  Stores stores_;
  std::optional<StoreTrials> trials_;  ///< else stores are of the kind given
  std::array<std::byte*, most_slots> slots_{};
  Delivery delivery_ = Delivery::Put;
  bool adds_to_published_ = false;  ///< the pinned slot is the base of what is being written
};

}  // namespace bluefog::window
