#include "multi/reductions.hpp"

#include <algorithm>
#include <set>

namespace bluefog::test {

namespace {

int modulo(int value, int size) {
  return (value % size + size) % size;
}

bool is_linked(int sender, int receiver) {
  return sender != receiver && (3 * receiver + 5 * sender) % 4 != 0;
}
double linked_weight(int receiver, int sender) {
  return 1.0 / (2 + receiver + 2 * sender);
}

/// Who sends to `rank`, or gets from it, in the dynamic cases: distances 1 and 3.
std::set<int> at_distance(int rank, int size, int sign) {
  std::set<int> ranks;
  for (const int distance : {1, 3}) {
    if (const int peer = modulo(rank + sign * distance, size); peer != rank) ranks.insert(peer);
  }
  return ranks;
}
double receiver_weight(int receiver, int sender) {
  return 0.3 + 0.07 * sender - 0.01 * receiver;
}
double sender_weight(int sender, int receiver) {
  return 0.7 - 0.03 * receiver + 0.1 * sender;
}

Expectation with_terms(Form form, int rank, double self_weight, std::vector<Term> others) {
  others.push_back({rank, self_weight});
  std::sort(others.begin(), others.end(), [](const Term& a, const Term& b) { return a.rank < b.rank; });
  return {form, std::move(others), rank};
}

Expectation uniform(Form form, int rank, const std::vector<int>& sources) {
  const double weight = 1.0 / static_cast<double>(sources.size() + 1);
  std::vector<Term> terms;
  for (const int source : sources) terms.push_back({source, weight});
  return with_terms(form, rank, weight, std::move(terms));
}

bool everybody(int, int) {
  return true;
}

/// Every second rank, from the last one down.
std::vector<int> some_group(int size) {
  std::vector<int> group;
  for (int rank = size - 1; rank >= 0; rank -= 2) group.push_back(rank);
  return group;
}
bool in_some_group(int rank, int size) {
  return modulo(size - 1 - rank, 2) == 0;
}

std::vector<int> group_sources(int rank, int size) {
  const std::vector<int> group = some_group(size);
  const auto position = static_cast<int>(std::find(group.begin(), group.end(), rank) - group.begin());
  std::vector<int> sources;
  for (const int source : exponential_sources(position, static_cast<int>(group.size()))) {
    sources.push_back(group[static_cast<std::size_t>(source)]);
  }
  return sources;
}

/// The in-neighbours of the default topology but the lowest.
std::vector<int> all_but_first_source(int rank, int size) {
  std::vector<int> sources = exponential_sources(rank, size);
  if (!sources.empty()) sources.erase(sources.begin());
  return sources;
}

NeighborAllreduceOptions own_weights(int rank, int size, MixingForm form) {
  NeighborAllreduceOptions options;
  options.self_weight = 0.25;
  options.src_weights.emplace();
  for (const int source : all_but_first_source(rank, size))
    (*options.src_weights)[source] = receiver_weight(rank, source);
  options.form = form;
  return options;
}

Expectation own_weights_expectation(int rank, int size) {
  std::vector<Term> terms;
  for (const int source : all_but_first_source(rank, size))
    terms.push_back({source, receiver_weight(rank, source)});
  return with_terms(Form::Weighted, rank, 0.25, std::move(terms));
}

NeighborAllreduceOptions dynamic(int rank, int size, bool scales_at_sender, double self_weight) {
  NeighborAllreduceOptions options;
  options.self_weight = self_weight;
  options.src_weights.emplace();
  options.dst_weights.emplace();
  for (const int source : at_distance(rank, size, -1))
    (*options.src_weights)[source] = receiver_weight(rank, source);
  for (const int target : at_distance(rank, size, 1)) {
    (*options.dst_weights)[target] = scales_at_sender ? sender_weight(rank, target) : 1.0;
  }
  return options;
}

Expectation dynamic_expectation(int rank, int size, bool scales_at_sender, double self_weight) {
  std::vector<Term> terms;
  for (const int source : at_distance(rank, size, -1)) {
    const double factor = scales_at_sender ? sender_weight(source, rank) : 1.0;
    terms.push_back({source, receiver_weight(rank, source) * factor});
  }
  if (self_weight == 0.0) return {Form::Weighted, std::move(terms), rank};  // the own value is not read
  return with_terms(Form::Weighted, rank, self_weight, std::move(terms));
}

NeighborAllreduceOptions one_peer(int size, std::uint64_t round, MixingForm form) {
  NeighborAllreduceOptions options;
  options.schedule = one_peer_exponential(size);
  options.round = round;
  options.form = form;
  return options;
}

Expectation one_peer_expectation(int rank, int size, int round, Form form) {
  int rounds = 0;
  while ((1 << rounds) < size) ++rounds;
  if (rounds == 0) return with_terms(form, rank, 1.0, {});
  return with_terms(form, rank, 0.5, {{modulo(rank - (1 << round % rounds), size), 0.5}});
}

std::vector<ReductionCase> neighbor_cases() {
  std::vector<ReductionCase> cases;
  cases.push_back(
      {"uniform", false, false, everybody, [](int, int) { return NeighborAllreduceOptions{}; },
       [](int rank, int size) { return uniform(Form::Mean, rank, exponential_sources(rank, size)); }});
  cases.push_back({"weighted_topology", false, true, everybody,
                   [](int, int) { return NeighborAllreduceOptions{}; },
                   [](int rank, int size) {
                     std::vector<Term> terms;
                     for (int sender = 0; sender < size; ++sender) {
                       if (is_linked(sender, rank)) terms.push_back({sender, linked_weight(rank, sender)});
                     }
                     return with_terms(Form::Weighted, rank, linked_weight(rank, rank), std::move(terms));
                   }});
  cases.push_back({"own_weights", false, false, everybody,
                   [](int rank, int size) { return own_weights(rank, size, MixingForm::Plain); },
                   own_weights_expectation});
  cases.push_back({"difference_of_a_row_that_does_not_sum_to_1", false, false, everybody,
                   [](int rank, int size) { return own_weights(rank, size, MixingForm::Difference); },
                   own_weights_expectation});
  cases.push_back({"dynamic_receiver_side", false, false, everybody,
                   [](int rank, int size) { return dynamic(rank, size, false, 0.4); },
                   [](int rank, int size) { return dynamic_expectation(rank, size, false, 0.4); }});
  cases.push_back({"dynamic_sender_side", false, false, everybody,
                   [](int rank, int size) { return dynamic(rank, size, true, 0.4); },
                   [](int rank, int size) { return dynamic_expectation(rank, size, true, 0.4); }});
  cases.push_back({"dynamic_without_self", false, false, everybody,
                   [](int rank, int size) { return dynamic(rank, size, true, 0.0); },
                   [](int rank, int size) { return dynamic_expectation(rank, size, true, 0.0); }});
  cases.push_back({"one_peer", false, false, everybody,
                   [](int, int size) { return one_peer(size, 4, MixingForm::Plain); },
                   [](int rank, int size) { return one_peer_expectation(rank, size, 4, Form::Weighted); }});
  cases.push_back({"one_peer_difference", false, false, everybody,
                   [](int, int size) { return one_peer(size, 1, MixingForm::Difference); },
                   [](int rank, int size) {
                     return one_peer_expectation(rank, size, 1, size > 1 ? Form::Mean : Form::Difference);
                   }});
  cases.push_back({"difference", false, false, everybody,
                   [](int, int) {
                     NeighborAllreduceOptions options;
                     options.form = MixingForm::Difference;
                     return options;
                   },
                   [](int rank, int size) {
                     const Form form = size == 2 ? Form::Mean : Form::Difference;
                     return uniform(form, rank, exponential_sources(rank, size));
                   }});
  cases.push_back({"group", false, false, in_some_group,
                   [](int, int size) {
                     NeighborAllreduceOptions options;
                     options.group = some_group(size);
                     return options;
                   },
                   [](int rank, int size) { return uniform(Form::Mean, rank, group_sources(rank, size)); }});
  return cases;
}

ReductionCase allreduce_case(const std::string& name, Reduction reduction, bool in_group) {
  return {name,
          reduction == Reduction::Sum,
          false,
          in_group ? in_some_group : everybody,
          [=](int, int size) {
            AllreduceOptions options;
            options.reduction = reduction;
            if (in_group) options.group = some_group(size);
            return options;
          },
          [=](int rank, int size) {
            std::vector<Term> terms;
            for (int peer = 0; peer < size; ++peer) {
              if (!in_group || in_some_group(peer, size)) terms.push_back({peer, 1.0});
            }
            return Expectation{reduction == Reduction::Sum ? Form::Sum : Form::Mean, std::move(terms), rank};
          }};
}

}  // namespace

Topology weighted_topology(int size) {
  std::vector<Topology::Edge> edges;
  for (int receiver = 0; receiver < size; ++receiver) {
    for (int sender = 0; sender < size; ++sender) {
      if (sender == receiver || is_linked(sender, receiver)) {
        edges.push_back({receiver, sender, linked_weight(receiver, sender)});
      }
    }
  }
  return Topology(size, edges);
}

std::vector<int> exponential_sources(int rank, int size) {
  std::set<int> sources;
  for (int distance = 1; distance < size; distance *= 2) sources.insert(modulo(rank - distance, size));
  return {sources.begin(), sources.end()};
}

const std::vector<ReductionCase>& reduction_cases() {
  static const std::vector<ReductionCase> cases = [] {
    std::vector<ReductionCase> all = neighbor_cases();
    all.push_back(allreduce_case("allreduce_mean", Reduction::Mean, false));
    all.push_back(allreduce_case("allreduce_sum", Reduction::Sum, false));
    all.push_back(allreduce_case("allreduce_sum_in_group", Reduction::Sum, true));
    return all;
  }();
  return cases;
}

}  // namespace bluefog::test
