#pragma once
// How Python holds a Schedule.

#include <bluefog/schedule.hpp>

namespace bluefog::python {

/// What Python calls Schedule.
struct PySchedule {
  SchedulePtr schedule;
};

}  // namespace bluefog::python
