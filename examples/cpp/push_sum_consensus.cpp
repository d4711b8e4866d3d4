// Asynchronous push-sum: ranks agree on the mean of their vectors though none ever waits for another, and one
// of them is ten times as slow as the rest.
//
//   bfrun -np 4 ./push_sum_consensus --slow-rank 3
//   bfrun -np 4 ./push_sum_consensus --slow-rank 3 --history estimates.csv
//
// Rank r starts with a vector x of the value r and a weight p of 1. In an iteration it computes (here:
// sleeps), adds what has come from its in-neighbours to x and p, and gives equal shares of both to itself and
// its out-neighbours. Shares only move, so the sums of x and of p over all ranks and all that is on its way
// stay what they were, and x / p goes to the mean, whatever the pace of each rank (Kempe, Dobra, Gehrke,
// "Gossip-Based Computation of Aggregate Information", FOCS 2003; Assran et al., "Stochastic Gradient Push",
// ICML 2019). Who runs ahead of its in-neighbours has given most of its p away; x has become small with it,
// so x / p stays.
//
// Shares travel while the next iteration computes. If they have not arrived when it ends, because a link is
// thin, this rank keeps what it has for another iteration instead of waiting: that a message is late costs
// mixing, but no computing.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <bluefog/bluefog.hpp>

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

struct Options {
  std::size_t size = 1000;
  double seconds = 5;
  double compute_milliseconds = 2;
  int slow_rank = -1;
  double slow_factor = 10;
  bool blocking = false;
  std::string history;
};

constexpr double most_error = 1e-6;       ///< of any element of any rank's estimate
constexpr double most_mass_lost = 1e-12;  ///< of the sum of p, and of that of x relative to itself

/// Who has less of p collects, but gives no more, for x / p says nothing when both are 0: a rank that runs
/// while all the others rest would come to that.
constexpr double least_p = 1e-100;

/// What the history has of one exchange. Doubles, so that ranks can gather it.
struct Sample {
  double seconds;  ///< since all have begun
  double rank;
  double estimate;  ///< of the first element
};

/// What a rank says of its iterations. Doubles, so that ranks can gather it.
struct Summary {
  double iterations;  ///< a second
  double exchanges;   ///< a second
  double error;       ///< largest distance of an element of x / p from the mean
  double p;
};

class PushSum {
 public:
  PushSum(bluefog::Context& context, std::size_t size) : x_(context.make_shared<double>(size)) {
    std::fill_n(x_.data(), size, static_cast<double>(context.rank()));
    context.use_associated_p(true);
    bluefog::WindowOptions zeros;
    zeros.zero_init = true;
    window_ = context.create_window("push-sum", x_.span(), zeros);

    // In the precision of float, so that shares add up to 1 exactly in double: 3 times 1/3 in double is less,
    // and what is missing would be lost in every iteration.
    const std::vector<int> destinations = window_.destinations();
    const auto share = static_cast<double>(1 / static_cast<float>(destinations.size() + 1));
    shares_.self_weight = 1 - static_cast<double>(destinations.size()) * share;
    shares_.dst_weights.emplace();
    for (const int rank : destinations) shares_.dst_weights->emplace(rank, share);
  }

  /// False while the shares given last are on their way.
  [[nodiscard]] bool has_arrived() { return !sending_.valid() || sending_.done(); }
  void give() { sending_ = window_.accumulate_async(x_.span(), shares_); }
  void wait() {
    if (sending_.valid()) sending_.wait();
  }
  void collect() {
    wait();
    window_.update_then_collect(false);
  }
  void close() { window_.free(); }

  [[nodiscard]] std::span<const double> x() const { return x_.span(); }
  [[nodiscard]] double p() const { return window_.associated_p(); }
  [[nodiscard]] double estimate() const { return x()[0] / p(); }
  [[nodiscard]] double error(double mean) const {
    double worst = 0;
    for (const double value : x()) {
      const double distance = std::abs(value / p() - mean);
      worst = std::max(worst, std::isnan(distance) ? std::numeric_limits<double>::infinity() : distance);
    }
    return worst;
  }

 private:
  bluefog::SharedArray<double> x_;
  bluefog::Window window_;
  bluefog::WindowPutOptions shares_;
  bluefog::Handle sending_;
};

template <class Row>
std::vector<Row> gather(bluefog::Context& context, const std::vector<Row>& rows) {
  constexpr std::size_t columns = sizeof(Row) / sizeof(double);
  const auto* values = reinterpret_cast<const double*>(rows.data());
  const bluefog::GatheredTensor all = context.allgather(std::span(values, rows.size() * columns));
  const auto* gathered = reinterpret_cast<const Row*>(all.data.get());
  return {gathered, gathered + all.shape.count() / columns};
}

