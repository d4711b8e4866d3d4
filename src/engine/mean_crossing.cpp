#include "engine/mean_crossing.hpp"

#include <algorithm>
#include <utility>

#include "mixing/kernels.hpp"

namespace bluefog::engine {

namespace {

ByteRange overlap(const ByteRange& a, const ByteRange& b) {
  const std::size_t first = std::max(a.first, b.first);
  const std::size_t end = std::min(a.first + a.bytes, b.first + b.bytes);
  return {first, end > first ? end - first : 0};
}

/// Around the circle of ranks from the own one on, lest all send to the same one first.
std::vector<int> around_the_circle(std::vector<int> ranks, int own) {
  std::rotate(ranks.begin(), std::upper_bound(ranks.begin(), ranks.end(), own), ranks.end());
  return ranks;
}

std::vector<int> ranks_of(const std::vector<mixing::MachinePlan::Part>& parts) {
  std::vector<int> ranks;
  ranks.reserve(parts.size());
  for (const auto& part : parts) ranks.push_back(part.rank);
  return ranks;
}

}  // namespace

MeanCrossing::MeanCrossing(transport::Transport& transport, std::shared_ptr<StagingPool> pool,
                           Operation& operation, std::size_t chunk_bytes)
    : Crossing(transport, std::move(pool), operation),
      plan_(operation.request().plan->machines->plan),
      machines_(*operation.request().plan->machines->map),
      chunk_bytes_(chunk_bytes),
      own_(slice_of(transport.rank())) {
  std::size_t far_mates = 0;
  for (const int mate : others_of_machine()) far_mates += transport.shares_memory(mate) ? 0 : 1;
  has_far_mates_ = far_mates > 0;
  stand_in(has_far_mates_);
  const std::size_t means = StagedMeans::bytes(plan_.inputs.size(), own_.bytes);
  std::byte* const staging = take_staging(means + far_mates * staging_stride(own_.bytes));
  staged_ = StagedMeans(staging, plan_.inputs.size(), own_.bytes);
  std::byte* next_raw = staging + means;
  const int first = machines_.first_rank(plan_.inputs.front());
  for (int mate = first; mate < machines_.first_rank(plan_.inputs.front() + 1); ++mate) {
    const bool is_far = !transport.shares_memory(mate);
    raw_.push_back(is_far ? next_raw : nullptr);
    if (is_far) next_raw += staging_stride(own_.bytes);
  }
  add_mates();
  add_partners();
}

ByteRange MeanCrossing::slice_of(int rank) const {
  const ConstTensor& tensor = operation().request().input;
  const std::size_t element = size_of(tensor.dtype);
  return bytes_of(machines_.slice_of(rank, tensor.count(), element), element);
}

std::vector<int> MeanCrossing::others_of_machine() const {
  const int machine = plan_.inputs.front();
  std::vector<int> others;
  for (int rank = machines_.first_rank(machine); rank < machines_.first_rank(machine + 1); ++rank) {
    if (rank != transport().rank()) others.push_back(rank);
  }
  return others;
}

/// Members of the machine that share no memory: slices of inputs, then of results.
void MeanCrossing::add_mates() {
  const auto* const input = static_cast<const std::byte*>(this->input());
  auto* const output = static_cast<std::byte*>(this->output());
  for (const int mate : around_the_circle(others_of_machine(), transport().rank())) {
    if (transport().shares_memory(mate)) continue;
    const ByteRange theirs = slice_of(mate);
    add_outgoing({mate, 1, theirs.bytes, chunk_bytes_, own_.bytes});
    sources_.push_back({input + theirs.first, output + own_.first, false});
    add_incoming({mate, 1, own_.bytes, chunk_bytes_, theirs.bytes});
    places_.push_back({raw_[machines_.local_rank(mate)], output + theirs.first});
  }
  raw_streams_ = places_.size();
}

/// Owners of overlapping slices of other machines.
void MeanCrossing::add_partners() {
  for (const int rank : around_the_circle(ranks_of(plan_.destinations), transport().rank())) {
    if (transport().shares_memory(rank)) {
      near_readers_.push_back(rank);
      continue;
    }
    const ByteRange common = overlap(own_, slice_of(rank));
    const std::size_t offset = common.bytes > 0 ? common.first - own_.first : 0;
    add_outgoing({rank, 1, common.bytes, chunk_bytes_});
    sources_.push_back({staged_.mean(0) + offset, nullptr, true, offset});
  }
  for (const auto& part : plan_.sources) {
    const ByteRange theirs = slice_of(part.rank);
    const ByteRange common = overlap(own_, theirs);
    const std::size_t offset = common.bytes > 0 ? common.first - own_.first : 0;
    std::byte* const target = staged_.mean(part.input) + offset;
    if (transport().shares_memory(part.rank)) {
      near_parts_.push_back(
          {part.rank, common.bytes > 0 ? common.first - theirs.first : 0, target, common.bytes});
    } else {
      add_incoming({part.rank, 1, common.bytes, chunk_bytes_});
      places_.push_back({target, nullptr});
    }
  }
}

bool MeanCrossing::has_chunk(std::size_t flow, const Chunk& chunk) const {
  const Source& source = sources_[flow];
  if (source.is_mean) return source.mean_offset + chunk.offset + chunk.bytes <= averaged_;
  return chunk.tensor == 0 || chunk.offset + chunk.bytes <= mixed_;
}

const std::byte* MeanCrossing::chunk_to_send(std::size_t flow, const Chunk& chunk) {
  return (chunk.tensor == 0 ? sources_[flow].first : sources_[flow].tail) + chunk.offset;
}

std::byte* MeanCrossing::place_of(std::size_t flow, const Chunk& chunk) {
  return (chunk.tensor == 0 ? places_[flow].first : places_[flow].tail) + chunk.offset;
}

void MeanCrossing::work() {
  if (can_average()) average();
  if (can_fetch()) fetch();
  if (can_finish()) finish();
}

bool MeanCrossing::has_worked() const {
  return has_row_ && (!has_far_mates_ || mixed_ == own_.bytes);
}

bool MeanCrossing::can_average() const {
  if (is_published_) return false;
  const std::size_t until = std::min(own_.bytes, averaged_ + chunk_bytes_);
  return std::all_of(incoming().begin(), incoming().begin() + static_cast<std::ptrdiff_t>(raw_streams_),
                     [until](const Flow& raw) { return raw.bytes >= until; });
}

/// The next bytes of the own slice of the mean: a sum in ascending rank order, and one division.
void MeanCrossing::average() {
  const ConstTensor& tensor = operation().request().input;
  const std::size_t bytes = std::min(chunk_bytes_, own_.bytes - averaged_);
  const int first = machines_.first_rank(plan_.inputs.front());
  std::vector<const void*> inputs;
  std::vector<mixing::Term> terms;
  for (std::size_t member = 0; member < raw_.size(); ++member) {
    const int rank = first + static_cast<int>(member);
    const std::byte* slice = raw_[member];
    if (rank == transport().rank()) {
      slice = static_cast<const std::byte*>(input()) + own_.first;
    } else if (slice == nullptr) {
      slice = transport().map(rank, view_of(rank).post.input_offset + own_.first, own_.bytes);
    }
    inputs.push_back(slice + averaged_);
    terms.push_back({static_cast<std::uint32_t>(member), 1.0});
  }
  const mixing::Row row{mixing::Combine::Mean, terms};
  void* const output = staged_.mean(0) + averaged_;
  mixing::combine_rows(tensor.dtype, std::span(&row, 1), inputs, std::span(&output, 1),
                       bytes / size_of(tensor.dtype), mixing::StoreKind::Plain);
  averaged_ += bytes;
  if (averaged_ == own_.bytes) publish_mean();
}

void MeanCrossing::publish_mean() {
  is_published_ = true;
  transport().set_produced(operation().slot, 1);
  for (const int reader : near_readers_) transport().show(reader, operation().slot);
}

bool MeanCrossing::is_ready(const NearPart& part) const {
  return part.done < part.bytes && transport().produced(view_of(part.owner).slot) > 0;
}

bool MeanCrossing::can_fetch() const {
  return std::any_of(near_parts_.begin(), near_parts_.end(),
                     [this](const NearPart& part) { return is_ready(part); });
}

void MeanCrossing::fetch() {
  for (NearPart& part : near_parts_) {
    if (!is_ready(part)) continue;
    const std::uint64_t staging = view_of(part.owner).post.staging_offset;
    const StagedMeans there(transport(), part.owner, staging, slice_of(part.owner).bytes);
    const std::size_t bytes = std::min(chunk_bytes_, part.bytes - part.done);
    mixing::copy_bytes(part.target + part.done, there.mean(0) + part.theirs + part.done, bytes,
                       mixing::StoreKind::Plain);
    part.done += bytes;
  }
}

bool MeanCrossing::has_all_means() const {
  return is_published_ &&
         std::all_of(near_parts_.begin(), near_parts_.end(),
                     [](const NearPart& part) { return part.done == part.bytes; }) &&
         std::all_of(incoming().begin() + static_cast<std::ptrdiff_t>(raw_streams_), incoming().end(),
                     [this](const Flow& mean) {
                       return mean.chunks == mean.stream.chunks() && view_of(mean.stream.peer).found;
                     });
}

bool MeanCrossing::can_finish() const {
  return has_all_means() && (!has_row_ || (has_far_mates_ && mixed_ < own_.bytes));
}

/// What the slice is mixed of is there; for those who cannot be written to, its next bytes are mixed.
void MeanCrossing::finish() {
  if (!has_row_) {
    row_ = resolved_row();
    staged_.set_row(row_);
    has_row_ = true;
  }
  if (!has_far_mates_ || mixed_ == own_.bytes) return;
  const std::size_t bytes = std::min(chunk_bytes_, own_.bytes - mixed_);
  std::vector<const void*> inputs;
  for (std::size_t i = 0; i < staged_.count(); ++i) inputs.push_back(staged_.mean(i) + mixed_);
  const mixing::Row row{row_.combine, row_.terms, row_.self_term};
  void* const output = static_cast<std::byte*>(this->output()) + own_.first + mixed_;
  const DType dtype = operation().request().input.dtype;
  mixing::combine_rows(dtype, std::span(&row, 1), inputs, std::span(&output, 1), bytes / size_of(dtype),
                       mixing::StoreKind::Plain);
  mixed_ += bytes;
}

/// The own machine's row, with the factors that the others give.
MeansRow MeanCrossing::resolved_row() const {
  const int own_name = machines_.first_rank(plan_.inputs.front());
  mixing::MixingRow row = operation().request().plan->row;
  row.rank = own_name;
  const auto resolved = mixing::resolve(row, [&](int source) {
    const std::size_t input = plan_.input_of(machines_.machine_of(source));
    const auto part = std::find_if(plan_.sources.begin(), plan_.sources.end(),
                                   [input](const auto& candidate) { return candidate.input == input; });
    const PeerView& view = view_of(part->rank);
    return mixing::decode(transport().row(view.slot, view.post)).destination(own_name)->weight;
  });
  MeansRow means{resolved.combine, {}, resolved.self_term};
  for (const auto& term : resolved.terms) {
    const std::size_t input = plan_.input_of(machines_.machine_of(term.rank));
    means.terms.push_back({static_cast<std::uint32_t>(input), term.weight});
  }
  return means;
}

bool MeanCrossing::awaits_data_of(int peer) const {
  return Crossing::awaits_data_of(peer) ||
         std::any_of(near_parts_.begin(), near_parts_.end(),
                     [peer](const NearPart& part) { return part.owner == peer && part.done < part.bytes; });
}

void MeanCrossing::for_each_peer(base::FunctionRef<void(int, std::size_t, std::size_t)> visit) const {
  Crossing::for_each_peer(visit);
  for (const NearPart& part : near_parts_) visit(part.owner, 0, part.done);
}

}  // namespace bluefog::engine
