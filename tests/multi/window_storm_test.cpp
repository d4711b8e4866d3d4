// Random operations on several windows, many at a time: no read is torn, no accumulate is lost or counted
// twice, and memory does not grow. WINDOW_STORM=1000000 sets the number of operations of all ranks.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <unistd.h>

#include "base/hash.hpp"
#include "multi/windows.hpp"
#include "sanitizers.hpp"

namespace bluefog::test {
namespace {

constexpr int size = 4;
constexpr std::size_t most_in_flight = 4;
constexpr std::array<std::size_t, 3> element_counts{1, 1000, 131072};  ///< of eight bytes each
/// A slot for each edge from the other ranks, of three windows of each size, rounded up.
constexpr std::size_t late_slots = (size - 1) * 3 * (std::size_t{1} << 20) * 9 / 8;

/// What a rank writes: every element carries who wrote it, which time, and a check sum of both and its place.
class Signed {
 public:
  static void write(std::span<std::uint64_t> out, int writer, std::uint32_t time) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = element(writer, time, i);
  }
  /// The time at which it was written, if it is whole. Zeros have never been written.
  static std::uint32_t read(std::span<const std::uint64_t> in, int writer) {
    if (std::ranges::all_of(in, [](std::uint64_t value) { return value == 0; })) return 0;
    const auto time = static_cast<std::uint32_t>(in[0] >> 32);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < in.size(); ++i) wrong += in[i] != element(writer, time, i) ? 1 : 0;
    EXPECT_EQ(wrong, 0U) << "torn: of " << in.size() << " elements that rank " << writer << " wrote at time "
                         << time;
    return time;
  }

 private:
  static std::uint64_t element(int writer, std::uint32_t time, std::size_t i) {
    const std::uint64_t check =
        base::mix_bits(std::uint64_t{time} << 32 ^ i << 3 ^ static_cast<std::uint64_t>(writer));
    return std::uint64_t{time} << 32 | (check & 0xffffffffU);
  }
};

/// A rank's part of the storm.
class Storm {
 public:
  Storm(Context& context, std::uint64_t seed)
      : context_(context), random_(seed * size + static_cast<std::uint64_t>(context.rank())) {
    for (const std::size_t count : element_counts) {
      values_.push_back(std::make_unique<Values>(context, count));
      masses_.push_back(std::make_unique<Masses>(context, count));
      sums_.push_back(std::make_unique<PushSum>(context, count));
    }
  }

  void step() {
    // Large tensors now and then.
    const std::size_t which = below(200) == 0 ? 2 : below(4) == 0 ? 1 : 0;
    switch (below(3)) {
      case 0:
        return step(*values_[which]);
      case 1:
        return step(*masses_[which]);
      default:
        return step(*sums_[which]);
    }
  }

  void end() {
    for (auto& values : values_) values->wait();
    for (auto& masses : masses_) masses->wait();
    context_.barrier();
    for (auto& masses : masses_) check_mass(*masses);
    for (auto& sum : sums_) check_mass(*sum);
    context_.barrier();
    for (auto& values : values_) values->window.free();
    for (auto& masses : masses_) masses->window.free();
    for (auto& sum : sums_) sum->window.free();
  }

 private:
  /// What a window of either kind has.
  struct Base {
    std::deque<std::pair<Handle, std::unique_ptr<std::byte[]>>> flights;
    std::size_t count;
    Window window;

    explicit Base(std::size_t elements) : count(elements) {}
    void fly(Handle handle, std::unique_ptr<std::byte[]> memory) {
      flights.emplace_back(std::move(handle), std::move(memory));
      while (flights.size() > most_in_flight) land();
    }
    void land() {
      flights.front().first.wait();
      flights.pop_front();
    }
    void wait() {
      while (!flights.empty()) land();
    }
  };
  /// Puts and gets of signed elements.
  struct Values : Base {
    SharedArray<std::uint64_t> tensor;
    std::uint32_t time = 0;
    std::vector<std::uint32_t> put_seen = std::vector<std::uint32_t>(size);
    std::vector<std::uint64_t> output;

