#pragma once
/// @file error.hpp  The exceptions that this library throws.
///
/// A message names, as far as they apply, the operation, the tensor's name, the own rank, the peer, the step,
/// the elapsed time, and what to do. After any of these the engine stays usable.

#include <stdexcept>
#include <string>

#include <bluefog/export.hpp>

namespace bluefog {

/// Base of every error of this library.
class BLUEFOG_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An argument is wrong by itself, whatever other ranks do (Python: ValueError).
class BLUEFOG_API InvalidArgument : public Error {
 public:
  using Error::Error;
};

/// An operation needs a topology that has not been set (Python: a ValueError and a RuntimeError).
class BLUEFOG_API TopologyMissing : public InvalidArgument {
 public:
  using InvalidArgument::InvalidArgument;
};

/// Two ranks disagree about one operation: shape, dtype, edges, weights, root; or a rank that it needed has
/// given it up for a reason of its own, which the text tells: a wrong argument, its user's interrupt or
/// deadline, its shutdown (Python: ValueError).
class BLUEFOG_API Mismatch : public Error {
 public:
  using Error::Error;
};

/// A rank that the operation needed is dead or has left the job (Python: PeerLostError, a RuntimeError).
class BLUEFOG_API PeerLost : public Error {
 public:
  /// @param peer  the rank that was lost
  PeerLost(const std::string& message, int peer) : Error(message), peer_(peer) {}
  /// The rank that was lost.
  [[nodiscard]] int peer() const noexcept { return peer_; }

 private:
  int peer_;
};

/// The user's deadline passed although every rank lives (Python: TimeoutError).
class BLUEFOG_API Timeout : public Error {
 public:
  using Error::Error;
};

/// The Context was shut down, before or during the operation (Python: RuntimeError).
class BLUEFOG_API Shutdown : public Error {
 public:
  using Error::Error;
};

/// The caller gave up a blocking operation, for instance by Ctrl-C.
class BLUEFOG_API Interrupted : public Error {
 public:
  using Error::Error;
};

}  // namespace bluefog
