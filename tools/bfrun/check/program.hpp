#pragma once
/// @file program.hpp  Whether a host has what a job's command needs.

#include "check/findings.hpp"
#include "check/plan.hpp"

namespace bfrun {

/// The directory, the files that the command names, the program, and BlueFog's module if that is Python.
/// Enters the directory.
void check_program(const CheckPlan& plan, Findings& findings);

}  // namespace bfrun
