#pragma once
/// @file handle.hpp  An operation in flight.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include <bluefog/export.hpp>
#include <bluefog/tensor.hpp>

namespace bluefog {

namespace engine {
class Operation;
class Engine;
}  // namespace engine

/// Memory that an operation allocated because its size was not known before (gathers).
struct GatheredTensor {
  /// Row-major.
  std::shared_ptr<std::byte[]> data;
  /// Of the elements.
  DType dtype = DType::Float32;
  /// Its extents.
  Shape shape;
};

/// Refers to one operation in flight. Copies refer to the same operation. The tensors of the operation must
/// live until it is closed: done() is true, or wait() returned or threw the operation's own error.
/// All but valid() throw InvalidArgument on a Handle that refers to none.
class BLUEFOG_API Handle {
 public:
  Handle() = default;
  /// Made by the operations.
  Handle(std::shared_ptr<engine::Engine> engine, std::shared_ptr<engine::Operation> operation);

  /// Whether it refers to an operation.
  [[nodiscard]] bool valid() const noexcept { return operation_ != nullptr; }
  /// True when the operation is closed, with success or an error; also in a forked child, where nobody works
  /// on it. Drives progress a little.
  [[nodiscard]] bool done();
  /// Waits until the operation is closed. @throws the operation's error (Mismatch, PeerLost, Timeout,
  /// Shutdown, ...); a Mismatch also if this one has succeeded, but a peer has found fault with an earlier
  /// one that had succeeded here. Its text names the operation.
  void wait();
  /// As wait(), but false if the operation is still in flight after `patience`; it stays in flight.
  [[nodiscard]] bool wait_for(std::chrono::nanoseconds patience);
  /// Calls `then` once, when the operation is closed, or now if it is; never in a forked child. It is called
  /// by whichever thread closes the operation, with locks held: it must only hand on (post to a loop, set a
  /// condition), call nothing of this library, and not throw. @throws InvalidArgument in a Simulation, whose
  /// ranks share the thread that would wait to be told
  void when_closed(std::function<void()> then);
  /// Asks the operation to give up. It may complete nevertheless, if the others have started; wait() tells.
  void cancel();
  /// Result of a gather. @throws InvalidArgument before it is closed or for other operations
  [[nodiscard]] GatheredTensor gathered() const;

 private:
  std::shared_ptr<engine::Engine> engine_;
  std::shared_ptr<engine::Operation> operation_;
};

}  // namespace bluefog
