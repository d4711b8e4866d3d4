#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <bluefog/asynchronous.hpp>
#include <bluefog/error.hpp>

#include "arguments.hpp"
#include "context.hpp"
#include "interruptible.hpp"

namespace bluefog::python {
namespace {

/// What Python calls AsynchronousMixing.
class PyMixing {
 public:
  explicit PyMixing(std::shared_ptr<AsynchronousMixing> mixing) : mixing_(std::move(mixing)) {}
  PyMixing(PyMixing&&) = default;
  PyMixing& operator=(PyMixing&&) = delete;
  ~PyMixing() {
    const nb::gil_scoped_release free_gil;  // it waits for what is in flight
    mixing_.reset();
  }
  [[nodiscard]] AsynchronousMixing& engine() const noexcept { return *mixing_; }
  [[nodiscard]] std::shared_ptr<AsynchronousMixing> share() const noexcept { return mixing_; }

 private:
  std::shared_ptr<AsynchronousMixing> mixing_;
};

std::shared_ptr<AsynchronousMixing> make(const std::string& kind, Context& context,
                                         std::vector<Tensor> buckets, const AsynchronousOptions& options) {
  if (kind == "window_put") return std::make_shared<WindowPutMixing>(context, std::move(buckets), options);
  if (kind == "window_get") return std::make_shared<WindowGetMixing>(context, std::move(buckets), options);
  if (kind == "push_sum") return std::make_shared<PushSumMixing>(context, std::move(buckets), options);
  if (kind == "pairwise") return std::make_shared<PairwiseMixing>(context, std::move(buckets), options);
  throw InvalidArgument("no asynchronous mixing is called \"" + kind + "\"");
}

PyMixing make_mixing(PyContext& self, const std::string& kind, const std::vector<std::uintptr_t>& addresses,
                     const std::vector<int>& dtypes, const std::vector<std::int64_t>& counts,
                     const std::string& name, std::uint64_t seed) {
  std::vector<Tensor> buckets = tensors_at(addresses, dtypes, counts);
  AsynchronousOptions options;
  options.name = name;
  options.seed = seed;
  const nb::gil_scoped_release free_gil;
  return PyMixing(make(kind, self.engine(), std::move(buckets), options));
}

void begin_exchange(PyMixing& self, nb::handle self_weight, nb::handle src_weights, nb::handle dst_weights) {
  AsynchronousWeights weights;
  if (!self_weight.is_none()) weights.self_weight = weight_from(self_weight, "self_weight");
  if (!src_weights.is_none()) weights.src_weights = weights_from(src_weights, "src_weights");
  if (!dst_weights.is_none()) weights.dst_weights = destinations_from(dst_weights, "dst_weights");
  self.engine().weights = std::move(weights);
  const nb::gil_scoped_release free_gil;
  self.engine().begin_exchange();
}

void end_exchange(PyMixing& self) {
  const auto is_over = [&] {
    const nb::gil_scoped_release free_gil;
    return self.engine().wait_for(signal_slice);
  };
  while (!is_over()) {
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
  }
  const nb::gil_scoped_release free_gil;
  self.engine().end_exchange();
}

}  // namespace

void bind_asynchronous(nb::module_& module, nb::class_<PyContext>& context) {
  using nb::arg;
  nb::class_<PyMixing>(module, "AsynchronousMixing",
                       "The communication of an asynchronous algorithm over flat buckets, which must live as "
                       "long as it does.")
      .def("begin_exchange", &begin_exchange, nb::kw_only(), arg("self_weight") = nb::none(),
           arg("src_weights") = nb::none(), arg("dst_weights") = nb::none())
      .def(
          "exchanged", [](PyMixing& self) { return self.engine().wait_for(std::chrono::nanoseconds(0)); },
          nb::call_guard<nb::gil_scoped_release>(), "Whether end_exchange() need not wait.")
      .def("end_exchange", &end_exchange)
      .def(
          "begin_step", [](PyMixing& self) { self.engine().begin_step(); },
          nb::call_guard<nb::gil_scoped_release>())
      .def(
          "end_step", [](PyMixing& self) { self.engine().end_step(); },
          nb::call_guard<nb::gil_scoped_release>())
      .def(
          "close", [](PyMixing& self) { run_interruptibly([mixing = self.share()] { mixing->close(); }); },
          "Collective among neighbours.");
  context.def("asynchronous_mixing", &make_mixing, arg("kind"), arg("addresses"), arg("dtypes"),
              arg("counts"), arg("name"), nb::kw_only(), arg("seed") = 1,
              "`kind`: window_put, window_get, push_sum or pairwise. Collective among neighbours.");
}

}  // namespace bluefog::python
