#include <bluefog/dtype.hpp>
#include <bluefog/version.hpp>

#include "bindings.hpp"

namespace bluefog::python {
namespace {

void bind_dtype(nb::module_& module) {
  nb::enum_<DType>(module, "DType", "Element types of tensors; operations take their values.")
      .value("bool", DType::Bool)
      .value("uint8", DType::UInt8)
      .value("int8", DType::Int8)
      .value("int16", DType::Int16)
      .value("int32", DType::Int32)
      .value("int64", DType::Int64)
      .value("float16", DType::Float16)
      .value("bfloat16", DType::BFloat16)
      .value("float32", DType::Float32)
      .value("float64", DType::Float64);
}

}  // namespace
}  // namespace bluefog::python

NB_MODULE(_core, module) {
  using namespace bluefog::python;
  // Users keep handles and tensors in globals, which outlive the module.
  nb::set_leak_warnings(false);
  module.doc() = "The engine of BlueFog. Use it through bluefog.torch.";
  module.attr("__version__") = BLUEFOG_VERSION;
  bind_errors(module);
  bind_dtype(module);
  bind_topology(module);
  bind_schedule(module);
  bind_ceca(module);
  bind_shared_memory(module);
  bind_handle(module);
  bind_context(module);
}
