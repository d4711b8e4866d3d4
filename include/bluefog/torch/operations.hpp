#pragma once
/// @file torch/operations.hpp  The operations of a Context on LibTorch's tensors.
///
/// Options, errors and what is computed are those of the Context's own functions. Each operation gives a new
/// tensor; with an underscore it works in place, and with _async it returns at once. Autograd does not see
/// them. Tensors of any strides; those that are not contiguous are copied. A tensor that cannot be sent (of a
/// device, sparse, undefined, of a type without DType) is InvalidArgument here, and an error on the peers,
/// which do not wait for it.

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include <torch/types.h>

#include <bluefog/context.hpp>
#include <bluefog/error.hpp>
#include <bluefog/handle.hpp>
#include <bluefog/options.hpp>
#include <bluefog/torch/tensor.hpp>
#include <bluefog/window.hpp>

namespace bluefog::torch {

/// An operation in flight, with its tensors. Copies refer to the same operation; the last of them waits for
/// it, for its tensors must live until it is closed. wait() and done() throw InvalidArgument if it refers to
/// none. In a coroutine: `co_await flight.handle()`, and then wait(), which gives the result at once.
class TensorHandle {
 public:
  TensorHandle() = default;
  /// Made by the operations. @param result  the tensor to give, of an operation that is closed
  TensorHandle(Handle handle, at::Tensor input, std::function<at::Tensor(Handle&)> result)
      : flight_(std::make_shared<Flight>(std::move(handle), std::move(input), std::move(result))) {}

  /// Whether it refers to an operation.
  [[nodiscard]] bool valid() const noexcept { return flight_ != nullptr; }
  /// As Handle::done().
  [[nodiscard]] bool done() { return handle().done(); }
  /// The result; operations in place have changed a tensor that is not contiguous only when this returns.
  /// @throws the operation's error
  at::Tensor wait() {
    handle().wait();
    std::call_once(flight_->is_given, [this] { flight_->given = flight_->result(flight_->handle); });
    return flight_->given;
  }
  /// For `co_await`, cancel() and the like.
  [[nodiscard]] Handle& handle() {
    if (flight_ == nullptr) throw InvalidArgument("this TensorHandle refers to no operation");
    return flight_->handle;
  }

 private:
  struct Flight {
    Flight(Handle started, at::Tensor from, std::function<at::Tensor(Handle&)> give)
        : handle(std::move(started)), input(std::move(from)), result(std::move(give)) {}
    Flight(const Flight&) = delete;
    Flight& operator=(const Flight&) = delete;
    ~Flight() {
      try {
        if (!handle.done()) handle.wait();
      } catch (...) {  // NOLINT(bugprone-empty-catch): nobody asked for it
      }
    }
    Handle handle;
    at::Tensor input;
    std::function<at::Tensor(Handle&)> result;
    std::once_flag is_given;
    at::Tensor given;
  };

