#include "windows.hpp"

#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memory_in_common.hpp"

namespace bluefog::perf {

namespace {

/// A window over the edges given, and what is sent through it.
class Fixture {
 public:
  enum class Memory : std::uint8_t { Shared, Private };

  Fixture(Context& context, std::size_t count, const std::string& name, std::vector<int> sources,
          std::vector<int> destinations, Memory memory = Memory::Shared)
      : rank_(context.rank()), sources_(std::move(sources)), value_(count), seen_(count) {
    if (memory == Memory::Shared) {
      shared_tensor_ = context.make_shared<float>(count);
    } else {
      private_tensor_.resize(count);
    }
    WindowOptions options;
    options.zero_init = true;
    options.src_ranks = sources_;
    options.dst_ranks = std::move(destinations);
    window_ = context.create_window(name, tensor(), options);
  }
  ~Fixture() { window_.free(); }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  [[nodiscard]] Window& window() { return window_; }
  [[nodiscard]] std::span<float> value() { return value_; }
  [[nodiscard]] std::span<float> tensor() {
    return private_tensor_.empty() ? shared_tensor_.span() : std::span(private_tensor_);
  }
  [[nodiscard]] int source() const { return sources_.front(); }

  /// As an optimizer step does.
  void rewrite(int repetition) { std::ranges::fill(value_, sent_value(rank_, repetition)); }
  /// Reads the buffer of the source, if there is one, and resets it. @returns whether it holds `factor` times
  /// what the source has sent
  [[nodiscard]] bool has_arrived(int repetition, int factor) {
    if (sources_.empty()) return true;
    WindowUpdateOptions options;
    options.self_weight = 0.0;
    options.src_weights = Weights{{source(), 1.0}};
    options.reset = true;
    options.output = std::span(seen_);
    window_.update(options);
    return all_hold(seen_.data(), seen_.size(),
                    static_cast<float>(factor) * sent_value(source(), repetition));
  }

 private:
  int rank_;
  std::vector<int> sources_;
  SharedArray<float> shared_tensor_;
  std::vector<float> private_tensor_;
  std::vector<float> value_;
  std::vector<float> seen_;
  Window window_;
};

/// The edges of a rank where rank 0 alone writes to rank 1.
struct OneEdge {
  explicit OneEdge(int rank)
      : sources(rank == 1 ? std::vector{0} : std::vector<int>()),
        destinations(rank == 0 ? std::vector{1} : std::vector<int>()) {}
  std::vector<int> sources;
  std::vector<int> destinations;
};

class Cases {
 public:
  Cases(Context& context, const WindowProblem& problem) : context_(context), problem_(problem) {}

  [[nodiscard]] std::vector<std::function<WindowCase()>> all() {
    return {[this] { return plain_copy(); },
            [this] { return put(); },
            [this] { return put_by_all(); },
            [this] { return accumulate(); },
            [this] { return get("get", Fixture::Memory::Shared); },
            [this] { return get("get, private memory", Fixture::Memory::Private); },
            [this] { return update(); }};
  }

 private:
  [[nodiscard]] std::shared_ptr<Fixture> make(const std::string& name, std::vector<int> sources,
                                              std::vector<int> destinations,
                                              Fixture::Memory memory = Fixture::Memory::Shared) {
    return std::make_shared<Fixture>(context_, problem_.bytes / sizeof(float), name, std::move(sources),
                                     std::move(destinations), memory);
  }

  [[nodiscard]] static WindowCase putting(std::string name, std::function<bool(int)> is_caller,
                                          const std::shared_ptr<Fixture>& fixture) {
    WindowCase result;
    result.name = std::move(name);
    result.is_caller = std::move(is_caller);
    result.prepare = [fixture](int repetition) { fixture->rewrite(repetition); };
    result.call = [fixture] { fixture->window().put(fixture->value()); };
    result.is_right = [fixture](int repetition) { return fixture->has_arrived(repetition, 1); };
    return result;
  }

  /// No window, no protocol: what is left of a put when everything else is taken away.
  [[nodiscard]] WindowCase plain_copy() {
    struct Buffers {
      Buffers(Context& context, std::size_t count)
          : there(context, count), value(count), seen(count), is_reader(context.rank() == 1) {}
      MemoryInCommon there;
      std::vector<float> value;
      std::vector<float> seen;
      bool is_reader;
    };
    auto buffers = std::make_shared<Buffers>(context_, problem_.bytes / sizeof(float));
    WindowCase result;
    result.name = "memcpy into memory of both";
    result.is_caller = [](int rank) { return rank == 0; };
    result.prepare = [buffers](int repetition) {
      std::ranges::fill(buffers->value, sent_value(0, repetition));
    };
    result.call = [buffers] {
      std::memcpy(buffers->there.floats().data(), buffers->value.data(),
                  buffers->there.floats().size_bytes());
    };
    result.is_right = [buffers](int repetition) {
      if (!buffers->is_reader) return true;
      std::ranges::copy(buffers->there.floats(), buffers->seen.begin());
      return all_hold(buffers->seen.data(), buffers->seen.size(), sent_value(0, repetition));
    };
    return result;
  }

