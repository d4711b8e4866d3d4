#include "window/update.hpp"

#include <algorithm>
#include <cstdlib>

#include "window/arguments.hpp"
#include "window/windows.hpp"

namespace bluefog::window {

namespace {

/// Zeros, where a buffer without a value counts in a mean. Never written, so they take no memory to speak of.
struct Zeros {
  explicit Zeros(std::size_t bytes) : memory(std::calloc(std::max<std::size_t>(bytes, 1), 1), &std::free) {
    if (memory == nullptr) throw std::bad_alloc();
  }
  std::unique_ptr<void, decltype(&std::free)> memory;
};

bool is_plain_sum(const mixing::ResolvedRow& row) {
  return row.combine == mixing::Combine::Weighted &&
         std::ranges::all_of(row.terms, [](const auto& term) { return term.weight == 1.0; });
}

}  // namespace

UpdateOperation::UpdateOperation(std::shared_ptr<Core> shared, std::string_view name,
                                 const WindowUpdateOptions& options)
    : Operation(std::move(shared), name, true),
      row_(core().row()),
      resets_(options.reset),
      output_(options.output),
      requires_mutex_(options.require_mutex),
      moves_weights_(core().windows().moves_weights(options)) {
  check(options);
  row_.destinations.clear();
  if (options.self_weight) {
    row_.form = mixing::RowForm::Weighted;
    row_.self_weight = *options.self_weight;
    row_.sources.clear();
    for (const auto& [rank, weight] : *options.src_weights) row_.sources.push_back({rank, weight});
  }
}

void UpdateOperation::check(const WindowUpdateOptions& options) const {
  const ArgumentCheck check(core(), name());
  const DType dtype = core().tensor().dtype;
  if (options.self_weight.has_value() != options.src_weights.has_value()) {
    check.fail("self_weight and src_weights come together: give both, or none");
  }
  if (dtype == DType::Bool) check.fail("Bool cannot be averaged or added");
  if (options.self_weight) {
    check.weight(*options.self_weight, "self_weight");
    static_cast<void>(check.edges(options.src_weights, core().row().sources, "src_weights"));
  } else if (!is_floating(dtype)) {
    check.fail("the mean of " + std::string(bluefog::name_of(dtype)) +
               " is none; give weights of 1 to sum, or use update_then_collect or a floating dtype");
  }
  if (options.output.data == nullptr) return;
  check.like_the_window(options.output);
  if (options.output.data == core().tensor().data) check.fail("output is the window's tensor; leave it out");
}

Task UpdateOperation::run() {
  std::vector<RankLock> mutexes;
  if (requires_mutex_) {
    mutexes.reserve(row_.sources.size());
    for (const auto& source : row_.sources) {
      co_await acquire(mutexes.emplace_back(lock_at(core().neighbor(source.rank)->mutex_here)));
    }
  }
  RankLock own = lock_at(core().tensor_lock());
  co_await acquire(own);
  take_buffers();
  combine();
  forget();
}

void UpdateOperation::take_buffers() {
  for (const auto& source : row_.sources) {
    Neighbor& peer = *core().neighbor(source.rank);
    // What arrives from far is published under this lock.
    std::unique_lock lock(core().mutex(), std::defer_lock);
    if (peer.is_far) lock.lock();
    peer.reader->take();
  }
}

void UpdateOperation::combine() {
  mixing::ResolvedRow resolved = mixing::resolve(row_, [](int) { return 1.0; });
  if (is_plain_sum(resolved)) resolved.combine = mixing::Combine::Sum;
  combine_tensors(resolved);
  if (moves_weights_ && output_.data == nullptr) combine_weights(resolved);
}

void UpdateOperation::combine_tensors(const mixing::ResolvedRow& row) {
  std::vector<const void*> inputs;
  std::vector<mixing::Term> terms;
  std::optional<Zeros> zeros;
  for (const auto& term : row.terms) {
    const void* input =
        term.rank == core().rank() ? core().data() : core().neighbor(term.rank)->reader->value();
    if (input == nullptr && row.combine != mixing::Combine::Mean) continue;  // nothing is added
    if (input == nullptr) {
      if (!zeros) zeros.emplace(core().bytes());
      input = zeros->memory.get();
    }
    terms.push_back({static_cast<std::uint32_t>(inputs.size()), term.weight});
    inputs.push_back(input);
  }
  void* const output = output_.data != nullptr ? output_.data : core().data();
  core().stores().combine(core().tensor().dtype, {row.combine, terms, -1}, inputs,
                          static_cast<std::byte*>(output), core().count());
}

/// By the same arithmetic, so that a tensor that is a multiple of its weight stays one.
void UpdateOperation::combine_weights(const mixing::ResolvedRow& row) {
  std::vector<double> weights;
  std::vector<mixing::Term> terms;
  for (const auto& term : row.terms) {
    terms.push_back({static_cast<std::uint32_t>(weights.size()), term.weight});
    weights.push_back(term.rank == core().rank() ? core().header().push_sum_weight.load()
                                                 : core().neighbor(term.rank)->reader->weight());
  }
  std::vector<const void*> inputs;
  inputs.reserve(weights.size());
  for (const double& weight : weights) inputs.push_back(&weight);
  double combined = 0;
  Stores().combine(DType::Float64, {row.combine, terms, -1}, inputs, reinterpret_cast<std::byte*>(&combined),
                   1);
  core().header().push_sum_weight.store(combined);
}

void UpdateOperation::forget() {
  if (resets_) {
    for (const auto& source : row_.sources) core().neighbor(source.rank)->reader->reset();
  }
  for (const auto& peer : core().neighbors()) {
    if (peer->reader != nullptr) peer->reader->forget_versions();
  }
}

}  // namespace bluefog::window
