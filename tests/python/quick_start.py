"""The snippets of docs/cpp-quick-start.md as programs: what each assumes, and what must hold after it."""

from __future__ import annotations

import re

from ranks import REPOSITORY

SNIPPETS = re.findall(r"```cpp\n(.*?)```", (REPOSITORY / "docs/cpp-quick-start.md").read_text(), re.DOTALL)
AVERAGE, SCHEDULE, HANDLES, COROUTINES, DESCENT, LIBTORCH, WINDOWS, THREADS = range(8)

INCLUDES = """
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <span>
#include <stdexcept>
#include <thread>
#include <vector>
#include <bluefog/bluefog.hpp>
#include <bluefog/descent.hpp>
"""
#: Each snippet averages, or finds the minimum at the mean of two ranks' numbers, which are 0 and 1.
BEFORE = {
    SCHEDULE: "",
    HANDLES: """
      std::vector<double> x{1.0 * context.rank()}, y(1);
      const auto compute_something_else = [] {};""",
    COROUTINES: "std::vector<double> x{1.0 * context.rank()};",
    DESCENT: """
      const std::size_t dims = 3;
      struct {
        double target;
        void gradient(std::span<const double> at, std::span<double> gradient) const {
          for (std::size_t i = 0; i < at.size(); ++i) gradient[i] = at[i] - target;
        }
      } my_problem{1.0 * context.rank()};""",
    LIBTORCH: """
      struct Batch { at::Tensor data, target; };
      torch::manual_seed(context.rank());
      torch::nn::Sequential model(torch::nn::Linear(4, 2), torch::nn::LogSoftmax(1));
      const at::Tensor data = torch::rand({8, 4}) - .5;
      const std::vector<Batch> batches(100, Batch{data, (data.select(1, 0) > 0).to(at::kLong)});
      const auto* const loader = &batches;""",
    WINDOWS: "std::vector<double> x{1.0 * context.rank()};",
    THREADS: """
      std::atomic<int> sum = 0;
      const auto body = [&sum](bluefog::Context& own) { sum += own.rank(); };""",
}
AFTER = {
    SCHEDULE: "",
    HANDLES: "expect_half(y[0]);",
    COROUTINES: "expect_half(first);",
    DESCENT: "expect_half(x[0]);",
    LIBTORCH: """
      if (model->forward(data).argmax(1).ne(batches[0].target).sum().item<int>() > 1)
        throw std::runtime_error("has not learnt");""",
    WINDOWS: """
      context.barrier();
      window.update();
      if (x[0] <= 0 || x[0] >= 1) throw std::runtime_error("no mean of both");
      window.free();""",
    THREADS: """
      if (sum != 6) throw std::runtime_error("not all ranks have run");""",
}


def program(*numbers: int) -> str:
    """A program whose ranks run these snippets, one after another."""
    includes, definitions, bodies = [INCLUDES], [], []
    for number in numbers:
        snippet = SNIPPETS[number]
        includes += re.findall(r"^#include.*\n", snippet, re.MULTILINE)
        rest = re.sub(r"^#include.*\n", "", snippet, flags=re.MULTILINE)
        function = re.match(r"\n*(\S+ \w+\(.*?\n}\n)", rest, re.DOTALL)  # one that the snippet defines first
        if function is not None:
            definitions.append(function[1])
            rest = rest[function.end() :]
        bodies.append(f"{{\n{BEFORE[number]}\n{rest}\n{AFTER[number]}\n}}\ncontext.barrier();\n")
    return f"""
{"".join(includes)}
void expect_half(double value) {{
  if (std::abs(value - .5) > 1e-6) throw std::runtime_error("found " + std::to_string(value));
}}
{"".join(definitions)}
int main() {{
  bluefog::Context context;
{"".join(bodies)}
  std::printf("rank %d has run all\\n", context.rank());
}}
"""
