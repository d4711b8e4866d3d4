#include "engine/staged_means.hpp"

#include <bit>
#include <cstring>

#include "engine/crossing.hpp"

namespace bluefog::engine {

namespace {

/// Words before the terms: number of means, how they combine, the own term, number of terms.
constexpr std::size_t head_words = 4;

std::size_t head_bytes(std::size_t means) {
  return staging_stride((head_words + 2 * means) * sizeof(std::uint64_t));
}

std::uint64_t word_at(const std::byte* base, std::size_t index) {
  std::uint64_t word = 0;
  std::memcpy(&word, base + index * sizeof(word), sizeof(word));
  return word;
}

void set_word(std::byte* base, std::size_t index, std::uint64_t word) {
  std::memcpy(base + index * sizeof(word), &word, sizeof(word));
}

}  // namespace

std::size_t StagedMeans::bytes(std::size_t means, std::size_t slice_bytes) {
  return head_bytes(means) + means * staging_stride(slice_bytes);
}

StagedMeans::StagedMeans(std::byte* base, std::size_t means, std::size_t slice_bytes)
    : base_(base), means_(means), slice_bytes_(slice_bytes) {
  set_word(base_, 0, means);
}

StagedMeans::StagedMeans(transport::Transport& transport, int owner, std::uint64_t offset,
                         std::size_t slice_bytes)
    : slice_bytes_(slice_bytes) {
  means_ = word_at(transport.map(owner, offset, sizeof(std::uint64_t)), 0);
  base_ = transport.map(owner, offset, bytes(means_, slice_bytes));
}

std::byte* StagedMeans::mean(std::size_t index) const {
  return base_ + head_bytes(means_) + index * staging_stride(slice_bytes_);
}

void StagedMeans::set_row(const MeansRow& row) const {
  set_word(base_, 1, static_cast<std::uint64_t>(row.combine));
  set_word(base_, 2, static_cast<std::uint64_t>(std::int64_t{row.self_term} + 1));
  set_word(base_, 3, row.terms.size());
  for (std::size_t i = 0; i < row.terms.size(); ++i) {
    set_word(base_, head_words + 2 * i, row.terms[i].input);
    set_word(base_, head_words + 2 * i + 1, std::bit_cast<std::uint64_t>(row.terms[i].weight));
  }
}

MeansRow StagedMeans::row() const {
  MeansRow row;
  row.combine = static_cast<mixing::Combine>(word_at(base_, 1));
  row.self_term = static_cast<int>(word_at(base_, 2)) - 1;
  row.terms.resize(word_at(base_, 3));
  for (std::size_t i = 0; i < row.terms.size(); ++i) {
    row.terms[i] = {static_cast<std::uint32_t>(word_at(base_, head_words + 2 * i)),
                    std::bit_cast<double>(word_at(base_, head_words + 2 * i + 1))};
  }
  return row;
}

}  // namespace bluefog::engine
