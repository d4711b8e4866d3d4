#include <bluefog/error.hpp>

#include "bindings.hpp"

namespace bluefog::python {
namespace {

/// The classes of bluefog.common.errors. Never freed: an exception may be translated while the interpreter
/// ends.
struct ErrorClasses {
  nb::object error, invalid_argument, topology_missing, mismatch, peer_lost, timeout, shutdown;
};
const ErrorClasses* classes = nullptr;

void raise(const nb::object& type, const Error& error) {
  PyErr_SetString(type.ptr(), error.what());
}

void raise_peer_lost(const PeerLost& error) {
  try {
    const nb::object instance = classes->peer_lost(error.what(), error.peer());
    PyErr_SetObject(classes->peer_lost.ptr(), instance.ptr());
  } catch (nb::python_error& python_error) {  // the class is Python code, in which Ctrl-C may strike
    python_error.restore();
  }
}

void raise_error_of_library(const std::exception_ptr& pointer) {
  try {
    std::rethrow_exception(pointer);
  } catch (const TopologyMissing& error) {
    raise(classes->topology_missing, error);
  } catch (const InvalidArgument& error) {
    raise(classes->invalid_argument, error);
  } catch (const Mismatch& error) {
    raise(classes->mismatch, error);
  } catch (const PeerLost& error) {
    raise_peer_lost(error);
  } catch (const Timeout& error) {
    raise(classes->timeout, error);
  } catch (const Shutdown& error) {
    raise(classes->shutdown, error);
  } catch (const Error& error) {
    raise(classes->error, error);
  }
}

void translate(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const Error&) {
    // Ctrl-C reaches all ranks of a job; those that it ends first are then no news to the others.
    if (PyErr_CheckSignals() == 0) raise_error_of_library(pointer);
  }
}

}  // namespace

void bind_errors(nb::module_&) {
  const nb::module_ errors = nb::module_::import_("bluefog.common.errors");
  classes = new ErrorClasses{errors.attr("BlueFogError"),         errors.attr("InvalidArgumentError"),
                             errors.attr("TopologyMissingError"), errors.attr("MismatchError"),
                             errors.attr("PeerLostError"),        errors.attr("OperationTimeoutError"),
                             errors.attr("ShutdownError")};
  nb::register_exception_translator(translate);
}

}  // namespace bluefog::python
