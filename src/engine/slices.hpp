#pragma once
/// @file slices.hpp  Mixing by slices: each member of a component computes all outputs for its share of the
/// elements.

#include <cstddef>
#include <vector>

#include "engine/operation.hpp"
#include "mixing/kernels.hpp"

namespace bluefog::engine {

/// The share of the elements that one member mixes, for all members.
class Slices {
 public:
  Slices(transport::Transport& transport, const Operation& operation, int rank);
  [[nodiscard]] std::size_t count() const { return last_ - first_; }
  /// Elements that are mixed in one go, so that slice_quantum bytes are read.
  [[nodiscard]] std::size_t quantum() const;
  [[nodiscard]] bool in_place() const { return in_place_; }
  void mix(std::size_t done, mixing::StoreKind store);

 private:
  DType dtype_;
  std::size_t first_ = 0;
  std::size_t last_ = 0;
  bool in_place_ = false;
  std::vector<std::vector<mixing::Term>> terms_;
  std::vector<mixing::Row> rows_;
  std::vector<std::byte*> sources_;
  std::vector<std::byte*> targets_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

}  // namespace bluefog::engine
