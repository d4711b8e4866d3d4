#pragma once
// From Python arguments to the arguments of operations.

#include <cstdint>
#include <exception>
#include <string>
#include <vector>

#include <nanobind/nanobind.h>

#include <bluefog/options.hpp>
#include <bluefog/tensor.hpp>

namespace bluefog::python {

namespace nb = nanobind;

/// Runs `convert`; if it fails, the operation shall refuse its arguments for that reason
/// (OperationOptions::refusal, WindowOptions::refusal), in company with its peers. A rank that raised before
/// it started would leave them waiting.
template <class Options, class Convert>
void convert_or_refuse(Options& options, Convert convert) {
  try {
    convert();
  } catch (const std::exception& error) {
    if (options.refusal.empty()) options.refusal = error.what();
  }
}

/// Tensors of one dimension each, as Python gives them: addresses, codes of DTypes, numbers of elements.
[[nodiscard]] std::vector<Tensor> tensors_at(const std::vector<std::uintptr_t>& addresses,
                                             const std::vector<int>& dtypes,
                                             const std::vector<std::int64_t>& counts);
/// A tensor as Python gives it: address, code of a DType, extents.
[[nodiscard]] ConstTensor tensor_from(std::uintptr_t address, int dtype, nb::handle shape);
[[nodiscard]] nb::tuple shape_tuple(const Shape& shape);

/// An integer, NumPy's too. Those out of range stay out of range: the engine refuses them, so that peers hear
/// of it.
[[nodiscard]] int rank_from(nb::handle rank, const char* what);
/// Any iterable of integers (NumPy's too). `what` names the argument in errors.
[[nodiscard]] std::vector<int> ranks_from(nb::handle ranks, const char* what);
/// A dict {rank: weight}. @throws nb::type_error for others
[[nodiscard]] Weights weights_from(nb::handle weights, const char* what);
/// A dict {rank: weight}, or an iterable of ranks, whose weights are 1.
[[nodiscard]] Weights destinations_from(nb::handle weights, const char* what);
[[nodiscard]] SchedulePtr schedule_from(nb::handle schedule);
/// Number of a schedule's round: an integer from 0 up, NumPy's too.
[[nodiscard]] std::uint64_t round_from(nb::handle round);
[[nodiscard]] std::string name_from(nb::handle name);
[[nodiscard]] double weight_from(nb::handle weight, const char* what);

}  // namespace bluefog::python
