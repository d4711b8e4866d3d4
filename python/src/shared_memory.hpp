#pragma once
// Memory of the engine as DLPack capsules.

#include <nanobind/nanobind.h>

#include <bluefog/handle.hpp>

namespace bluefog::python {

/// Capsule of a one-dimensional uint8 tensor over the bytes of a gather's result; shares the memory.
[[nodiscard]] nanobind::object gathered_capsule(const GatheredTensor& gathered);

}  // namespace bluefog::python
