#pragma once
/// @file memory.hpp  How much memory this process may still take.

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

namespace bluefog::base {

struct MemoryHeadroom {
  std::size_t bytes = 0;  ///< before the kernel would have to kill something
  std::string owner;      ///< whose limit it is: "the machine", or a control group with its limit
};

/// The least headroom of the machine and of the control groups (version 1 and 2) of this process. Page cache
/// that can be dropped, and free swap, count as room. Nothing where the kernel tells nothing.
/// @param root  where /proc and /sys lie
[[nodiscard]] std::optional<MemoryHeadroom> memory_headroom(const std::filesystem::path& root = "/");

/// "123 MiB", rounded up.
[[nodiscard]] std::string mebibytes(std::size_t bytes);

}  // namespace bluefog::base