  [[nodiscard]] WindowCase put() {
    const OneEdge edge(context_.rank());
    return putting(
        "put", [](int rank) { return rank == 0; }, make("put", edge.sources, edge.destinations));
  }

  [[nodiscard]] WindowCase put_by_all() {
    const int size = context_.size();
    return putting(
        "put by all, in a ring", [](int) { return true; },
        make("ring", {(context_.rank() + size - 1) % size}, {(context_.rank() + 1) % size}));
  }

  /// To what was accumulated before and not read.
  [[nodiscard]] WindowCase accumulate() {
    const OneEdge edge(context_.rank());
    auto fixture = make("accumulate", edge.sources, edge.destinations);
    WindowCase result;
    result.name = "accumulate";
    result.is_caller = [](int rank) { return rank == 0; };
    result.call = [fixture] { fixture->window().accumulate(fixture->value()); };
    result.prepare = [fixture, call = result.call, rank = context_.rank()](int repetition) {
      fixture->rewrite(repetition);
      if (rank == 0) call();
    };
    result.is_right = [fixture, factor = 1 + problem_.calls_in_a_row](int repetition) {
      return fixture->has_arrived(repetition, factor);
    };
    return result;
  }

  /// Rank 1 gets the tensor of rank 0.
  [[nodiscard]] WindowCase get(std::string name, Fixture::Memory memory) {
    const OneEdge edge(context_.rank());
    auto fixture = make(name, edge.sources, edge.destinations, memory);
    WindowCase result;
    result.name = std::move(name);
    result.is_caller = [](int rank) { return rank == 1; };
    result.prepare = [fixture, rank = context_.rank()](int repetition) {
      if (rank == 0) std::ranges::fill(fixture->tensor(), sent_value(rank, repetition));
    };
    result.call = [fixture] { fixture->window().get(); };
    result.is_right = [fixture](int repetition) { return fixture->has_arrived(repetition, 1); };
    return result;
  }

  /// The mean of the own tensor and of what rank 0 has put.
  [[nodiscard]] WindowCase update() {
    const OneEdge edge(context_.rank());
    auto fixture = make("update", edge.sources, edge.destinations);
    WindowCase result;
    result.name = "update";
    result.is_caller = [](int rank) { return rank == 1; };
    result.prepare = [fixture, rank = context_.rank()](int repetition) {
      fixture->rewrite(repetition);
      if (rank == 0) fixture->window().put(fixture->value());
      if (rank == 1) std::ranges::fill(fixture->tensor(), sent_value(0, repetition));
    };
    result.call = [fixture] { fixture->window().update(); };
    result.is_right = [fixture, rank = context_.rank()](int repetition) {
      return rank != 1 ||
             all_hold(fixture->tensor().data(), fixture->tensor().size(), sent_value(0, repetition));
    };
    return result;
  }

  Context& context_;
  WindowProblem problem_;
};

/// What the callers among all ranks have measured.
[[nodiscard]] Spread spread_of_callers(Context& context, const WindowCase& measured,
                                       const std::vector<double>& own) {
  const GatheredTensor all = context.allgather(std::span(own));
  const auto* const values = reinterpret_cast<const double*>(all.data.get());
  return spread_of(of_callers(measured, context.size(), values, own.size()));
}

}  // namespace

bool measure_windows(Context& context, const WindowProblem& problem, Output output) {
  if (context.size() < 2) throw InvalidArgument("windows are measured between ranks; start bfrun with -np 2");
  bool all_right = true;
  Cases cases(context, problem);
  for (const auto& make : cases.all()) {
    const WindowCase measured = make();
    const WindowTimes times = take_times(measured, problem, context.rank(), [&] { context.barrier(); });
    all_right = all_right && times.are_right;
    const Spread copy = spread_of_callers(context, measured, times.copies);
    const Spread call = spread_of_callers(context, measured, times.calls);
    if (context.rank() != 0) continue;
    print_window_figure(output, measured.name, context.size(), problem, copy, call, times.are_right);
  }
  if (!all_right) std::fprintf(stderr, "bfperf: wrong values on rank %d\n", context.rank());
  return all_right;
}

}  // namespace bluefog::perf
