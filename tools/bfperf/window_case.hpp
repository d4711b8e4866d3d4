#pragma once
/// @file window_case.hpp  How an operation on windows is measured, whoever carries it out: BlueFog here, MPI
/// in benchmarks/windows.

#include <cstddef>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "figures.hpp"
#include "measuring.hpp"

namespace bluefog::perf {

struct WindowProblem {
  std::size_t bytes = 0;  ///< of float32 per rank
  int repetitions = 31;
  int calls_in_a_row = 1;  ///< in each repetition; nobody reads what they have written before the last
};

/// One operation to time. In each repetition all ranks prepare() and meet, the callers call(), all meet
/// again, and all read what has come.
struct WindowCase {
  std::string name;
  std::function<bool(int rank)> is_caller;
  std::function<void(int repetition)> prepare;
  std::function<void()> call;
  std::function<bool(int repetition)> is_right;
};

/// Of one rank that calls, in microseconds; of others they mean nothing.
struct WindowTimes {
  std::vector<double> copies;
  std::vector<double> calls;
  bool are_right = true;
};

/// A copy and the operation in turns. Collective.
[[nodiscard]] inline WindowTimes take_times(const WindowCase& measured, const WindowProblem& problem,
                                            int rank, const std::function<void()>& meet) {
  constexpr int warm_up = 3;
  const bool calls = measured.is_caller(rank);
  PrivateCopy copy(problem.bytes);
  WindowTimes times;
  for (int repetition = -warm_up; repetition < problem.repetitions; ++repetition) {
    const int number = repetition + warm_up;
    meet();
    const double copied = calls ? copy.time() : 0;
    meet();
    measured.prepare(number);
    meet();
    for (int call = 0; call < problem.calls_in_a_row; ++call) {
      const double called = calls ? time_of(measured.call) : 0;
      if (repetition >= 0) times.calls.push_back(called);
    }
    meet();
    times.are_right = measured.is_right(number) && times.are_right;
    if (repetition >= 0) times.copies.push_back(copied);
  }
  return times;
}

/// Of the values of all ranks, those of the callers. @param all  as many of each rank, in the order of ranks
[[nodiscard]] inline std::vector<double> of_callers(const WindowCase& measured, int ranks, const double* all,
                                                    std::size_t of_each) {
  std::vector<double> result;
  for (int rank = 0; rank < ranks; ++rank) {
    const double* const first = all + static_cast<std::size_t>(rank) * of_each;
    if (measured.is_caller(rank)) result.insert(result.end(), first, first + of_each);
  }
  return result;
}

inline void print_window_figure(Output output, const std::string& name, int ranks,
                                const WindowProblem& problem, const Spread& copy, const Spread& call,
                                bool is_right) {
  char text[200];
  std::snprintf(text, sizeof(text),
                "%-32s %9zu bytes   median %10.2f us   p99 %10.2f us   %6.2f x a copy of %.2f us",
                name.c_str(), problem.bytes, call.median, call.p99, call.median / copy.median, copy.median);
  print(output,
        {{"window", name},
         {"ranks", ranks},
         {"bytes", problem.bytes},
         {"calls_in_a_row", problem.calls_in_a_row},
         {"median_us", call.median},
         {"p99_us", call.p99},
         {"copy_median_us", copy.median},
         {"times_copy", call.median / copy.median},
         {"right", is_right}},
        text);
}

}  // namespace bluefog::perf
