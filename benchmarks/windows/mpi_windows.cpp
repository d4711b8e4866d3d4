// The same operations as bfperf --windows, by MPI's one-sided communication: windows of MPI_Win_allocate, one
// passive epoch for all (MPI_Win_lock_all), each call followed by MPI_Win_flush.
//
//   mpirun -np 2 bench_mpi_windows --bytes 1048576

#include <algorithm>
#include <cstdio>
#include <functional>
#include <vector>

#include <CLI/CLI.hpp>
#include <mpi.h>

#include "window_case.hpp"

namespace {

using namespace bluefog::perf;

/// A float32 window on each rank, in an epoch from its beginning to its end.
class Window {
 public:
  explicit Window(std::size_t count) {
    MPI_Win_allocate(static_cast<MPI_Aint>(count * sizeof(float)), sizeof(float), MPI_INFO_NULL,
                     MPI_COMM_WORLD, &data_, &window_);
    std::fill_n(data_, count, 0.0F);
    MPI_Win_lock_all(MPI_MODE_NOCHECK, window_);
  }
  ~Window() {
    MPI_Win_unlock_all(window_);
    MPI_Win_free(&window_);
  }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  void put(const std::vector<float>& value, int target) {
    MPI_Put(value.data(), static_cast<int>(value.size()), MPI_FLOAT, target, 0,
            static_cast<int>(value.size()), MPI_FLOAT, window_);
    MPI_Win_flush(target, window_);
  }
  void accumulate(const std::vector<float>& value, int target) {
    MPI_Accumulate(value.data(), static_cast<int>(value.size()), MPI_FLOAT, target, 0,
                   static_cast<int>(value.size()), MPI_FLOAT, MPI_SUM, window_);
    MPI_Win_flush(target, window_);
  }
  void get(std::vector<float>& value, int target) {
    MPI_Get(value.data(), static_cast<int>(value.size()), MPI_FLOAT, target, 0,
            static_cast<int>(value.size()), MPI_FLOAT, window_);
    MPI_Win_flush(target, window_);
  }
  void sync() { MPI_Win_sync(window_); }
  [[nodiscard]] float* data() { return data_; }

 private:
  float* data_ = nullptr;
  MPI_Win window_ = MPI_WIN_NULL;
};

int rank_of_world() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

int size_of_world() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

void barrier() {
  MPI_Barrier(MPI_COMM_WORLD);
}

class Cases {
 public:
  explicit Cases(const WindowProblem& problem)
      : problem_(problem),
        count_(problem.bytes / sizeof(float)),
        window_(count_),
        value_(count_),
        seen_(count_) {}

  [[nodiscard]] std::vector<WindowCase> all() {
    const int next = (rank_ + 1) % size_;
    const int previous = (rank_ + size_ - 1) % size_;
    const auto is_first = [](int rank) { return rank == 0; };
    const auto is_second = [](int rank) { return rank == 1; };
    const auto is_any = [](int) { return true; };
    const auto rewrite = [this](int repetition) { std::ranges::fill(value_, sent_value(rank_, repetition)); };
    const auto clear_and_rewrite = [this, rewrite](int repetition) {
      std::fill_n(window_.data(), count_, 0.0F);
      window_.sync();
      barrier();
      rewrite(repetition);
      if (rank_ == 0) window_.accumulate(value_, 1);
    };
    const auto fill_window = [this](int repetition) {
      std::fill_n(window_.data(), count_, sent_value(rank_, repetition));
      window_.sync();
    };
    return {
        {"put", is_first, rewrite, [this] { window_.put(value_, 1); },
         [this](int repetition) { return rank_ != 1 || has_arrived(0, repetition, 1); }},
        {"put by all, in a ring", is_any, rewrite, [this, next] { window_.put(value_, next); },
         [this, previous](int repetition) { return has_arrived(previous, repetition, 1); }},
        {"accumulate", is_first, clear_and_rewrite, [this] { window_.accumulate(value_, 1); },
         [this](int repetition) {
           return rank_ != 1 || has_arrived(0, repetition, 1 + problem_.calls_in_a_row);
         }},
        {"get", is_second, fill_window, [this] { window_.get(seen_, 0); },
         [this](int repetition) {
           return rank_ != 1 || all_hold(seen_.data(), count_, sent_value(0, repetition));
         }},
    };
  }

 private:
  /// Reads all of the window, as an average would.
  [[nodiscard]] bool has_arrived(int source, int repetition, int factor) {
    window_.sync();
    std::copy_n(window_.data(), count_, seen_.data());
    return all_hold(seen_.data(), count_, static_cast<float>(factor) * sent_value(source, repetition));
  }

  WindowProblem problem_;
  int rank_ = rank_of_world();
  int size_ = size_of_world();
  std::size_t count_;
  Window window_;
  std::vector<float> value_;
  std::vector<float> seen_;
};

/// What the callers among all ranks have measured.
Spread spread_of_callers(const WindowCase& measured, const std::vector<double>& own) {
  std::vector<double> all(own.size() * static_cast<std::size_t>(size_of_world()));
  MPI_Allgather(own.data(), static_cast<int>(own.size()), MPI_DOUBLE, all.data(),
                static_cast<int>(own.size()), MPI_DOUBLE, MPI_COMM_WORLD);
  return spread_of(of_callers(measured, size_of_world(), all.data(), own.size()));
}

bool measure(const WindowProblem& problem, Output output) {
  bool all_right = true;
  Cases cases(problem);
  for (const WindowCase& measured : cases.all()) {
    const WindowTimes times = take_times(measured, problem, rank_of_world(), barrier);
    all_right = all_right && times.are_right;
    const Spread copy = spread_of_callers(measured, times.copies);
    const Spread call = spread_of_callers(measured, times.calls);
    if (rank_of_world() != 0) continue;
    print_window_figure(output, "Open MPI: " + measured.name, size_of_world(), problem, copy, call,
                        times.are_right);
  }
  if (!all_right) std::fprintf(stderr, "bench_mpi_windows: wrong values on rank %d\n", rank_of_world());
  return all_right;
}

int measure_as_told(int argc, char** argv) {
  WindowProblem problem{1 << 20};
  bool prints_json = false;
  CLI::App app{
      "Times MPI's one-sided operations as bfperf --windows times BlueFog's; start it with mpirun -np N"};
  app.add_option("--bytes", problem.bytes, "Bytes of float32 per rank; rounded down to whole numbers")
      ->check(CLI::Range(sizeof(float), std::size_t{1} << 32))
      ->capture_default_str();
  app.add_option("--repetitions", problem.repetitions, "Timed repetitions of each operation")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--calls-in-a-row", problem.calls_in_a_row, "Calls in each repetition, before anybody reads")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--json", prints_json, "Print JSON lines");
  CLI11_PARSE(app, argc, argv);
  if (size_of_world() < 2) {
    std::fputs("bench_mpi_windows: windows are measured between ranks; start mpirun with -np 2\n", stderr);
    return 1;
  }
  problem.bytes -= problem.bytes % sizeof(float);
  return measure(problem, prints_json ? Output::JsonLines : Output::Text) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const int status = measure_as_told(argc, argv);
  MPI_Finalize();
  return status;
}
