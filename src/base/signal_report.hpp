#pragma once
/// @file signal_report.hpp  kill -USR1: the process tells what it is doing.

#include <functional>
#include <list>

namespace bluefog::base {

/// While it lives, SIGUSR1 makes this process call `report` on a thread that is there for nothing else, so it
/// works whatever the other threads do. The first one installs a handler, unless the process has one already
/// (or ignores the signal): that of the user stays. The handler then stays too, and without reports does
/// nothing; so does the copy in a forked child.
class SignalReport {
 public:
  class Reporter;

  explicit SignalReport(std::function<void()> report);
  /// Waits for a call of the report that is under way.
  ~SignalReport();
  SignalReport(const SignalReport&) = delete;
  SignalReport& operator=(const SignalReport&) = delete;

 private:
  Reporter& reporter_;
  std::list<std::function<void()>>::iterator where_;
};

}  // namespace bluefog::base
