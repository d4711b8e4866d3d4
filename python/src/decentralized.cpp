#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <bluefog/decentralized.hpp>
#include <bluefog/error.hpp>

#include "arguments.hpp"
#include "context.hpp"

namespace bluefog::python {
namespace {

/// What Python calls DecentralizedAlgorithm.
class PyAlgorithm {
 public:
  explicit PyAlgorithm(std::unique_ptr<DecentralizedAlgorithm> algorithm)
      : algorithm_(std::move(algorithm)) {}
  PyAlgorithm(PyAlgorithm&&) = default;
  PyAlgorithm& operator=(PyAlgorithm&&) = delete;
  ~PyAlgorithm() {
    const nb::gil_scoped_release free_gil;  // it waits for what is in flight
    algorithm_.reset();
  }
  [[nodiscard]] DecentralizedAlgorithm& engine() const noexcept { return *algorithm_; }

 private:
  std::unique_ptr<DecentralizedAlgorithm> algorithm_;
};

struct Buckets {
  std::vector<Tensor> parameters;
  std::vector<Tensor> gradients;
};

/// Options of an algorithm by name, each of which it must know.
class Settings {
 public:
  explicit Settings(const nb::dict& given) : given_(given) {}

  template <class T>
  void take(const char* name, T& option) {
    if (!given_.contains(name)) return;
    option = nb::cast<T>(given_[name]);
    ++taken_;
  }
  void require_all_taken() const {
    if (taken_ == given_.size()) return;
    throw InvalidArgument("the algorithm does not know all of the options " +
                          nb::cast<std::string>(nb::str(given_)));
  }

 private:
  nb::dict given_;
  std::size_t taken_ = 0;
};

template <class Algorithm, class Options>
std::unique_ptr<DecentralizedAlgorithm> make(Context& context, const Buckets& buckets, const Options& options,
                                             const Settings& settings) {
  settings.require_all_taken();
  const nb::gil_scoped_release free_gil;
  if constexpr (std::is_constructible_v<Algorithm, Context&, const std::vector<Tensor>&,
                                        const std::vector<Tensor>&, const Options&>) {
    return std::make_unique<Algorithm>(context, buckets.parameters, buckets.gradients, options);
  } else {
    return std::make_unique<Algorithm>(context, buckets.parameters, options);
  }
}

std::unique_ptr<DecentralizedAlgorithm> make_by_name(const std::string& kind, Context& context,
                                                     const Buckets& buckets,
                                                     const DecentralizedOptions& common, Settings& settings) {
  if (kind == "quasi_global_momentum") {
    QuasiGlobalOptions options{common};
    settings.take("momentum", options.momentum);
    return make<QuasiGlobalMomentum>(context, buckets, options, settings);
  }
  if (kind == "gossip_pga") {
    GossipPgaOptions options{common};
    settings.take("rounds_per_average", options.rounds_per_average);
    return make<GossipPga>(context, buckets, options, settings);
  }
  if (kind == "slow_momentum") {
    SlowMomentumOptions options{common};
    settings.take("momentum", options.momentum);
    settings.take("step_size", options.step_size);
    return make<SlowMomentum>(context, buckets, options, settings);
  }
  if (kind == "diloco") {
    DiLoCoOptions options{common};
    settings.take("momentum", options.momentum);
    settings.take("step_size", options.step_size);
    return make<DiLoCo>(context, buckets, options, settings);
  }
  if (kind == "noloco") {
    NoLoCoOptions options{common};
    settings.take("momentum", options.momentum);
    settings.take("step_size", options.step_size);
    settings.take("attraction", options.attraction);
    settings.take("seed", options.seed);
    return make<NoLoCo>(context, buckets, options, settings);
  }
  if (kind == "gradient_tracking") return make<GradientTracking>(context, buckets, common, settings);
  if (kind == "exact_diffusion") return make<ExactDiffusion>(context, buckets, common, settings);
  if (kind == "decentlam") return make<DecentLaM>(context, buckets, common, settings);
  if (kind == "gradient_push") return make<StochasticGradientPush>(context, buckets, common, settings);
  if (kind == "local_descent") return make<LocalDescent>(context, buckets, common, settings);
  throw InvalidArgument("no decentralized algorithm is called \"" + kind + "\"");
}

void check_signals() {
  const nb::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

PyAlgorithm make_algorithm(PyContext& self, const std::string& kind,
                           const std::vector<std::uintptr_t>& parameters,
                           const std::vector<std::uintptr_t>& gradients, const std::vector<int>& dtypes,
                           const std::vector<std::int64_t>& counts, const std::string& name,
                           nb::handle schedule, int steps_per_round, const nb::dict& settings) {
  const Buckets buckets{tensors_at(parameters, dtypes, counts), tensors_at(gradients, dtypes, counts)};
  DecentralizedOptions options;
  options.name = name;
  options.steps_per_round = steps_per_round;
  options.while_waiting = check_signals;
  if (!schedule.is_none()) options.schedule = schedule_from(schedule);
  Settings given(settings);
  return PyAlgorithm(make_by_name(kind, self.engine(), buckets, options, given));
}

std::vector<std::tuple<std::uintptr_t, int, std::size_t>> state_of(const PyAlgorithm& self) {
  std::vector<std::tuple<std::uintptr_t, int, std::size_t>> places;
  for (const Tensor& tensor : self.engine().state()) {
    places.emplace_back(reinterpret_cast<std::uintptr_t>(tensor.data), static_cast<int>(tensor.dtype),
                        tensor.count());
  }
  return places;
}

}  // namespace

void bind_decentralized(nb::module_& module, nb::class_<PyContext>& context) {
  using nb::arg;
  nb::class_<PyAlgorithm>(module, "DecentralizedAlgorithm",
                          "A synchronous algorithm over flat buckets, which must live as long as it does.")
      .def(
          "begin_step", [](PyAlgorithm& self, double step_size) { self.engine().begin_step(step_size); },
          arg("step_size"), nb::call_guard<nb::gil_scoped_release>())
      .def(
          "end_step", [](PyAlgorithm& self) { self.engine().end_step(); },
          nb::call_guard<nb::gil_scoped_release>())
      .def("state", &state_of, "Address, dtype and number of elements of each tensor that it remembers.")
      .def_prop_ro("round", [](const PyAlgorithm& self) { return self.engine().round(); })
      .def_prop_ro("steps_in_round", [](const PyAlgorithm& self) { return self.engine().steps_in_round(); })
      .def(
          "resume",
          [](PyAlgorithm& self, std::uint64_t round, int steps) { self.engine().resume(round, steps); },
          arg("round"), arg("steps_in_round"))
      .def(
          "restart", [](PyAlgorithm& self, std::uint64_t round) { self.engine().restart(round); },
          arg("round"));
  context.def("decentralized_algorithm", &make_algorithm, arg("kind"), arg("parameters"), arg("gradients"),
              arg("dtypes"), arg("counts"), arg("name"), nb::kw_only(), arg("schedule") = nb::none(),
              arg("steps_per_round") = 1, arg("settings") = nb::dict(),
              "`kind`: gradient_tracking, exact_diffusion, quasi_global_momentum, decentlam, gradient_push, "
              "gossip_pga, local_descent, slow_momentum, diloco or noloco. Collective.");
}

}  // namespace bluefog::python