  std::shared_ptr<Flight> flight_;
};

namespace operations {

/// The tensor as the core takes it, or a number in its place, and a refusal of the call.
template <class Options>
at::Tensor prepared(const at::Tensor& tensor, Options& options) {
  const std::string wrong = complaint_about(tensor);
  if (wrong.empty()) return tensor.detach().contiguous();
  if (options.refusal.empty()) options.refusal = wrong;
  return at::zeros({1}, at::kFloat);
}

inline at::Tensor unfilled(const at::Tensor& contiguous) {
  return at::empty_like(contiguous, contiguous.options(), at::MemoryFormat::Contiguous);
}

/// Out of place: `start(input, output, options)` gives the Handle.
template <class Options, class Start>
TensorHandle to_new_tensor(const at::Tensor& tensor, Options options, const Start& start) {
  at::Tensor input = prepared(tensor, options);
  at::Tensor output = unfilled(input);
  Handle handle = start(view(input), view(output), options);
  return {std::move(handle), std::move(input), [output](Handle&) { return output; }};
}

/// In place, through a copy where the tensor is not contiguous.
template <class Options, class Start>
TensorHandle in_place(const at::Tensor& tensor, Options options, const Start& start) {
  at::Tensor place = prepared(tensor, options);
  Handle handle = start(view(place), view(place), options);
  return {std::move(handle), place, [tensor, place](Handle&) {
            const at::NoGradGuard no_grad;
            if (!place.is_same(tensor) && place.data_ptr() != tensor.data_ptr()) tensor.detach().copy_(place);
            return tensor;
          }};
}

inline at::Tensor tensor_of(const GatheredTensor& gathered) {
  const auto extents = gathered.shape.extents();
  return at::from_blob(
      gathered.data.get(), at::IntArrayRef(extents.data(), extents.size()),
      [keeper = gathered.data](void* /*data*/) mutable { keeper.reset(); },
      at::TensorOptions().dtype(scalar_type_of(gathered.dtype)));
}

template <class Options, class Start>
TensorHandle gathering(const at::Tensor& tensor, Options options, const Start& start) {
  at::Tensor input = prepared(tensor, options);
  if (static_cast<std::size_t>(input.dim()) > Shape::max_dims && options.refusal.empty()) {
    options.refusal = "a tensor of " + std::to_string(input.dim()) +
                      " dimensions cannot be gathered; view it as one of " + std::to_string(Shape::max_dims) +
                      " or fewer";
  }
  Handle handle = start(view(input), options);
  return {std::move(handle), std::move(input), [](Handle& closed) { return tensor_of(closed.gathered()); }};
}

/// Somebody waits at once, so that no background thread needs to.
template <class Options>
Options attended(Options options) {
  options.attended = true;
  return options;
}

}  // namespace operations

/// Context::neighbor_allreduce: the weighted mean over this rank and its in-neighbours.
/// @{
[[nodiscard]] inline TensorHandle neighbor_allreduce_async(Context& context, const at::Tensor& tensor,
                                                           const NeighborAllreduceOptions& options = {}) {
  return operations::to_new_tensor(tensor, options,
                                   [&context](ConstTensor input, Tensor output, const auto& o) {
                                     return context.neighbor_allreduce_async(input, output, o);
                                   });
}
[[nodiscard]] inline TensorHandle neighbor_allreduce_async_(Context& context, const at::Tensor& tensor,
                                                            const NeighborAllreduceOptions& options = {}) {
  return operations::in_place(tensor, options, [&context](ConstTensor input, Tensor output, const auto& o) {
    return context.neighbor_allreduce_async(input, output, o);
  });
}
[[nodiscard]] inline at::Tensor neighbor_allreduce(Context& context, const at::Tensor& tensor,
                                                   const NeighborAllreduceOptions& options = {}) {
  return neighbor_allreduce_async(context, tensor, operations::attended(options)).wait();
}
inline at::Tensor neighbor_allreduce_(Context& context, const at::Tensor& tensor,
                                      const NeighborAllreduceOptions& options = {}) {
  return neighbor_allreduce_async_(context, tensor, operations::attended(options)).wait();
}
/// @}

/// Context::hierarchical_neighbor_allreduce: machines average inside, and mix their means.
/// @{
[[nodiscard]] inline TensorHandle hierarchical_neighbor_allreduce_async(
    Context& context, const at::Tensor& tensor, const HierarchicalNeighborAllreduceOptions& options = {}) {
  return operations::to_new_tensor(tensor, options,
                                   [&context](ConstTensor input, Tensor output, const auto& o) {
                                     return context.hierarchical_neighbor_allreduce_async(input, output, o);
                                   });
}
[[nodiscard]] inline TensorHandle hierarchical_neighbor_allreduce_async_(
    Context& context, const at::Tensor& tensor, const HierarchicalNeighborAllreduceOptions& options = {}) {
  return operations::in_place(tensor, options, [&context](ConstTensor input, Tensor output, const auto& o) {
    return context.hierarchical_neighbor_allreduce_async(input, output, o);
  });
}
[[nodiscard]] inline at::Tensor hierarchical_neighbor_allreduce(
    Context& context, const at::Tensor& tensor, const HierarchicalNeighborAllreduceOptions& options = {}) {
  return hierarchical_neighbor_allreduce_async(context, tensor, operations::attended(options)).wait();
}
inline at::Tensor hierarchical_neighbor_allreduce_(Context& context, const at::Tensor& tensor,
                                                   const HierarchicalNeighborAllreduceOptions& options = {}) {
  return hierarchical_neighbor_allreduce_async_(context, tensor, operations::attended(options)).wait();
}
/// @}

/// Context::allreduce: the mean or sum over all ranks.
/// @{
[[nodiscard]] inline TensorHandle allreduce_async(Context& context, const at::Tensor& tensor,
                                                  const AllreduceOptions& options = {}) {
  return operations::to_new_tensor(tensor, options,
                                   [&context](ConstTensor input, Tensor output, const auto& o) {
                                     return context.allreduce_async(input, output, o);
                                   });
}
[[nodiscard]] inline TensorHandle allreduce_async_(Context& context, const at::Tensor& tensor,
                                                   const AllreduceOptions& options = {}) {
  return operations::in_place(tensor, options, [&context](ConstTensor input, Tensor output, const auto& o) {
    return context.allreduce_async(input, output, o);
  });
}
[[nodiscard]] inline at::Tensor allreduce(Context& context, const at::Tensor& tensor,
                                          const AllreduceOptions& options = {}) {
  return allreduce_async(context, tensor, operations::attended(options)).wait();
}
inline at::Tensor allreduce_(Context& context, const at::Tensor& tensor,
                             const AllreduceOptions& options = {}) {
  return allreduce_async_(context, tensor, operations::attended(options)).wait();
}
/// @}

/// Context::broadcast, in place: every rank's tensor becomes the root's.
/// @{
[[nodiscard]] inline TensorHandle broadcast_async_(Context& context, const at::Tensor& tensor, int root,
                                                   const OperationOptions& options = {}) {
  return operations::in_place(tensor, options, [&context, root](ConstTensor, Tensor place, const auto& o) {
    return context.broadcast_async(place, root, o);
  });
}
inline at::Tensor broadcast_(Context& context, const at::Tensor& tensor, int root,
                             const OperationOptions& options = {}) {
  return broadcast_async_(context, tensor, root, operations::attended(options)).wait();
}
/// @}
/// The root's tensor; the others give one of the same shape and dtype.
[[nodiscard]] inline at::Tensor broadcast(Context& context, const at::Tensor& tensor, int root,
                                          const OperationOptions& options = {}) {
  return broadcast_(context, tensor.defined() ? tensor.detach().clone() : tensor, root, options);
}

/// Context::allgather: the tensors of all ranks, one after the other along dimension 0.
/// @{
[[nodiscard]] inline TensorHandle allgather_async(Context& context, const at::Tensor& tensor,
                                                  const OperationOptions& options = {}) {
  return operations::gathering(tensor, options, [&context](ConstTensor input, const auto& o) {
    return context.allgather_async(input, o);
  });
}
[[nodiscard]] inline at::Tensor allgather(Context& context, const at::Tensor& tensor,
                                          const OperationOptions& options = {}) {
  return allgather_async(context, tensor, operations::attended(options)).wait();
}
/// @}

/// Context::neighbor_allgather: the tensors of the in-neighbours, one after the other along dimension 0.
/// @{
[[nodiscard]] inline TensorHandle neighbor_allgather_async(Context& context, const at::Tensor& tensor,
                                                           const NeighborAllgatherOptions& options = {}) {
  return operations::gathering(tensor, options, [&context](ConstTensor input, const auto& o) {
    return context.neighbor_allgather_async(input, o);
  });
}
[[nodiscard]] inline at::Tensor neighbor_allgather(Context& context, const at::Tensor& tensor,
                                                   const NeighborAllgatherOptions& options = {}) {
  return neighbor_allgather_async(context, tensor, operations::attended(options)).wait();
}
/// @}

/// A window on a contiguous tensor, which must live until the window is freed; cheapest in memory of
/// shared_zeros(). Its calls take view(tensor). @throws as Context::create_window
[[nodiscard]] inline Window create_window(Context& context, const std::string& name, const at::Tensor& tensor,
                                          WindowOptions options = {}) {
  if (tensor.defined() && !tensor.is_contiguous() && options.refusal.empty()) {
    options.refusal = "the tensor of a window must be contiguous, for neighbours write to it";
  }
  const at::Tensor place = operations::prepared(tensor, options);
  return context.create_window(name, view(place), options);
}

}  // namespace bluefog::torch
