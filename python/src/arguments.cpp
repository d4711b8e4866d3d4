#include "arguments.hpp"

#include <array>
#include <limits>
#include <vector>

#include <nanobind/stl/string.h>

#include "schedule.hpp"

namespace bluefog::python {
namespace {

std::string type_of(nb::handle value) {
  return nb::cast<std::string>(value.type().attr("__name__"));
}

std::int64_t integer_from(nb::handle value, const char* what) {
  const nb::object index = nb::steal(PyNumber_Index(value.ptr()));
  if (!index.is_valid()) {
    PyErr_Clear();
    throw nb::type_error((std::string(what) + ": expected an integer, not " + type_of(value)).c_str());
  }
  const long long number = PyLong_AsLongLong(index.ptr());
  if (number == -1 && PyErr_Occurred() != nullptr) throw nb::python_error();
  return number;
}

Shape shape_from(nb::handle shape) {
  std::array<std::int64_t, Shape::max_dims> extents{};
  const std::size_t dims = nb::len(shape);
  if (dims > extents.size()) throw nb::value_error("too many dimensions");
  std::size_t next = 0;
  for (const nb::handle extent : nb::borrow<nb::object>(shape))
    extents[next++] = integer_from(extent, "shape");
  return Shape(std::span<const std::int64_t>(extents.data(), dims));
}

DType dtype_from(int code) {
  if (code < 0 || code > static_cast<int>(DType::Float64))
    throw nb::value_error(
        "tensors of this dtype are not supported: use bool, uint8, int8, int16, int32, int64, float16, "
        "bfloat16, float32 or float64");
  return static_cast<DType>(code);
}

}  // namespace

int rank_from(nb::handle value, const char* what) {
  const std::int64_t rank = integer_from(value, what);
  // Ranks out of range are the engine's to refuse, so that the peers hear of it; here they only have to fit.
  constexpr std::int64_t largest = std::numeric_limits<int>::max();
  if (rank > largest) return std::numeric_limits<int>::max();
  if (rank < -largest) return -std::numeric_limits<int>::max();
  return static_cast<int>(rank);
}

ConstTensor tensor_from(std::uintptr_t address, int dtype, nb::handle shape) {
  return {reinterpret_cast<const void*>(address), dtype_from(dtype), shape_from(shape)};  // NOLINT
}

nb::tuple shape_tuple(const Shape& shape) {
  nb::list extents;
  for (const std::int64_t extent : shape.extents()) extents.append(extent);
  return nb::tuple(extents);
}

std::vector<int> ranks_from(nb::handle ranks, const char* what) {
  nb::object iterator = nb::steal(PyObject_GetIter(ranks.ptr()));
  if (!iterator.is_valid()) {
    PyErr_Clear();
    throw nb::type_error((std::string(what) + ": expected ranks, not " + type_of(ranks)).c_str());
  }
  std::vector<int> result;
  for (const nb::handle rank : nb::borrow<nb::iterator>(iterator)) result.push_back(rank_from(rank, what));
  return result;
}

std::string name_from(nb::handle name) {
  if (!nb::isinstance<nb::str>(name))
    throw nb::type_error(("name: expected a str, not " + type_of(name)).c_str());
  return nb::cast<std::string>(name);
}

std::uint64_t round_from(nb::handle round) {
  const nb::object index = nb::steal(PyNumber_Index(round.ptr()));
  if (!index.is_valid()) {
    PyErr_Clear();
    throw nb::type_error(("round: expected an integer, not " + type_of(round)).c_str());
  }
  const unsigned long long number = PyLong_AsUnsignedLongLong(index.ptr());
  if (PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    throw nb::value_error("round must lie between 0 and 2**64 - 1");
  }
  return number;
}

std::vector<Tensor> tensors_at(const std::vector<std::uintptr_t>& addresses, const std::vector<int>& dtypes,
                               const std::vector<std::int64_t>& counts) {
  std::vector<Tensor> tensors;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    tensors.emplace_back(reinterpret_cast<void*>(addresses[i]), static_cast<DType>(dtypes.at(i)),  // NOLINT
                         Shape(static_cast<std::size_t>(counts.at(i))));
  }
  return tensors;
}

SchedulePtr schedule_from(nb::handle schedule) {
  if (!nb::isinstance<PySchedule>(schedule)) throw nb::type_error("schedule must be a bluefog Schedule");
  return nb::cast<const PySchedule&>(schedule).schedule;
}

double weight_from(nb::handle weight, const char* what) {
  const double value = PyFloat_AsDouble(weight.ptr());
  if (value == -1.0 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    throw nb::type_error((std::string(what) + " must be a real number").c_str());
  }
  return value;
}

Weights weights_from(nb::handle weights, const char* what) {
  if (!nb::isinstance<nb::dict>(weights))
    throw nb::value_error((std::string(what) + " must be a dict of rank: weight").c_str());
  Weights result;
  for (const auto [rank, weight] : nb::borrow<nb::dict>(weights))
    result.insert_or_assign(rank_from(rank, what), weight_from(weight, what));
  return result;
}

Weights destinations_from(nb::handle weights, const char* what) {
  if (nb::isinstance<nb::dict>(weights)) return weights_from(weights, what);
  Weights result;
  for (const int rank : ranks_from(weights, what)) {
    if (!result.emplace(rank, 1.0).second)
      throw nb::value_error((std::string(what) + " names rank " + std::to_string(rank) + " twice").c_str());
  }
  return result;
}

}  // namespace bluefog::python
