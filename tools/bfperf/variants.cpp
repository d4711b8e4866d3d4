#include "variants.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

#include "mixing/kernels.hpp"

namespace bluefog::perf {

namespace {

constexpr std::size_t probes = 97;

/// Tensors of one variant. Every element of rank r holds r + 1 at first, so the result is known.
struct Tensors {
  std::vector<float> private_input;
  std::vector<float> private_output;
  SharedArray<float> shared_input;
  SharedArray<float> shared_output;
  std::span<float> input;
  std::span<float> output;
};

void fill(std::span<float> values, int rank) {
  std::fill(values.begin(), values.end(), static_cast<float>(rank + 1));
}

/// What the row of this rank makes of r + 1 on every rank r.
double expected_value(const Context& context, const Problem& problem) {
  const Topology round = problem.schedule->round(0);
  double value = round.self_weight(context.rank()) * (context.rank() + 1);
  for (const auto& [peer, weight] : round.in_neighbors(context.rank())) value += weight * (peer + 1);
  return value;
}

Variant make_variant(Context& context, const Problem& problem, const std::string& name, bool shared_input,
                     bool shared_output, bool in_place, bool meet, bool undo_log = true) {
  auto tensors = std::make_shared<Tensors>();
  const auto allocate = [&](bool shared, SharedArray<float>& arena,
                            std::vector<float>& own) -> std::span<float> {
    if (shared) return (arena = context.make_shared<float>(problem.count)).span();
    own.resize(problem.count);
    return own;
  };
  tensors->input = allocate(shared_input, tensors->shared_input, tensors->private_input);
  tensors->output =
      in_place ? tensors->input : allocate(shared_output, tensors->shared_output, tensors->private_output);
  NeighborAllreduceOptions options;
  options.schedule = problem.schedule;
  options.meet = meet;
  options.undo_log = undo_log;
  const double expected = expected_value(context, problem);
  Variant variant;
  variant.name = name;
  variant.refresh = [tensors, &context] { fill(tensors->input, context.rank()); };
  variant.run = [tensors, options, &context] {
    context.neighbor_allreduce(std::span<const float>(tensors->input), tensors->output, options);
  };
  variant.is_right = [tensors, expected] {
    const std::size_t stride = std::max<std::size_t>(1, tensors->output.size() / probes);
    for (std::size_t i = 0; i < tensors->output.size(); i += stride) {
      if (std::abs(tensors->output[i] - expected) > 1e-5 * expected) return false;
    }
    return true;
  };
  return variant;
}

Variant make_local_average(const Context& context, const Problem& problem) {
  auto a = std::make_shared<std::vector<float>>(problem.count);
  auto b = std::make_shared<std::vector<float>>(problem.count, 3.0F);
  auto out = std::make_shared<std::vector<float>>(problem.count);
  Variant variant;
  variant.name = "local average";
  variant.refresh = [a, rank = context.rank()] { fill(*a, rank); };
  variant.run = [a, b, out] {
    const mixing::Term terms[] = {{0, 0.5}, {1, 0.5}};
    const mixing::Row row{mixing::Combine::Mean, terms, 0};
    const void* inputs[] = {a->data(), b->data()};
    void* output = out->data();
    mixing::combine_rows(DType::Float32, std::span(&row, 1), inputs, std::span(&output, 1), out->size(),
                         mixing::StoreKind::Plain);
  };
  variant.is_right = [out, rank = context.rank()] {
    return out->empty() || out->back() == (static_cast<float>(rank + 1) + 3.0F) / 2;
  };
  return variant;
}

}  // namespace

std::vector<Variant> make_variants(Context& context, const Problem& problem) {
  std::vector<Variant> variants;
  variants.push_back(make_local_average(context, problem));
  variants.push_back(make_variant(context, problem, "slices", true, true, true, true));
  variants.push_back(make_variant(context, problem, "slices without log", true, true, true, true, false));
  variants.push_back(make_variant(context, problem, "slices, out of place", true, true, false, true));
  variants.push_back(make_variant(context, problem, "zero copy", true, true, false, false));
  variants.push_back(make_variant(context, problem, "ring", false, false, false, false));
  variants.push_back(make_variant(context, problem, "ring, meeting", false, false, true, true));
  variants.push_back(
      make_variant(context, problem, "ring, meeting, without log", false, false, true, true, false));
  return variants;
}

}  // namespace bluefog::perf
