#include "shared_memory.hpp"

#include <cstdint>
#include <memory>
#include <utility>

#include <bluefog/shared_memory.hpp>

#include "bindings.hpp"

namespace bluefog::python {
namespace {

// The layout of DLPack 0.x (https://dmlc.github.io/dlpack/latest/c_api.html), as far as it is used here.
struct DlDevice {
  std::int32_t type;
  std::int32_t id;
};
struct DlDataType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};
struct DlTensor {
  void* data;
  DlDevice device;
  std::int32_t dims;
  DlDataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;
  std::uint64_t byte_offset;
};
struct DlManagedTensor {
  DlTensor tensor;
  void* manager;
  void (*deleter)(DlManagedTensor*);
};
constexpr std::int32_t device_cpu = 1;
constexpr std::uint8_t code_uint = 1;

/// The bytes of one capsule. Frees itself without Python: tensors outlive the interpreter.
struct ByteTensor {
  DlManagedTensor managed{};
  std::int64_t extent = 0;
  std::shared_ptr<void> keeper;

  ByteTensor(std::shared_ptr<void> owner, void* data, std::size_t bytes)
      : extent(static_cast<std::int64_t>(bytes)), keeper(std::move(owner)) {
    managed.tensor = {data, {device_cpu, 0}, 1, {code_uint, 8, 1}, &extent, nullptr, 0};
    managed.manager = this;
    managed.deleter = [](DlManagedTensor* self) {
      const std::unique_ptr<ByteTensor> free_at_end(static_cast<ByteTensor*>(self->manager));
    };
  }
};

/// A consumer renames the capsule; one that nobody consumed frees its tensor itself.
void free_unconsumed(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, "dltensor") == 0) return;
  auto* managed = static_cast<DlManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
  managed->deleter(managed);
}

nb::object byte_capsule(std::shared_ptr<void> owner, void* data, std::size_t bytes) {
  auto tensor = std::make_unique<ByteTensor>(std::move(owner), data, bytes);
  PyObject* capsule = PyCapsule_New(&tensor->managed, "dltensor", free_unconsumed);
  if (capsule == nullptr) throw nb::python_error();
  [[maybe_unused]] const ByteTensor* owned_by_capsule = tensor.release();
  return nb::steal(capsule);
}

nb::object shared_capsule(const SharedMemory& memory, std::size_t offset, std::size_t bytes) {
  if (offset > memory.bytes() || bytes > memory.bytes() - offset)
    throw nb::value_error("the bytes asked for are not inside this shared memory");
  auto owner = std::make_shared<SharedMemory>(memory);
  return byte_capsule(std::move(owner), static_cast<std::byte*>(memory.data()) + offset, bytes);
}

}  // namespace

nb::object gathered_capsule(const GatheredTensor& gathered) {
  return byte_capsule(gathered.data, gathered.data.get(), gathered.shape.count() * size_of(gathered.dtype));
}

void bind_shared_memory(nb::module_& module) {
  nb::class_<SharedMemory>(module, "SharedMemory", "A piece of this rank's shared-memory arena, zeroed.")
      .def_prop_ro("address",
                   [](const SharedMemory& self) { return reinterpret_cast<std::uintptr_t>(self.data()); })
      .def_prop_ro("nbytes", &SharedMemory::bytes)
      .def("dlpack", &shared_capsule, nb::arg("offset"), nb::arg("nbytes"),
           "DLPack capsule of `nbytes` bytes from `offset` on: a one-dimensional uint8 tensor with a storage "
           "of its own, "
           "which keeps the memory alive.");
}

}  // namespace bluefog::python
