#include "window/stores.hpp"

#include <array>
#include <vector>

namespace bluefog::window {

/// In two halves, where somebody looks.
template <class Store>
void Stores::in_parts(std::size_t count, Store store) const {
  if (hook_ == nullptr) return store(0, count);
  hook_->before_store();
  store(0, count / 2);
  hook_->before_store();
  store(count / 2, count);
}

void Stores::scale(DType dtype, std::byte* to, const std::byte* from, double weight,
                   std::size_t count) const {
  const std::size_t element = size_of(dtype);
  in_parts(count, [&](std::size_t first, std::size_t last) {
    if (weight == 0.0 && !is_floating(dtype)) {
      return static_cast<void>(std::memset(to + first * element, 0, (last - first) * element));
    }
    if (weight == 1.0 && to == from) return;
    if (weight == 1.0) {
      return mixing::copy_bytes(to + first * element, from + first * element, (last - first) * element,
                                kind_);
    }
    const std::array<mixing::Term, 1> terms{{{0, weight}}};
    const std::array<mixing::Row, 1> rows{{{mixing::Combine::Weighted, terms, -1}}};
    const std::array<const void*, 1> inputs{from + first * element};
    const std::array<void*, 1> outputs{to + first * element};
    mixing::combine_rows(dtype, rows, inputs, outputs, last - first, kind_);
  });
}

void Stores::add(DType dtype, std::byte* to, const std::byte* base, const std::byte* value,
                 std::size_t count) const {
  const std::size_t element = size_of(dtype);
  in_parts(count, [&](std::size_t first, std::size_t last) {
    const std::array<mixing::Term, 2> terms{{{0, 1.0}, {1, 1.0}}};
    const std::array<mixing::Row, 1> rows{{{mixing::Combine::Sum, terms, -1}}};
    const std::array<const void*, 2> inputs{base + first * element, value + first * element};
    const std::array<void*, 1> outputs{to + first * element};
    mixing::combine_rows(dtype, rows, inputs, outputs, last - first, kind_);
  });
}

void Stores::add_change(DType dtype, std::byte* to, const std::byte* after, const std::byte* before,
                        std::size_t count) const {
  const std::array<mixing::Term, 3> terms{{{0, 1.0}, {1, 1.0}, {2, -1.0}}};
  const std::array<const void*, 3> inputs{to, after, before};
  combine(dtype, {mixing::Combine::Weighted, terms, -1}, inputs, to, count);
}

void Stores::mean(DType dtype, std::byte* a, std::byte* b, std::size_t count) const {
  const std::size_t element = size_of(dtype);
  in_parts(count, [&](std::size_t first, std::size_t last) {
    const std::array<mixing::Term, 2> terms{{{0, 0.5}, {1, 0.5}}};
    const mixing::Row row{mixing::Combine::Mean, terms, -1};
    const std::array<mixing::Row, 2> rows{row, row};
    const std::array<const void*, 2> inputs{a + first * element, b + first * element};
    const std::array<void*, 2> outputs{a + first * element, b + first * element};
    mixing::combine_rows(dtype, rows, inputs, outputs, last - first, mixing::StoreKind::Plain);
  });
}

void Stores::combine(DType dtype, const mixing::Row& row, std::span<const void* const> inputs,
                     std::byte* output, std::size_t count) const {
  const std::size_t element = size_of(dtype);
  thread_local std::vector<const void*> parts;
  in_parts(count, [&](std::size_t first, std::size_t last) {
    parts.clear();
    for (const void* input : inputs) parts.push_back(static_cast<const std::byte*>(input) + first * element);
    const std::array<void*, 1> outputs{output + first * element};
    mixing::combine_rows(dtype, {&row, 1}, parts, outputs, last - first, kind_);
  });
}

}  // namespace bluefog::window
