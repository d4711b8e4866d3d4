#include "window/arguments.hpp"

#include <algorithm>

#include <bluefog/error.hpp>

#include "engine/arguments.hpp"
#include "engine/operation.hpp"

namespace bluefog::window {

void ArgumentCheck::fail(const std::string& what) const {
  throw InvalidArgument(core_.describe_call(operation_) + ": " + what);
}

void ArgumentCheck::like_the_window(const ConstTensor& tensor) const {
  const Tensor& own = core_.tensor();
  if (tensor.dtype != own.dtype || tensor.count() != own.count()) {
    fail("the window is of " + std::to_string(own.count()) + " elements of " +
         std::string(bluefog::name_of(own.dtype)) + ", the tensor has " + std::to_string(tensor.count()) +
         " of " + std::string(bluefog::name_of(tensor.dtype)));
  }
  if (tensor.count() > 0 && tensor.data == nullptr) fail("the tensor has no memory");
}

void ArgumentCheck::weight(double weight, const std::string& argument) const {
  try {
    engine::check_finite(weight, argument);
  } catch (const InvalidArgument& wrong) {
    fail(wrong.what());
  }
  if (!is_floating(core_.tensor().dtype) && weight != 1.0 && weight != 0.0) {
    fail(argument + " is " + std::to_string(weight) + ", but a window of " +
         std::string(bluefog::name_of(core_.tensor().dtype)) +
         " knows no fractions: weights are 1 or 0; use a floating dtype");
  }
}

std::vector<mixing::WeightedRank> ArgumentCheck::edges(const std::optional<Weights>& given,
                                                       const std::vector<mixing::WeightedRank>& all,
                                                       const char* argument) const {
  std::vector<mixing::WeightedRank> edges;
  if (!given) {
    for (const auto& edge : all) edges.push_back({edge.rank, 1.0});
    return edges;
  }
  for (const auto& [rank, factor] : *given) {
    const auto is_this = [rank = rank](const auto& edge) { return edge.rank == rank; };
    if (std::ranges::none_of(all, is_this)) {
      fail(std::string(argument) + " names " + engine::rank_text(rank) +
           ", to which the window has no such edge");
    }
    weight(factor, std::string(argument) + "[" + std::to_string(rank) + "]");
    edges.push_back({rank, factor});
  }
  return edges;
}

}  // namespace bluefog::window
