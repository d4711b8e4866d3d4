#pragma once
/// @file mean_crossing.hpp  Means of machines cross between them: a rank averages its slice of its machine's
/// tensors, sends it to those that need it, and stages theirs beside it.
///
/// Members of a machine that share memory read each other's tensors, and the result is stored to them when
/// all have voted. Those that do not (BLUEFOG_TRANSPORT=tcp) send each other the slices of their tensors, and
/// afterwards those of the result, to stand-ins: so tensors stay whole until the vote there, too.

#include <cstddef>
#include <memory>
#include <vector>

#include "engine/crossing.hpp"
#include "engine/staged_means.hpp"
#include "mixing/machine_plan.hpp"

namespace bluefog::engine {

class MeanCrossing final : public Crossing {
 public:
  /// Takes the memory, and copies a private input to its stand-in. @throws Error if there is no room for it
  MeanCrossing(transport::Transport& transport, std::shared_ptr<StagingPool> pool, Operation& operation,
               std::size_t chunk_bytes);

  [[nodiscard]] bool awaits_data_of(int peer) const override;
  void for_each_peer(base::FunctionRef<void(int, std::size_t, std::size_t)> visit) const override;

 private:
  /// Where the chunks of an outgoing stream come from.
  struct Source {
    const std::byte* first;  ///< of an input, or of the own mean
    const std::byte* tail;   ///< of the result
    bool is_mean;
    std::size_t mean_offset = 0;  ///< of the first byte
  };
  /// Where those of an incoming one land.
  struct Place {
    std::byte* first;
    std::byte* tail;
  };
  /// A part of another machine's mean that its owner keeps in memory of this host.
  struct NearPart {
    int owner;
    std::size_t theirs;  ///< first byte, in the owner's slice
    std::byte* target;
    std::size_t bytes;
    std::size_t done = 0;
  };

  [[nodiscard]] bool has_chunk(std::size_t flow, const Chunk& chunk) const override;
  [[nodiscard]] const std::byte* chunk_to_send(std::size_t flow, const Chunk& chunk) override;
  [[nodiscard]] std::byte* place_of(std::size_t flow, const Chunk& chunk) override;
  [[nodiscard]] bool can_work() const override { return can_average() || can_fetch() || can_finish(); }
  void work() override;
  [[nodiscard]] bool has_worked() const override;

  [[nodiscard]] ByteRange slice_of(int rank) const;
  [[nodiscard]] std::vector<int> others_of_machine() const;
  void add_mates();
  void add_partners();
  [[nodiscard]] bool can_average() const;
  void average();
  void publish_mean();
  [[nodiscard]] bool is_ready(const NearPart& part) const;
  [[nodiscard]] bool can_fetch() const;
  void fetch();
  [[nodiscard]] bool has_all_means() const;
  [[nodiscard]] bool can_finish() const;
  void finish();
  [[nodiscard]] MeansRow resolved_row() const;

  const mixing::MachinePlan& plan_;
  const mixing::MachineMap& machines_;
  std::size_t chunk_bytes_;
  ByteRange own_;  ///< slice
  bool has_far_mates_ = false;
  StagedMeans staged_;
  std::vector<std::byte*> raw_;  ///< by member of the machine: its staged slice, or nullptr if it is read
  std::vector<Source> sources_;  ///< by outgoing stream
  std::vector<Place> places_;    ///< by incoming stream
  std::size_t raw_streams_ = 0;  ///< the first so many incoming streams bring slices of inputs, and results
  std::vector<NearPart> near_parts_;
  std::vector<int> near_readers_;

  std::size_t averaged_ = 0;  ///< bytes of the own slice
  bool is_published_ = false;
  bool has_row_ = false;
  MeansRow row_;
  std::size_t mixed_ = 0;  ///< bytes of the own slice that far mates get
};

}  // namespace bluefog::engine
