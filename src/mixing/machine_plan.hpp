#pragma once
/// @file machine_plan.hpp  Who does what where tensors are averaged inside machines, and the means of the
/// machines are mixed.
///
/// The member number l of a machine of L ranks owns slice l of L: it computes that slice of the machine's
/// mean, mixes it with those of other machines, and gives the result to the members of its machine. What it
/// needs of another machine's mean comes from the owners of the slices there that overlap its own: between
/// machines of equal size that is member l alone; in general each byte crosses once for each pair of
/// machines.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mixing/row.hpp"

namespace bluefog::mixing {

/// Machines of consecutive ranks.
class MachineMap {
 public:
  /// @param sizes  ranks of each machine, all at least 1
  explicit MachineMap(std::span<const int> sizes);

  [[nodiscard]] int count() const { return static_cast<int>(first_.size()) - 1; }
  [[nodiscard]] int first_rank(int machine) const { return first_[static_cast<std::size_t>(machine)]; }
  [[nodiscard]] int size_of(int machine) const { return first_rank(machine + 1) - first_rank(machine); }
  [[nodiscard]] int machine_of(int rank) const { return machine_[static_cast<std::size_t>(rank)]; }
  [[nodiscard]] std::size_t local_rank(int rank) const {
    return static_cast<std::size_t>(rank - first_rank(machine_of(rank)));
  }
  /// The elements [first, last) that a rank owns. Cuts lie on multiples of 64 bytes, where they would lie if
  /// slices were equal: so those of two machines overlap only where the shares of their members do.
  [[nodiscard]] Slice slice_of(int rank, std::size_t count, std::size_t element_size) const;
  /// Of which ranks are of one machine.
  [[nodiscard]] std::uint64_t hash() const { return hash_; }

 private:
  std::vector<int> first_;    ///< by machine, and the number of ranks
  std::vector<int> machine_;  ///< by rank
  std::uint64_t hash_ = 0;
};

/// One rank's part in a step.
struct MachinePlan {
  /// The owner of a slice of another machine that overlaps the own one.
  struct Part {
    int rank;
    std::size_t input;  ///< position among the inputs of the machine whose mean it is
  };
  std::vector<int> inputs;    ///< machines: the own one first, then those whose means it mixes, ascending
  std::vector<Part> sources;  ///< ascending
  std::vector<Part> destinations;

  /// Position among the inputs.
  [[nodiscard]] std::size_t input_of(int machine) const;
};

/// @param row  of the rank's machine, over machines in place of ranks
[[nodiscard]] MachinePlan make_machine_plan(int rank, const MachineMap& machines, const MixingRow& row);

/// The same row as a rank posts it: it is the rank's own, and machines are named by their first ranks.
[[nodiscard]] MixingRow named_by_first_ranks(const MixingRow& row, int rank, const MachineMap& machines);

}  // namespace bluefog::mixing