/// No rank waits for another in here.
Summary iterate(bluefog::Context& context, const Options& options, PushSum& push_sum,
                std::vector<Sample>& history) {
  const bool is_slow = context.rank() == options.slow_rank;
  const auto computing = std::chrono::duration_cast<Clock::duration>(
      Seconds(options.compute_milliseconds / 1000 * (is_slow ? options.slow_factor : 1)));
  const Clock::time_point begin = Clock::now();
  const auto elapsed = [&] { return Seconds(Clock::now() - begin).count(); };
  const auto record = [&] {
    if (options.history.empty()) return;
    history.push_back({elapsed(), static_cast<double>(context.rank()), push_sum.estimate()});
  };

  record();
  std::uint64_t iterations = 0;
  std::uint64_t exchanges = 0;
  while (elapsed() < options.seconds) {
    std::this_thread::sleep_for(computing);
    ++iterations;
    if (!push_sum.has_arrived()) continue;
    push_sum.collect();
    record();
    ++exchanges;
    if (push_sum.p() < least_p) continue;
    push_sum.give();
    if (options.blocking) push_sum.wait();
  }
  const double duration = elapsed();
  push_sum.collect();
  record();
  const double mean = (context.size() - 1) / 2.0;
  return {static_cast<double>(iterations) / duration, static_cast<double>(exchanges) / duration,
          push_sum.error(mean), push_sum.p()};
}

/// Distance of the sum over all ranks from what it was at first: of p, and of the worst element of x.
std::pair<double, double> lost_mass(bluefog::Context& context, const PushSum& push_sum) {
  bluefog::AllreduceOptions sum;
  sum.reduction = bluefog::Reduction::Sum;
  std::vector<double> mass(push_sum.x().begin(), push_sum.x().end());
  mass.push_back(push_sum.p());
  context.allreduce(mass, mass, sum);
  const double p = std::abs(mass.back() - context.size());
  mass.pop_back();
  const double total = context.size() * (context.size() - 1) / 2.0;
  double x = 0;
  for (const double value : mass) x = std::max(x, std::abs(value - total) / std::max(total, 1.0));
  return {p, x};
}

void write_history(const std::string& path, const std::vector<Sample>& samples) {
  std::ofstream file(path);
  file << "seconds,rank,estimate\n";
  file.precision(17);
  for (const Sample& sample : samples)
    file << sample.seconds << ',' << sample.rank << ',' << sample.estimate << '\n';
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

/// @returns whether all ranks agree on the mean and nothing was lost; the same on every rank
bool run(const Options& options) {
  bluefog::Context context;
  if (options.slow_rank >= context.size()) {
    throw std::invalid_argument("--slow-rank " + std::to_string(options.slow_rank) + ": ranks are 0 to " +
                                std::to_string(context.size() - 1));
  }
  PushSum push_sum(context, options.size);
  std::vector<Sample> history;
  context.barrier();
  const Summary own = iterate(context, options, push_sum, history);

  context.barrier();  // all has arrived that was given
  push_sum.collect();
  const auto [lost_p, lost_x] = lost_mass(context, push_sum);
  const std::vector<Summary> summaries = gather(context, std::vector{own});
  const std::vector<Sample> samples = gather(context, history);
  push_sum.close();

  double worst = 0;
  for (const Summary& summary : summaries) worst = std::max(worst, summary.error);
  if (context.rank() == 0) {
    for (std::size_t rank = 0; rank < summaries.size(); ++rank) {
      const Summary& of = summaries[rank];
      std::printf("rank %zu: %.2f iterations/s, %.2f exchanges/s, error %.3e, p %.6f\n", rank, of.iterations,
                  of.exchanges, of.error, of.p);
    }
    std::printf("total p off by %.3e, total x by %.3e; worst error %.3e\n", lost_p, lost_x, worst);
    if (!options.history.empty()) write_history(options.history, samples);
  }
  return worst <= most_error && lost_p <= most_mass_lost && lost_x <= most_mass_lost;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Asynchronous push-sum consensus with a slow rank; fails unless all agree and no mass is lost");
  app.add_option("--size", options.size, "elements of each rank's vector")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--seconds", options.seconds, "how long ranks iterate")->capture_default_str();
  app.add_option("--compute", options.compute_milliseconds, "milliseconds an iteration sleeps, for computing")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--slow-rank", options.slow_rank, "whose computing takes longer; -1: nobody's")
      ->capture_default_str();
  app.add_option("--slow-factor", options.slow_factor, "so many times")->capture_default_str();
  app.add_flag("--blocking", options.blocking, "wait for shares to arrive, for comparison");
  app.add_option("--history", options.history,
                 "write time, rank and estimate of each exchange there, as CSV");
  CLI11_PARSE(app, argc, argv);
  try {
    if (run(options)) return 0;
    std::fprintf(stderr, "push_sum_consensus: no consensus within %g, or mass lost beyond %g\n", most_error,
                 most_mass_lost);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "push_sum_consensus: %s\n", error.what());
  }
  return 1;
}