    Values(Context& context, std::size_t elements)
        : Base(elements), tensor(context.make_shared<std::uint64_t>(elements)), output(elements) {
      const Tensor whole(tensor.data(), DType::Int64, Shape(elements));
      window = context.create_window("values" + std::to_string(elements), whole, zeros());
    }
  };
  /// Accumulates of whole numbers; element i has i % 7 + 1 times the value of element 0.
  struct Masses : Base {
    std::vector<double> tensor;
    std::vector<double> given = std::vector<double>(size);  ///< by destination

    Masses(Context& context, std::size_t elements) : Base(elements), tensor(elements) {
      window = context.create_window("masses" + std::to_string(elements), tensor, zeros());
    }
  };

  /// Every element is a constant times the push-sum weight, whatever is given away and collected.
  struct PushSum : Base {
    static constexpr double constant = 4;
    std::vector<double> tensor;

    PushSum(Context& context, std::size_t elements) : Base(elements), tensor(elements, constant) {
      window = context.create_window("sums" + std::to_string(elements), tensor, zeros());
    }
  };

  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  [[nodiscard]] bool coin() { return below(2) == 0; }

  void step(Values& values) {
    switch (below(4)) {
      case 0:
        return put(values);
      case 1:
        return edit(values);
      case 2:
        return get(values);
      default:
        return look(values);
    }
  }
  void step(Masses& masses) { below(3) != 0 ? accumulate(masses) : collect(masses); }

  /// One destination, or all.
  [[nodiscard]] WindowPutOptions random_put(const Window& window) {
    WindowPutOptions options;
    options.require_mutex = below(4) == 0;
    if (coin())
      options.dst_weights = Weights{{window.destinations()[below(window.destinations().size())], 1.0}};
    return options;
  }

  void put(Values& values) {
    auto memory = std::make_unique<std::byte[]>(values.count * sizeof(std::uint64_t));
    const std::span<std::uint64_t> elements(reinterpret_cast<std::uint64_t*>(memory.get()), values.count);
    Signed::write(elements, context_.rank(), ++values.time);
    const ConstTensor tensor(memory.get(), DType::Int64, Shape(values.count));
    const WindowPutOptions options = random_put(values.window);
    if (coin()) return values.window.put(tensor, options);
    values.fly(values.window.put_async(tensor, options), std::move(memory));
  }

  void edit(Values& values) {
    values.wait();
    const WindowLock lock = values.window.edit();
    Signed::write({values.tensor.data(), values.count}, context_.rank(), ++values.time);
  }

  void get(Values& values) {
    WindowGetOptions options;
    options.require_mutex = below(4) == 0;
    if (coin()) return values.window.get(options);
    values.fly(values.window.get_async(options), nullptr);
  }

  void look(Values& values) {
    const auto sources = values.window.sources();
    const int source = sources[below(sources.size())];
    WindowUpdateOptions options;
    options.self_weight = 0;
    options.src_weights = Weights{{source, 1.0}};
    options.require_mutex = below(4) == 0;
    options.output = Tensor(values.output.data(), DType::Int64, Shape(values.count));
    values.window.update(options);
    static_cast<void>(Signed::read(values.output, source));
  }

  void accumulate(Masses& masses) {
    auto memory = std::make_unique<std::byte[]>(masses.count * sizeof(double));
    auto* const elements = reinterpret_cast<double*>(memory.get());
    const auto value = static_cast<double>(1 + below(1000));
    for (std::size_t i = 0; i < masses.count; ++i) elements[i] = value * static_cast<double>(i % 7 + 1);
    const ConstTensor tensor(memory.get(), DType::Float64, Shape(masses.count));
    const WindowPutOptions options = random_put(masses.window);
    for (const int to : masses.window.destinations()) {
      if (options.dst_weights && !options.dst_weights->contains(to)) continue;
      masses.given[static_cast<std::size_t>(to)] += value;
    }
    if (coin()) return masses.window.accumulate(tensor, options);
    masses.fly(masses.window.accumulate_async(tensor, options), std::move(memory));
  }

