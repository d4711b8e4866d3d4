#pragma once
/// @file figures.hpp  How figures are printed.

#include <cstdint>
#include <cstdio>
#include <string>

#include <nlohmann/json.hpp>

namespace bluefog::perf {

enum class Output : std::uint8_t { Text, JsonLines };

inline void print(Output output, const nlohmann::json& line, const std::string& text) {
  std::puts(output == Output::JsonLines ? line.dump().c_str() : text.c_str());
}

}  // namespace bluefog::perf
