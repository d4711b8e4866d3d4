#include "optim/flight.hpp"

#include <algorithm>
#include <exception>
#include <iterator>
#include <utility>

#include <bluefog/error.hpp>

namespace bluefog::optim {

void Flight::add(Flight other) {
  std::ranges::move(other.handles_, std::back_inserter(handles_));
  other.handles_.clear();
}

bool Flight::wait_for(std::chrono::nanoseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  return std::ranges::all_of(handles_, [&](Handle& handle) {
    try {
      return handle.wait_for(std::max(until - std::chrono::steady_clock::now(), std::chrono::nanoseconds(0)));
    } catch (const Error&) {  // wait() tells
      return true;
    }
  });
}

void Flight::wait() {
  std::exception_ptr error;
  for (Handle& handle : handles_) {
    try {
      handle.wait();
    } catch (...) {
      if (!error) error = std::current_exception();
    }
  }
  handles_.clear();
  if (error) std::rethrow_exception(error);
}

void Flight::wait(const std::function<void()>& while_waiting) {
  constexpr std::chrono::milliseconds slice(100);
  if (while_waiting) {
    try {
      while (!wait_for(slice)) while_waiting();
    } catch (...) {
      abandon();
      throw;
    }
  }
  wait();
}

void Flight::abandon() noexcept {
  for (Handle& handle : handles_) {
    try {
      handle.cancel();
      handle.wait();
    } catch (const Error&) {  // nobody wants to know any more
    }
  }
  handles_.clear();
}

}  // namespace bluefog::optim
