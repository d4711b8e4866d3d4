#pragma once
/// @file target.hpp  What a fuzz target is: libFuzzer finds inputs for it, and replay.cpp goes through those
/// it has found.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

/// Must return for any bytes; what must not be aborts.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace bluefog::fuzz {

inline void require(bool holds) {
  if (!holds) std::abort();
}

inline std::string_view text_of(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The first byte chooses how the others come.
struct Input {
  std::uint8_t choice = 0;
  std::span<const std::uint8_t> rest;

  Input(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return;
    choice = data[0];
    rest = {data + 1, size - 1};
  }
};

}  // namespace bluefog::fuzz
