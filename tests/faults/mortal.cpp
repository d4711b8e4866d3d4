#include "faults/mortal.hpp"

namespace bluefog::test {

bool Fate::allows_store() {
  if (is_dead_) return false;
  if (begins_ && !begins_()) return true;
  begins_ = nullptr;
  if (count_++ != last_) return true;
  is_dead_ = true;
  end_();
  is_dead_ = false;  // it was only stopped, and goes on
  return true;
}

void MortalStores::combine(DType dtype, std::span<const mixing::Row> rows,
                           std::span<const void* const> inputs, std::span<void* const> outputs,
                           std::size_t count, mixing::StoreKind store) {
  const std::size_t half = count / 2;
  if (fate_.allows_store()) mixing::combine_rows(dtype, rows, inputs, outputs, half, store);
  std::vector<const void*> rest_in;
  std::vector<void*> rest_out;
  for (const void* input : inputs)
    rest_in.push_back(static_cast<const std::byte*>(input) + half * size_of(dtype));
  for (void* output : outputs) rest_out.push_back(static_cast<std::byte*>(output) + half * size_of(dtype));
  if (fate_.allows_store()) mixing::combine_rows(dtype, rows, rest_in, rest_out, count - half, store);
}

void MortalStores::log(mixing::LoggedRows& rows, std::size_t first, std::size_t count, std::byte* log,
                       std::size_t stride) {
  const std::size_t half = count / 2;
  if (fate_.allows_store()) rows.compute(first, half, log, stride);
  if (fate_.allows_store())
    rows.compute(first + half, count - half, log + half * rows.element_bytes(), stride);
}

void MortalStores::store_logged(const mixing::LoggedRows& rows, std::size_t first, std::size_t count,
                                const std::byte* log, std::size_t stride) {
  const std::size_t half = count / 2;
  for (std::size_t row = 0; row < rows.row_count(); ++row) {
    if (fate_.allows_store()) rows.store_row(row, first, half, log, stride);
    if (fate_.allows_store())
      rows.store_row(row, first + half, count - half, log + half * rows.element_bytes(), stride);
  }
}

engine::Interposition mortal(Fate& fate, MortalStores& stores) {
  return {[&fate](std::unique_ptr<transport::shm::ShmTransport> shared) {
            return std::make_unique<MortalTransport>(std::move(shared), fate);
          },
          &stores};
}

}  // namespace bluefog::test
