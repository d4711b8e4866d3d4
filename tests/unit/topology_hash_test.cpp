#include <array>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "base/hash.hpp"

namespace bluefog::base {
namespace {

TEST(Hash, MixBitsIsTheFinalizerOfSplitMix64) {
  EXPECT_EQ(mix_bits(2024 + kGoldenRatio), 0x9f6d8fecf88eecd5U);
  EXPECT_EQ(mix_bits(2024 + 2 * kGoldenRatio), 0x18e430bb1511f2d2U);
}

TEST(Hash, BytesAreReadAsLittleEndianWordsOnEveryMachine) {
  const std::array<unsigned char, 9> bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  const std::uint64_t expected = hash_combine(hash_combine(hash_combine(7, 9), 0x0807060504030201U), 9);
  EXPECT_EQ(hash_bytes(bytes.data(), bytes.size(), 7), expected);
}

TEST(Hash, CombineTellsTheOrder) {
  EXPECT_NE(hash_combine(1, 2), hash_combine(2, 1));
  EXPECT_NE(hash_combine(0, 0), 0U);
}

TEST(Hash, DependsOnEveryByteTheLengthAndTheSeed) {
  std::set<std::uint64_t> seen;
  const std::string zeros(40, '\0');
  for (std::size_t length = 0; length <= zeros.size(); ++length)
    seen.insert(hash_bytes(zeros.data(), length));
  for (std::size_t at = 0; at < zeros.size(); ++at) {
    std::string changed = zeros;
    changed[at] = 1;
    seen.insert(hash_bytes(changed.data(), changed.size()));
  }
  seen.insert(hash_bytes(zeros.data(), zeros.size(), 1));
  EXPECT_EQ(seen.size(), 41U + 40U + 1U);
}

}  // namespace
}  // namespace bluefog::base
