#pragma once
/// @file windows.hpp  All windows of one rank, and what far ranks write to them about.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <bluefog/tensor.hpp>
#include <bluefog/window.hpp>

#include "engine/session.hpp"
#include "transport/note.hpp"
#include "window/core.hpp"
#include "window/letters.hpp"

namespace bluefog::window {

/// A window that is being opened.
class Creation {
 public:
  Creation() = default;
  Creation(const Creation&) = delete;
  Creation& operator=(const Creation&) = delete;
  /// Gives it up if it is under way, for the operation reads the description.
  ~Creation();

  std::shared_ptr<engine::Session> session;
  std::shared_ptr<Core> core;
  std::shared_ptr<engine::Operation> operation;
  std::vector<std::uint64_t> description;  ///< of the own part; the operation sends it
  bool is_finished = false;
};

class Windows final : public engine::Annex, private transport::NoteSink {
 public:
  explicit Windows(engine::Session& session);
  ~Windows() override;
  /// Of a session; made when first asked for.
  [[nodiscard]] static Windows& of(engine::Session& session);

  /// The first half of opening a window, collective among neighbours: `creation` is under way.
  void begin(Creation& creation, const Tensor& tensor, const WindowOptions& options);
  /// The second, once its operation is closed. @throws InvalidArgument, Mismatch, PeerLost
  [[nodiscard]] std::shared_ptr<Core> finish(Creation& creation);
  /// @throws InvalidArgument for a name of no window
  [[nodiscard]] std::shared_ptr<Core> find(const std::string& name, std::string_view operation) const;
  [[nodiscard]] std::vector<std::string> names() const;
  /// After free().
  void forget(const Core& core);

  [[nodiscard]] engine::Engine& engine() const noexcept { return session_.engine(); }
  [[nodiscard]] transport::Transport& transport() const noexcept { return session_.transport(); }
  /// For a window whose tensors have so many bytes.
  [[nodiscard]] Stores stores(std::size_t bytes) const;
  /// Of an edge of such a window; none where there is nothing to choose.
  [[nodiscard]] std::optional<StoreTrials> store_trials(std::size_t bytes) const;
  [[nodiscard]] std::uint64_t new_topic() { return next_topic_.fetch_add(1); }
  [[nodiscard]] LockOwner self() const noexcept { return self_; }

  std::atomic<bool> moves_push_sum_weights{false};
  [[nodiscard]] bool moves_weights(const WindowCallOptions& options) const {
    return options.with_associated_p.value_or(moves_push_sum_weights.load());
  }

  // --- requests to far ranks
  /// A request that awaits an answer; its number.
  [[nodiscard]] std::uint64_t expect(std::shared_ptr<Answer> answer);
  void expect_no_more(std::uint64_t request);
  /// What a far rank has asked for.
  void answer(int to, std::uint64_t request, const Envelope& envelope, std::span<const std::byte> bytes = {},
              std::string text = {}) const;
  /// A request of a far rank, about a window that this one could not open.
  void refuse(int to, std::uint64_t request) const;

  void close() override;
  [[nodiscard]] std::string blocks_topology() const override;

 private:
  [[nodiscard]] bool take_note(int from, const transport::Note& note) override;
  [[nodiscard]] bool take_delivery(Core& core, Neighbor& from, const transport::Note& note);
  [[nodiscard]] static bool take_mean_piece(const Core& core, Neighbor& from, const transport::Note& note);
  [[nodiscard]] bool take_wish(Core& core, Neighbor& from, const transport::Note& note);
  [[nodiscard]] bool take_answer(int from, const transport::Note& note);
  [[nodiscard]] mixing::MixingRow row_of(const WindowOptions& options) const;
  [[nodiscard]] std::string fault_of(const std::string& name, const Tensor& tensor) const;
  void abandon(const std::shared_ptr<Core>& core);
  void meet_neighbors(const Creation& creation) const;

  engine::Session& session_;
  LockOwner self_;
  std::atomic<std::uint64_t> next_topic_{1};
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Core>, std::less<>> by_name_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Core>> by_topic_;
  std::vector<std::shared_ptr<Core>> abandoned_;  ///< neighbours may still write to their memory
  std::uint64_t next_request_ = 1;
  std::unordered_map<std::uint64_t, std::shared_ptr<Answer>> awaited_;
};

}  // namespace bluefog::window