  void collect(Masses& masses) {
    masses.wait();
    masses.window.update_then_collect(coin());
    check_shape(masses);
  }

  static void check_shape(const Masses& masses) {
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < masses.count; ++i) {
      wrong += masses.tensor[i] != masses.tensor[0] * static_cast<double>(i % 7 + 1) ? 1 : 0;
    }
    EXPECT_EQ(wrong, 0U) << "torn: of " << masses.count << " sums";
  }

  void check_mass(Masses& masses) {
    masses.window.update_then_collect();
    check_shape(masses);
    AllreduceOptions sum;
    sum.reduction = Reduction::Sum;
    context_.allreduce(masses.given, masses.given, sum);
    EXPECT_EQ(masses.tensor[0], masses.given[static_cast<std::size_t>(context_.rank())]);
  }

  void step(PushSum& sum) {
    context_.use_associated_p(true);
    // Whoever runs ahead has soon given nearly all away; products must stay exact.
    if (coin() && sum.window.associated_p() > 1e-100) {
      WindowPutOptions half;
      half.self_weight = 0.5;
      half.dst_weights = Weights{{sum.window.destinations()[below(size - 1)], 0.5}};
      half.require_mutex = below(4) == 0;
      sum.window.accumulate(sum.tensor, half);
    } else {
      sum.window.update_then_collect(coin());
    }
    context_.use_associated_p(false);
    check_shape(sum);
  }

  static void check_shape(const PushSum& sum) {
    const double expected = PushSum::constant * sum.window.associated_p();
    EXPECT_EQ(std::ranges::count(sum.tensor, expected), static_cast<std::ptrdiff_t>(sum.count))
        << "torn: of " << sum.count << " elements that are not all " << expected;
  }

  void check_mass(PushSum& sum) {
    context_.use_associated_p(true);
    sum.window.update_then_collect();
    context_.use_associated_p(false);
    check_shape(sum);
    std::vector<double> total{sum.window.associated_p()};
    AllreduceOptions all;
    all.reduction = Reduction::Sum;
    context_.allreduce(total, total, all);
    EXPECT_NEAR(total[0], size, 1e-12);
  }

  Context& context_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Values>> values_;
  std::vector<std::unique_ptr<Masses>> masses_;
  std::vector<std::unique_ptr<PushSum>> sums_;
};

/// Of all ranks together.
int operations(Ranks ranks) {
  if (const char* const wish = std::getenv("WINDOW_STORM")) return std::atoi(wish);
  const int usual = are_all_far(ranks) || is_simulated(ranks) ? 4000 : 40000;
  return is_sanitized ? usual / 10 : usual;
}

/// Of this process.
std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t pages = 0;
  statm >> pages >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t seed_of_run() {
  const char* const wish = std::getenv("WINDOW_STORM_SEED");
  return wish != nullptr ? std::strtoull(wish, nullptr, 10) : std::random_device()();
}

using WindowStorm = WindowSuite;

TEST_P(WindowStorm, TearsAndLosesNothing) {
  const std::uint64_t seed = seed_of_run();
  SCOPED_TRACE("WINDOW_STORM_SEED=" + std::to_string(seed));
  const int steps = operations(GetParam()) / size;
  run_job(GetParam(), size, [&](Context& context) {
    context.set_topology(fully_connected_graph(size));
    Storm storm(context, seed);
    for (int step = 0; step < steps / 4; ++step) storm.step();
    const std::size_t allocated = context.stats().memory.allocated;
    const std::size_t resident = resident_bytes();
    for (int step = steps / 4; step < steps; ++step) storm.step();
    EXPECT_LE(context.stats().memory.allocated, allocated + late_slots)
        << "the arena: each edge may have got its last slot late, but no more";
    if (!is_sanitized) {  // sanitizers keep what was freed
      EXPECT_LE(resident_bytes(), resident + (std::size_t{64} << 20)) << "the process";
    }
    storm.end();
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, WindowStorm, testing::ValuesIn(all_ranks),
                         [](const auto& info) { return testing::PrintToString(info.param); });

}  // namespace
}  // namespace bluefog::test
